//! The workers' programs: one for each allocator and each CPU.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What the code is compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cpu {
    Native,
    Plain,
    /// What callgrind can run, and the same on every machine.
    V3,
}

impl Cpu {
    pub fn name(self) -> &'static str {
        match self {
            Cpu::Native => "native",
            Cpu::Plain => "x86-64",
            Cpu::V3 => "x86-64-v3",
        }
    }
}

/// A program, and the columns it has.
struct Program {
    binary: &'static str,
    features: &'static str,
    /// The report's name of a column, the worker's name of it, and how to get it if it is not there.
    columns: &'static [(&'static str, &'static str, &'static str)],
}

const C_PEERS: &str = "c-peers";
const LIBMBUF: &str = "libmbuf";

const PROGRAMS: &[Program] = &[
    Program {
        binary: "mbuf-bench",
        features: "bytes,arc-slice",
        columns: &[
            ("ours", "ours", ""),
            ("ours, cache", "ours, cache", ""),
            ("floor", "floor", ""),
            ("memcpy", "memcpy", ""),
            ("bytes, glibc", "bytes", ""),
            ("arc-slice", "arc-slice", ""),
        ],
    },
    Program {
        binary: "with-libmbuf",
        features: LIBMBUF,
        columns: &[("ours, C", "ours, C", "needs a C compiler")],
    },
    Program {
        binary: "with-c-peers",
        features: C_PEERS,
        columns: &[
            ("dpdk", "dpdk", "apt-get install libdpdk-dev pkg-config"),
            ("usrsctp", "usrsctp", "apt-get install libusrsctp-dev pkg-config"),
            ("lwip", "lwip", "apt-get install liblwip-dev pkg-config"),
        ],
    },
    Program {
        binary: "with-mimalloc",
        features: "mimalloc",
        columns: &[("bytes, mimalloc", "bytes", "needs a C compiler")],
    },
    Program {
        binary: "with-jemalloc",
        features: "jemalloc",
        columns: &[("bytes, jemalloc", "bytes", "needs a C compiler and make")],
    },
    Program {
        binary: "with-snmalloc",
        features: "snmalloc",
        columns: &[("bytes, snmalloc", "bytes", "needs a C++ compiler")],
    },
];

/// What is in no program, and why.
pub const NOT_RACED: &[&str] = &[
    "commonware's buffer pool: commonware-runtime 2026.10 has none any more, 2026.9 lends it only to what runs inside its \
     asynchronous runtime, which takes 340 crates",
];

/// A column that can be run.
#[derive(Clone)]
pub struct Contestant {
    pub name: &'static str,
    /// The worker's name of it.
    pub column: &'static str,
    pub program: PathBuf,
    pub how_to_get: &'static str,
}

/// The names of all columns, in the order of the report.
pub fn names() -> impl Iterator<Item = &'static str> {
    PROGRAMS.iter().flat_map(|program| program.columns).map(|(name, _, _)| *name)
}

/// Builds what is wanted; says what did not build.
pub fn build(cpu: Cpu, wanted: impl Fn(&str) -> bool) -> Result<(Vec<Contestant>, Vec<String>), String> {
    let (mut contestants, mut left_out) = (Vec::new(), Vec::new());
    for program in PROGRAMS {
        let columns: Vec<_> = program.columns.iter().filter(|(name, _, _)| wanted(name)).collect();
        if columns.is_empty() {
            continue;
        }
        match cargo(cpu, program) {
            Ok(path) => contestants.extend(columns.into_iter().map(|&(name, column, how_to_get)| {
                Contestant { name, column, program: path.clone(), how_to_get }
            })),
            // Without the first one there is nothing to compare with.
            Err(why) if program.binary == PROGRAMS[0].binary => return Err(why),
            Err(why) => {
                left_out.extend(
                    columns.iter().map(|(name, _, how)| format!("{name}: {how}; it did not build: {why}")),
                );
            }
        }
    }
    Ok((contestants, left_out))
}

fn cargo(cpu: Cpu, program: &Program) -> Result<PathBuf, String> {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let base = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(manifest).with_file_name("target"), PathBuf::from);
    let target = base.join(cpu.name());
    eprintln!("building {} for {}", program.binary, cpu.name());
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .args(["build", "--release", "--quiet", "--manifest-path", manifest, "--bin", program.binary])
        .args(["--features", program.features])
        .arg("--target-dir")
        .arg(&target)
        .env("RUSTFLAGS", format!("-C target-cpu={}", cpu.name()));
    // What our own build script compiles has these flags, or better ones.
    if ![C_PEERS, LIBMBUF].contains(&program.features) {
        let flags = format!("-march={}", cpu.name());
        command.env("CFLAGS", &flags).env("CXXFLAGS", &flags);
    }
    let output = command.output().map_err(|error| format!("cargo: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        return Ok(target.join("release").join(program.binary));
    }
    let line = said.lines().find(|line| line.starts_with("error")).unwrap_or("cargo failed");
    eprintln!("{said}");
    Err(line.to_owned())
}

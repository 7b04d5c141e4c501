//! Compiles C programs against the headers and the library of this crate, and runs them.
#![allow(dead_code)] // Each test uses some of it.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// A compiler and the language it is asked to compile.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Compiler {
    pub(crate) command: &'static str,
    pub(crate) standard: &'static str,
}

const COMPILERS: [Compiler; 4] = [
    Compiler { command: "gcc", standard: "c11" },
    Compiler { command: "clang", standard: "c11" },
    Compiler { command: "g++", standard: "c++17" },
    Compiler { command: "clang++", standard: "c++17" },
];

fn is_there(command: &str) -> bool {
    // Some do not know the option, but start.
    Command::new(command).arg("--version").output().is_ok()
}

/// Whether a tool is there. If not, the test says so and has nothing to do, unless `MBUF_REQUIRE_CC` is set.
pub(crate) fn has(command: &str) -> bool {
    let found = is_there(command);
    assert!(
        found || env::var_os("MBUF_REQUIRE_CC").is_none(),
        "{command} is missing, and MBUF_REQUIRE_CC is set"
    );
    if !found {
        eprintln!("skipped: there is no {command}");
    }
    found
}

/// The compilers for a language that are there.
pub(crate) fn compilers(standard: &str) -> impl Iterator<Item = Compiler> {
    COMPILERS.into_iter().filter(move |compiler| compiler.standard == standard && has(compiler.command))
}

pub(crate) fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The directory with the libraries. For tests cargo does not build what Rust cannot link, so that is done here, once.
pub(crate) fn libraries() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let test = env::current_exe().unwrap();
        let directory = test.ancestors().nth(2).unwrap();
        let profile = match directory.file_name().unwrap().to_str().unwrap() {
            "debug" => "dev",
            profile => profile,
        };
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--package", "mbuf-ffi", "--lib", "--profile", profile]);
        cargo.arg("--manifest-path").arg(source("Cargo.toml"));
        ran(cargo.arg("--target-dir").arg(directory.parent().unwrap()));
        directory.to_owned()
    })
}

/// Options for every program.
pub(crate) fn compile(compiler: Compiler) -> Command {
    let mut command = Command::new(compiler.command);
    command.arg(format!("-std={}", compiler.standard));
    command.args(["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-g", "-O1"]);
    command.arg("-I").arg(source("include")).arg("-I").arg(source("tests/c"));
    command
}

/// Compiles a program of this crate with more options and links it with the static library.
pub(crate) fn build(compiler: Compiler, file: &str, more: &[&str]) -> PathBuf {
    // Tests run at the same time, and may want the same program.
    static BUILT: AtomicU32 = AtomicU32::new(0);
    let tag = BUILT.fetch_add(1, Ordering::Relaxed);
    let name = file.rsplit('/').next().unwrap();
    let program =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}-{tag}", compiler.command));
    let mut command = compile(compiler);
    let language = if compiler.standard.starts_with("c++") { "c++" } else { "c" };
    command.args(more).args(["-x", language]).arg(source(file));
    command.args(["-x", "none"]).arg(libraries().join("libmbuf.a"));
    command.args(["-lpthread", "-ldl", "-lm", "-o"]).arg(&program);
    ran(&mut command);
    program
}

/// Runs a command that must succeed.
pub(crate) fn ran(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?}: {}\n{out}{err}", output.status);
    output
}

//! Compiles our C library, and the C peers that are there, and says which are not.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=c");
    // The C code is built for the same CPU as the Rust code.
    let flags = std::env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let cpu =
        flags.split('\x1f').find_map(|flag| flag.rsplit_once("target-cpu=")).map_or("x86-64", |(_, cpu)| cpu);
    println!("cargo:rustc-env=BENCH_CPU={cpu}");
    for peer in ["dpdk", "usrsctp", "lwip"] {
        println!("cargo:rustc-check-cfg=cfg(peer_{peer})");
    }
    println!("cargo:rustc-check-cfg=cfg(with_libmbuf)");
    #[cfg(feature = "libmbuf")]
    libmbuf::build(cpu);
    #[cfg(feature = "c-peers")]
    peers::build(cpu);
}

/// A file in `c/`, compiled as it would be in a program that is to be fast.
#[cfg(any(feature = "libmbuf", feature = "c-peers"))]
fn compiler(name: &str, cpu: &str) -> cc::Build {
    let mut build = cc::Build::new();
    build.file(format!("c/{name}.c")).opt_level(3).flag(format!("-march={cpu}"));
    build.warnings(true).debug(false).force_frame_pointer(false);
    build
}

#[cfg(feature = "libmbuf")]
mod libmbuf {
    use std::path::PathBuf;
    use std::process::Command;

    const CRATES: &str = "../crates";

    /// The shared library: the static one has Rust's standard library in it, which this program has, too.
    pub(super) fn build(cpu: &str) {
        println!("cargo:rerun-if-changed={CRATES}");
        let target = PathBuf::from(std::env::var_os("OUT_DIR").unwrap()).join("libmbuf");
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap());
        cargo.args(["rustc", "--release", "--quiet", "--crate-type", "cdylib"]);
        cargo.arg(format!("--manifest-path={CRATES}/mbuf-ffi/Cargo.toml"));
        assert!(cargo.arg("--target-dir").arg(&target).status().unwrap().success(), "{cargo:?}");
        let directory = target.join("release");
        let soname = directory.join("libmbuf.so.0");
        if !soname.exists() {
            std::os::unix::fs::symlink("libmbuf.so", soname).unwrap();
        }
        super::compiler("libmbuf", cpu)
            .include(format!("{CRATES}/mbuf-ffi/include"))
            .compile("bench_libmbuf");
        println!("cargo:rustc-link-search=native={}", directory.display());
        println!("cargo:rustc-link-lib=dylib=mbuf");
        println!("cargo:rustc-link-arg-bins=-Wl,-rpath,{}", directory.display());
        println!("cargo:rustc-cfg=with_libmbuf");
    }
}

#[cfg(feature = "c-peers")]
mod peers {
    use std::path::PathBuf;

    struct Peer {
        name: &'static str,
        /// What pkg-config calls it.
        library: &'static str,
        /// Archives to be linked whole: their constructors register what they are.
        whole: &'static [&'static str],
        archives: &'static [&'static str],
        shared: &'static [&'static str],
    }

    const PEERS: &[Peer] = &[
        Peer {
            name: "dpdk",
            library: "libdpdk",
            whole: &[
                "rte_mempool_ring",
                "rte_net",
                "rte_mbuf",
                "rte_mempool",
                "rte_ring",
                "rte_eal",
                "rte_telemetry",
                "rte_kvargs",
            ],
            archives: &[],
            shared: &["bsd", "numa", "m", "dl", "pthread"],
        },
        Peer {
            name: "usrsctp",
            library: "usrsctp",
            whole: &[],
            archives: &["usrsctp"],
            shared: &["pthread"],
        },
        Peer { name: "lwip", library: "lwip", whole: &[], archives: &[], shared: &["lwip"] },
    ];

    pub(super) fn build(cpu: &str) {
        for peer in PEERS {
            let name = peer.name;
            match peer.build(cpu) {
                Ok(()) => println!("cargo:rustc-cfg=peer_{name}"),
                Err(why) => {
                    println!(
                        "cargo:rustc-env=BENCH_WITHOUT_{}={}",
                        name.to_uppercase(),
                        why.replace('\n', " ")
                    );
                    // A file that is not there: looked for again with each build.
                    println!("cargo:rerun-if-changed=c/{name}.missing");
                }
            }
        }
    }

    impl Peer {
        fn build(&self, cpu: &str) -> Result<(), String> {
            let found = pkg_config::Config::new()
                .cargo_metadata(false)
                .probe(self.library)
                .map_err(|_| "pkg-config does not find it")?;
            // DPDK's headers need SSE4.2.
            let cpu = if self.name == "dpdk" && cpu == "x86-64" { "x86-64-v2" } else { cpu };
            let mut build = super::compiler(self.name, cpu);
            if self.name == "dpdk" {
                build.flag("-include").flag("rte_config.h");
            }
            for path in &found.include_paths {
                build.flag("-isystem").flag(path.display().to_string());
            }
            build.try_compile(&format!("bench_{}", self.name)).map_err(|error| format!("{error}"))?;
            let directory = self.archive_directory(&found.link_paths);
            println!("cargo:rustc-link-search=native={}", directory.display());
            self.whole
                .iter()
                .for_each(|it| println!("cargo:rustc-link-lib=static:+whole-archive,-bundle={it}"));
            self.archives.iter().for_each(|it| println!("cargo:rustc-link-lib=static:-bundle={it}"));
            self.shared.iter().for_each(|it| println!("cargo:rustc-link-lib=dylib={it}"));
            Ok(())
        }

        /// pkg-config leaves out the system's own directory: it is where Debian has the archives.
        fn archive_directory(&self, paths: &[PathBuf]) -> PathBuf {
            let machine = std::env::consts::ARCH;
            paths.first().cloned().unwrap_or_else(|| format!("/usr/lib/{machine}-linux-gnu").into())
        }
    }
}

//! What `install.sh` installs is what programs need: they are compiled as `pkg-config` says, and run.

mod common;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{compilers, has, libraries, ran, source};

/// Installs below a directory of this test's, named from the one where the script is started.
fn install(name: &str, settings: &[(&str, &str)]) -> PathBuf {
    let start = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let dest = start.join(name);
    let _ = fs::remove_dir_all(&dest);
    let mut script = Command::new("bash");
    script.env_remove("PREFIX").env_remove("LIBDIR").envs(settings.iter().copied());
    script.current_dir(start).env("DESTDIR", name).env("LIBRARIES", libraries());
    ran(script.arg(source("install.sh")));
    dest
}

/// The options of `mbuf.pc`.
fn options(dest: &Path, lib: &Path, asked: &[&str]) -> Vec<String> {
    let mut command = Command::new("pkg-config");
    command.env("PKG_CONFIG_PATH", lib.join("pkgconfig")).env("PKG_CONFIG_SYSROOT_DIR", dest);
    let said = ran(command.args(asked).arg("mbuf")).stdout;
    String::from_utf8(said).unwrap().split_whitespace().map(str::to_owned).collect()
}

const PROGRAM: &str = r#"
#include <mbuf.h>
#include <stdio.h>
int main(void)
{
	static char hello[] = "hello";
	struct mbuf *m;
	/* One variable, whether the library is a part of the program or not. */
	max_linkhdr = 48;
	m = m_devget(hello, 5, 0, NULL, NULL);
	printf("%.*s %d\n", m->m_len, mtod(m, char *), M_LEADINGSPACE(m));
	m_freem(m);
	return 0;
}
"#;

#[test]
fn programs_are_compiled_and_linked_as_pkg_config_says() {
    let dest = install("installed", &[("PREFIX", "/opt/mbuf"), ("LIBDIR", "/opt/mbuf/lib64")]);
    let lib = dest.join("opt/mbuf/lib64");
    let version = env!("CARGO_PKG_VERSION");
    let file = dest.join("program.c");
    fs::write(&file, PROGRAM).unwrap();
    if !has("pkg-config") {
        return;
    }
    assert_eq!(options(&dest, &lib, &["--modversion"]), [version]);
    for compiler in compilers("c11") {
        let compile = |name: &str, more: &[&str], asked: &[&str]| {
            let program = dest.join(format!("{name}-{}", compiler.command));
            let mut command = Command::new(compiler.command);
            command.args(["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]).args(more);
            command.arg(&file).args(options(&dest, &lib, asked)).arg("-o").arg(&program);
            ran(&mut command);
            program
        };
        let shared = compile("shared", &[], &["--cflags", "--libs"]);
        let said = ran(Command::new(&shared).env("LD_LIBRARY_PATH", &lib));
        assert_eq!(said.stdout, b"hello 48\n");
        // Without the library it does not even start.
        assert!(!Command::new(&shared).env_remove("LD_LIBRARY_PATH").output().unwrap().status.success());

        let whole = compile("whole", &["-static"], &["--cflags", "--static", "--libs"]);
        assert_eq!(ran(Command::new(whole).env_remove("LD_LIBRARY_PATH")).stdout, b"hello 48\n");
    }
}

#[test]
fn names_lead_to_the_library_of_this_version() {
    let usr = install("installed-names", &[]).join("usr/local");
    let version = env!("CARGO_PKG_VERSION");
    let major = version.split('.').next().unwrap();
    let link = |name: &str| fs::read_link(usr.join("lib").join(name)).unwrap();
    assert_eq!(link("libmbuf.so"), Path::new(&format!("libmbuf.so.{major}")));
    assert_eq!(link(&format!("libmbuf.so.{major}")), Path::new(&format!("libmbuf.so.{version}")));
    let installed = fs::read(usr.join("lib/libmbuf.so")).unwrap();
    assert!(installed == fs::read(libraries().join("libmbuf.so")).unwrap());
    for file in ["lib/libmbuf.a", "include/mbuf.h", "include/mbuf/freebsd.h", "share/man/man9/mbuf.9"] {
        assert!(usr.join(file).is_file(), "{file}");
    }
}

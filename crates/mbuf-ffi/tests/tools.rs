//! What AddressSanitizer and Valgrind say of memory that was freed, while the pool is audited.

mod common;

use std::fs;
use std::process::Command;

use common::{build, compilers, has, source};

const PROGRAM: &str = "tests/c/stale.c";

/// The line that does it, as reports name it.
fn line() -> String {
    let text = fs::read_to_string(source(PROGRAM)).unwrap();
    format!("stale.c:{}", text.lines().position(|line| line.contains("/* stale */")).unwrap() + 1)
}

/// What a command says of each of the two programs, audited, for which it has to fail.
fn says(command: impl Fn() -> Command) -> Vec<String> {
    let run = |what| {
        let output = command().arg(what).env("MBUF_AUDIT", "1").output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{what}: nothing found: {said}");
        assert!(said.contains(&line()), "{what}: {said}");
        said
    };
    ["0", "1"].map(run).to_vec()
}

#[test]
fn address_sanitizer_reports_the_line_that_reads_what_is_free() {
    for compiler in compilers("c11").take(1) {
        let program = build(compiler, PROGRAM, &["-fsanitize=address"]);
        for said in says(|| Command::new(&program)) {
            assert!(said.contains("AddressSanitizer: use-after-poison"), "{said}");
        }
        // Unaudited it is nobody's business.
        assert!(Command::new(&program).output().unwrap().status.success());
    }
}

#[test]
fn valgrind_reports_the_line_that_reads_what_is_free() {
    if !has("valgrind") {
        return;
    }
    for compiler in compilers("c11").take(1) {
        let program = build(compiler, PROGRAM, &[]);
        let valgrind = || {
            let mut command = Command::new("valgrind");
            command.args(["-q", "--error-exitcode=9"]).arg(&program);
            command
        };
        for said in says(valgrind) {
            assert!(said.contains("Invalid read of size 1"), "{said}");
        }
        assert!(valgrind().output().unwrap().status.success());
    }
}

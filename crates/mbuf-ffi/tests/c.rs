//! C programs that use every function and macro, compiled by the compilers there are.

mod common;

use std::path::PathBuf;
use std::process::Command;

use common::{build, compile, compilers, has, libraries, ran, source};

const PROGRAMS: [&str; 13] = [
    "smoke",
    "border",
    "inline",
    "short",
    "rest",
    "packet",
    "freebsd",
    "netbsd",
    "dragonfly",
    "faults",
    "faults_freebsd",
    "faults_netbsd",
    "faults_dragonfly",
];
/// Those that are C++, too.
const SYSTEMS: [&str; 3] = ["freebsd", "netbsd", "dragonfly"];

#[test]
fn programs_in_c_run() {
    for compiler in compilers("c11") {
        for program in PROGRAMS {
            ran(&mut Command::new(build(compiler, &format!("tests/c/{program}.c"), &[])));
        }
    }
}

#[test]
fn programs_for_one_system_run_in_the_other_language() {
    for compiler in compilers("c++17") {
        for program in SYSTEMS {
            ran(&mut Command::new(build(compiler, &format!("tests/c/{program}.c"), &[])));
        }
    }
}

#[test]
fn programs_leak_nothing_and_touch_nothing_that_is_not_theirs() {
    if !has("valgrind") {
        return;
    }
    for compiler in compilers("c11").take(1) {
        for program in PROGRAMS {
            let mut command = Command::new("valgrind");
            command.args([
                "-q",
                "--error-exitcode=9",
                "--leak-check=full",
                "--errors-for-leak-kinds=definite",
            ]);
            ran(command.arg(build(compiler, &format!("tests/c/{program}.c"), &[])));
        }
    }
}

#[test]
fn programs_run_under_address_sanitizer() {
    for compiler in compilers("c11").take(1) {
        for program in PROGRAMS {
            ran(&mut Command::new(build(compiler, &format!("tests/c/{program}.c"), &["-fsanitize=address"])));
        }
    }
}

#[test]
fn what_is_wrong_stops_the_program_with_the_function_the_mbuf_and_the_field() {
    let Some(compiler) = compilers("c11").next() else { return };
    let program = build(compiler, "tests/c/border.c", &[]);
    let says = |number: &str| {
        let output = Command::new(&program).arg(number).output().unwrap();
        assert!(!output.status.success(), "{number} went on");
        String::from_utf8(output.stderr).unwrap()
    };
    for (number, function, words) in [
        ("0", "m_copypacket", "m_len: -1 bytes, but there are 2048 to the end of the storage"),
        ("3", "m_copypacket", "m_data: -1 bytes behind the start of storage of 2048 bytes"),
        ("7", "m_copypacket", "m_next: the chain comes back to this mbuf"),
        ("9", "m_copypacket", "m_next: not an mbuf of this library"),
        ("10", "m_copypacket", "m_next: not the address of an mbuf"),
        ("11", "m_copypacket", "m_flags: M_EXT was cleared, but the mbuf still has storage"),
        ("17", "m_copypacket", "m_type: the mbuf is free"),
        ("100", "m_free", "m_type: the mbuf is free"),
        ("101", "m_cat", "both chains given have this mbuf"),
        ("102", "m_copydata", "the range 0..1 reaches beyond the end of 0 bytes"),
    ] {
        let said = says(number);
        assert!(
            said.starts_with(&format!("libmbuf: {function}: ")) && said.contains(words),
            "{number}: {said}"
        );
    }
}

#[test]
fn a_second_free_names_both_callers_while_the_pool_is_audited() {
    let Some(compiler) = compilers("c11").next() else { return };
    let program = build(compiler, "tests/c/border.c", &[]);
    let output = Command::new(&program).arg("100").env("MBUF_AUDIT", "1").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let place = |what: &str| {
        let line =
            said.lines().find_map(|line| line.trim().strip_prefix(what)).unwrap_or_else(|| panic!("{said}"));
        assert!(line.contains("main at ") && line.contains("border.c:"), "{said}");
        line.split("border.c:").nth(1).unwrap().split(':').next().unwrap().parse::<u32>().unwrap()
    };
    assert!(!output.status.success() && said.contains("m_type: the mbuf is free"), "{said}");
    // The second free is in the line behind the first.
    assert_eq!(place("freed by ") + 1, place("called by "), "{said}");
    if has("valgrind") {
        // From which the free mbuf is hidden: the library does not read what it hid.
        let output = Command::new("valgrind")
            .arg("-q")
            .arg(&program)
            .arg("100")
            .env("MBUF_AUDIT", "1")
            .output()
            .unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("m_type: the mbuf is free") && !said.contains("Invalid read"), "{said}");
    }
}

/// Everything once more with every allocation recorded, and what is free filled with a pattern.
#[test]
fn programs_run_while_the_pool_is_audited() {
    let Some(compiler) = compilers("c11").next() else { return };
    for program in PROGRAMS {
        ran(Command::new(build(compiler, &format!("tests/c/{program}.c"), &[])).env("MBUF_AUDIT", "1"));
    }
}

#[test]
fn the_library_may_be_loaded_while_the_program_runs() {
    for compiler in compilers("c11") {
        let program = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("loaded-{}", compiler.command));
        let mut command = compile(compiler);
        ran(command.arg(source("tests/c/loaded.c")).args(["-ldl", "-lpthread", "-o"]).arg(&program));
        ran(Command::new(program).arg(libraries().join("libmbuf.so")));
    }
}

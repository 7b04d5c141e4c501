//! The script that records the captures says what it needs.
#![cfg(unix)]

mod common;

use std::process::Command;

use common::*;

#[test]
fn missing_programs_are_named_with_their_packages() {
    let script = captures().join("record.sh");
    let output = Command::new("/bin/bash").arg(&script).env("PATH", "/nonexistent").output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    let (missing, install) = stderr.rsplit_once("record.sh: on Debian: apt-get install ").unwrap();
    assert!(
        missing.contains("record.sh: tc is missing\n") && missing.contains("record.sh: dig is missing\n")
    );
    let packages: Vec<&str> = install.split_whitespace().collect();
    assert!(["iproute2", "wireshark-common", "bind9-dnsutils"].iter().all(|name| packages.contains(name)));
    let mut once = packages.clone();
    once.dedup();
    assert_eq!(once, packages);
}

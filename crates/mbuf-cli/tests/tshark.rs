//! What Wireshark's dissectors say about the output of every stage.
//!
//! Skipped, with a line that says so, where tshark is not installed; `MBUF_REQUIRE_TSHARK=1` makes that a failure.

mod common;

use std::path::Path;
use std::process::Command;

use common::*;

const CHECK: [&str; 10] = [
    "-o",
    "ip.check_checksum:TRUE",
    "-o",
    "tcp.check_checksum:TRUE",
    "-o",
    "udp.check_checksum:TRUE",
    "-o",
    "ip.defragment:TRUE",
    "-o",
    "ipv6.defragment:TRUE",
];
/// Malformed frames and bad checksums.
const WRONG: &str = "_ws.malformed || ip.checksum.status == 0 || tcp.checksum.status == 0 || udp.checksum.status == 0 \
                            || icmp.checksum.status == 0 || icmpv6.checksum.status == 0";

fn installed() -> bool {
    let found = Command::new("tshark").arg("--version").output().is_ok_and(|output| output.status.success());
    if !found {
        assert!(
            std::env::var_os("MBUF_REQUIRE_TSHARK").is_none_or(|value| value != "1"),
            "tshark is required"
        );
        println!("skipped: tshark is not installed");
    }
    found
}

/// Counts the frames that match a display filter.
fn count(path: &Path, filter: &str) -> usize {
    let output = Command::new("tshark")
        .args(["-n", "-r"])
        .arg(path)
        .args(CHECK)
        .args(["-Y", filter, "-T", "fields", "-e", "frame.number"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().count()
}

/// Nothing malformed and no bad checksum but those of the input, of which there are `wrong`.
fn accepts(capture: &Path, wrong: usize, stages: &str) -> std::path::PathBuf {
    let out = temp(&format!("tshark-{}.pcapng", stages.replace([':', ','], "-")));
    replay(&[capture.to_str().unwrap(), "--stage", stages, "--out", out.to_str().unwrap()]).clean();
    let found = count(&out, WRONG);
    assert!(found <= wrong, "{} {stages}: {found} frames match {WRONG}, {wrong} before", capture.display());
    out
}

#[test]
fn the_output_of_every_stage_is_well_formed() {
    if !installed() {
        return;
    }
    assert_eq!(count(&embedded(), WRONG), 0);
    for stages in [
        "verify",
        "vlan",
        "vlan,vlan-pop",
        "vxlan",
        "vxlan:ipv6",
        "vxlan,decapsulate",
        "fragment:576",
        "fragment:576:force",
        "fragment:1280",
        "vxlan,fragment:576",
        "vxlan:ipv6,fragment:1280",
        "vxlan,fragment:576,shuffle",
        "vxlan,fragment:576,reassemble",
        "reassemble",
        "segment",
        "segment:100",
        "coalesce",
        "segment:300,coalesce",
        "mirror",
        "shatter:5",
        "shatter,defrag",
        "vxlan,fragment:576,reassemble,decapsulate",
    ] {
        accepts(&embedded(), 0, stages);
    }
}

#[test]
fn tunnels_of_every_recorded_capture_are_well_formed() {
    if !installed() {
        return;
    }
    for capture in well_formed() {
        let wrong = count(&capture, WRONG);
        for stages in ["vxlan", "vxlan:ipv6,fragment:1280"] {
            accepts(&capture, wrong, stages);
        }
    }
}

#[test]
fn tshark_sees_the_tunnel() {
    if !installed() {
        return;
    }
    let frames = read(&embedded()).len();
    for stages in ["vxlan", "vxlan:ipv6"] {
        let out = accepts(&embedded(), 0, stages);
        assert_eq!(count(&out, "vxlan.vni == 1 && udp.checksum.status == 1"), frames);
        assert_eq!(count(&out, "dns"), count(&embedded(), "dns"));
    }
    // Fragments are counted where tshark has put them together.
    let out = accepts(&embedded(), 0, "vxlan,fragment:576");
    assert_eq!(count(&out, "vxlan.vni == 1 && udp.checksum.status == 1"), frames);
    let out = accepts(&captures().join("extra/linux-sll.pcap"), 0, "vxlan");
    assert_eq!(count(&out, "vxlan.vni == 0x800001 && eth.type == 0x88b5"), 14);
}

//! The report, its JSON form, the chart, and the command line.

mod common;

use std::io::Read;
use std::process::{Command, Stdio};

use common::*;

#[test]
fn the_report_for_people() {
    let ran = replay::<&str>(&[]).clean();
    for part in [
        "(embedded capture): 1091 frames, 654158 bytes",
        "fragment:576",
        "frames/s",
        "proof: 1091 frames came out byte-identical\n",
        "kern.ipc.nmbclusters >= ",
        "\npeak in use: the most in use when looked at",
        "\nenough: the most out of the pool's slabs at once, in use or cached",
        "mbufs in use (current/cache/total)",
    ] {
        assert!(ran.stdout.contains(part), "{part} is not in\n{}", ran.stdout);
    }
}

#[test]
fn the_report_as_json() {
    let report = replay(&["--stage", "verify,shatter:3", "--json", "--window", "10"]).clean().json();
    for key in [
        "version",
        "capture",
        "window",
        "repeat",
        "stages",
        "total",
        "proof",
        "peak_means",
        "enough_means",
        "memory",
        "out",
        "plot",
        "interrupted",
        "warnings",
        "failures",
        "netstat",
    ] {
        assert!(report.get(key).is_some(), "{key}");
    }
    assert!(report["proof"]["holds"].is_null(), "explicit stages are not proved unless asked");
    assert_eq!(report["proof"]["unchecked"], "stages were named without --prove");
    assert_eq!(report["window"], 10);
    for stage in report["stages"].as_array().unwrap() {
        for key in [
            "name",
            "packets_in",
            "bytes_in",
            "packets_out",
            "bytes_out",
            "nanoseconds",
            "nanoseconds_per_packet",
            "dropped",
            "notes",
            "violations",
        ] {
            assert!(stage.get(key).is_some(), "{key}");
        }
    }
    assert_eq!(report["stages"][0]["bytes_in"], 654_158);
    let classes = report["memory"].as_array().unwrap();
    assert_eq!(classes.len(), 5);
    assert_eq!(classes[0]["sysctl"], "kern.ipc.nmbufs");
    assert!(classes[0]["peak"].as_u64().unwrap() > 0);
    assert!(report["total"]["frames_per_second"].as_f64().unwrap() > 0.0);
}

#[test]
fn a_capture_without_frames_has_little_to_report() {
    let capture = captures().join("extra/empty.pcap");
    let capture = capture.to_str().unwrap();
    assert_eq!(
        replay(&[capture]).clean().stdout,
        format!("{capture}: 0 frames, 0 bytes, in windows of 64\n")
    );
    let report = replay(&[capture, "--json"]).clean().json();
    assert!(report["proof"]["holds"].is_null());
    assert_eq!(report["proof"]["unchecked"], "no frame could be read");
}

#[test]
fn the_chart() {
    let path = temp("memory.svg");
    replay(&["--plot", path.to_str().unwrap()]).clean();
    let chart = std::fs::read_to_string(path).unwrap();
    assert!(chart.starts_with("<svg") && chart.trim_end().ends_with("</svg>"));
    for part in ["mbufs", "clusters", "KiB in use", "<polyline"] {
        assert!(chart.contains(part), "{part}");
    }
}

#[test]
fn bad_arguments() {
    let cases: [&[&str]; 9] = [
        &["--stage", "nonsense"],
        &["--stage", "fragment:1"],
        &["--stage", "verify,,vlan"],
        &["--window", "0"],
        &["--window", "99999"],
        &["--repeat", "0"],
        &["--mbufs", "many"],
        &["one", "two"],
        &["--nonsense"],
    ];
    for args in cases {
        let ran = replay(args);
        assert_eq!(ran.status, Some(2), "{args:?}");
        assert!(ran.stdout.is_empty() && ran.stderr.starts_with("error: "), "{args:?}: {}", ran.stderr);
    }
}

#[test]
fn bad_values_are_explained() {
    for (stages, message) in [
        ("vxlna", "there is no stage `vxlna`: did you mean vxlan?"),
        ("verify,VXLAN", "there is no stage `VXLAN`: did you mean vxlan?"),
        ("verify,,vlan", "stage 2 is empty"),
        ("verify, vlan,", "stage 3 is empty"),
        ("teleport", "there is no stage `teleport`; `mbufctl replay --help` lists them"),
        ("fragment:-1", "fragment: the MTU is from 68 to 65535, not `-1`"),
        ("vlan:4095", "vlan: the VLAN id is from 1 to 4094, not `4095`"),
        (
            "fragment:99999999999999999999",
            "fragment: the MTU is from 68 to 65535, not `99999999999999999999`",
        ),
        (
            "shatter:18446744073709551616",
            "shatter: the seed is from 0 to 18446744073709551615, not `18446744073709551616`",
        ),
        ("vxlan:ipx", "vxlan: `ipx` is not ipv4 or ipv6"),
        ("fragment:576:gently", "fragment: `gently` is not force"),
        ("mirror:1", "mirror takes no parameter `1`"),
    ] {
        let ran = replay(&["--stage", stages]);
        assert_eq!(ran.status, Some(2));
        assert!(ran.stderr.contains(&format!("for '--stage <STAGE>': {message}\n")), "{}", ran.stderr);
    }
    for (option, value, range) in [("--mbufs", "-1", "0..=4294967295"), ("--window", "-64", "1..=32768")] {
        let ran = replay(&[option, value]);
        assert_eq!(ran.status, Some(2));
        assert!(ran.stderr.contains(&format!("{value} is not in {range}")), "{}", ran.stderr);
    }
    replay(&["--stage", " verify , vlan:7,\tvlan-pop "]).clean();
}

#[test]
fn help_lists_every_stage() {
    let help = replay(&["--help"]).clean().stdout;
    for stage in [
        "verify",
        "vlan",
        "vlan-pop",
        "vxlan",
        "decapsulate",
        "fragment",
        "reassemble",
        "segment",
        "coalesce",
        "mirror",
        "shatter",
        "shuffle",
        "defrag",
    ] {
        assert!(help.contains(&format!("\n  {stage}")), "{stage}");
    }
    for part in
        ["Without a stage: verify,vxlan,fragment:576,reassemble,decapsulate", "Examples:", "Exit status:"]
    {
        assert!(help.contains(part), "{part}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_mbufctl"))
        .args(["replay", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let status = child.wait().unwrap();
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!((status.code(), stderr.as_str()), (Some(0), ""));
}

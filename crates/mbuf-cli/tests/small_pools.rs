//! Pools too small for the traffic: frames are dropped and counted, nothing leaks, nothing else happens.

mod common;

use common::*;

/// Runs with limits and checks what always holds.
fn run(args: &[&str]) -> (serde_json::Value, bool) {
    let ran = replay(&[args, &["--json", "--check"]].concat());
    assert_eq!(ran.status, Some(0), "{args:?}: {}", ran.stderr);
    let report = ran.json();
    let dropped = report["total"]["dropped"].as_u64().unwrap();
    assert_eq!(
        dropped > 0,
        ran.stderr.contains("warning: the pool is too small"),
        "{args:?}: {}",
        ran.stderr
    );
    assert_eq!(report["failures"], serde_json::json!([]));
    for class in report["memory"].as_array().unwrap() {
        assert_eq!(class["in_use"], 0, "{args:?}: {class}");
        if let Some(limit) = class["limit"].as_u64() {
            assert!(class["peak"].as_u64().unwrap() <= limit, "{args:?}: {class}");
        }
    }
    (report, dropped > 0)
}

#[test]
fn the_round_trip_in_too_few_mbufs_or_clusters() {
    for option in ["--mbufs", "--clusters"] {
        for limit in ["1", "2", "3", "5", "10", "20", "50", "100"] {
            let (report, dropped) = run(&[option, limit]);
            assert!(dropped || limit == "100", "{option} {limit}");
            let proof = &report["proof"];
            assert_eq!(proof["holds"], true);
            let accounted = proof["identical"].as_u64().unwrap() + proof["dropped"].as_u64().unwrap();
            assert_eq!(accounted, 1091, "{option} {limit}");
        }
    }
}

#[test]
fn the_limit_that_was_reached_is_named() {
    for option in ["--mbufs", "--clusters"] {
        let ran = replay(&[option, "4", "--stage", "verify"]).survived();
        let what = format!("packets dropped in intake: limit {option} 4 reached, raise it\n");
        assert!(ran.stderr.starts_with("mbufctl: warning: the pool is too small: "), "{}", ran.stderr);
        assert!(ran.stderr.ends_with(&what) && ran.stderr.lines().count() == 1, "{}", ran.stderr);
    }
}

#[test]
fn every_stage_in_too_few_mbufs() {
    let stages = [
        "verify",
        "vlan",
        "vlan,vlan-pop",
        "vxlan",
        "vxlan:ipv6,decapsulate",
        "fragment:68:force",
        "reassemble",
        "fragment:100:force,reassemble",
        "segment:10",
        "segment:10,coalesce",
        "coalesce",
        "mirror",
        "shatter",
        "shatter,defrag",
        "shuffle",
        "shatter,vxlan,shatter,fragment,shatter,reassemble,shatter,decapsulate",
    ];
    for stages in stages {
        for limit in ["2", "7", "30", "90"] {
            run(&["--stage", stages, "--mbufs", limit]);
            run(&["--stage", stages, "--mbufs", limit, "--clusters", "4", "--window", "16"]);
        }
    }
}

#[test]
fn the_limits_that_a_run_asks_for_are_enough() {
    let (report, dropped) = run(&[]);
    assert!(!dropped);
    let enough: Vec<String> =
        report["memory"].as_array().unwrap().iter().map(|class| class["enough"].to_string()).collect();
    let [mbufs, clusters, pages, nine, sixteen] = enough.try_into().unwrap();
    let mut args = vec!["--mbufs", &mbufs, "--clusters", &clusters];
    for (option, value) in [("--jumbo-pages", &pages), ("--jumbo-9k", &nine), ("--jumbo-16k", &sixteen)] {
        if value != "0" {
            args.extend([option, value]);
        }
    }
    let (report, dropped) = run(&args);
    assert!(!dropped, "{:?} {}", args, report["warnings"]);
}

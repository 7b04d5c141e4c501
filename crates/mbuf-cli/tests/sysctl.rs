//! `mbufctl sysctl`: names, values, and configurations that are checked.

mod common;

use std::path::PathBuf;
use std::process::Command;

use common::{Ran, temp};

fn sysctl(args: &[&str]) -> Ran {
    sysctl_in(args, &[])
}

fn sysctl_in(args: &[&str], environment: &[(&str, &str)]) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mbufctl"));
    common::ran(command.arg("sysctl").args(args).envs(environment.iter().copied()).output().unwrap())
}

fn sysctl_stdin(args: &[&str], input: &[u8]) -> Ran {
    common::stdin("sysctl", args, input)
}

fn file(name: &str, text: &str) -> PathBuf {
    let path = temp(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn every_name_of_the_bsds_is_in_the_output() {
    let all = sysctl(&[]).clean().stdout;
    assert_eq!(all, sysctl(&["-a"]).clean().stdout);
    let descriptions = sysctl(&["-d"]).clean().stdout;
    let names = [
        "max_linkhdr",
        "max_protohdr",
        "max_hdr",
        "max_datalen",
        "mbuf_wait",
        "mbstat.m_mbufs",
        "mbstat.m_mcfail",
        "mbtypes",
        "nmbclusters",
        "nmbufs",
        "m_defragpackets",
        "m_defragbytes",
        "m_defraguseless",
        "m_defragfailure",
        "m_defragrandomfailures",
        "showmbufs",
        "nmbjumbop",
        "nmbjumbo9",
        "nmbjumbo16",
    ];
    for name in names {
        let begins = |line: &str| line.starts_with(&format!("kern.ipc.{name}"));
        assert!(all.lines().any(begins) && descriptions.lines().any(begins), "{name}");
    }
    assert!(all.contains("\nkern.ipc.nmbclusters: unlimited\n"));
    assert!(all.contains(
        "\nkern.ipc.showmbufs: (it cannot be read: it is no single value: Pool::audit_report has it)\n"
    ));
    assert!(
        descriptions
            .contains("\nkern.ipc.nmbclusters: 2 KiB clusters that may be in use (buffers, read-write)\n")
    );
    assert_eq!(all.lines().count(), descriptions.lines().count());
}

#[test]
fn names_are_printed_with_what_is_under_them() {
    let ran =
        sysctl(&["--preset", "netbsd", "kern.ipc.nmbufs", "kern.mbuf", "kern.ipc.nmbclusters=5"]).clean();
    let expected =
        "kern.ipc.nmbufs: 10\nkern.mbuf.mclbytes: 2048\nkern.mbuf.msize: 256\nkern.mbuf.nmbclusters: 5\n";
    assert_eq!(ran.stdout, expected);
    let json =
        sysctl(&["--json", "kern.ipc.nmbufs", "kern.mbuf.msize", "kern.ipc.mbuf.policy"]).clean().json();
    assert_eq!(json[0]["value"], serde_json::Value::Null);
    assert_eq!((&json[1]["value"], &json[1]["access"]), (&256.into(), &"read-only".into()));
    assert_eq!((&json[2]["value"], &json[2]["access"]), (&"free".into(), &"boot".into()));
}

#[test]
fn a_configuration_is_checked_and_what_it_gives_is_printed() {
    let path = file(
        "good.conf",
        "# a pool\nkern.ipc.mbuf.preset=\"freebsd\"\nkern.ipc.nmbclusters=\"1000\"\nkern.ipc.nmbufs=10\n",
    );
    let path = path.to_str().unwrap();
    let ran = sysctl(&["-f", path, "kern.ipc.max_hdr=100"]).clean();
    let row = |name: &str| {
        let line = ran.stdout.lines().find(|line| line.starts_with(name)).unwrap();
        line.split_whitespace().skip(1).map(String::from).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(row("kern.ipc.nmbclusters "), format!("1000 2048000 {path}:3"));
    assert_eq!(row("kern.ipc.nmbjumbo16 "), "125 2048000 formula");
    assert_eq!(row("kern.ipc.nmbufs "), format!("1875 480000 {path}:4"));
    assert_eq!(row("kern.ipc.max_hdr "), "100 set");
    assert_eq!(row("kern.ipc.max_linkhdr "), "16 default");
    assert_eq!(row("all buffers "), format!("buffers {}", 3 * 2_048_000 + 250 * 9216 + 480_000));
    let adjusted = format!(
        "{path}:4: kern.ipc.nmbufs = 10 becomes 1875: there is an mbuf for each buffer of any size: at least 1875 \
         mbufs, not 10"
    );
    assert!(ran.stdout.lines().any(|line| line == adjusted), "{}", ran.stdout);

    let json = sysctl(&["-f", path, "--json"]).clean().json();
    assert_eq!(
        (&json["total_bytes"], &json["adjustments"][0]),
        (&8_928_000.into(), &adjusted.as_str().into())
    );
    let clusters = json["settings"].as_array().unwrap().iter().find(|s| s["name"] == "kern.ipc.nmbclusters");
    assert_eq!(clusters.unwrap()["bytes"], 2_048_000);

    // With names, these.
    let told = format!("mbufctl: {adjusted}\n");
    let ran = sysctl(&["-f", path, "kern.ipc.nmbufs"]);
    assert_eq!((ran.status, &ran.stdout, &ran.stderr), (Some(0), &"kern.ipc.nmbufs: 1875\n".into(), &told));
    let ran = sysctl(&["-f", path, "-a"]);
    assert!(ran.stdout.contains("\nkern.ipc.nmbjumbop: 500\n"), "{}", ran.stdout);
    assert_eq!((ran.status, ran.stderr), (Some(0), told));
}

#[test]
fn a_value_that_is_not_the_one_set_is_told() {
    for json in [&[][..], &["--json"]] {
        let settings = ["-p", "freebsd", "kern.ipc.nmbclusters=100", "kern.ipc.nmbufs=100"];
        let ran = sysctl(&[json, &settings].concat());
        assert_eq!(ran.status, Some(0));
        assert!(
            ran.stderr.starts_with("mbufctl: set: kern.ipc.nmbufs = 100 becomes ")
                && ran.stderr.lines().count() == 1,
            "{}",
            ran.stderr
        );
    }
}

#[test]
fn all_that_is_wrong_is_on_standard_error() {
    let path = file("bad.conf", "kern.ipc.nmbcluster=1\nkern.ipc.nmbufs=0\n\nnonsense\nkern.maxusers=5\n");
    let path = path.to_str().unwrap();
    let ran = sysctl(&["-f", path, "kern.ipc.max_hdr=5000", "kern.ipc.mbstat.m_mbufs=1"]);
    assert_eq!((ran.status, ran.stdout.as_str()), (Some(1), ""));
    assert_eq!(
        ran.stderr.lines().collect::<Vec<_>>(),
        [
            &format!(
                "mbufctl: {path}:1: kern.ipc.nmbcluster = 1: there is no such name; is `kern.ipc.nmbclusters` meant?"
            ),
            &format!(
                "mbufctl: {path}:2: kern.ipc.nmbufs = 0: a limit is at least 1; no limit is written `unlimited`, not 0"
            ),
            &format!("mbufctl: {path}:4: `nonsense`: a line reads name=\"value\": there is no `=`"),
            "mbufctl: kern.ipc.max_hdr = 5000: it is at most 1024",
            "mbufctl: kern.ipc.mbstat.m_mbufs = 1: it can only be read",
        ]
    );
    let contradiction = file("contradiction.conf", "kern.maxusers=5\n");
    let ran = sysctl(&["-f", contradiction.to_str().unwrap()]);
    assert!(
        ran.status == Some(1) && ran.stderr.contains("kern.maxusers = 5: it has no effect"),
        "{}",
        ran.stderr
    );
    let ran = sysctl(&["-f", "/nonexistent/pool.conf"]);
    assert!(
        ran.status == Some(1)
            && ran.stderr.contains("/nonexistent/pool.conf: the file cannot be read: No such")
    );
}

#[test]
fn names_that_cannot_be_read_are_an_error_and_the_others_are_printed() {
    let ran = sysctl(&["kern.ipc.showmbufs", "kern.ipc.nmbuf", "kern.mbuf.msize"]);
    assert_eq!(ran.status, Some(1));
    assert!(ran.stdout.ends_with("kern.mbuf.msize: 256\n"));
    assert_eq!(
        ran.stderr.lines().collect::<Vec<_>>(),
        [
            "mbufctl: kern.ipc.showmbufs: it cannot be read: it is no single value: Pool::audit_report has it",
            "mbufctl: kern.ipc.nmbuf: there is no such name; is `kern.ipc.nmbufs` meant?",
        ]
    );
    let ran = sysctl(&["--preset", "openbsd"]);
    assert!(
        ran.status == Some(2) && ran.stderr.contains("unlimited, dragonfly, freebsd, netbsd"),
        "{}",
        ran.stderr
    );
}

#[test]
fn nothing_is_called_set_that_nobody_set() {
    let path = file("empty.conf", "# nothing\n");
    let ran = sysctl(&["-f", path.to_str().unwrap()]).clean();
    assert!(ran.stdout.lines().skip(1).all(|line| !line.ends_with("  set")), "{}", ran.stdout);
    let ran = sysctl(&["-f", path.to_str().unwrap(), "-p", "unlimited"]).clean();
    let preset = ran.stdout.lines().find(|line| line.starts_with("kern.ipc.mbuf.preset ")).unwrap();
    assert!(preset.ends_with("  set"), "{preset}");
}

#[test]
fn a_configuration_is_read_from_standard_input() {
    let ran = sysctl_stdin(&["-f", "-", "kern.ipc.nmbclusters"], b"kern.ipc.nmbclusters=7\n").clean();
    assert_eq!(ran.stdout, "kern.ipc.nmbclusters: 7\n");
    let ran = sysctl_stdin(&["-f", "-"], b"kern.ipc.nmbclusters=7\n\nkern.ipc.nmbufs=\xff\n");
    let expected = "mbufctl: (standard input):3: a line reads name=\"value\": it is not UTF-8\n";
    assert_eq!((ran.status, &*ran.stderr), (Some(1), expected));
}

#[test]
fn a_setting_is_described_by_its_name() {
    let ran = sysctl(&["-d", "kern.ipc.nmbclusters=7"]).clean();
    assert_eq!(ran.stdout, "kern.ipc.nmbclusters: 2 KiB clusters that may be in use (buffers, read-write)\n");
}

#[test]
fn help_and_error_name_the_same_systems() {
    let names = "[possible values: unlimited, dragonfly, freebsd, netbsd]";
    assert!(sysctl(&["--help"]).clean().stdout.contains(names));
    let ran = sysctl(&["--preset", "linux"]);
    assert!(ran.status == Some(2) && ran.stderr.contains(names), "{}", ran.stderr);
}

#[test]
fn the_environment_is_read_when_asked_for() {
    let environment = [("MBUF_NMBCLUSTERS", "77"), ("MBUF_PRESET", "dragonfly")];
    let args = ["kern.ipc.nmbclusters", "kern.ipc.nmbufs"];
    let ran = sysctl_in(&[&["--env"][..], &args].concat(), &environment).clean();
    assert_eq!(ran.stdout, "kern.ipc.nmbclusters: 77\nkern.ipc.nmbufs: 154\n");
    assert!(sysctl_in(&args, &environment).clean().stdout.starts_with("kern.ipc.nmbclusters: unlimited\n"));
    let ran = sysctl_in(&["-e"], &[("MBUF_NMBCLUSTERS", "-1")]);
    let expected = "mbufctl: environment variable MBUF_NMBCLUSTERS: kern.ipc.nmbclusters = -1: nothing is less than zero\n";
    assert_eq!((ran.status, ran.stderr.as_str()), (Some(1), expected));
}

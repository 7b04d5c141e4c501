//! Outputs: nothing is touched before the input is known, files appear whole or not at all, standard output will do.

mod common;

use std::path::{Path, PathBuf};

use common::*;

/// An empty directory of this test.
fn directory(name: &str) -> PathBuf {
    let path = temp(name);
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir(&path).unwrap();
    path
}

/// The names in a directory.
fn names(path: &Path) -> Vec<String> {
    let entry = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
    let mut names: Vec<String> = std::fs::read_dir(path).unwrap().map(entry).collect();
    names.sort();
    names
}

#[test]
fn what_is_no_capture_costs_nothing() {
    let dir = directory("no-capture");
    let gz = dir.join("a.gz");
    std::fs::write(&gz, b"\x1f\x8b\x08\x00 and so on").unwrap();
    let (out, plot) = (dir.join("out"), dir.join("plot"));
    std::fs::write(&out, "precious").unwrap();
    std::fs::write(&plot, "precious").unwrap();
    for (capture, what) in [
        (captures().join("extra/zero.pcap"), "the file is empty"),
        (captures().join("extra/bad-magic.pcap"), "neither pcap nor pcapng"),
        (gz, "compressed with gzip"),
        (dir.clone(), "cannot read"),
        (dir.join("absent"), "No such file"),
    ] {
        let capture = capture.to_str().unwrap();
        let args = [capture, "--out", out.to_str().unwrap(), "--plot", plot.to_str().unwrap()];
        let ran = replay(&args);
        assert_eq!((ran.status, ran.stdout.as_str()), (Some(1), ""));
        assert!(ran.stderr.contains(capture) && ran.stderr.contains(what), "{}", ran.stderr);
        assert!(!ran.stderr.contains("frame"), "{}", ran.stderr);

        let ran = replay(&[&args[..], &["--json"]].concat());
        let report = ran.json();
        assert_eq!(ran.status, Some(1));
        assert_eq!(report["capture"]["frames"], 0);
        assert_eq!(report["proof"]["unchecked"], "no frame could be read");
        assert!(ran.stderr.contains(report["failures"][0].as_str().unwrap()));
    }
    assert_eq!(std::fs::read_to_string(out).unwrap(), "precious");
    assert_eq!(std::fs::read_to_string(plot).unwrap(), "precious");
    assert_eq!(names(&dir), ["a.gz", "out", "plot"]);
}

#[test]
fn files_are_replaced_whole() {
    let dir = directory("whole");
    let (out, plot) = (dir.join("out.pcapng"), dir.join("plot.svg"));
    std::fs::write(&out, vec![7; 1 << 20]).unwrap();
    replay(&["--out", out.to_str().unwrap(), "--plot", plot.to_str().unwrap()]).clean();
    assert_eq!(read(&out), read(&embedded()));
    assert_eq!(names(&dir), ["out.pcapng", "plot.svg"]);
}

#[test]
fn the_same_file_under_two_names_is_refused() {
    let dir = directory("same");
    std::fs::create_dir(dir.join("below")).unwrap();
    let capture = dir.join("a.pcap");
    std::fs::copy(captures().join("extra/usec-le.pcap"), &capture).unwrap();
    std::fs::hard_link(&capture, dir.join("hard.pcap")).unwrap();
    let name = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let capture_name = name("a.pcap");
    for args in [
        ["--out", &name("below/../a.pcap"), "--window", "9"],
        ["--out", &name("hard.pcap"), "--window", "9"],
        ["--plot", &name("hard.pcap"), "--window", "9"],
        ["--out", &name("new"), "--plot", &name("below/../new")],
        ["--out", "-", "--plot", "-"],
    ] {
        let ran = replay(&[&[capture_name.as_str()][..], &args].concat());
        assert_eq!((ran.status, ran.stdout.as_str()), (Some(1), ""), "{args:?}");
        assert!(ran.stderr.contains("would be overwritten"), "{}", ran.stderr);
    }
    assert_eq!(read(&capture).len(), 24);
    assert_eq!(names(&dir), ["a.pcap", "below", "hard.pcap"]);
}

#[test]
fn directories_are_refused_at_once() {
    let dir = directory("directories");
    let absent = format!("{}/absent/", dir.display());
    for path in [dir.to_str().unwrap(), &absent, ".."] {
        for option in ["--out", "--plot"] {
            let ran = replay(&[option, path]);
            assert_eq!((ran.status, ran.stdout.as_str()), (Some(1), ""));
            assert_eq!(ran.stderr, format!("mbufctl: cannot write {path}: is a directory\n"));
        }
    }
    assert!(names(&dir).is_empty());
}

#[test]
fn standard_output_takes_the_capture_and_standard_error_the_report() {
    let path = temp("stdout.pcapng");
    for json in [&[][..], &["--json"]] {
        // Too few mbufs: there are warnings too.
        let args = ["replay", "--stage", "shatter", "--mbufs", "200", "--out", "-"];
        let output = command().args(args).args(json).output().unwrap();
        std::fs::write(&path, &output.stdout).unwrap();
        let frames = read(&path).len();
        let report = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success() && frames > 0, "{report}");
        if json.is_empty() {
            let written = format!("wrote (standard output): {frames} packets");
            assert!(
                report.contains(&written) && report.contains("warning: the pool is too small"),
                "{report}"
            );
        } else {
            let report: serde_json::Value = serde_json::from_str(&report).unwrap();
            assert_eq!(report["out"]["packets"], frames);
            assert!(!report["warnings"].as_array().unwrap().is_empty());
        }
    }
    // JSON does not get in the way of the capture even when there is none.
    let ran = replay(&["/nonexistent", "--out", "-", "--json"]);
    assert_eq!(ran.stdout, "");
    assert!(ran.stderr.starts_with('{'), "{}", ran.stderr);
}

#[test]
fn outputs_have_no_snap_length_that_stages_exceed() {
    let out = temp("longer-than-snapped.pcapng");
    let capture = captures().join("extra/snap96.pcap");
    replay(&[capture.to_str().unwrap(), "--stage", "vlan", "--out", out.to_str().unwrap()]).clean();
    let file = std::fs::File::open(out).unwrap();
    let mut written = mbuf_io::Capture::new(file, "out").unwrap();
    let mut longest = 0;
    while let Some(frame) = written.next_frame().unwrap() {
        longest = longest.max(frame.data.len());
    }
    assert_eq!((longest, written.interfaces()[0].snaplen), (100, 0));
}

#[test]
fn an_output_without_frames_still_has_an_interface() {
    let out = temp("no-frames.pcapng");
    let capture = captures().join("extra/empty.pcap");
    replay(&[capture.to_str().unwrap(), "--out", out.to_str().unwrap()]).clean();
    let mut written = mbuf_io::Capture::new(std::fs::File::open(out).unwrap(), "out").unwrap();
    assert!(written.next_frame().unwrap().is_none());
    assert_eq!(written.interfaces()[0].link, mbuf_io::LinkType::ETHERNET);
}

#[cfg(unix)]
mod unix {
    use std::fs::{File, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::process::{Child, Command, Stdio};
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn links_and_permissions_stay() {
        let dir = directory("links");
        let (file, link, dangling) = (dir.join("file"), dir.join("link"), dir.join("dangling"));
        std::fs::write(&file, "old").unwrap();
        std::fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        symlink("file", &link).unwrap();
        symlink("new", &dangling).unwrap();
        for path in [&link, &dangling] {
            replay(&["--stage", "verify", "--out", path.to_str().unwrap()]).clean();
            assert!(path.is_symlink());
            assert_eq!(read(path).len(), 1091);
        }
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(names(&dir), ["dangling", "file", "link", "new"]);
    }

    #[test]
    fn standard_input_and_output_are_told_by_identity_too() {
        let path = directory("streams").join("a.pcap");
        std::fs::copy(captures().join("extra/usec-le.pcap"), &path).unwrap();
        let before = std::fs::read(&path).unwrap();
        let name = path.to_str().unwrap();
        let open = || File::options().read(true).append(true).open(&path).unwrap();
        let status = |args: &[&str], stdin: File, stdout: Stdio| {
            let mut command = command();
            command.arg("replay").args(args).stdin(stdin).stdout(stdout).stderr(Stdio::null());
            command.status().unwrap().code()
        };
        assert_eq!(status(&["-", "--out", name], open(), Stdio::null()), Some(1));
        assert_eq!(status(&[name, "--out", "-"], open(), open().into()), Some(1));
        assert_eq!(status(&["-", "--out", "/dev/stdout"], open(), open().into()), Some(1));
        assert_eq!(std::fs::read(&path).unwrap(), before);
        // Nothing is wrong with a device that is used twice.
        assert_eq!(
            status(&["-", "--out", "/dev/null", "--plot", "/dev/null"], open(), Stdio::null()),
            Some(0)
        );
    }

    #[test]
    fn a_full_disk_is_named_and_the_report_is_there() {
        if !Path::new("/dev/full").exists() {
            println!("skipped: there is no /dev/full");
            return;
        }
        for (option, frames) in [("--out", None), ("--plot", Some(10 * 1091))] {
            let ran = replay(&[option, "/dev/full", "--repeat", "10", "--json"]);
            assert_eq!(ran.status, Some(1));
            assert!(ran.stderr.starts_with("mbufctl: cannot write /dev/full: "), "{}", ran.stderr);
            let report = ran.json();
            let done = report["capture"]["frames"].as_u64().unwrap();
            assert!(frames.is_none_or(|frames| frames == done) && done > 0);
            assert_eq!(report["proof"]["identical"], done);
            assert_eq!(report["failures"].as_array().unwrap().len(), 1);
            assert!(report["out"].is_null() && report["plot"].is_null());
        }
        let ran = replay(&["--out", "/dev/full"]);
        assert!(ran.stdout.contains("byte-identical"), "{}", ran.stdout);
    }

    #[test]
    fn a_reader_of_the_capture_that_goes_away_ends_the_run() {
        let mut child = start(&["--out", "-", "--repeat", "4000000000"]);
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.starts_with("mbufctl: cannot write (standard output): Broken pipe"), "{stderr}");
        assert!(stderr.contains("byte-identical"), "{stderr}");
    }

    #[test]
    fn a_pipe_is_read_once() {
        let fifo = directory("fifo").join("pipe");
        assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        let name = fifo.to_str().unwrap();
        let ran = replay(&[name, "--repeat", "2"]);
        assert_eq!(ran.stderr, format!("mbufctl: {name} can be read only once: --repeat needs a file\n"));
        let child = start(&[name]);
        std::fs::write(&fifo, std::fs::read(embedded()).unwrap()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(String::from_utf8(output.stdout).unwrap().starts_with(&format!("{name}: 1091 frames")));
    }

    fn start(args: &[&str]) -> Child {
        let mut command = command();
        command.arg("replay").args(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// Sends a signal as soon as a file is being written in `dir`; checks what is left of it and of the run.
    fn interrupted(child: Child, signal: &str, status: i32, dir: &Path) -> serde_json::Value {
        let deadline = Instant::now() + Duration::from_secs(60);
        while names(dir).is_empty() {
            assert!(Instant::now() < deadline, "nothing is written");
            std::thread::sleep(Duration::from_millis(5));
        }
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(status), "{stderr}");
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let frames = report["capture"]["frames"].as_u64().unwrap();
        assert_eq!(stderr, format!("mbufctl: ended early by SIG{signal}, after {frames} frames\n"));
        assert_eq!(names(dir), ["out.pcapng"]);
        assert_eq!(read(&dir.join("out.pcapng")).len() as u64, frames);
        report
    }

    #[test]
    fn a_signal_ends_the_run_but_not_its_report() {
        let dir = directory("interrupted");
        let out = dir.join("out.pcapng");
        let child = start(&["--repeat", "4000000000", "--json", "--out", out.to_str().unwrap()]);
        let report = interrupted(child, "INT", 130, &dir);
        assert_eq!(report["interrupted"], "SIGINT");
        assert_eq!(report["proof"]["identical"], report["capture"]["frames"]);
    }

    #[test]
    fn a_signal_ends_waiting_for_a_pipe() {
        let dir = directory("interrupted-pipe");
        let out = dir.join("out.pcapng");
        let mut child = start(&["-", "--json", "--out", out.to_str().unwrap()]);
        let mut stdin = child.stdin.take().unwrap();
        std::io::Write::write_all(&mut stdin, &std::fs::read(embedded()).unwrap()).unwrap();
        let report = interrupted(child, "TERM", 143, &dir);
        assert!(report["capture"]["damage"].is_null());
        drop(stdin); // it was open all the time
    }
}

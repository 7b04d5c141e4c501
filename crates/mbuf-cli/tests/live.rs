//! Running processes, looked at from outside.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::Value;

/// The runtime directory of one test.
struct Runtime(PathBuf);

impl Runtime {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("live-{name}"));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Runtime(path)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mbufctl"));
        command.args(args).env("XDG_RUNTIME_DIR", &self.0).stdin(Stdio::null());
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        Ran::from(self.command(args).output().unwrap())
    }

    /// A replay without end that publishes its pool.
    fn replay(&self) -> Replay {
        let mut command = self.command(&["replay", "--loop", "--json", "--clusters", "5000"]);
        let child = command.env("MBUF_PUBLISH", "1").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let replay = Replay(child.unwrap());
        let there = (0..500).any(|_| {
            thread::sleep(Duration::from_millis(10));
            self.run(&["stat", &replay.pid(), "--json"]).status == Some(0)
        });
        assert!(there, "nothing is published");
        replay
    }

    fn page(&self, pid: &str) -> PathBuf {
        self.0.join(format!("mbuf/{pid}.mbuf"))
    }
}

struct Replay(Child);

impl Replay {
    fn pid(&self) -> String {
        self.0.id().to_string()
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([&format!("-{name}"), &self.pid()]).status().unwrap().success());
    }

    fn wait(mut self) -> Ran {
        let child = std::mem::replace(&mut self.0, Command::new("true").spawn().unwrap());
        Ran::from(child.wait_with_output().unwrap())
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Ran {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Ran {
            status: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ran {
    fn json(&self) -> Value {
        assert_eq!((self.status, &*self.stderr), (Some(0), ""));
        serde_json::from_str(&self.stdout).unwrap()
    }
}

#[test]
fn a_running_replay_is_seen_to_move_and_reports_when_it_is_interrupted() {
    let runtime = Runtime::new("moves");
    let replay = runtime.replay();
    let pid = replay.pid();
    let allocations = |look: &Value| look["pools"][0]["mbufs"]["allocations"].as_u64().unwrap();
    let first = runtime.run(&["stat", &pid, "--json"]).json();
    assert_eq!((&first["pid"], &first["program"]), (&Value::from(replay.0.id()), &Value::from("mbufctl")));
    assert_eq!(
        (&first["pools"][0]["name"], &first["pools"][0]["clusters"]["limit"]),
        (&"replay".into(), &5000.into())
    );
    let moved = (0..500).any(|_| {
        thread::sleep(Duration::from_millis(10));
        allocations(&runtime.run(&["stat", &pid, "--json"]).json()) > allocations(&first)
    });
    assert!(moved, "the figures stand still");

    let all = runtime.run(&["stat", "--json"]).json();
    assert_eq!(all.as_array().unwrap().len(), 1);
    let list = runtime.run(&["stat"]);
    assert!(
        list.stdout.lines().any(|line| line.contains(&pid) && line.ends_with("  mbufctl")),
        "{}",
        list.stdout
    );
    let tables = runtime.run(&["stat", &pid]).stdout;
    assert!(tables.starts_with("pool replay\n") && tables.contains("/5000 mbuf clusters in use"), "{tables}");
    let metrics = runtime.run(&["stat", "--prometheus"]).stdout;
    let line =
        format!("mbuf_limit{{pid=\"{pid}\",program=\"mbufctl\",pool=\"replay\",class=\"clusters\"}} 5000");
    assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");

    replay.signal("INT");
    let ran = replay.wait();
    assert_eq!(ran.status, Some(130));
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert!(report["capture"]["frames"].as_u64().unwrap() > 0);
    assert_eq!(report["repeat"], Value::Null);
    assert!(!runtime.page(&pid).exists(), "it took its page away");
    let none = runtime.run(&["stat"]);
    assert_eq!((none.status, &*none.stderr), (Some(0), ""));
    assert!(none.stdout.starts_with("no process publishes pools in "), "{}", none.stdout);
}

#[test]
fn a_watch_shows_rates_and_ends_with_the_process() {
    let runtime = Runtime::new("watch");
    let replay = runtime.replay();
    let watch = runtime
        .command(&["stat", &replay.pid(), "--watch=0.3"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    thread::sleep(Duration::from_millis(1500));
    replay.signal("KILL");
    let ran = Ran::from(watch.wait_with_output().unwrap());
    assert!(ran.stdout.matches("pool replay\n").count() >= 2, "{}", ran.stdout);
    let rate = |line: &str| line.strip_suffix(" mbufs/s handed out, 0 requests/s denied").map(str::to_owned);
    let rates: Vec<u64> = ran.stdout.lines().filter_map(rate).map(|rate| rate.parse().unwrap()).collect();
    assert!(rates.iter().any(|&rate| rate > 0), "{rates:?}");
    // Whether it is found dead or already removed.
    let pid = replay.pid();
    assert!(ran.stderr.starts_with(&format!("mbufctl: process {pid} ")), "{}", ran.stderr);
    assert_eq!(ran.status, Some(1));
}

#[test]
fn a_killed_process_leaves_nothing_that_confuses_the_next() {
    let runtime = Runtime::new("killed");
    let replay = runtime.replay();
    let pid = replay.pid();
    replay.signal("KILL");
    replay.wait();
    assert!(runtime.page(&pid).exists());
    let ran = runtime.run(&["stat"]);
    assert_eq!(ran.status, Some(0));
    assert_eq!(ran.stderr, format!("mbufctl: process {pid} has ended; what it left was removed\n"));
    assert!(ran.stdout.starts_with("no process publishes pools in "), "{}", ran.stdout);
    assert!(!runtime.page(&pid).exists());
    let ran = runtime.run(&["stat", &pid]);
    assert_eq!((ran.status, &*ran.stdout), (Some(1), ""));
    assert_eq!(ran.stderr, format!("mbufctl: process {pid} publishes no pools\n"));
}

#[test]
fn a_damaged_page_is_named_and_the_others_are_shown() {
    let runtime = Runtime::new("damaged");
    let (sound, damaged) = (runtime.replay(), runtime.replay());
    damaged.signal("STOP");
    thread::sleep(Duration::from_millis(100));
    let page = runtime.page(&damaged.pid());
    let file = fs::File::options().write(true).open(&page).unwrap();
    file.write_all_at(&[0xa5; 5000], 0).unwrap();
    for args in [&["stat"][..], &["stat", "--json"], &["stat", "--prometheus"]] {
        let ran = runtime.run(args);
        assert_eq!(ran.status, Some(1));
        assert!(
            ran.stderr.starts_with(&format!("mbufctl: {}: offset 0: ", page.display())),
            "{}",
            ran.stderr
        );
        assert!(ran.stdout.contains(&sound.pid()), "{}", ran.stdout);
    }
    file.set_len(3).unwrap();
    let ran = runtime.run(&["stat", &damaged.pid()]);
    assert_eq!((ran.status, &*ran.stdout), (Some(1), ""));
    assert!(ran.stderr.contains("offset 3: the file ends here"), "{}", ran.stderr);
}

#[test]
fn a_process_that_is_stopped_is_shown_as_stale() {
    let runtime = Runtime::new("stale");
    let (replay, running) = (runtime.replay(), runtime.replay());
    replay.signal("STOP");
    thread::sleep(Duration::from_millis(3200));
    let list = runtime.run(&["stat"]).stdout;
    let row = |replay: &Replay| list.lines().find(|line| line.contains(&replay.pid())).unwrap().to_owned();
    assert!(row(&replay).ends_with("  mbufctl (stale 3 s)"), "{list}");
    assert!(row(&running).ends_with("  mbufctl"), "{list}");
    let tables = runtime.run(&["stat", &replay.pid()]).stdout;
    assert!(
        tables.starts_with("stale 3 s: the process lives, and writes nothing\n\npool replay\n"),
        "{tables}"
    );
    assert!(runtime.run(&["stat", &running.pid()]).stdout.starts_with("pool replay\n"));
}

#[test]
fn a_file_that_is_no_page_is_named_and_kept() {
    let runtime = Runtime::new("garbage");
    let replay = runtime.replay();
    fs::write(runtime.page("77"), [0x5a; 100_000]).unwrap();
    let ran = runtime.run(&["stat"]);
    assert_eq!(ran.status, Some(1));
    let expected = format!(
        "mbufctl: {}: offset 0: is no page: it does not begin with MBUFPAGE\n",
        runtime.page("77").display()
    );
    assert_eq!(ran.stderr, expected);
    assert!(ran.stdout.contains(&replay.pid()), "{}", ran.stdout);
    assert_eq!(fs::read(runtime.page("77")).unwrap().len(), 100_000);
}

#[test]
fn looking_makes_nothing() {
    let runtime = Runtime::new("nothing");
    for (args, status) in [(&["stat"][..], 0), (&["stat", "--json"], 0), (&["stat", "77"], 1), (&["top"], 1)]
    {
        assert_eq!(runtime.run(args).status, Some(status), "{args:?}");
        assert_eq!(fs::read_dir(&runtime.0).unwrap().count(), 0, "{args:?}");
    }
    let ran = runtime.run(&["stat", "77"]);
    assert_eq!(ran.stderr, "mbufctl: process 77 publishes no pools\n");
    let ran = runtime.run(&["stat", "--directory", "/nonexistent"]);
    assert_eq!((ran.status, &*ran.stdout), (Some(1), ""));
    assert!(ran.stderr.starts_with("mbufctl: /nonexistent: cannot open the directory: "), "{}", ran.stderr);
}

#[test]
fn what_cannot_be_done_is_said() {
    let runtime = Runtime::new("refused");
    let pages = runtime.0.join("mbuf");
    fs::create_dir(&pages).unwrap();
    fs::set_permissions(&pages, fs::Permissions::from_mode(0o755)).unwrap();
    let ran = runtime.run(&["stat"]);
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.contains("should have mode 0700"), "{}", ran.stderr);
    // Such a directory is no place to publish in; the run goes on without.
    let ran = Ran::from(runtime.command(&["replay", "--json"]).env("MBUF_PUBLISH", "1").output().unwrap());
    assert_eq!(ran.status, Some(0));
    assert!(ran.stderr.starts_with("mbuf: pools are not published: "), "{}", ran.stderr);
    let ran = runtime.run(&["top"]);
    assert_eq!(ran.status, Some(1));
    assert!(ran.stderr.contains("top needs a terminal"), "{}", ran.stderr);
    for args in [&["stat", "--watch=0"][..], &["stat", "x"], &["stat", "--json", "--prometheus"]] {
        assert_eq!(runtime.run(args).status, Some(2), "{args:?}");
    }
}

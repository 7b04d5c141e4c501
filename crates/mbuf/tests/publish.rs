//! Live statistics, from one process to another. A test that needs a process of its own starts this program again.
//! Miri has no other processes.
#![cfg(all(unix, feature = "publish", not(miri)))]
#![allow(unsafe_code)] // fork, kill

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio, id};
use std::time::Duration;
use std::{env, thread};

use mbuf::publish::{Directory, ProcessStats, PublishError, set_interval};
use mbuf::{Packet, Pool};

/// The runtime directory of one test, and the pages in it.
struct Runtime(PathBuf);

impl Runtime {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("publish-{name}"));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        Runtime(path)
    }

    fn pages(&self) -> PathBuf {
        self.0.join("mbuf")
    }

    fn page(&self, pid: u32) -> PathBuf {
        self.pages().join(format!("{pid}.mbuf"))
    }

    fn directory(&self) -> Directory {
        Directory::open(self.pages()).unwrap()
    }

    fn read(&self, pid: u32) -> Result<ProcessStats, PublishError> {
        self.directory().read(pid)
    }

    /// Starts this program in a role. It says `ready` when it is.
    fn start(&self, role: &str, environment: &[(&str, &str)]) -> Process {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "in_a_role", "--ignored", "--nocapture", "--test-threads=1"])
            .env("XDG_RUNTIME_DIR", &self.0)
            .env("ROLE", role)
            .env_remove("MBUF_PUBLISH")
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (to, from) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut process = Process { child, to, from };
        process.hear("ready");
        process
    }
}

struct Process {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Process {
    fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line that ends with this, and gives what is before it.
    fn hear(&mut self, word: &str) -> String {
        let mut line = String::new();
        while self.from.read_line(&mut line).unwrap() > 0 {
            if let Some(before) = line.trim_end().strip_suffix(word) {
                return before.to_owned();
            }
            line.clear();
        }
        panic!("the process ended without saying {word}");
    }

    fn tell(&mut self, word: &str) {
        writeln!(self.to, "{word}").unwrap();
    }

    fn signal(&self, signal: i32) {
        // SAFETY: a signal to a child of ours that has not been waited for.
        assert_eq!(unsafe { libc::kill(self.child.id() as i32, signal) }, 0);
    }

    fn end(mut self) {
        self.tell("end");
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn say(word: &str) {
    println!("{word}");
    std::io::stdout().flush().unwrap();
}

fn hear() -> String {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).unwrap();
    line.trim_end().to_owned()
}

#[test]
#[ignore = "the other side of the tests in this file, which start it in a process of its own with `--ignored`"]
fn in_a_role() {
    let Ok(role) = env::var("ROLE") else { return };
    set_interval(Duration::from_millis(5));
    match role.as_str() {
        "publish" => {
            // Looking makes nothing, publishing does.
            let there = Directory::path_of_user().exists();
            assert_eq!(Directory::of_user().is_ok(), there);
            assert_eq!(Directory::path_of_user().exists(), there);
            let pool = Pool::builder().name("role").clusters(100).build().unwrap();
            let published = pool.publish().unwrap();
            say("ready");
            let mut held = Vec::new();
            while hear() == "more" {
                held.push(Packet::with_cluster(&pool).unwrap());
            }
            drop(published);
            // It is gone when the guard is.
            let error = Directory::of_user().unwrap().read(id()).unwrap_err();
            assert!(matches!(error, PublishError::Absent { .. }), "{error}");
        }
        "environment" => {
            let pools = ["first", "second"].map(|name| Pool::builder().name(name).build().unwrap());
            say("ready");
            hear();
            drop(pools);
        }
        "guards" => {
            let [one, two] = ["one", "two"].map(|name| Pool::builder().name(name).build().unwrap());
            let guards = (one.publish().unwrap(), two.publish().unwrap(), one.publish().unwrap());
            let directory = Directory::of_user().unwrap();
            let names =
                || directory.read(id()).unwrap().pools.into_iter().map(|pool| pool.name).collect::<Vec<_>>();
            assert_eq!(names(), ["one", "two"], "a pool is there once");
            drop(guards.0);
            assert_eq!(names(), ["two", "one"]);
            // The page keeps no pool alive; a guard outlives its pool.
            drop(two);
            drop(Pool::new().publish().unwrap());
            assert_eq!(names(), ["one"]);
            drop((guards.1, guards.2));
            assert!(matches!(directory.read(id()), Err(PublishError::Absent { .. })));
            // And again.
            let again = one.publish().unwrap();
            assert_eq!(names(), ["one"]);
            // The process reads its own page through the file it has, and keeps the lock; another opener takes it away,
            // and it comes back, as the file itself does.
            drop(fs::File::open(directory.path().join(format!("{}.mbuf", id()))).unwrap());
            fs::remove_file(directory.path().join(format!("{}.mbuf", id()))).unwrap();
            thread::sleep(Duration::from_millis(100));
            say("ready");
            hear();
            drop(again);
        }
        "fork" => {
            let pool = Pool::builder().name("parent").build().unwrap();
            let guard = pool.publish().unwrap();
            let parent = id();
            // SAFETY: the child does what the test is about, and leaves without unwinding.
            let child = unsafe { libc::fork() };
            if child == 0 {
                let right = std::panic::catch_unwind(move || {
                    drop(guard);
                    let directory = Directory::of_user().unwrap();
                    assert_eq!(directory.read(parent).unwrap().pools[0].name, "parent");
                    assert!(matches!(directory.read(id()), Err(PublishError::Absent { .. })));
                    let own = Pool::builder().name("child").build().unwrap();
                    let guard = own.publish().unwrap();
                    assert_eq!(directory.read(id()).unwrap().pools[0].name, "child");
                    drop(guard);
                    assert!(directory.read(parent).is_ok());
                });
                // SAFETY: ends the child.
                unsafe { libc::_exit(if right.is_ok() { 0 } else { 1 }) };
            }
            let mut status = 0;
            // SAFETY: waits for the child just made.
            assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
            assert_eq!(status, 0, "the child failed");
            say("ready");
            hear();
        }
        "refused" => {
            let pool = Pool::new();
            let error = pool.publish().unwrap_err().to_string();
            say("ready");
            say(&format!("{error} ready"));
            hear();
        }
        other => panic!("no role {other}"),
    }
}

#[test]
fn what_one_process_does_another_sees() {
    let runtime = Runtime::new("seen");
    let mut process = runtime.start("publish", &[]);
    let pid = process.pid();
    assert_eq!(runtime.directory().processes().unwrap(), [pid]);
    let before = runtime.read(pid).unwrap();
    assert_eq!((before.pid, before.pools.len(), before.omitted), (pid, 1, 0));
    assert_eq!((before.pools[0].name.as_str(), before.pools[0].clusters.limit), ("role", Some(100)));
    assert!(before.program.starts_with("publish"), "{}", before.program);
    process.tell("more");
    let seen = (0..1000).any(|_| {
        thread::sleep(Duration::from_millis(5));
        let now = runtime.read(pid).unwrap();
        now.pools[0].clusters.current == 1 && now.written_ms > before.written_ms
    });
    assert!(seen, "the packet does not appear");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&runtime.page(pid)), mode(&runtime.pages())), (0o600, 0o700));
    process.end();
    assert_eq!(runtime.directory().processes().unwrap(), [0; 0], "it cleaned up");
}

#[test]
fn the_environment_publishes_every_pool_while_it_lives() {
    let runtime = Runtime::new("environment");
    let process = runtime.start("environment", &[("MBUF_PUBLISH", "1")]);
    let names: Vec<String> =
        runtime.read(process.pid()).unwrap().pools.into_iter().map(|pool| pool.name).collect();
    assert_eq!(names, ["first", "second"]);
    process.end();
    assert_eq!(runtime.directory().processes().unwrap(), [0; 0]);
    for value in ["0", "", "yes"] {
        let process = runtime.start("environment", &[("MBUF_PUBLISH", value)]);
        assert!(matches!(runtime.read(process.pid()), Err(PublishError::Absent { .. })), "{value}");
        process.end();
    }
}

#[test]
fn pools_come_and_go_and_a_page_that_is_taken_away_comes_back() {
    let runtime = Runtime::new("guards");
    let process = runtime.start("guards", &[]);
    assert_eq!(runtime.read(process.pid()).unwrap().pools[0].name, "one");
    process.end();
    assert_eq!(runtime.directory().processes().unwrap(), [0; 0]);
}

#[test]
fn a_forked_child_leaves_its_parents_page_alone() {
    let runtime = Runtime::new("fork");
    let process = runtime.start("fork", &[]);
    assert_eq!(runtime.read(process.pid()).unwrap().pools[0].name, "parent");
    process.end();
}

#[test]
fn the_page_of_a_killed_process_is_told_and_removed() {
    let runtime = Runtime::new("killed");
    let process = runtime.start("publish", &[]);
    let pid = process.pid();
    drop(process); // SIGKILL
    assert!(runtime.page(pid).exists());
    let error = runtime.read(pid).unwrap_err();
    assert!(matches!(error, PublishError::Ended { .. }), "{error}");
    assert!(!runtime.page(pid).exists());
    assert!(matches!(runtime.read(pid), Err(PublishError::Absent { .. })));
}

#[test]
fn what_nobody_has_locked_is_removed_only_if_it_is_a_page() {
    let runtime = Runtime::new("garbage");
    let process = runtime.start("publish", &[]);
    let page = runtime.page(process.pid());
    drop(process); // SIGKILL
    let whole = fs::read(&page).unwrap();
    let garbage: Vec<u8> = (0..100_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8 | 1).collect();
    let newer = [&whole[..8], &[2], &whole[9..]].concat();
    for kept in [&garbage[..], &garbage[..5], &whole[..31], &newer] {
        fs::write(runtime.page(77), kept).unwrap();
        let error = runtime.read(77).unwrap_err();
        assert!(matches!(error, PublishError::Damaged { .. }), "{error}");
        assert!(
            error.to_string().starts_with(&format!("{}: offset ", runtime.page(77).display())),
            "{error}"
        );
        assert_eq!(fs::read(runtime.page(77)).unwrap(), kept);
    }
    // Killed after it made the file, after the first body, after the first header, in a later body.
    let unfinished = [&[0; 4096], &b"half a body"[..]].concat();
    for removed in [&[][..], &unfinished, &whole[..4096], &whole[..]] {
        fs::write(runtime.page(77), removed).unwrap();
        let error = runtime.read(77).unwrap_err();
        assert!(matches!(error, PublishError::Ended { pid: 77 }), "{error}");
        assert!(!runtime.page(77).exists());
    }
}

#[test]
fn damage_is_an_error_that_names_file_and_offset_and_what_is_wrong() {
    let runtime = Runtime::new("damage");
    let process = runtime.start("publish", &[]);
    let (pid, path) = (process.pid(), runtime.page(process.pid()));
    // It must not mend what we break.
    process.signal(libc::SIGSTOP);
    thread::sleep(Duration::from_millis(50));
    let whole = fs::read(&path).unwrap();
    let file = fs::File::options().write(true).open(&path).unwrap();
    let broken = |bytes: &[u8], at: u64, what: &str| {
        file.write_all_at(bytes, at).unwrap();
        let error = runtime.read(pid).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("{}: offset ", path.display())) && error.contains(what),
            "{error}"
        );
        file.set_len(0).unwrap();
        file.write_all_at(&whole, 0).unwrap();
        runtime.read(pid).unwrap();
    };
    broken(b"garbage!", 0, "offset 0: is no page");
    broken(&[2], 8, "offset 8: the page is of version 2");
    broken(&[0xff; 4], 16, "offset 28: the header is damaged");
    let body = if whole[16] % 2 == 0 { 4096 } else { 4096 + (1 << 20) };
    broken(b"?", body + 3, &format!("offset {body}: the body is damaged"));
    for len in [0, 5, 31, body + 1] {
        file.set_len(len).unwrap();
        let error = runtime.read(pid).unwrap_err().to_string();
        assert!(error.contains(&format!("offset {len}: the file ends here")), "{error}");
        file.set_len(0).unwrap();
        file.write_all_at(&whole, 0).unwrap();
    }
    process.signal(libc::SIGCONT);
    process.end();
}

#[test]
fn what_is_no_page_is_neither_read_nor_waited_for_nor_taken_for_one() {
    let runtime = Runtime::new("strange");
    fs::create_dir(runtime.pages()).unwrap();
    fs::set_permissions(runtime.pages(), Permissions::from_mode(0o700)).unwrap();
    fs::create_dir(runtime.page(1)).unwrap();
    symlink("/etc/passwd", runtime.page(2)).unwrap();
    let fifo = std::ffi::CString::new(runtime.page(3).to_str().unwrap()).unwrap();
    // SAFETY: a string that ends with a null.
    assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
    fs::write(runtime.pages().join("notes.txt"), "mine").unwrap();
    assert_eq!(runtime.directory().processes().unwrap(), [1, 2, 3]);
    for pid in 1..=3 {
        let error = runtime.read(pid).unwrap_err().to_string();
        assert!(error.contains(&runtime.page(pid).display().to_string()), "{error}");
    }
    assert!(runtime.page(1).exists() && runtime.page(3).exists());
    assert!(fs::read("/etc/passwd").is_ok());
}

#[test]
fn a_directory_that_others_could_write_is_refused_by_writer_and_reader() {
    let runtime = Runtime::new("hostile");
    let refused = |what: &str| {
        let error = Directory::open(runtime.pages()).map(drop).unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
        let mut process = runtime.start("refused", &[]);
        let error = process.hear(" ready");
        assert!(error.contains(what), "{error}");
        process.end();
    };
    fs::create_dir(runtime.pages()).unwrap();
    fs::set_permissions(runtime.pages(), Permissions::from_mode(0o777)).unwrap();
    refused("should have mode 0700");
    fs::remove_dir(runtime.pages()).unwrap();
    let elsewhere = runtime.0.join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::set_permissions(&elsewhere, Permissions::from_mode(0o700)).unwrap();
    symlink(&elsewhere, runtime.pages()).unwrap();
    refused("symbolic link");
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
    fs::remove_file(runtime.pages()).unwrap();
    fs::write(runtime.pages(), "a file").unwrap();
    refused("is no directory");
}

//! Runs the program and reads what it wrote.
#![allow(dead_code)] // each test file uses its share

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use mbuf_io::{Capture, LinkType};

/// A frame as a test looks at it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) link: LinkType,
    pub(crate) timestamp: u64,
    pub(crate) original_len: u32,
    pub(crate) bytes: Vec<u8>,
}

/// What a run left.
pub(crate) struct Ran {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// Fails unless the exit status is 0 and standard error is empty.
    pub(crate) fn clean(self) -> Self {
        assert_eq!((self.status, self.stderr.as_str()), (Some(0), ""), "{}", self.stdout);
        self
    }

    /// Fails unless the exit status is 0 and standard error says nothing but that packets were dropped.
    pub(crate) fn survived(self) -> Self {
        let expected =
            |line: &str| line.starts_with("mbufctl: warning: ") && line.contains(" packets dropped in ");
        assert!(
            self.status == Some(0) && self.stderr.lines().all(expected),
            "{}{}",
            self.stderr,
            self.stdout
        );
        self
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }
}

/// Runs `mbufctl replay` with these arguments.
pub(crate) fn replay<S: AsRef<std::ffi::OsStr>>(args: &[S]) -> Ran {
    ran(command().arg("replay").args(args).output().unwrap())
}

/// The program.
pub(crate) fn command() -> Command {
    Command::new(env!("CARGO_BIN_EXE_mbufctl"))
}

/// The same with something to read on standard input.
pub(crate) fn replay_stdin(args: &[&str], input: &[u8]) -> Ran {
    stdin("replay", args, input)
}

/// Runs a command with something to read on standard input.
pub(crate) fn stdin(name: &str, args: &[&str], input: &[u8]) -> Ran {
    let mut child = command()
        .arg(name)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    ran(child.wait_with_output().unwrap())
}

/// What a process left.
pub(crate) fn ran(output: Output) -> Ran {
    Ran {
        status: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A file of this test run.
pub(crate) fn temp(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// The recorded captures of the repository.
pub(crate) fn captures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../captures")
}

/// The embedded capture.
pub(crate) fn embedded() -> PathBuf {
    captures().join("real.pcapng")
}

/// All recorded captures that are well-formed.
pub(crate) fn well_formed() -> Vec<PathBuf> {
    let names = [
        "real.pcapng",
        "extra/nsec-be.pcap",
        "extra/usec-le.pcap",
        "extra/loopback-null.pcap",
        "extra/linux-sll.pcap",
        "extra/raw-ip.pcap",
        "extra/snap96.pcap",
        "extra/multi-if.pcapng",
        "extra/mixed-endian.pcapng",
        "extra/empty.pcap",
    ];
    names.iter().map(|name| captures().join(name)).collect()
}

/// Reads all frames of a capture.
pub(crate) fn read(path: &Path) -> Vec<Frame> {
    let file = std::fs::File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut capture = Capture::new(file, path.to_string_lossy()).unwrap();
    let mut frames = Vec::new();
    let mut interfaces = Vec::new();
    while let Some(frame) = capture.next_frame().unwrap() {
        frames.push(Frame {
            link: LinkType(0),
            timestamp: frame.timestamp,
            original_len: frame.original_len.max(frame.data.len() as u32),
            bytes: frame.data.to_vec(),
        });
        interfaces.push(frame.interface);
    }
    for (frame, interface) in frames.iter_mut().zip(interfaces) {
        frame.link = capture.interfaces()[interface as usize].link;
    }
    frames
}

/// Fails at the first frame that differs.
pub(crate) fn assert_same(found: &[Frame], expected: &[Frame], context: &str) {
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!(found == expected, "{context}: frame {}: {found:02x?}\nexpected {expected:02x?}", index + 1);
    }
    assert_eq!(found.len(), expected.len(), "{context}");
}

/// Runs stages over a capture, checked, and reads what comes out.
pub(crate) fn through(capture: &Path, stages: &str, out: &str) -> Vec<Frame> {
    let out = temp(out);
    let (capture, out_name) = (capture.to_str().unwrap(), out.to_str().unwrap());
    replay(&[capture, "--stage", stages, "--check", "--out", out_name]).survived();
    let frames = read(&out);
    std::fs::remove_file(out).unwrap();
    frames
}

/// A little-endian microsecond pcap file.
pub(crate) fn pcap(link: LinkType, frames: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let mut file = Vec::new();
    for field in [0xa1b2_c3d4, 4 << 16 | 2, 0, 0, 0, u32::from(link.0)] {
        file.extend(field.to_le_bytes());
    }
    for (index, (original_len, bytes)) in frames.iter().enumerate() {
        for field in [1_700_000_000, index as u32, bytes.len() as u32, *original_len] {
            file.extend(field.to_le_bytes());
        }
        file.extend(bytes);
    }
    file
}

/// Writes a pcap file of whole frames and returns its path.
pub(crate) fn write_pcap(name: &str, link: LinkType, frames: &[Vec<u8>]) -> PathBuf {
    let frames: Vec<_> = frames.iter().map(|bytes| (bytes.len() as u32, bytes.clone())).collect();
    let path = temp(name);
    std::fs::write(&path, pcap(link, &frames)).unwrap();
    path
}

/// A small generator of pseudo-random numbers (SplitMix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }
}

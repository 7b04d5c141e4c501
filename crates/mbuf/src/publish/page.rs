//! What a page looks like: a header, and two places for the body in turn.
//!
//! ```text
//!     0  magic                      8 bytes
//!     8  version                    4        all numbers little-endian
//!    12  length of the body         4
//!    16  sequence                   8        odd: the body is in the second place
//!    24  checksum of the body       4        CRC-32
//!    28  checksum of bytes 0..28    4
//!  4096  first place                1 MiB    JSON of ProcessStats
//!  4096 + 1 MiB  second place       1 MiB
//! ```
//!
//! The body is written first, into the place that the header does not name, then the header with one write. A reader
//! that is overtaken twice while it reads finds that the checksum does not fit, and begins again. A writer that is
//! killed at any point leaves a header that names a whole body.

use std::borrow::ToOwned;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::string::{String, ToString};
use std::time::Duration;
use std::vec::Vec;
use std::{format, thread, vec};

use super::{ProcessStats, PublishError};

const MAGIC: [u8; 8] = *b"MBUFPAGE";
const VERSION: u32 = 1;
const HEADER: usize = 32;
const PLACE: u64 = 4096;
/// Most bytes of a body.
pub(super) const MOST: usize = 1 << 20;

fn place(sequence: u64) -> u64 {
    PLACE + sequence % 2 * MOST as u64
}

/// Writes a body under the next number after the last.
pub(super) fn write(file: &File, sequence: u64, body: &[u8]) -> io::Result<()> {
    let Some(len) = u32::try_from(body.len()).ok().filter(|_| body.len() <= MOST) else {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the body is too long"));
    };
    file.write_all_at(body, place(sequence))?;
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(&MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    header[12..16].copy_from_slice(&len.to_le_bytes());
    header[16..24].copy_from_slice(&sequence.to_le_bytes());
    header[24..28].copy_from_slice(&crc32fast::hash(body).to_le_bytes());
    let sum = crc32fast::hash(&header[..28]);
    header[28..].copy_from_slice(&sum.to_le_bytes());
    file.write_all_at(&header, 0)
}

/// What is wrong with a page, and where.
struct Fault(u64, String);

/// Reads the last body.
pub(super) fn read(file: &File, path: &Path) -> Result<ProcessStats, PublishError> {
    // What does not fit may be about to be written.
    const TRIES: u32 = 20;
    let mut tries = 0;
    loop {
        let Fault(offset, what) = match attempt(file) {
            Ok(stats) => return Ok(stats),
            Err(fault) => fault,
        };
        tries += 1;
        if tries == TRIES {
            return Err(PublishError::Damaged { path: path.to_owned(), offset, what });
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Whether the file is a page, or what a process leaves that is killed before it has written the first header.
pub(super) fn check(file: &File, path: &Path) -> Result<(), PublishError> {
    match header(file) {
        Ok(_) => Ok(()),
        Err(_) if is_blank(file) => Ok(()),
        Err(Fault(offset, what)) => Err(PublishError::Damaged { path: path.to_owned(), offset, what }),
    }
}

/// Whether nothing was ever written where the header belongs.
fn is_blank(file: &File) -> bool {
    match bytes(file, 0, HEADER) {
        Ok(header) => header.iter().all(|&byte| byte == 0),
        Err(Fault(end, _)) => end == 0,
    }
}

/// What a header says.
struct Header {
    sequence: u64,
    len: usize,
    sum: u32,
}

fn header(file: &File) -> Result<Header, Fault> {
    let header: [u8; HEADER] = match bytes(file, 0, HEADER)?.try_into() {
        Ok(header) => header,
        Err(_) => return Err(Fault(0, "is no page".into())),
    };
    let number = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    if header[..8] != MAGIC {
        return Err(Fault(0, "is no page: it does not begin with MBUFPAGE".into()));
    }
    let version = number(8);
    if version != VERSION {
        let what = format!("the page is of version {version}; this program reads version {VERSION}");
        return Err(Fault(8, what));
    }
    if number(28) != crc32fast::hash(&header[..28]) {
        return Err(Fault(28, "the header is damaged: its checksum does not fit".into()));
    }
    let len = number(12) as usize;
    if len > MOST {
        return Err(Fault(12, format!("a body of {len} bytes is longer than the {MOST} there is room for")));
    }
    let sequence = u64::from(number(20)) << 32 | u64::from(number(16));
    Ok(Header { sequence, len, sum: number(24) })
}

fn attempt(file: &File) -> Result<ProcessStats, Fault> {
    let Header { sequence, len, sum } = header(file)?;
    let at = place(sequence);
    let body = bytes(file, at, len)?;
    if sum != crc32fast::hash(&body) {
        return Err(Fault(at, "the body is damaged: its checksum does not fit".into()));
    }
    serde_json::from_slice(&body).map_err(|error| Fault(at, format!("the body is no statistics: {error}")))
}

fn bytes(file: &File, at: u64, len: usize) -> Result<Vec<u8>, Fault> {
    let mut bytes = vec![0; len];
    let mut done = 0;
    while done < len {
        match file.read_at(&mut bytes[done..], at + done as u64) {
            Ok(0) => {
                let end = at + done as u64;
                let missing = len - done;
                return Err(Fault(end, format!("the file ends here, {missing} bytes too early")));
            }
            Ok(n) => done += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Fault(at + done as u64, error.to_string())),
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    struct Temp(PathBuf, File);

    impl Temp {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("mbuf-page-{}-{name}", std::process::id()));
            let file =
                File::options().create(true).truncate(true).read(true).write(true).open(&path).unwrap();
            Temp(path, file)
        }

        fn read(&self) -> Result<ProcessStats, Fault> {
            attempt(&self.1)
        }
    }

    impl Drop for Temp {
        fn drop(&mut self) {
            fs::remove_file(&self.0).unwrap();
        }
    }

    fn stats(pid: u32) -> (ProcessStats, Vec<u8>) {
        let stats = ProcessStats { pid, program: "p".repeat(pid as usize), ..Default::default() };
        let body = serde_json::to_vec(&stats).unwrap();
        (stats, body)
    }

    #[test]
    fn the_last_of_many_bodies_is_read() {
        let temp = Temp::new("last");
        for n in 1..20 {
            let (stats, body) = stats(n);
            write(&temp.1, n.into(), &body).unwrap();
            assert_eq!(temp.read().map_err(|Fault(_, what)| what), Ok(stats));
        }
        let error = write(&temp.1, 20, &vec![0; MOST + 1]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert!(temp.read().is_ok());
    }

    #[test]
    fn any_changed_byte_and_any_end_is_an_error_that_names_a_place() {
        let temp = Temp::new("damage");
        let (_, body) = stats(3);
        write(&temp.1, 2, &body).unwrap();
        let whole = fs::read(&temp.0).unwrap();
        let every = if cfg!(miri) { 29 } else { 1 };
        for at in (0..HEADER).chain(PLACE as usize..whole.len()).step_by(every) {
            for bit in 0..8 {
                temp.1.write_all_at(&[whole[at] ^ (1 << bit)], at as u64).unwrap();
                let Fault(offset, what) = temp.read().map(drop).expect_err("it was damaged");
                assert!(
                    offset <= whole.len() as u64 + MOST as u64 && !what.is_empty(),
                    "{at}: {offset} {what}"
                );
            }
            temp.1.write_all_at(&whole[at..=at], at as u64).unwrap();
        }
        assert!(temp.read().is_ok());
        for len in (0..whole.len()).rev().step_by(every) {
            temp.1.set_len(len as u64).unwrap();
            let Fault(offset, what) = temp.read().map(drop).expect_err("it was cut");
            assert!(what.contains("too early"), "{what}");
            assert!(offset <= len.max(PLACE as usize) as u64);
        }
    }

    #[test]
    fn a_writer_killed_between_body_and_header_leaves_the_body_before() {
        let temp = Temp::new("killed");
        let (before, body) = stats(4);
        write(&temp.1, 6, &body).unwrap();
        temp.1.write_all_at(b"half of the next", place(7)).unwrap();
        assert_eq!(temp.read().map_err(|Fault(_, what)| what), Ok(before));
    }

    #[test]
    fn what_fits_its_checksums_and_is_no_page_of_ours_says_so() {
        let temp = Temp::new("other");
        let fault = |temp: &Temp| temp.read().map(drop).map_err(|Fault(offset, what)| (offset, what));
        write(&temp.1, 2, b"[1, 2").unwrap();
        let (offset, what) = fault(&temp).unwrap_err();
        assert!(offset == PLACE && what.starts_with("the body is no statistics"), "{offset} {what}");
        let mut header = fs::read(&temp.0).unwrap()[..HEADER].to_vec();
        header[8] = 9;
        temp.1.write_all_at(&header, 0).unwrap();
        let newer = "the page is of version 9; this program reads version 1";
        assert_eq!(fault(&temp).unwrap_err(), (8, newer.into()));
        header[8] = 1;
        header[12..16].fill(0xff);
        let sum = crc32fast::hash(&header[..28]);
        header[28..].copy_from_slice(&sum.to_le_bytes());
        temp.1.write_all_at(&header, 0).unwrap();
        assert_eq!(fault(&temp).unwrap_err().0, 12);
        temp.1.write_all_at(&[0x7f; 64], 0).unwrap();
        assert_eq!(fault(&temp).unwrap_err().0, 0);
    }

    #[test]
    fn a_reader_beside_a_writer_reads_whole_bodies_in_order() {
        let temp = Temp::new("race");
        write(&temp.1, 0, &stats(0).1).unwrap();
        let rounds = if cfg!(miri) { 20 } else { 4000 };
        let last = std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for n in 1..=rounds {
                    write(&temp.1, n, &stats((n % 400) as u32).1).unwrap();
                }
            });
            let mut reads = 0;
            while !writer.is_finished() {
                let stats = read(&temp.1, &temp.0).unwrap();
                assert_eq!(stats.program.len(), stats.pid as usize);
                reads += 1;
            }
            reads
        });
        assert!(last > 0);
    }
}

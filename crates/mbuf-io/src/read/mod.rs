//! Reading captures: one frame at a time, at a known byte offset, in bounded memory.

mod frame;
mod pcap;
mod pcapng;
mod source;

use std::io::Read;

pub use frame::Frame;

use crate::{CaptureError, Damage, Interface};
use pcap::Pcap;
use pcapng::Pcapng;
use source::Source;

/// The longest frame that is accepted, in bytes: 16 MiB.
pub const MAX_FRAME: u32 = 16 << 20;

/// The most interfaces a capture may describe.
pub const MAX_INTERFACES: usize = 1 << 16;

/// A pcap or pcapng file being read.
///
/// Any [`Read`] will do, also a pipe; it is read in large pieces and never rewound.
/// After an error or the end of the file, [`next_frame`](Self::next_frame) returns `Ok(None)`.
#[derive(Debug)]
pub struct Capture<R> {
    source: Source<R>,
    name: String,
    format: Format,
    interfaces: Vec<Interface>,
    frames: u64,
    ended: bool,
}

#[derive(Debug)]
enum Format {
    Pcap(Pcap),
    Pcapng(Pcapng),
}

impl<R: Read> Capture<R> {
    /// Opens a capture; `name` is what errors call it.
    ///
    /// # Errors
    /// When the file header cannot be read, or is not that of a pcap or pcapng file.
    pub fn new(reader: R, name: impl Into<String>) -> Result<Self, CaptureError> {
        let name = name.into();
        let mut source = Source::new(reader);
        let mut interfaces = Vec::new();
        match open(&mut source, &mut interfaces) {
            Ok(format) => Ok(Self { source, name, format, interfaces, frames: 0, ended: false }),
            Err(damage) => Err(CaptureError { file: name, frame: None, offset: 0, damage }),
        }
    }

    /// Returns the interfaces described so far; those of later blocks are added as they are read.
    pub fn interfaces(&self) -> &[Interface] {
        &self.interfaces
    }

    /// Returns the number of frames delivered so far.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Returns how far the file has been read, in bytes.
    pub fn position(&self) -> u64 {
        self.source.position()
    }

    /// Reads the next frame, or `None` at the end of the file.
    ///
    /// The frame borrows this reader's buffer: copy it into a pool ([`Frame::into_packet`]) before the next call.
    ///
    /// # Errors
    /// When the file is damaged at this frame or cannot be read. There is no way to go on behind the damage.
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, CaptureError> {
        if self.ended {
            return Ok(None);
        }
        let found = match &mut self.format {
            Format::Pcap(pcap) => pcap.next(&mut self.source, &self.interfaces),
            Format::Pcapng(pcapng) => pcapng.next(&mut self.source, &mut self.interfaces),
        };
        match found {
            Ok(Some(record)) => {
                self.frames += 1;
                let data = self.source.bytes().get(record.data).unwrap_or_default();
                Ok(Some(Frame {
                    number: self.frames,
                    offset: self.source.mark(),
                    interface: record.interface,
                    timestamp: record.timestamp,
                    original_len: record.original_len,
                    data,
                }))
            }
            Ok(None) => {
                self.ended = true;
                Ok(None)
            }
            Err(damage) => {
                self.ended = true;
                Err(CaptureError {
                    file: self.name.clone(),
                    frame: Some(self.frames + 1),
                    offset: self.source.mark(),
                    damage,
                })
            }
        }
    }
}

/// A frame as the two formats hand it over: its bytes are a range of the source's buffer.
struct Record {
    interface: u32,
    timestamp: u64,
    original_len: u32,
    data: core::ops::Range<usize>,
}

/// Recognises the format and reads the file header.
fn open<R: Read>(source: &mut Source<R>, interfaces: &mut Vec<Interface>) -> Result<Format, Damage> {
    source.start_record();
    let found = source.append(4)?;
    let magic = match source.bytes().first_chunk() {
        Some(&magic) => magic,
        None if found == 0 => return Err(Damage::Empty),
        None => return Err(Damage::Truncated { part: "the file header", expected: 24, found }),
    };
    if let Some(format) = compression(magic) {
        return Err(Damage::Compressed { format });
    }
    if magic == pcapng::SECTION_HEADER {
        return Ok(Format::Pcapng(Pcapng::open(source)?));
    }
    let (pcap, interface) = Pcap::open(magic, source)?;
    interfaces.push(interface);
    Ok(Format::Pcap(pcap))
}

/// Names the compressor of a file that starts with `magic`.
fn compression(magic: [u8; 4]) -> Option<&'static str> {
    match magic {
        [0x1f, 0x8b, ..] => Some("gzip"),
        [0x28, 0xb5, 0x2f, 0xfd] => Some("zstd"),
        [0xfd, b'7', b'z', b'X'] => Some("xz"),
        [0x04, 0x22, 0x4d, 0x18] => Some("lz4"),
        [b'B', b'Z', b'h', _] => Some("bzip2"),
        _ => None,
    }
}

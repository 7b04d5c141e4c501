//! What can be wrong with a capture, and where.

use core::fmt;
use std::io;

/// A capture that cannot be read any further: the file, the frame, the byte, and what is wrong there.
///
/// Every frame before it was delivered. Without a frame it is the file as a whole that is wrong.
#[derive(Debug)]
pub struct CaptureError {
    /// The name given to [`Capture::new`](crate::Capture::new).
    pub file: String,
    /// The number of the frame that could not be read, counted from 1; `None` when the file header could not.
    pub frame: Option<u64>,
    /// Where the damaged record or block starts, in bytes from the start of the file.
    pub offset: u64,
    /// What is wrong.
    pub damage: Damage,
}

impl fmt::Display for CaptureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, frame, offset, damage } = self;
        match frame {
            Some(frame) => write!(f, "{file}: frame {frame}, byte offset {offset}: {damage}"),
            None => write!(f, "{file}: {damage}"),
        }
    }
}

impl std::error::Error for CaptureError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.damage {
            Damage::Read(error) => Some(error),
            _ => None,
        }
    }
}

/// What is wrong with a capture.
#[derive(Debug)]
#[non_exhaustive]
pub enum Damage {
    /// The operating system could not read.
    Read(io::Error),
    /// There is nothing in the file.
    Empty,
    /// The file starts like neither pcap nor pcapng.
    NotACapture {
        /// Its first four bytes.
        magic: [u8; 4],
    },
    /// The file is compressed.
    Compressed {
        /// With what.
        format: &'static str,
    },
    /// A version of the format that this crate does not know.
    Version {
        /// Major version.
        major: u16,
        /// Minor version.
        minor: u16,
    },
    /// The file ends inside a record or block.
    Truncated {
        /// Which part it ends in.
        part: &'static str,
        /// Bytes that part has.
        expected: u64,
        /// Bytes of it that are there.
        found: u64,
    },
    /// A block length that is too small, too large or not a multiple of four.
    BlockLength {
        /// The block's type.
        block: u32,
        /// The length it states.
        len: u32,
    },
    /// The lengths at the two ends of a block differ.
    BlockTrailer {
        /// The block's type.
        block: u32,
        /// The length in front.
        len: u32,
        /// The length behind.
        trailer: u32,
    },
    /// A frame longer than the block that holds it, or than [`MAX_FRAME`](crate::MAX_FRAME).
    FrameLength {
        /// The length it states.
        len: u32,
        /// The most it may be.
        limit: u32,
    },
    /// A frame on an interface that was not described.
    UnknownInterface {
        /// Its number in this section.
        interface: u32,
        /// How many this section has described.
        described: u32,
    },
    /// More than [`MAX_INTERFACES`](crate::MAX_INTERFACES) interfaces.
    TooManyInterfaces,
    /// A block whose fields do not parse.
    Malformed {
        /// What the block should be.
        block: &'static str,
    },
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => write!(f, "cannot read: {error}"),
            Self::Empty => f.write_str("the file is empty"),
            Self::NotACapture { magic: [a, b, c, d] } => {
                write!(f, "neither pcap nor pcapng: the file starts with {a:02x} {b:02x} {c:02x} {d:02x}")
            }
            Self::Compressed { format } => write!(f, "compressed with {format}: decompress it first"),
            Self::Version { major, minor } => write!(f, "unsupported format version {major}.{minor}"),
            Self::Truncated { part, expected, found } => {
                write!(f, "the file ends inside {part}: {found} of {expected} bytes are there")
            }
            Self::BlockLength { block, len } => {
                write!(f, "block type {block:#010x} has an impossible length of {len} bytes")
            }
            Self::BlockTrailer { block, len, trailer } => {
                write!(f, "block type {block:#010x} says {len} bytes in front and {trailer} behind")
            }
            Self::FrameLength { len, limit } => {
                write!(f, "the frame claims {len} captured bytes, at most {limit} are possible")
            }
            Self::UnknownInterface { interface, described } => {
                write!(f, "the frame is on interface {interface}, {described} are described")
            }
            Self::TooManyInterfaces => write!(f, "more than {} interfaces", crate::MAX_INTERFACES),
            Self::Malformed { block } => write!(f, "malformed {block}"),
        }
    }
}

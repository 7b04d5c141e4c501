//! Writing captures: pcapng, nanoseconds, one slice per segment.

use core::{fmt, iter};
use std::io::{self, IoSlice, Write};

use mbuf::Packet;

use crate::{Interface, TimeUnit};

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const BYTE_ORDER: u32 = 0x1a2b_3c4d;
const INTERFACE: u32 = 1;
const ENHANCED_PACKET: u32 = 6;

const OPTION_END: u16 = 0;
const OPTION_USER_APPLICATION: u16 = 4;
const OPTION_IF_NAME: u16 = 2;
const OPTION_IF_TSRESOL: u16 = 9;

/// Bytes of an enhanced packet block around the frame and its padding.
const PACKET_OVERHEAD: u32 = 32;
/// Slices handed to the operating system at a time.
const SLICES: usize = 64;

/// Writes packets to a pcapng file (little-endian, one section, nanosecond timestamps).
///
/// Each packet goes out with one [`IoSlice`] per segment. Give it a buffered writer for small packets.
#[derive(Debug)]
pub struct PcapngWriter<W> {
    writer: W,
    interfaces: u32,
}

impl<W: Write> PcapngWriter<W> {
    /// Starts a file; `application` is recorded as its author.
    ///
    /// # Errors
    /// When `writer` fails.
    pub fn new(mut writer: W, application: &str) -> io::Result<Self> {
        let mut body = Vec::new();
        body.extend_from_slice(&BYTE_ORDER.to_le_bytes());
        body.extend_from_slice(&1u16.to_le_bytes()); // version 1.0
        body.extend_from_slice(&0u16.to_le_bytes());
        body.extend_from_slice(&u64::MAX.to_le_bytes()); // section length: not known in advance
        option(&mut body, OPTION_USER_APPLICATION, application.as_bytes());
        option(&mut body, OPTION_END, &[]);
        block(&mut writer, SECTION_HEADER, &body)?;
        Ok(Self { writer, interfaces: 0 })
    }

    /// Describes an interface and returns its number, the one to put into `meta().interface`.
    ///
    /// Interfaces may be added at any time before their first packet. The time unit of `interface` is not used:
    /// this writer counts nanoseconds.
    ///
    /// # Errors
    /// When the writer fails.
    pub fn add_interface(&mut self, interface: &Interface) -> io::Result<u32> {
        let mut body = Vec::new();
        body.extend_from_slice(&interface.link.0.to_le_bytes());
        body.extend_from_slice(&[0; 2]);
        body.extend_from_slice(&interface.snaplen.to_le_bytes());
        if let Some(name) = &interface.name {
            option(&mut body, OPTION_IF_NAME, name.as_bytes());
        }
        option(&mut body, OPTION_IF_TSRESOL, &[TimeUnit::NANOS.0]);
        option(&mut body, OPTION_END, &[]);
        block(&mut self.writer, INTERFACE, &body)?;
        self.interfaces += 1;
        Ok(self.interfaces - 1)
    }

    /// Writes a packet, with the interface and timestamp of its header.
    ///
    /// `original_len` is its length on the wire, in bytes: `packet.len()` unless a capture cut it.
    ///
    /// # Errors
    /// [`WriteError`]: the packet's interface was not added, it does not fit into a block, or the writer fails.
    pub fn write(&mut self, packet: &Packet, original_len: u32) -> Result<(), WriteError> {
        let meta = packet.meta();
        self.write_on(meta.interface, meta.timestamp, original_len, packet)
    }

    /// Writes a packet with an interface and timestamp (nanoseconds since 1970) of the caller's choice.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_on(
        &mut self,
        interface: u32,
        timestamp: u64,
        original_len: u32,
        packet: &Packet,
    ) -> Result<(), WriteError> {
        if interface >= self.interfaces {
            return Err(WriteError::UnknownInterface { interface, added: self.interfaces });
        }
        let too_long = WriteError::TooLong { len: packet.len() };
        let Ok(captured) = u32::try_from(packet.len()) else { return Err(too_long) };
        let padding = captured.wrapping_neg() & 3;
        let Some(total) = captured.checked_add(padding + PACKET_OVERHEAD) else { return Err(too_long) };

        let mut header = [0; 28];
        let [high, low] = [(timestamp >> 32) as u32, timestamp as u32]; // the two halves
        let fields = [ENHANCED_PACKET, total, interface, high, low, captured, original_len];
        for (place, field) in header.chunks_exact_mut(4).zip(fields) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        let zeros = [0; 3];
        let padding = zeros.get(..padding as usize).unwrap_or(&zeros);
        let length = total.to_le_bytes();

        let trailer = [IoSlice::new(padding), IoSlice::new(&length)];
        let slices = iter::once(IoSlice::new(&header)).chain(packet.io_slices()).chain(trailer);
        write_slices(&mut self.writer, slices)?;
        Ok(())
    }

    /// Flushes and returns the writer.
    ///
    /// # Errors
    /// When flushing fails.
    pub fn finish(mut self) -> io::Result<W> {
        self.writer.flush()?;
        Ok(self.writer)
    }
}

/// Why a packet could not be written.
#[derive(Debug)]
#[non_exhaustive]
pub enum WriteError {
    /// The writer failed.
    Io(io::Error),
    /// The packet's interface was not added to this file.
    UnknownInterface {
        /// The packet's interface.
        interface: u32,
        /// How many were added.
        added: u32,
    },
    /// The packet does not fit into a block.
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "cannot write: {error}"),
            Self::UnknownInterface { interface, added } => {
                write!(f, "the packet is on interface {interface}, {added} were added to the file")
            }
            Self::TooLong { len } => write!(f, "a packet of {len} bytes does not fit into a pcapng block"),
        }
    }
}

impl std::error::Error for WriteError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for WriteError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Appends an option to the body of a block: code, length, value padded to four bytes.
fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    let len = u16::try_from(value.len()).unwrap_or(u16::MAX);
    let value = value.get(..usize::from(len)).unwrap_or(value);
    body.extend_from_slice(&code.to_le_bytes());
    body.extend_from_slice(&len.to_le_bytes());
    body.extend_from_slice(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

/// Writes a block around a body whose length is a multiple of four.
fn block<W: Write>(writer: &mut W, kind: u32, body: &[u8]) -> io::Result<()> {
    let total = u32::try_from(body.len() + 12).map_err(|_| io::ErrorKind::InvalidInput)?;
    writer.write_all(&kind.to_le_bytes())?;
    writer.write_all(&total.to_le_bytes())?;
    writer.write_all(body)?;
    writer.write_all(&total.to_le_bytes())
}

/// Writes all of `slices`, as many as possible at a time.
fn write_slices<'a, W: Write>(
    writer: &mut W,
    mut slices: impl Iterator<Item = IoSlice<'a>>,
) -> io::Result<()> {
    let mut batch = [IoSlice::new(&[]); SLICES];
    loop {
        batch.fill(IoSlice::new(&[]));
        let mut any = false;
        for (place, slice) in batch.iter_mut().zip(&mut slices) {
            *place = slice;
            any = true;
        }
        if !any {
            return Ok(());
        }
        write_all_vectored(writer, &mut batch)?;
    }
}

fn write_all_vectored<W: Write>(writer: &mut W, mut slices: &mut [IoSlice<'_>]) -> io::Result<()> {
    IoSlice::advance_slices(&mut slices, 0); // drops empty slices in front
    while !slices.is_empty() {
        match writer.write_vectored(slices) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => IoSlice::advance_slices(&mut slices, count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

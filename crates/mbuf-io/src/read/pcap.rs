//! The classic format: one header, one interface, records.
//!
//! ```text
//!   24 bytes: magic, version, zone, accuracy, snaplen, link type
//!   then per frame  16 bytes: seconds, fraction, captured length, original length   + the frame
//!   (the "modified" variant of 1990s Linux kernels has 8 bytes more per record)
//! ```

use std::io::Read;

use super::source::Source;
use super::{MAX_FRAME, Record};
use crate::{Damage, Interface, LinkType, TimeUnit};

const FILE_HEADER: u64 = 24;
const RECORD_HEADER: u64 = 16;
const MODIFIED_EXTRA: u64 = 8;

/// The state between two records of a pcap file.
#[derive(Debug)]
pub(super) struct Pcap {
    big_endian: bool,
    modified: bool,
}

impl Pcap {
    /// Reads the rest of the file header; its first four bytes are in the source already.
    pub(super) fn open<R: Read>(magic: [u8; 4], source: &mut Source<R>) -> Result<(Self, Interface), Damage> {
        let (big_endian, modified) = match u32::from_le_bytes(magic) {
            0xa1b2_c3d4 | 0xa1b2_3c4d => (false, false),
            0xd4c3_b2a1 | 0x4d3c_b2a1 => (true, false),
            0xa1b2_cd34 => (false, true),
            0x34cd_b2a1 => (true, true),
            _ => return Err(Damage::NotACapture { magic }),
        };
        source.append_all(FILE_HEADER - 4, "the file header")?;

        // The library does not know the big-endian "modified" magic: its header reads like the standard one.
        let mut bytes = source.bytes().to_vec();
        if modified && let Some(magic) = bytes.first_chunk_mut() {
            let standard: u32 = 0xa1b2_c3d4;
            *magic = if big_endian { standard.to_be_bytes() } else { standard.to_le_bytes() };
        }
        let Ok((_, header)) = pcap_parser::parse_pcap_header(&bytes) else {
            return Err(Damage::NotACapture { magic });
        };
        if header.version_major != 2 {
            return Err(Damage::Version { major: header.version_major, minor: header.version_minor });
        }
        // The upper half may tell the length of a frame check sequence.
        let [.., high, low] = header.network.0.to_be_bytes();
        let mut interface = Interface::new(LinkType(u16::from_be_bytes([high, low])));
        interface.snaplen = header.snaplen;
        interface.time_unit =
            if header.is_nanosecond_precision() { TimeUnit::NANOS } else { TimeUnit::MICROS };
        Ok((Self { big_endian, modified }, interface))
    }

    /// Reads the next record.
    pub(super) fn next<R: Read>(
        &mut self,
        source: &mut Source<R>,
        interfaces: &[Interface],
    ) -> Result<Option<Record>, Damage> {
        source.start_record();
        match source.append(RECORD_HEADER)? {
            0 => return Ok(None),
            RECORD_HEADER => {}
            found => {
                return Err(Damage::Truncated { part: "a record header", expected: RECORD_HEADER, found });
            }
        }
        let field: Option<&[u8; 4]> = source.bytes().get(8..12).and_then(|bytes| bytes.try_into().ok());
        let captured = match field {
            Some(field) if self.big_endian => u32::from_be_bytes(*field),
            Some(field) => u32::from_le_bytes(*field),
            None => return Err(Damage::Malformed { block: "record header" }),
        };
        if captured > MAX_FRAME {
            return Err(Damage::FrameLength { len: captured, limit: MAX_FRAME });
        }
        if self.modified {
            source.skip(MODIFIED_EXTRA, "a record header")?;
        }
        source.append_all(u64::from(captured), "a frame")?;

        let parse =
            if self.big_endian { pcap_parser::parse_pcap_frame_be } else { pcap_parser::parse_pcap_frame };
        let Ok((_, block)) = parse(source.bytes()) else {
            return Err(Damage::Malformed { block: "record" });
        };
        let interface = interfaces.first().ok_or(Damage::Malformed { block: "file header" })?;
        let fraction = interface.time_unit.nanos(u64::from(block.ts_usec));
        let nanos = u128::from(block.ts_sec) * 1_000_000_000 + fraction; // 2^32 seconds: far below 2^64
        Ok(Some(Record {
            interface: 0,
            timestamp: u64::try_from(nanos).unwrap_or(u64::MAX),
            original_len: block.origlen,
            data: RECORD_HEADER as usize..source.bytes().len(),
        }))
    }
}

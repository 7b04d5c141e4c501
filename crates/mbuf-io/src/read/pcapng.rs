//! The current format: sections of self-describing blocks.
//!
//! ```text
//!   │ type │ length │ body … │ length │      each block a multiple of 4 bytes; its length stands at both ends
//!   section header ─▶ byte order of all that follows; interface descriptions ─▶ link type, time unit
//!   enhanced, simple and (obsolete) packet blocks ─▶ frames; all else is passed over unread
//! ```

use core::ops::Range;
use std::io::Read;

use pcap_parser::pcapng::OptionCode;
use pcap_parser::{Block, InterfaceDescriptionBlock};

use super::source::Source;
use super::{MAX_FRAME, MAX_INTERFACES, Record};
use crate::{Damage, Interface, LinkType, TimeUnit};

/// The first bytes of a section header, in either byte order.
pub(super) const SECTION_HEADER: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

/// The smallest block: type and two lengths.
const MIN_BLOCK: u32 = 12;
/// The largest block that is read: a frame and a generous amount of options.
const MAX_BLOCK: u32 = MAX_FRAME + (1 << 16);
/// Where the frame starts in an enhanced packet block, and in an obsolete one.
const PACKET_HEADER: usize = 28;
/// Where the frame starts in a simple packet block.
const SIMPLE_HEADER: usize = 12;

/// The state between two blocks of a pcapng file.
#[derive(Debug)]
pub(super) struct Pcapng {
    big_endian: bool,
    /// The number, in the file, of the section's first interface.
    first_interface: usize,
}

impl Pcapng {
    /// Reads the rest of the first section header; its first four bytes are in the source already.
    pub(super) fn open<R: Read>(source: &mut Source<R>) -> Result<Self, Damage> {
        let mut pcapng = Self { big_endian: false, first_interface: 0 };
        source.append_all(4, "a section header")?;
        let (block, len) = pcapng.block_header(source, 0)?;
        pcapng.read_rest(source, block, len)?;
        pcapng.section(source.bytes())?;
        Ok(pcapng)
    }

    /// Reads blocks up to and including the next one that holds a frame.
    pub(super) fn next<R: Read>(
        &mut self,
        source: &mut Source<R>,
        interfaces: &mut Vec<Interface>,
    ) -> Result<Option<Record>, Damage> {
        while let Some((block, len)) = self.start_block(source, interfaces.len())? {
            match block {
                SECTION | INTERFACE | OBSOLETE_PACKET | SIMPLE_PACKET | ENHANCED_PACKET => {
                    self.read_rest(source, block, len)?;
                    match block {
                        SECTION => self.section(source.bytes())?,
                        INTERFACE => self.interface(source.bytes(), interfaces)?,
                        _ => return self.packet(block, source.bytes(), interfaces).map(Some),
                    }
                }
                _ => self.pass_over(source, block, len)?,
            }
        }
        Ok(None)
    }

    /// Reads type and length of the next block, if there is one.
    fn start_block<R: Read>(
        &mut self,
        source: &mut Source<R>,
        interfaces: usize,
    ) -> Result<Option<(u32, u32)>, Damage> {
        source.start_record();
        match source.append(8)? {
            0 => Ok(None),
            8 => self.block_header(source, interfaces).map(Some),
            found => Err(Damage::Truncated { part: "a block header", expected: 8, found }),
        }
    }

    /// Looks at type and length of the block whose first eight bytes were read; takes the byte order from a section
    /// header.
    fn block_header<R: Read>(
        &mut self,
        source: &mut Source<R>,
        interfaces: usize,
    ) -> Result<(u32, u32), Damage> {
        if source.bytes().starts_with(&SECTION_HEADER) {
            source.append_all(4, "a section header")?;
            self.big_endian = match source.bytes().get(8..12) {
                Some([0x1a, 0x2b, 0x3c, 0x4d]) => true,
                Some([0x4d, 0x3c, 0x2b, 0x1a]) => false,
                _ => return Err(Damage::Malformed { block: "byte-order magic of a section header" }),
            };
            self.first_interface = interfaces;
        }
        let (Some(block), Some(len)) = (self.u32_at(source.bytes(), 0), self.u32_at(source.bytes(), 4))
        else {
            return Err(Damage::Malformed { block: "block header" });
        };
        let read = matches!(block, SECTION | INTERFACE | OBSOLETE_PACKET | SIMPLE_PACKET | ENHANCED_PACKET);
        let most = if read { MAX_BLOCK } else { u32::MAX };
        if len < MIN_BLOCK || len > most || !len.is_multiple_of(4) || (block == SECTION && len < 28) {
            return Err(Damage::BlockLength { block, len });
        }
        Ok((block, len))
    }

    /// Appends what is left of a block and checks its second length.
    fn read_rest<R: Read>(&self, source: &mut Source<R>, block: u32, len: u32) -> Result<(), Damage> {
        let have = source.bytes().len() as u64;
        source.append_all(u64::from(len).saturating_sub(have), part(block))?;
        self.check_trailer(source.bytes(), block, len)
    }

    /// Passes over a block of no interest without keeping it.
    fn pass_over<R: Read>(&self, source: &mut Source<R>, block: u32, len: u32) -> Result<(), Damage> {
        source.skip(u64::from(len - MIN_BLOCK), part(block))?;
        let kept = source.bytes().len() as u64;
        if source.append(4)? < 4 {
            let found = source.position() - source.mark();
            return Err(Damage::Truncated { part: part(block), expected: u64::from(len), found });
        }
        debug_assert_eq!(kept, 8);
        self.check_trailer(source.bytes(), block, len)
    }

    fn check_trailer(&self, bytes: &[u8], block: u32, len: u32) -> Result<(), Damage> {
        match bytes.len().checked_sub(4).and_then(|at| self.u32_at(bytes, at)) {
            Some(trailer) if trailer == len => Ok(()),
            Some(trailer) => Err(Damage::BlockTrailer { block, len, trailer }),
            None => Err(Damage::BlockLength { block, len }),
        }
    }

    fn section(&self, bytes: &[u8]) -> Result<(), Damage> {
        match pcap_parser::parse_sectionheaderblock(bytes) {
            Ok((_, header)) if header.major_version == 1 => Ok(()),
            Ok((_, header)) => {
                Err(Damage::Version { major: header.major_version, minor: header.minor_version })
            }
            Err(_) => Err(Damage::Malformed { block: "section header" }),
        }
    }

    fn interface(&self, bytes: &[u8], interfaces: &mut Vec<Interface>) -> Result<(), Damage> {
        const DAMAGE: Damage = Damage::Malformed { block: "interface description" };
        let Some(Block::InterfaceDescription(block)) = self.parse(bytes) else { return Err(DAMAGE) };
        if interfaces.len() >= MAX_INTERFACES {
            return Err(Damage::TooManyInterfaces);
        }
        let mut interface = Interface::new(LinkType(u16::try_from(block.linktype.0).map_err(|_| DAMAGE)?));
        interface.snaplen = block.snaplen;
        interface.name = block.if_name().and_then(Result::ok).map(str::to_owned);
        interface.time_unit = TimeUnit(block.if_tsresol); // the library's default is microseconds
        interface.time_offset = self.time_offset(&block);
        interfaces.push(interface);
        Ok(())
    }

    /// Reads the option `if_tsoffset` in the section's byte order.
    fn time_offset(&self, block: &InterfaceDescriptionBlock<'_>) -> i64 {
        let option = block.options.iter().find(|option| option.code == OptionCode::IfTsoffset);
        match option.map(|option| <[u8; 8]>::try_from(option.value())) {
            Some(Ok(bytes)) if self.big_endian => i64::from_be_bytes(bytes),
            Some(Ok(bytes)) => i64::from_le_bytes(bytes),
            _ => 0,
        }
    }

    fn packet(&self, block: u32, bytes: &[u8], interfaces: &[Interface]) -> Result<Record, Damage> {
        let raw = match block {
            ENHANCED_PACKET => self.enhanced(bytes)?,
            OBSOLETE_PACKET => self.obsolete(bytes)?,
            _ => self.simple(bytes, interfaces)?,
        };
        let section = interfaces.get(self.first_interface..).unwrap_or_default();
        let Some(interface) = usize::try_from(raw.interface).ok().and_then(|index| section.get(index)) else {
            let described = u32::try_from(section.len()).unwrap_or(u32::MAX);
            return Err(Damage::UnknownInterface { interface: raw.interface, described });
        };
        let first = u32::try_from(self.first_interface).unwrap_or(u32::MAX);
        Ok(Record {
            interface: first.saturating_add(raw.interface),
            timestamp: raw.ticks.map_or(0, |ticks| interface.nanos(ticks)),
            original_len: raw.original_len,
            data: raw.data,
        })
    }

    fn enhanced(&self, bytes: &[u8]) -> Result<RawPacket, Damage> {
        const DAMAGE: Damage = Damage::Malformed { block: "enhanced packet" };
        let captured = self.u32_at(bytes, 20).ok_or(DAMAGE)?;
        let data = frame_range(bytes, PACKET_HEADER, captured)?;
        let Some(Block::EnhancedPacket(block)) = self.parse(bytes) else { return Err(DAMAGE) };
        Ok(RawPacket {
            interface: block.if_id,
            ticks: Some(u64::from(block.ts_high) << 32 | u64::from(block.ts_low)),
            original_len: block.origlen,
            data,
        })
    }

    /// The packet block that preceded the enhanced one. The library leaves it to us.
    fn obsolete(&self, bytes: &[u8]) -> Result<RawPacket, Damage> {
        const DAMAGE: Damage = Damage::Malformed { block: "packet block" };
        let field = |at| self.u32_at(bytes, at).ok_or(DAMAGE);
        let numbers = field(8)?.to_be_bytes(); // interface and drop count, two bytes each
        let interface = if self.big_endian { [numbers[0], numbers[1]] } else { [numbers[2], numbers[3]] };
        Ok(RawPacket {
            interface: u32::from(u16::from_be_bytes(interface)),
            ticks: Some(u64::from(field(12)?) << 32 | u64::from(field(16)?)),
            original_len: field(24)?,
            data: frame_range(bytes, PACKET_HEADER, field(20)?)?,
        })
    }

    /// A frame without time, on the section's first interface, cut at that interface's `snaplen`.
    fn simple(&self, bytes: &[u8], interfaces: &[Interface]) -> Result<RawPacket, Damage> {
        let Some(Block::SimplePacket(block)) = self.parse(bytes) else {
            return Err(Damage::Malformed { block: "simple packet" });
        };
        let snaplen = match interfaces.get(self.first_interface).map(|interface| interface.snaplen) {
            None | Some(0) => u32::MAX,
            Some(snaplen) => snaplen,
        };
        Ok(RawPacket {
            interface: 0,
            ticks: None,
            original_len: block.origlen,
            data: frame_range(bytes, SIMPLE_HEADER, block.origlen.min(snaplen))?,
        })
    }

    fn parse<'a>(&self, bytes: &'a [u8]) -> Option<Block<'a>> {
        let parse = if self.big_endian { pcap_parser::parse_block_be } else { pcap_parser::parse_block_le };
        parse(bytes).ok().map(|(_, block)| block)
    }

    fn u32_at(&self, bytes: &[u8], at: usize) -> Option<u32> {
        let field: [u8; 4] = bytes.get(at..)?.get(..4)?.try_into().ok()?;
        Some(if self.big_endian { u32::from_be_bytes(field) } else { u32::from_le_bytes(field) })
    }
}

/// A packet block's fields, its interface counted within the section.
struct RawPacket {
    interface: u32,
    ticks: Option<u64>,
    original_len: u32,
    data: Range<usize>,
}

/// Where a frame of `len` bytes lies in its block, if it fits in front of the second length.
fn frame_range(block: &[u8], header: usize, len: u32) -> Result<Range<usize>, Damage> {
    let room = block.len().saturating_sub(header + 4);
    let limit = u32::try_from(room).unwrap_or(u32::MAX).min(MAX_FRAME);
    match usize::try_from(len) {
        Ok(bytes) if len <= limit => Ok(header..header + bytes),
        _ => Err(Damage::FrameLength { len, limit }),
    }
}

/// Names a block for an error.
fn part(block: u32) -> &'static str {
    match block {
        SECTION => "a section header",
        INTERFACE => "an interface description",
        OBSOLETE_PACKET | SIMPLE_PACKET | ENHANCED_PACKET => "a packet block",
        _ => "a block",
    }
}

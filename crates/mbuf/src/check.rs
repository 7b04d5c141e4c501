//! One function that knows every invariant.

use core::fmt;

use mbuf_zone::raw::ZoneFault;

use crate::pool::{Buffer, Pool};
use crate::queue::PacketQueue;
use crate::raw::{Head, MbufChain, StorageKind};

/// What is wrong with a packet or chain, and where: its address, the segment, the field with the values that do not go
/// together. Finding one is a bug of this library's, or of code in C that changed the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Corruption {
    /// The address of the first mbuf, as `Debug` of the chain prints it.
    pub chain: usize,
    /// Which segment, counted from zero; the last one that there is if it is about all of them.
    pub segment: usize,
    /// What is wrong with it.
    pub fault: ChainFault,
}

/// Fields of an mbuf that contradict each other. Addresses are numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChainFault {
    /// The window is not within the storage.
    Window {
        /// Its first byte (`m_data`).
        data: usize,
        /// Its bytes (`m_len`).
        len: usize,
        /// The storage's first byte.
        buf: usize,
        /// Bytes of the storage.
        capacity: usize,
    },
    /// The bounds that the mbuf has are not those of its storage, or of its inline area.
    Bounds {
        /// The first byte, as the mbuf says.
        buf: usize,
        /// Bytes, as the mbuf says.
        capacity: usize,
        /// Where the storage begins.
        storage: usize,
        /// Bytes it has.
        size: usize,
    },
    /// The flags name another kind of storage than there is.
    Kind {
        /// What the flags say.
        flags: StorageKind,
        /// Whether there is storage.
        storage: bool,
    },
    /// The storage is held and says that nobody holds it.
    NoHolders,
    /// The mbuf is not marked, so it would be freed as if it rested as it is; but its storage is shared, or another than it
    /// rests with.
    UnmarkedStorage {
        /// What it has.
        kind: StorageKind,
        /// Mbufs that hold it.
        sharers: u32,
    },
    /// The mbuf is not marked, and would be freed without its tags.
    UnmarkedTags,
    /// The mbuf is not marked, and would stay counted with its type.
    UnmarkedType {
        /// The bits of the type (`m_type`).
        bits: u8,
    },
    /// A record ends with no bytes.
    EmptyRecord,
    /// There is a packet header and should be none, or the other way round.
    Header {
        /// Whether there is one.
        present: bool,
    },
    /// It has no bytes though the chain has.
    Empty,
    /// An operation that is over chose it to be replaced.
    Chosen,
    /// It is linked to a packet, in the middle of one (`m_nextpkt`).
    Linked {
        /// The address of what it is linked to.
        next_packet: usize,
    },
    /// The header's length is not the sum of the segments' (`m_pkthdr.len`).
    Length {
        /// Bytes the header says.
        header: usize,
        /// Bytes the segments have.
        segments: usize,
    },
    /// The header's tail is not the last segment.
    Tail {
        /// The address of what it is.
        tail: usize,
        /// The address of the last segment.
        last: usize,
    },
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "chain at {:#x}, segment {}: {}", self.chain, self.segment, self.fault)
    }
}

impl core::error::Error for Corruption {}

impl fmt::Display for ChainFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            ChainFault::Window { data, len, buf, capacity } => {
                write!(
                    f,
                    "the window of {len} bytes at {data:#x} is not within the {capacity} bytes at {buf:#x}"
                )
            }
            ChainFault::Bounds { buf, capacity, storage, size } => {
                write!(
                    f,
                    "the bounds are {capacity} bytes at {buf:#x}, the storage is {size} bytes at {storage:#x}"
                )
            }
            ChainFault::Kind { flags, storage } => {
                write!(
                    f,
                    "the flags say {flags:?}, and there is {} storage",
                    if storage { "some" } else { "no" }
                )
            }
            ChainFault::NoHolders => f.write_str("the storage is held and counts no holders"),
            ChainFault::UnmarkedStorage { kind, sharers } => {
                write!(f, "it would be freed as if its storage ({kind:?}, {sharers} holders) were its own")
            }
            ChainFault::UnmarkedTags => f.write_str("it would be freed without its tags"),
            ChainFault::UnmarkedType { bits } => {
                write!(f, "it would be freed and stay counted with its type, {bits}")
            }
            ChainFault::EmptyRecord => f.write_str("a record ends with no bytes"),
            ChainFault::Header { present: true } => f.write_str("it has a packet header and should not"),
            ChainFault::Header { present: false } => {
                f.write_str("it should have a packet header and has none")
            }
            ChainFault::Empty => f.write_str("it has no bytes, but the chain has"),
            ChainFault::Chosen => f.write_str("an operation that is over chose it"),
            ChainFault::Linked { next_packet } => write!(f, "it is linked to a packet, at {next_packet:#x}"),
            ChainFault::Length { header, segments } => {
                write!(f, "the header says {header} bytes, the segments have {segments}")
            }
            ChainFault::Tail { tail, last } => {
                write!(f, "the header's tail is at {tail:#x}, the last segment at {last:#x}")
            }
        }
    }
}

impl<H: Head> MbufChain<H> {
    /// Checks every invariant that can be seen from here: windows, storage and its counts, marks, header, tags, total, tail,
    /// links.
    ///
    /// # Errors
    /// The first [`Corruption`] found. There is none unless something is broken.
    /// # Cost
    /// O(segments).
    /// # BSD
    /// `m_sanity`, `m_verify_packet`.
    #[doc(alias = "m_sanity")]
    #[doc(alias = "rte_mbuf_check")]
    pub fn check(&self) -> Result<(), Corruption> {
        let chain = self.first().address();
        let broken = |segment, fault| Err(Corruption { chain, segment, fault });
        let single = self.is_single();
        let (mut sum, mut end) = (0, (0, self.first()));
        for (segment, seg) in self.segs().enumerate() {
            if let Some(fault) = seg.fault() {
                return broken(segment, fault);
            }
            let present = seg.has_header();
            if present != (H::HEADER && segment == 0) {
                return broken(segment, ChainFault::Header { present });
            }
            if seg.len() == 0 && !single {
                return broken(segment, ChainFault::Empty);
            }
            if seg.is_chosen() {
                return broken(segment, ChainFault::Chosen);
            }
            let next_packet = seg.next_packet.get().addr();
            if segment > 0 && next_packet != 0 {
                return broken(segment, ChainFault::Linked { next_packet });
            }
            sum += seg.len();
            end = (segment, seg);
        }
        let (header, (segment, last)) = (self.total(), end);
        if header != sum {
            return broken(segment, ChainFault::Length { header, segments: sum });
        }
        if !core::ptr::eq(last, self.last()) {
            let (tail, last) = (self.last().address(), last.address());
            return broken(segment, ChainFault::Tail { tail, last });
        }
        Ok(())
    }
}

/// What is wrong with the free buffers of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolCorruption {
    /// Of which kind.
    pub what: Buffer,
    /// How.
    pub fault: ZoneFault,
}

impl fmt::Display for PoolCorruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.fault)
    }
}

impl core::error::Error for PoolCorruption {}

impl Pool {
    /// Checks what of the pool is free: slabs and their free sets, depots, and what threads have cached.
    ///
    /// # Errors
    /// The first [`PoolCorruption`] found. There is none unless something is broken.
    /// # Cost
    /// Collects the caches of all threads, and holds the locks of one kind of buffer at a time; O(free buffers times slabs).
    pub fn check(&self) -> Result<(), PoolCorruption> {
        for (what, zone) in self.shared().buffers() {
            zone.check().map_err(|fault| PoolCorruption { what, fault })?;
        }
        Ok(())
    }
}

/// What is wrong with a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum QueueCorruption {
    /// A packet is corrupt.
    Packet {
        /// Which one, counted from zero.
        index: usize,
        /// How.
        corruption: Corruption,
    },
    /// The queue's count of packets or bytes is wrong.
    Totals {
        /// Packets and bytes that the queue says.
        said: (usize, u64),
        /// Packets and bytes that there are.
        found: (usize, u64),
    },
    /// The last packet is not the one that the queue says.
    Tail,
}

impl fmt::Display for QueueCorruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            QueueCorruption::Packet { index, corruption } => write!(f, "packet {index}: {corruption}"),
            QueueCorruption::Totals { said, found } => write!(
                f,
                "the queue says {} packets and {} bytes, and has {} and {}",
                said.0, said.1, found.0, found.1
            ),
            QueueCorruption::Tail => f.write_str("the queue's last packet is not the last"),
        }
    }
}

impl core::error::Error for QueueCorruption {}

impl PacketQueue {
    /// Checks every packet, the totals and the tail.
    ///
    /// # Errors
    /// The first [`QueueCorruption`] found.
    /// # Cost
    /// O(segments).
    pub fn check(&self) -> Result<(), QueueCorruption> {
        let (mut found, mut last) = ((0, 0), None);
        for (index, packet) in self.iter().enumerate() {
            packet.check().map_err(|corruption| QueueCorruption::Packet { index, corruption })?;
            found = (index + 1, found.1 + packet.len() as u64);
            last = Some(packet.address());
        }
        let said = (self.len(), self.bytes());
        if said != found {
            return Err(QueueCorruption::Totals { said, found });
        }
        if self.back().map(|packet| packet.address()) != last {
            return Err(QueueCorruption::Tail);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Class;
    use alloc::string::ToString;

    #[test]
    fn what_is_wrong_is_said_with_the_values_that_do_not_go_together() {
        let (kind, inline) = (StorageKind::Cluster(Class::Page), StorageKind::Inline);
        let faults = [
            (
                ChainFault::Window { data: 0x10, len: 9, buf: 0x20, capacity: 8 },
                "the window of 9 bytes at 0x10 is not within the 8 bytes at 0x20",
            ),
            (
                ChainFault::Bounds { buf: 0x10, capacity: 9, storage: 0x20, size: 8 },
                "the bounds are 9 bytes at 0x10, the storage is 8 bytes at 0x20",
            ),
            (
                ChainFault::Kind { flags: kind, storage: false },
                "the flags say Cluster(Page), and there is no storage",
            ),
            (
                ChainFault::Kind { flags: inline, storage: true },
                "the flags say Inline, and there is some storage",
            ),
            (ChainFault::NoHolders, "the storage is held and counts no holders"),
            (
                ChainFault::UnmarkedStorage { kind, sharers: 3 },
                "it would be freed as if its storage (Cluster(Page), 3 holders) were its own",
            ),
            (ChainFault::UnmarkedTags, "it would be freed without its tags"),
            (ChainFault::UnmarkedType { bits: 4 }, "it would be freed and stay counted with its type, 4"),
            (ChainFault::EmptyRecord, "a record ends with no bytes"),
            (ChainFault::Header { present: true }, "it has a packet header and should not"),
            (ChainFault::Header { present: false }, "it should have a packet header and has none"),
            (ChainFault::Empty, "it has no bytes, but the chain has"),
            (ChainFault::Chosen, "an operation that is over chose it"),
            (ChainFault::Linked { next_packet: 0x10 }, "it is linked to a packet, at 0x10"),
            (ChainFault::Length { header: 5, segments: 6 }, "the header says 5 bytes, the segments have 6"),
            (
                ChainFault::Tail { tail: 0x10, last: 0x20 },
                "the header's tail is at 0x10, the last segment at 0x20",
            ),
        ];
        for (fault, text) in faults {
            let corruption = Corruption { chain: 0xabc0, segment: 2, fault };
            assert_eq!(corruption.to_string(), alloc::format!("chain at 0xabc0, segment 2: {text}"));
        }
        let totals = QueueCorruption::Totals { said: (1, 2), found: (3, 4) };
        assert_eq!(totals.to_string(), "the queue says 1 packets and 2 bytes, and has 3 and 4");
        assert_eq!(QueueCorruption::Tail.to_string(), "the queue's last packet is not the last");
    }
}

//! Everything about a chain that a failed operation must leave alone.

use mbuf::{Flags, MbufChain, MbufType, Meta, PacketQueue, StorageKind};

use crate::{Built, Kind, Label};

/// A segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentSnapshot {
    /// Where the data begins in memory.
    pub address: usize,
    /// Bytes of data.
    pub len: usize,
    /// Writable bytes in front.
    pub headroom: usize,
    /// Writable bytes behind.
    pub tailroom: usize,
    /// Bytes of the storage.
    pub capacity: usize,
    /// Where the bytes are.
    pub kind: StorageKind,
    /// How many share them.
    pub sharers: u32,
    /// Whether they may be written.
    pub writable: bool,
    /// The flags.
    pub flags: Flags,
    /// The type.
    pub mbuf_type: MbufType,
}

/// A chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The total length.
    pub len: usize,
    /// The segments.
    pub segments: Vec<SegmentSnapshot>,
    /// The packet header.
    pub header: Option<(Meta, Option<Label>)>,
}

impl Snapshot {
    /// What a chain looks like now.
    pub fn of<H: Kind>(chain: &MbufChain<H>) -> Self {
        assert_eq!(chain.check(), Ok(()));
        let segments = chain.segments().map(|seg| SegmentSnapshot {
            address: seg.bytes().as_ptr().addr(),
            len: seg.len(),
            headroom: seg.headroom(),
            tailroom: seg.tailroom(),
            capacity: seg.capacity(),
            kind: seg.storage_kind(),
            sharers: seg.share_count(),
            writable: seg.is_writable(),
            flags: seg.flags(),
            mbuf_type: seg.mbuf_type(),
        });
        let segments = segments.collect();
        Snapshot { bytes: chain.to_vec(), len: chain.len(), segments, header: H::header(chain) }
    }
}

/// Something whose state can be compared before and after.
pub trait Observe {
    /// The state.
    fn observe(&self) -> Vec<Snapshot>;
}

impl Observe for () {
    fn observe(&self) -> Vec<Snapshot> {
        Vec::new()
    }
}

impl<H: Kind> Observe for MbufChain<H> {
    fn observe(&self) -> Vec<Snapshot> {
        vec![Snapshot::of(self)]
    }
}

impl<H: Kind> Observe for Built<H> {
    fn observe(&self) -> Vec<Snapshot> {
        self.check_sharers();
        self.chain.observe()
    }
}

impl<T: Observe> Observe for Option<T> {
    fn observe(&self) -> Vec<Snapshot> {
        self.iter().flat_map(Observe::observe).collect()
    }
}

impl<T: Observe> Observe for Vec<T> {
    fn observe(&self) -> Vec<Snapshot> {
        self.iter().flat_map(Observe::observe).collect()
    }
}

impl<A: Observe, B: Observe> Observe for (A, B) {
    fn observe(&self) -> Vec<Snapshot> {
        let mut all = self.0.observe();
        all.extend(self.1.observe());
        all
    }
}

impl Observe for PacketQueue {
    fn observe(&self) -> Vec<Snapshot> {
        self.check().expect("the queue is sound");
        self.iter().flat_map(Observe::observe).collect()
    }
}

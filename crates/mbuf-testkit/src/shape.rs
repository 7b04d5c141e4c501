//! The same bytes in every segmentation and storage.

use mbuf::{Bare, Chain, Class, Flags, Head, Header, MHLEN, MLEN, MbufChain, MbufType, Meta, Packet, Pool};

use crate::{Label, Rng, segmentations};

/// What a chain is, packet or headerless, as far as tests have to tell them apart.
pub trait Kind: Head + Sized {
    /// The chain that a packet becomes.
    fn from_packet(packet: Packet) -> MbufChain<Self>;
    /// Metadata and label, if there is a packet header.
    fn header(chain: &MbufChain<Self>) -> Option<(Meta, Option<Label>)>;
    /// Sets metadata, label and flags, if there is a packet header.
    fn set_header(chain: &mut MbufChain<Self>, meta: Meta, label: Label, flags: Flags);
    /// Inline bytes of a first segment.
    const INLINE: usize;
}

impl Kind for Header {
    fn from_packet(packet: Packet) -> Packet {
        packet
    }

    fn header(packet: &Packet) -> Option<(Meta, Option<Label>)> {
        Some((*packet.meta(), packet.tag().cloned()))
    }

    fn set_header(packet: &mut Packet, meta: Meta, label: Label, flags: Flags) {
        *packet.meta_mut() = meta;
        packet.set_tag(label);
        packet.set_flags(flags);
    }

    const INLINE: usize = MHLEN;
}

impl Kind for Bare {
    fn from_packet(packet: Packet) -> Chain {
        packet.into_chain()
    }

    fn header(_: &Chain) -> Option<(Meta, Option<Label>)> {
        None
    }

    fn set_header(_: &mut Chain, _: Meta, _: Label, _: Flags) {}

    const INLINE: usize = MLEN;
}

/// Where the bytes of a segment are, and who else sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// Within the mbuf. Segments that are too long for it get a cluster.
    Inline,
    /// A buffer of its own, of this class or the first larger one that holds the segment.
    Own(Class),
    /// A buffer that a copy made with `share` shows, too; the segment is the original.
    Shared(Class),
    /// As `Shared`, but the segment is that of the copy.
    Copy(Class),
    /// External memory that may be written.
    External,
    /// External memory that may be written, shared with a copy.
    SharedExternal,
    /// External memory that must not be written.
    ReadOnly,
    /// External memory that must not be written, shared with a copy.
    SharedReadOnly,
}

impl Storage {
    /// All kinds of storage.
    pub const ALL: [Storage; 12] = [
        Storage::Inline,
        Storage::Own(Class::Cluster),
        Storage::Own(Class::Page),
        Storage::Own(Class::Jumbo9),
        Storage::Own(Class::Jumbo16),
        Storage::Shared(Class::Cluster),
        Storage::Copy(Class::Cluster),
        Storage::Shared(Class::Page),
        Storage::External,
        Storage::SharedExternal,
        Storage::ReadOnly,
        Storage::SharedReadOnly,
    ];

    /// Whether the bytes may be written where they are.
    pub fn is_writable(self) -> bool {
        matches!(self, Storage::Inline | Storage::Own(_) | Storage::External)
    }
}

/// How a chain is laid out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// Bytes and storage of each segment.
    pub segments: Vec<(usize, Storage)>,
    /// Unused bytes in front of each segment's data, as far as its storage has room.
    pub headroom: usize,
    /// Unused bytes behind each segment's data, for external storage; otherwise what the storage leaves.
    pub tailroom: usize,
    /// Whether inline segments and buffers are used to their very end.
    pub flush: bool,
}

/// Shapes for `len` bytes: every segmentation in each storage and in mixed ones.
pub fn shapes(len: usize, random: usize, seed: u64) -> Vec<Shape> {
    let mut rng = Rng::new(seed ^ len as u64);
    let mut all = Vec::new();
    let kinds: &[Storage] = if cfg!(miri) {
        &[
            Storage::Inline,
            Storage::Own(Class::Cluster),
            Storage::Shared(Class::Cluster),
            Storage::Copy(Class::Cluster),
            Storage::SharedExternal,
            Storage::ReadOnly,
        ]
    } else {
        &Storage::ALL
    };
    for (i, sizes) in segmentations(len, random, &mut rng).into_iter().enumerate() {
        for (k, &storage) in kinds.iter().enumerate() {
            let (headroom, tailroom, flush) = match (i + k) % 4 {
                0 => (0, 0, false),
                1 => (32, 9, false),
                2 => (5, 0, true),
                _ => (64, 300, false),
            };
            let segments = sizes.iter().map(|&n| (n, storage)).collect();
            all.push(Shape { segments, headroom, tailroom, flush });
        }
        for _ in 0..3 {
            let segments = sizes.iter().map(|&n| (n, rng.pick(kinds))).collect();
            let (headroom, tailroom) = (rng.below(70), rng.below(70));
            all.push(Shape { segments, headroom, tailroom, flush: rng.below(2) == 0 });
        }
    }
    all
}

/// The byte at an offset of every chain built here.
pub fn pattern(offset: usize) -> u8 {
    (offset as u32).wrapping_mul(0x9e37_79b1).wrapping_add(0x1234_5678).to_le_bytes()[3]
}

/// A chain of a shape, with what must be true of it and of those it shares storage with.
#[derive(Debug)]
pub struct Built<H: Head> {
    /// The chain.
    pub chain: MbufChain<H>,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Its shape.
    pub shape: Shape,
    /// The pool all of it came from.
    pub pool: Pool,
    sharers: Vec<(Packet, Vec<u8>)>,
}

impl<H: Kind> Built<H> {
    /// Checks the chain, and that those it shares storage with see what they saw before.
    #[track_caller]
    pub fn check(&self) {
        assert_eq!(self.chain.check(), Ok(()));
        assert_eq!(self.chain, self.bytes);
        self.check_sharers();
    }

    /// Checks that those the chain shares storage with see what they saw before.
    #[track_caller]
    pub fn check_sharers(&self) {
        for (sharer, bytes) in &self.sharers {
            assert_eq!(sharer.check(), Ok(()));
            assert_eq!(sharer, bytes, "a sharer sees other bytes");
        }
    }

    /// Metadata that every built packet has.
    pub const META: Meta = Meta {
        interface: 7,
        checksum_flags: 11,
        checksum_data: 13,
        tso_segment: 17,
        vlan_tag: 19,
        flow_id: 23,
        hash_type: 29,
        timestamp_kind: 31,
        l2_len: 14,
        l4_len: 20,
        l3_len: 40,
        priority: 37,
        timestamp: 41,
        user: [1; 8],
        scratch: [2; 8],
    };

    /// The label that every built packet has.
    pub const LABEL: Label = Label(43);

    /// The flags that every built packet has.
    pub const FLAGS: Flags = Flags(Flags::MULTICAST.0 | Flags::VLAN_TAG.0);

    /// The type that every segment has.
    pub const TYPE: MbufType = MbufType::Control;

    /// Checks that a chain has the header that built ones get, and its segments the type, and no flags that are not
    /// the packet's.
    #[track_caller]
    pub fn check_header(chain: &MbufChain<H>) {
        if let Some((meta, label)) = H::header(chain) {
            assert_eq!(meta, Self::META, "other metadata");
            assert_eq!(label, Some(Self::LABEL), "another label");
        }
        let packet = if H::HEADER { Self::FLAGS } else { Flags::default() };
        for (i, seg) in chain.segments().enumerate() {
            let expected = if i == 0 { packet } else { Flags::default() };
            assert_eq!((seg.flags(), seg.mbuf_type()), (expected, Self::TYPE), "of segment {i}");
        }
    }
}

impl Shape {
    /// One segment.
    pub fn single(len: usize, storage: Storage) -> Self {
        Shape::of([(len, storage)])
    }

    /// Segments with no particular room.
    pub fn of(segments: impl IntoIterator<Item = (usize, Storage)>) -> Self {
        Shape { segments: segments.into_iter().collect(), headroom: 0, tailroom: 0, flush: false }
    }

    /// The same with so much headroom.
    pub fn headroom(self, headroom: usize) -> Self {
        Shape { headroom, ..self }
    }

    /// The same with no room behind the data of any segment.
    pub fn flush(self) -> Self {
        Shape { flush: true, ..self }
    }

    /// Bytes.
    pub fn total(&self) -> usize {
        self.segments.iter().map(|&(n, _)| n).sum()
    }

    /// Whether every segment may be written in place.
    pub fn is_writable(&self) -> bool {
        self.segments.iter().all(|(_, storage)| storage.is_writable())
    }

    /// Makes the chain.
    ///
    /// # Panics
    /// If the pool has not enough.
    pub fn build<H: Kind>(&self, pool: &Pool) -> Built<H> {
        let bytes: Vec<u8> = (0..self.total()).map(pattern).collect();
        let mut sharers = Vec::new();
        let mut chain: Option<MbufChain<H>> = None;
        let mut rest = &bytes[..];
        for &(n, storage) in &self.segments {
            let (now, later) = rest.split_at(n);
            rest = later;
            match &mut chain {
                None => chain = Some(self.piece::<H>(pool, now, storage, &mut sharers)),
                Some(chain) => link(pool, chain, self.piece::<Bare>(pool, now, storage, &mut sharers)),
            }
        }
        let mut chain = chain.expect("a shape has a segment");
        chain.set_type(Built::<H>::TYPE);
        H::set_header(&mut chain, Built::<H>::META, Built::<H>::LABEL, Built::<H>::FLAGS);
        let built = Built { chain, bytes, shape: self.clone(), pool: pool.clone(), sharers };
        built.check();
        let sizes: Vec<usize> = built.chain.segments().map(|seg| seg.len()).collect();
        assert_eq!(
            sizes,
            self.segments.iter().map(|&(n, _)| n).collect::<Vec<_>>(),
            "the segments of {self:?}"
        );
        built
    }

    /// A chain of one segment.
    fn piece<K: Kind>(
        &self,
        pool: &Pool,
        bytes: &[u8],
        storage: Storage,
        sharers: &mut Vec<(Packet, Vec<u8>)>,
    ) -> MbufChain<K> {
        let n = bytes.len();
        match storage {
            Storage::Inline if n > K::INLINE => self.buffer::<K>(pool, bytes, Class::Cluster),
            Storage::Inline => {
                let spare = K::INLINE - n;
                let headroom = if self.flush { spare } else { self.headroom.min(spare) };
                let mut chain = MbufChain::<K>::with_headroom(pool, n, headroom).expect("an mbuf");
                chain.extend_from_slice(bytes).expect("there is room");
                chain
            }
            Storage::Own(class) => self.buffer::<K>(pool, bytes, class),
            Storage::Shared(class) => {
                let packet = self.buffer::<Header>(pool, bytes, class);
                let copy = packet.share().expect("an mbuf");
                // The copy shows all the bytes, so that it would notice a change of any.
                sharers.push((copy, bytes.to_vec()));
                K::from_packet(packet)
            }
            Storage::Copy(class) => {
                let packet = self.buffer::<Header>(pool, bytes, class);
                let copy = packet.share().expect("an mbuf");
                sharers.push((packet, bytes.to_vec()));
                K::from_packet(copy)
            }
            Storage::External => K::from_packet(self.external(pool, bytes, false)),
            Storage::ReadOnly => K::from_packet(self.external(pool, bytes, true)),
            Storage::SharedExternal | Storage::SharedReadOnly => {
                let packet = self.external(pool, bytes, storage == Storage::SharedReadOnly);
                sharers.push((packet.share().expect("an mbuf"), bytes.to_vec()));
                K::from_packet(packet)
            }
        }
    }

    fn buffer<K: Head>(&self, pool: &Pool, bytes: &[u8], class: Class) -> MbufChain<K> {
        let class = class.max(Class::for_len(bytes.len()).expect("no more than 16 KiB in a buffer"));
        let spare = class.size() - bytes.len();
        let headroom = if self.flush { spare } else { self.headroom.min(spare) };
        let mut chain = MbufChain::with_class(pool, class).expect("a buffer");
        // To the start of the buffer, wherever the pool put the window.
        let front = chain.headroom();
        chain.prepend(front).expect("there is room");
        chain.truncate(0);
        chain.extend_zeroed(headroom).expect("there is room");
        chain.extend_from_slice(bytes).expect("there is room");
        chain.trim_front(headroom).expect("it was added");
        chain
    }

    fn external(&self, pool: &Pool, bytes: &[u8], read_only: bool) -> Packet {
        let mut memory = vec![0xee; self.headroom];
        memory.extend_from_slice(bytes);
        memory.resize(memory.len() + self.tailroom, 0xee);
        let mut packet = if read_only {
            Packet::from_owner(pool, memory).expect("a record")
        } else {
            Packet::from_owner_mut(pool, memory).expect("a record")
        };
        packet.trim_front(self.headroom).expect("it is there");
        packet.trim_back(self.tailroom).expect("it is there");
        packet
    }
}

/// Links a chain behind another, although there may be room to copy it.
fn link<H: Head>(pool: &Pool, chain: &mut MbufChain<H>, mut more: Chain) {
    const FILLER: usize = 257;
    let segments = chain.segment_count() + more.segment_count();
    // Over 256 bytes are linked, whatever the room.
    let filler = Packet::from_owner(pool, [0u8; FILLER]).expect("a record");
    more.append(filler).expect("short enough");
    chain.append(more).expect("short enough");
    chain.trim_back(FILLER).expect("it was added");
    assert_eq!(chain.segment_count(), segments);
}

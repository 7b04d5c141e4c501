//! Operations as data.

/// A number that is turned into an offset or a length when an operation is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dial(pub u16);

impl Dial {
    /// An offset from 0 to `len`, both ends often; now and then one beyond.
    pub fn at(self, len: usize) -> usize {
        let value = usize::from(self.0 / 16);
        match self.0 % 16 {
            0 => 0,
            1 => len,
            2 => 1.min(len),
            3 => len.saturating_sub(1),
            4 if value.is_multiple_of(8) => len + 1 + value,
            4 if value % 8 == 1 => usize::MAX - value / 8 % 3,
            _ => value % (len + 1),
        }
    }

    /// A length: mostly around the sizes where something changes, sometimes any up to 700.
    pub fn size(self) -> usize {
        const EDGES: [usize; 16] =
            [0, 1, 2, 16, 64, 104, 105, 184, 185, 256, 257, 512, 1984, 2048, 4096, 9216];
        let value = usize::from(self.0 / 16);
        match self.0 % 16 {
            0..6 => value % 40,
            6..11 => EDGES[value % EDGES.len()] + value / 16 % 2,
            _ => value % 700,
        }
    }

    /// One of so many.
    pub fn of(self, n: usize) -> usize {
        usize::from(self.0) % n.max(1)
    }
}

/// An operation of a [`World`](crate::World). `who` picks the packet or chain it is called on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Op {
    New { pool: Dial, kind: Dial, len: Dial, room: Dial },
    FromSlices { pool: Dial, len: Dial, cut: Dial },
    Reserve { pool: Dial, capacity: Dial, len: Dial },
    Prepend { who: Dial, len: Dial },
    PrependSlice { who: Dial, len: Dial },
    ExtendFromSlice { who: Dial, len: Dial },
    Extend { who: Dial, len: Dial },
    ExtendZeroed { who: Dial, len: Dial },
    PadTo { who: Dial, len: Dial },
    Append { who: Dial, other: Dial },
    Insert { who: Dial, other: Dial, at: Dial },
    TrimFront { who: Dial, len: Dial },
    TrimBack { who: Dial, len: Dial },
    Truncate { who: Dial, len: Dial },
    RemoveRange { who: Dial, from: Dial, to: Dial },
    SplitOff { who: Dial, at: Dial },
    SplitTo { who: Dial, at: Dial },
    Share { who: Dial },
    ShareMut { who: Dial },
    ShareRange { who: Dial, from: Dial, to: Dial },
    ShareRangeMut { who: Dial, from: Dial, to: Dial },
    Duplicate { who: Dial },
    DuplicateWithHeadroom { who: Dial, room: Dial },
    WriteAt { who: Dial, at: Dial, len: Dial },
    MakeUnique { who: Dial },
    MakeUniqueRange { who: Dial, from: Dial, to: Dial },
    SlicesMut { who: Dial, from: Dial, to: Dial },
    MakeContiguous { who: Dial, len: Dial },
    MakeContiguousWithHeadroom { who: Dial, len: Dial, room: Dial },
    MakeContiguousAt { who: Dial, from: Dial, to: Dial },
    Defragment { who: Dial },
    Collapse { who: Dial, max: Dial },
    Shatter { who: Dial, seed: Dial },
    IntoChain { who: Dial },
    IntoPacket { who: Dial },
    SetHeader { who: Dial, value: Dial },
    SetSegment { who: Dial, which: Dial, value: Dial },
    ClearFlags { who: Dial, value: Dial },
    SetType { who: Dial, value: Dial },
    CopyHeaderFrom { who: Dial, other: Dial },
    TakeHeaderFrom { who: Dial, other: Dial },
    PushBack { who: Dial, queue: Dial },
    PushFront { who: Dial, queue: Dial },
    PopFront { queue: Dial },
    AppendQueue { queue: Dial },
    Read { who: Dial, from: Dial, to: Dial },
    Seek { who: Dial, from: Dial, to: Dial },
    Write { who: Dial, len: Dial, cut: Dial },
    Advance { who: Dial, len: Dial },
    CopyToBytes { who: Dial, len: Dial },
    AppendReserve { who: Dial, pool: Dial, capacity: Dial, len: Dial },
    Drop { who: Dial },
    DropElsewhere { who: Dial },
    IntoOwner { who: Dial },
    Starve { pool: Dial, resource: Dial, left: Dial },
    Relieve { pool: Dial },
    Trim { pool: Dial },
}

impl Op {
    /// The operation that four numbers name; every choice of them is one.
    pub fn from_words(words: [u16; 4]) -> Op {
        let [code, a, b, c] = words;
        let (who, b, c) = (Dial(a), Dial(b), Dial(c));
        let pool = who;
        let more = Dial(code / 76);
        match code % 76 {
            0..4 => Op::New { pool, kind: b, len: c, room: more },
            4 => Op::FromSlices { pool, len: b, cut: c },
            5 => Op::Reserve { pool, capacity: b, len: c },
            6 => Op::Prepend { who, len: b },
            7 => Op::PrependSlice { who, len: b },
            8 | 9 => Op::ExtendFromSlice { who, len: b },
            10 => Op::Extend { who, len: b },
            11 => Op::ExtendZeroed { who, len: b },
            12 => Op::PadTo { who, len: b },
            13 | 14 => Op::Append { who, other: b },
            15 => Op::Insert { who, other: b, at: c },
            16 => Op::TrimFront { who, len: b },
            17 => Op::TrimBack { who, len: b },
            18 => Op::Truncate { who, len: b },
            19 => Op::RemoveRange { who, from: b, to: c },
            20 => Op::SplitOff { who, at: b },
            21 => Op::SplitTo { who, at: b },
            22 => Op::Share { who },
            23 => Op::ShareMut { who },
            24 => Op::ShareRange { who, from: b, to: c },
            25 => Op::ShareRangeMut { who, from: b, to: c },
            26 => Op::Duplicate { who },
            27 => Op::DuplicateWithHeadroom { who, room: b },
            28..31 => Op::WriteAt { who, at: b, len: c },
            31 => Op::MakeUnique { who },
            32 => Op::MakeUniqueRange { who, from: b, to: c },
            33 => Op::SlicesMut { who, from: b, to: c },
            34 => Op::MakeContiguous { who, len: b },
            35 => Op::MakeContiguousWithHeadroom { who, len: b, room: c },
            36 | 37 => Op::MakeContiguousAt { who, from: b, to: c },
            38 => Op::Defragment { who },
            39 => Op::Collapse { who, max: b },
            40 => Op::Shatter { who, seed: b },
            41 => Op::IntoChain { who },
            42 | 43 => Op::IntoPacket { who },
            44 => Op::SetHeader { who, value: b },
            45 => Op::CopyHeaderFrom { who, other: b },
            46 => Op::TakeHeaderFrom { who, other: b },
            47 => Op::PushBack { who, queue: b },
            48 => Op::PushFront { who, queue: b },
            49 => Op::PopFront { queue: b },
            50 => Op::Read { who, from: b, to: c },
            51 => Op::Drop { who },
            52 if more.0.is_multiple_of(8) => Op::DropElsewhere { who },
            52 => Op::Drop { who },
            53 => Op::IntoOwner { who },
            54..56 => Op::Starve { pool, resource: b, left: c },
            56..58 => Op::Relieve { pool },
            58 if b.0.is_multiple_of(8) => Op::Trim { pool },
            60..65 => Op::SetSegment { who, which: b, value: c },
            65 => Op::ClearFlags { who, value: b },
            66 => Op::SetType { who, value: b },
            67 => Op::AppendQueue { queue: b },
            68 => Op::PopFront { queue: b },
            69 => Op::Seek { who, from: b, to: c },
            70 | 71 => Op::Write { who, len: b, cut: c },
            72 => Op::Advance { who, len: b },
            73 => Op::CopyToBytes { who, len: b },
            74 => Op::AppendReserve { who, pool: more, capacity: b, len: c },
            _ => Op::ExtendFromSlice { who, len: b },
        }
    }

    /// Whether it may join bytes that belong to different records, or have different types.
    pub(crate) fn joins(self) -> bool {
        matches!(
            self,
            Op::MakeContiguous { .. }
                | Op::MakeContiguousWithHeadroom { .. }
                | Op::MakeContiguousAt { .. }
                | Op::Defragment { .. }
                | Op::Collapse { .. }
                | Op::Shatter { .. }
                | Op::Duplicate { .. }
                | Op::DuplicateWithHeadroom { .. }
        )
    }

    /// The operations that bytes name: eight bytes each. For fuzzers.
    pub fn from_bytes(bytes: &[u8]) -> impl Iterator<Item = Op> {
        bytes.as_chunks::<8>().0.iter().map(|chunk| {
            let (words, _) = chunk.as_chunks::<2>();
            Op::from_words([0, 1, 2, 3].map(|i| u16::from_le_bytes(words[i])))
        })
    }
}

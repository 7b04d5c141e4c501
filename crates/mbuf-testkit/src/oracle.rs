//! What a chain should be: plain bytes, and of each what its segment says.

use std::ops::Range;

use mbuf::{Flags, MbufChain, MbufType, Meta};

use crate::{Kind, Label};

const END: Flags = Flags::END_OF_RECORD;

/// What a packet header should say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Known {
    pub(crate) meta: Meta,
    pub(crate) label: Option<Label>,
    /// Without the end of a record, which is the first segment's.
    pub(crate) flags: Flags,
}

/// What is said of some bytes. `END` is said of the last of them, other flags of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    len: usize,
    kind: MbufType,
    flags: Flags,
}

/// Bytes that nobody shares, so a write to one chain can show in no other.
#[derive(Debug, Clone)]
pub(crate) struct Oracle {
    pub(crate) bytes: Vec<u8>,
    /// For one stretch of bytes after the other, none of them empty.
    marks: Vec<Mark>,
    /// The type while there are no bytes.
    empty: MbufType,
    pub(crate) header: Option<Known>,
}

impl Oracle {
    /// Of a fresh chain.
    pub(crate) fn new<H: Kind>(bytes: Vec<u8>) -> Self {
        let header = H::HEADER.then(Known::default);
        let mut oracle = Oracle { bytes: Vec::new(), marks: Vec::new(), empty: MbufType::Data, header };
        oracle.extend(&bytes);
        oracle
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    fn first_kind(&self) -> MbufType {
        self.marks.first().map_or(self.empty, |mark| mark.kind)
    }

    fn last_kind(&self) -> MbufType {
        self.marks.last().map_or(self.empty, |mark| mark.kind)
    }

    /// The index of the mark of the byte at `at`, made the first of its stretch.
    fn cut(&mut self, at: usize) -> usize {
        let mut within = at;
        for (i, mark) in self.marks.iter_mut().enumerate() {
            if within == 0 {
                return i;
            }
            if within < mark.len {
                let rest = Mark { len: mark.len - within, ..*mark };
                (mark.len, mark.flags) = (within, mark.flags.without(END));
                self.marks.insert(i + 1, rest);
                return i + 1;
            }
            within -= mark.len;
        }
        self.marks.len()
    }

    fn cuts(&mut self, range: Range<usize>) -> Range<usize> {
        self.cut(range.start)..self.cut(range.end)
    }

    /// New bytes in front.
    pub(crate) fn prepend(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            let mark = Mark { len: bytes.len(), kind: self.first_kind(), flags: Flags(0) };
            self.bytes.splice(0..0, bytes.iter().copied());
            self.marks.insert(0, mark);
        }
    }

    /// New bytes behind.
    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            let mark = Mark { len: bytes.len(), kind: self.last_kind(), flags: Flags(0) };
            self.bytes.extend_from_slice(bytes);
            self.marks.push(mark);
        }
    }

    /// Zeros up to a length.
    pub(crate) fn pad_to(&mut self, len: usize) {
        self.extend(&vec![0; len.saturating_sub(self.len())]);
    }

    /// Other bytes in the place of those from `at` on, and behind the end.
    pub(crate) fn write(&mut self, at: usize, bytes: &[u8]) {
        self.pad_to(at + bytes.len());
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Another chain's bytes.
    pub(crate) fn insert(&mut self, at: usize, other: Oracle) {
        self.bytes.splice(at..at, other.bytes);
        let cut = self.cut(at);
        self.marks.splice(cut..cut, other.marks);
    }

    /// Drops bytes; a record that loses its end ends with what is left in front.
    pub(crate) fn remove(&mut self, range: Range<usize>) {
        self.empty = self.first_kind();
        let cuts = self.cuts(range.clone());
        self.bytes.drain(range);
        let ended = self.marks.drain(cuts.clone()).any(|mark| mark.flags.contains(END));
        if let Some(last) = self.marks[..cuts.start].last_mut().filter(|_| ended) {
            last.flags = last.flags.with(END);
        }
    }

    pub(crate) fn truncate(&mut self, len: usize) {
        self.remove(len.min(self.len())..self.len());
    }

    /// A copy of a part.
    pub(crate) fn part(&mut self, range: Range<usize>) -> Self {
        let cuts = self.cuts(range.clone());
        Oracle {
            bytes: self.bytes[range].to_vec(),
            marks: self.marks[cuts].to_vec(),
            empty: self.first_kind(),
            header: self.header.clone(),
        }
    }

    /// Cuts off and returns what is behind `at`.
    pub(crate) fn split_off(&mut self, at: usize) -> Self {
        self.empty = self.first_kind();
        let cut = self.cut(at);
        Oracle {
            empty: self.last_kind(),
            bytes: self.bytes.split_off(at),
            marks: self.marks.split_off(cut),
            header: self.header.clone(),
        }
    }

    /// Sets the flags of a segment that has these bytes.
    pub(crate) fn set_flags(&mut self, range: Range<usize>, flags: Flags) {
        let mut own = flags;
        if let Some(known) = self.header.as_mut().filter(|_| range.start == 0) {
            known.flags = flags.without(END);
            own = Flags(flags.0 & END.0);
        }
        let cuts = self.cuts(range);
        let marks = &mut self.marks[cuts];
        marks.iter_mut().for_each(|mark| mark.flags = own.without(END));
        if let Some(last) = marks.last_mut() {
            last.flags = own;
        }
    }

    /// Sets the type of a segment that has these bytes.
    pub(crate) fn set_type(&mut self, range: Range<usize>, kind: MbufType) {
        if self.bytes.is_empty() {
            self.empty = kind;
        }
        let cuts = self.cuts(range);
        self.marks[cuts].iter_mut().for_each(|mark| mark.kind = kind);
    }

    pub(crate) fn clear_flags(&mut self, flags: Flags) {
        if let Some(known) = &mut self.header {
            known.flags = known.flags.without(flags);
        }
        self.marks.iter_mut().for_each(|mark| mark.flags = mark.flags.without(flags));
    }

    /// Compares with a chain. Only now its segments count: where bytes of several were joined, all have the type of
    /// the first and the flags of all; on a packet's first segment, flags become the packet's. `joins` says whether
    /// bytes of different types, or on both sides of the end of a record, may have been joined.
    pub(crate) fn compare<H: Kind>(&mut self, chain: &MbufChain<H>, joins: bool) {
        assert_eq!(chain.check(), Ok(()));
        assert_eq!(chain.len(), self.len());
        assert!(*chain == self.bytes, "{chain:?} should be {:02x?}", self.bytes);
        let mut joined = Vec::new();
        for (i, seg) in chain.segments().enumerate() {
            let cut = self.cut(seg.len());
            let rest = self.marks.split_off(cut);
            let marks = std::mem::replace(&mut self.marks, rest);
            let kind = marks.first().map_or(self.empty, |mark| mark.kind);
            let apart = marks.iter().rev().skip(1).any(|mark| mark.flags.contains(END) || mark.kind != kind);
            assert!(joins || !apart, "segment {i} of {chain:?} joins {marks:?}");
            let mut own = marks.iter().fold(Flags(0), |flags, mark| flags.with(mark.flags));
            let mut flags = own;
            if let (0, Some(known)) = (i, &mut self.header) {
                known.flags = known.flags.with(own.without(END));
                own = Flags(own.0 & END.0);
                flags = own.with(known.flags);
            }
            assert_eq!((seg.flags(), seg.mbuf_type()), (flags, kind), "of segment {i} of {chain:?}");
            joined.extend((!seg.is_empty()).then_some(Mark { len: seg.len(), kind, flags: own }));
        }
        self.marks = joined;
        let known = self.header.as_ref().map(|known| (known.meta, known.label.clone()));
        assert_eq!(H::header(chain), known);
    }
}

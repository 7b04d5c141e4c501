//! One function that knows every invariant.

use core::fmt;

use crate::raw::{Head, MbufChain};

/// What is wrong with a chain. Finding one is a bug of this library's, or of C code that changed the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Corruption {
    /// A segment contradicts itself.
    Segment {
        /// Which one, counted from zero.
        segment: usize,
        /// How.
        fault: &'static str,
    },
    /// A segment has a packet header and should not, or the other way round.
    Header {
        /// Which one, counted from zero.
        segment: usize,
        /// Whether it has one.
        present: bool,
    },
    /// A segment is empty though the chain is not.
    Empty {
        /// Which one, counted from zero.
        segment: usize,
    },
    /// The header's length is not the sum of the segments'.
    Length {
        /// Bytes the header says.
        header: usize,
        /// Bytes the segments have.
        segments: usize,
    },
    /// The header's tail is not the last segment.
    Tail,
    /// A packet in the middle of an operation or in a queue is where it should not be.
    Linked {
        /// Which segment, counted from zero.
        segment: usize,
    },
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Corruption::Segment { segment, fault } => write!(f, "segment {segment}: {fault}"),
            Corruption::Header { segment, present: true } => {
                write!(f, "segment {segment} has a packet header and should not")
            }
            Corruption::Header { segment, present: false } => {
                write!(f, "segment {segment} should have a packet header and has none")
            }
            Corruption::Empty { segment } => write!(f, "segment {segment} is empty"),
            Corruption::Length { header, segments } => {
                write!(f, "the header says {header} bytes, the segments have {segments}")
            }
            Corruption::Tail => f.write_str("the header's tail is not the last segment"),
            Corruption::Linked { segment } => {
                write!(f, "segment {segment} is linked to a packet, or chosen by an operation that is over")
            }
        }
    }
}

impl core::error::Error for Corruption {}

impl<H: Head> MbufChain<H> {
    /// Checks every invariant that can be seen from here.
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
        let single = self.is_single();
        let mut sum = 0;
        let mut last = None;
        for (segment, seg) in self.segs().enumerate() {
            if let Some(fault) = seg.fault() {
                return Err(Corruption::Segment { segment, fault });
            }
            let present = seg.has_header();
            if present != (H::HEADER && segment == 0) {
                return Err(Corruption::Header { segment, present });
            }
            if seg.len() == 0 && !single {
                return Err(Corruption::Empty { segment });
            }
            if seg.is_chosen() || (segment > 0 && !seg.next_packet.get().is_null()) {
                return Err(Corruption::Linked { segment });
            }
            sum += seg.len();
            last = Some(seg);
        }
        if self.total() != sum {
            return Err(Corruption::Length { header: self.total(), segments: sum });
        }
        if !last.is_some_and(|last| core::ptr::eq(last, self.last())) {
            return Err(Corruption::Tail);
        }
        Ok(())
    }
}

//! Copying bytes out, and comparing them.

use alloc::vec::Vec;
use core::ops::RangeBounds;

use memchr::memmem;

use crate::blank::{bounds, resolve};
use crate::copy::copy_to_front;
use crate::error::BoundsError;
use crate::raw::{Head, MbufChain};

/// Bytes so few that a call to copy them would cost more than they do.
const SHORT: usize = 64;

/// Reading bytes.
impl<H: Head> MbufChain<H> {
    /// Copies the bytes from `offset` on into `out`, which they have to fill.
    ///
    /// # Errors
    /// [`BoundsError`] if there are not so many; `out` is unchanged.
    /// # Cost
    /// O(segments up to the end); copies.
    /// # BSD
    /// `m_copydata`. Differs: an error, not a crash.
    #[doc(alias = "m_copydata")]
    #[doc(alias = "rte_pktmbuf_read")]
    #[inline]
    pub fn read_at(&self, offset: usize, out: &mut [u8]) -> Result<(), BoundsError> {
        if let Some(bytes) = self.first().bytes().get(offset..)
            && let Some(bytes) = bytes.get(..out.len())
        {
            copy_to_front(out, bytes);
            return Ok(());
        }
        if out.len() <= SHORT { self.read_far(offset, out) } else { self.read_long(offset, out) }
    }

    /// [`read_far`](Self::read_far), whose registers are not for the path above.
    #[inline(never)]
    fn read_long(&self, offset: usize, out: &mut [u8]) -> Result<(), BoundsError> {
        self.read_far(offset, out)
    }

    /// Copies what is not all in the first segment.
    #[inline]
    fn read_far(&self, offset: usize, out: &mut [u8]) -> Result<(), BoundsError> {
        bounds(offset, out.len(), self.total())?;
        let (mut skip, mut place) = (offset, out);
        for seg in self.segs() {
            let Some(piece) = seg.bytes().get(skip..) else {
                skip -= seg.len();
                continue;
            };
            skip = 0;
            place = copy_to_front(place, piece);
            if place.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// The `N` bytes from `offset` on: for header fields.
    ///
    /// ```
    /// # use mbuf::{Packet, Pool};
    /// let packet = Packet::from_slice(&Pool::new(), &[0x45, 0, 0, 20])?;
    /// assert_eq!(u16::from_be_bytes(packet.read_array(2)?), 20);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`BoundsError`] if there are not so many.
    #[inline]
    pub fn read_array<const N: usize>(&self, offset: usize) -> Result<[u8; N], BoundsError> {
        let mut out = [0; N];
        self.read_at(offset, &mut out)?;
        Ok(out)
    }

    /// Copies all bytes.
    pub fn to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.total());
        for seg in self.segs() {
            bytes.extend_from_slice(seg.bytes());
        }
        bytes
    }

    /// Whether the bytes of a range are these.
    ///
    /// # Errors
    /// [`BoundsError`] if the range lies outside.
    /// # BSD
    /// Mynewt's `os_mbuf_cmpf`.
    pub fn range_eq(&self, range: impl RangeBounds<usize>, bytes: &[u8]) -> Result<bool, BoundsError> {
        let (start, len) = resolve(range, self.total())?;
        Ok(len == bytes.len() && begin_with(self.pieces(start, len)?, bytes))
    }

    /// The offset of the first occurrence of `needle` at or behind `from`.
    ///
    /// # Cost
    /// O(bytes) in one pass; at each border between segments, up to as many comparisons with the needle as it has
    /// bytes. Allocates nothing.
    pub fn find_bytes(&self, from: usize, needle: &[u8]) -> Option<usize> {
        let total = self.total();
        bounds(from, needle.len(), total).ok()?;
        if needle.is_empty() {
            return Some(from);
        }
        let finder = memmem::Finder::new(needle);
        let mut pieces = self.pieces(from, total - from).ok()?;
        let mut offset = from;
        while let Some(piece) = pieces.next() {
            // All of it here, or its first bytes: then the last ones of the piece.
            let mut last = piece.len().saturating_sub(needle.len() - 1)..piece.len();
            let found = finder.find(piece).or_else(|| {
                last.find(|&at| begin_with(core::iter::once(&piece[at..]).chain(pieces.clone()), needle))
            });
            if let Some(at) = found {
                return Some(offset + at);
            }
            offset += piece.len();
        }
        None
    }
}

/// Whether slices, put together, begin with these bytes.
fn begin_with<'a>(slices: impl Iterator<Item = &'a [u8]>, bytes: &[u8]) -> bool {
    let mut left = bytes;
    for slice in slices {
        let (now, rest) = left.split_at(slice.len().min(left.len()));
        if !slice.starts_with(now) {
            return false;
        }
        left = rest;
        if left.is_empty() {
            break;
        }
    }
    left.is_empty()
}

/// Same bytes, however they are segmented.
impl<H: Head, K: Head> PartialEq<MbufChain<K>> for MbufChain<H> {
    fn eq(&self, other: &MbufChain<K>) -> bool {
        let mut mine = self.segs().map(|seg| seg.bytes());
        let mut theirs = other.segs().map(|seg| seg.bytes());
        let (mut a, mut b): (&[u8], &[u8]) = (&[], &[]);
        loop {
            if a.is_empty() {
                match mine.next() {
                    Some(next) => a = next,
                    None => return b.is_empty() && theirs.all(<[u8]>::is_empty),
                }
                continue;
            }
            if b.is_empty() {
                match theirs.next() {
                    Some(next) => b = next,
                    None => return false,
                }
                continue;
            }
            let n = a.len().min(b.len());
            if a[..n] != b[..n] {
                return false;
            }
            (a, b) = (&a[n..], &b[n..]);
        }
    }
}

impl<H: Head> Eq for MbufChain<H> {}

impl<H: Head> PartialEq<[u8]> for MbufChain<H> {
    fn eq(&self, bytes: &[u8]) -> bool {
        self.range_eq(.., bytes) == Ok(true)
    }
}

impl<H: Head> PartialEq<&[u8]> for MbufChain<H> {
    fn eq(&self, bytes: &&[u8]) -> bool {
        *self == **bytes
    }
}

impl<H: Head, const N: usize> PartialEq<[u8; N]> for MbufChain<H> {
    fn eq(&self, bytes: &[u8; N]) -> bool {
        *self == bytes[..]
    }
}

impl<H: Head, const N: usize> PartialEq<&[u8; N]> for MbufChain<H> {
    fn eq(&self, bytes: &&[u8; N]) -> bool {
        *self == bytes[..]
    }
}

impl<H: Head> PartialEq<Vec<u8>> for MbufChain<H> {
    fn eq(&self, bytes: &Vec<u8>) -> bool {
        *self == bytes[..]
    }
}

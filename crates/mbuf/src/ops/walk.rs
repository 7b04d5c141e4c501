//! Walking: lengths, counts, segments, slices.

use core::ops::RangeBounds;

use crate::blank::{Parts, bounds, offsets, resolve};
use crate::error::BoundsError;
use crate::raw::{Head, MbufChain, RawMbuf, Segs};
use crate::segment::{Segment, SegmentMut};

/// Lengths, counts and segments.
impl<H: Head> MbufChain<H> {
    /// Bytes of data.
    ///
    /// # Cost
    /// O(1) for packets, O(segments) for headerless chains.
    /// # BSD
    /// `m_pkthdr.len`, `m_length`, `m_lengthm`, `m_fixhdr` (the header is always right).
    #[doc(alias = "m_length")]
    #[doc(alias = "m_lengthm")]
    #[doc(alias = "m_fixhdr")]
    #[doc(alias = "m_calchdrlen")]
    #[inline]
    pub fn len(&self) -> usize {
        self.total()
    }

    /// Whether there are no bytes.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.first().len() == 0
    }

    /// Number of segments, at least one.
    ///
    /// # Cost
    /// O(segments).
    pub fn segment_count(&self) -> usize {
        self.segs().count()
    }

    /// Bytes of memory that the chain keeps: its mbufs and the full size of their storage, shared or not.
    ///
    /// # Cost
    /// O(segments).
    /// # BSD
    /// `m_countm`.
    #[doc(alias = "m_countm")]
    pub fn memory(&self) -> usize {
        self.segs().map(RawMbuf::memory).sum()
    }

    /// The most sharers that the storage of any segment has; one if nothing is shared.
    ///
    /// # BSD
    /// `m_sharecount`. Differs: true for external storage, too.
    #[doc(alias = "m_sharecount")]
    pub fn share_count(&self) -> u32 {
        self.segs().map(RawMbuf::share_count).max().unwrap_or(1)
    }

    /// Bytes in front of the data that can be prepended to in place.
    #[doc(alias = "M_LEADINGSPACE")]
    #[doc(alias = "rte_pktmbuf_headroom")]
    #[inline]
    pub fn headroom(&self) -> usize {
        self.first().headroom()
    }

    /// Bytes behind the data that can be appended to in place; none behind the end of a record.
    ///
    /// # Cost
    /// O(1) for packets, O(segments) for headerless chains.
    #[doc(alias = "M_TRAILINGSPACE")]
    #[doc(alias = "rte_pktmbuf_tailroom")]
    #[inline]
    pub fn tailroom(&self) -> usize {
        self.last().tailroom()
    }

    /// Whether every segment may be written.
    #[doc(alias = "M_WRITABLE")]
    pub fn is_writable(&self) -> bool {
        self.segs().all(RawMbuf::is_writable)
    }

    /// The segments.
    #[inline]
    pub fn segments(&self) -> Segments<'_> {
        Segments(self.segs())
    }

    /// The segments, each to be written if its storage is not shared.
    pub fn segments_mut(&mut self) -> impl Iterator<Item = SegmentMut<'_>> {
        self.segs_mut().map(SegmentMut)
    }

    /// The first segment.
    #[doc(alias = "mtod")]
    #[inline]
    pub fn first_segment(&self) -> Segment<'_> {
        Segment(self.first())
    }

    /// The last segment.
    ///
    /// # BSD
    /// `m_last`.
    #[doc(alias = "m_last")]
    #[inline]
    pub fn last_segment(&self) -> Segment<'_> {
        Segment(self.last())
    }

    /// The index of the segment that holds the byte at `offset`, and the offset within it. The end of the data is
    /// the end of the last segment; beyond it is nothing.
    ///
    /// # BSD
    /// `m_getptr`.
    #[doc(alias = "m_getptr")]
    pub fn locate(&self, offset: usize) -> Option<(usize, usize)> {
        let mut end = None;
        for (index, (at, seg)) in offsets(self.segs()).enumerate() {
            if offset < at + seg.len() {
                return Some((index, offset - at));
            }
            end = Some((index, at, seg.len()));
        }
        let (index, at, len) = end?;
        (offset == at + len).then_some((index, len))
    }

    /// The bytes of a range as one slice per segment, none of them empty.
    ///
    /// # Errors
    /// [`BoundsError`] if the range lies outside.
    /// # BSD
    /// `m_apply`.
    #[doc(alias = "m_apply")]
    #[inline]
    pub fn slices(&self, range: impl RangeBounds<usize>) -> Result<Slices<'_>, BoundsError> {
        let (start, len) = resolve(range, self.total())?;
        self.pieces(start, len)
    }

    #[inline]
    pub(crate) fn pieces(&self, start: usize, len: usize) -> Result<Slices<'_>, BoundsError> {
        bounds(start, len, self.total())?;
        Ok(Slices(Parts::new(self.segs(), start, len)))
    }

    /// The segments as `IoSlice`s, for vectored writes.
    ///
    /// ```
    /// use std::io::{self, IoSlice, Write};
    /// use mbuf::{OpError, Packet, Pool};
    ///
    /// /// Writes all of a packet, in as many calls as it takes.
    /// fn send(mut packet: Packet, to: &mut impl Write) -> io::Result<()> {
    ///     while !packet.is_empty() {
    ///         // writev(2) takes 1024 at a time.
    ///         let slices: Vec<IoSlice> = packet.io_slices().take(1024).collect();
    ///         match to.write_vectored(&slices)? {
    ///             0 => return Err(io::ErrorKind::WriteZero.into()),
    ///             n => packet.trim_front(n).map_err(OpError::from)?,
    ///         }
    ///     }
    ///     Ok(())
    /// }
    ///
    /// let mut packet = Packet::from_slice(&Pool::new(), b"payload")?;
    /// packet.prepend_slice(b"header ")?;
    /// let mut wire = Vec::new();
    /// send(packet, &mut wire)?;
    /// assert_eq!(wire, b"header payload");
    /// # Ok::<(), io::Error>(())
    /// ```
    ///
    /// [`Reserve::io_slices_mut`](crate::Reserve::io_slices_mut) is the way in.
    ///
    /// # BSD
    /// `m_mbuftouio`.
    #[cfg(feature = "std")]
    #[doc(alias = "m_mbuftouio")]
    pub fn io_slices(&self) -> impl Iterator<Item = std::io::IoSlice<'_>> {
        self.segs().map(|seg| std::io::IoSlice::new(seg.bytes()))
    }
}

impl<'a, H: Head> IntoIterator for &'a MbufChain<H> {
    type Item = Segment<'a>;
    type IntoIter = Segments<'a>;

    fn into_iter(self) -> Segments<'a> {
        self.segments()
    }
}

/// The segments of a chain.
#[derive(Clone)]
pub struct Segments<'a>(Segs<'a>);

impl<'a> Iterator for Segments<'a> {
    type Item = Segment<'a>;

    #[inline]
    fn next(&mut self) -> Option<Segment<'a>> {
        self.0.next().map(Segment)
    }
}

impl core::iter::FusedIterator for Segments<'_> {}

impl core::fmt::Debug for Segments<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

/// The bytes of a range, one slice per segment.
#[derive(Clone)]
pub struct Slices<'a>(Parts<Segs<'a>>);

impl<'a> Iterator for Slices<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        self.0.next().map(|(seg, part)| &seg.bytes()[part])
    }
}

impl core::iter::FusedIterator for Slices<'_> {}

impl core::fmt::Debug for Slices<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Slices").field("left", &self.0.left()).finish_non_exhaustive()
    }
}

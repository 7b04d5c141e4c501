//! Copies: of handles, sharing storage, and of bytes.

use core::ops::{Range, RangeBounds};

use crate::blank::{Front, Parts, Source, add_lengths, blank, blank_one, describe, inline_capacity, resolve};
use crate::copy::copy_to_front;
use crate::error::OpError;
use crate::raw::{Head, Hold, Mbuf, MbufChain, RawMbuf, Run};

/// Copies.
impl<H: Head> MbufChain<H> {
    /// Another chain that shows the same bytes. Storage is shared, inline data is copied. Packets get the same
    /// metadata and flags, and copies of the tags.
    ///
    /// ```text
    /// this  ─▶ [hdr│abc]─[·]──▶ storage, read-only while it has two holders
    /// other ─▶ [hdr│abc]─[·]──────▲
    /// ```
    ///
    /// While it is shared, storage has no headroom; the tailroom stays with this chain.
    ///
    /// # Errors
    /// [`OpError::Alloc`], [`OpError::Tag`], [`OpError::TooManySharers`]. Nothing changed.
    /// # Cost
    /// One mbuf per segment; copies inline data only (at most 184 bytes a segment).
    /// # BSD
    /// `m_copypacket`.
    #[doc(alias = "m_copypacket")]
    #[doc(alias = "m_copym")]
    #[doc(alias = "rte_pktmbuf_clone")]
    #[inline]
    #[track_caller]
    pub fn share(&self) -> Result<Self, OpError> {
        self.share_part(self.segs(), 0, self.total())
    }

    /// As [`share`](Self::share), for who has the chain alone: storage that nobody shares yet gets its second holder
    /// without a locked instruction.
    ///
    /// ```
    /// # use mbuf::{Packet, Pool};
    /// let mut packet = Packet::from_slice(&Pool::new(), &[7; 1000])?;
    /// let mirror = packet.share_mut()?;
    /// assert_eq!((mirror == packet, packet.share_count()), (true, 2));
    /// # Ok::<(), mbuf::OpError>(())
    /// ```
    ///
    /// # Errors
    /// As [`share`](Self::share).
    /// # Cost
    /// As [`share`](Self::share), less a locked instruction for each segment that was not shared.
    #[inline]
    #[track_caller]
    pub fn share_mut(&mut self) -> Result<Self, OpError> {
        let (this, segs) = self.solely();
        this.share_part(segs, 0, this.total())
    }

    /// Another chain that shows a range of the bytes; see [`share`](Self::share).
    ///
    /// # Errors
    /// As [`share`](Self::share), and [`OpError::Bounds`].
    /// # Cost
    /// O(segments up to the end of the range); one mbuf per segment within it, or two.
    /// # BSD
    /// `m_copym`. Differs: an empty range is an empty chain; metadata go with any range.
    #[doc(alias = "m_copym")]
    #[doc(alias = "m_copy")]
    #[doc(alias = "M_COPYALL")]
    #[inline]
    #[track_caller]
    pub fn share_range(&self, range: impl RangeBounds<usize>) -> Result<Self, OpError> {
        let (start, len) = resolve(range, self.total())?;
        self.share_part(self.segs(), start, len)
    }

    /// As [`share_range`](Self::share_range), for who has the chain alone; see [`share_mut`](Self::share_mut).
    ///
    /// # Errors
    /// As [`share_range`](Self::share_range).
    #[inline]
    #[track_caller]
    pub fn share_range_mut(&mut self, range: impl RangeBounds<usize>) -> Result<Self, OpError> {
        let (this, segs) = self.solely();
        let (start, len) = resolve(range, this.total())?;
        this.share_part(segs, start, len)
    }

    #[inline]
    #[track_caller]
    pub(crate) fn share_part<S: Hold>(
        &self,
        mut segs: impl Iterator<Item = S>,
        start: usize,
        len: usize,
    ) -> Result<Self, OpError> {
        let single = len > 0 && self.is_single() && self.first().has_storage();
        let copy = match if single { segs.next() } else { None } {
            Some(seg) => self.share_single(&seg, start, len),
            None => self.share_segments(segs, start, len),
        };
        // No `inspect_err`: it would move the result by way of memory.
        match copy {
            Ok(copy) => Ok(copy),
            Err(error) => {
                self.shared().ops.add(|ops| &ops.copy_failures, 1);
                Err(error)
            }
        }
    }

    /// A part of a chain whose one segment has storage.
    #[inline]
    #[track_caller]
    fn share_single(&self, seg: &impl Hold, start: usize, len: usize) -> Result<Self, OpError> {
        self.like(self.shared().showing(H::HEADER, seg, start..start + len)?)
    }

    #[inline(never)]
    #[track_caller]
    fn share_segments<S: Hold>(
        &self,
        segs: impl Iterator<Item = S>,
        start: usize,
        len: usize,
    ) -> Result<Self, OpError> {
        let shared = self.shared();
        let mut parts = Parts::new(segs, start, len);
        let Some((seg, mut part)) = parts.next() else {
            // No reference for no bytes.
            return self.like(self.like_first(shared.inline(H::HEADER)?));
        };
        let mut copy = self.like(shared.showing(H::HEADER, &seg, cut(&seg, &mut part, H::HEADER))?)?;
        let mut run = Run::new();
        for (seg, mut part) in core::iter::once((seg, part)).chain(parts) {
            while !part.is_empty() {
                run.push_back(shared.showing(false, &seg, cut(&seg, &mut part, false))?);
            }
        }
        if !run.is_empty() {
            copy.link_back(run, len);
        }
        Ok(copy)
    }

    /// A copy of all bytes in memory of its own, in as few segments as their number needs, with the usual headroom.
    /// Packets get the same metadata and flags, and copies of the tags.
    ///
    /// # Errors
    /// [`OpError::Alloc`], [`OpError::Tag`].
    /// # Cost
    /// Copies all bytes; segments of at most 4 KiB, or of 9 KiB where pages would take more memory.
    /// # BSD
    /// `m_dup`. Differs: any length and any segments; nothing is lost on failure.
    #[doc(alias = "m_dup")]
    #[doc(alias = "rte_pktmbuf_copy")]
    #[doc(alias = "skb_copy")]
    #[track_caller]
    pub fn duplicate(&self) -> Result<Self, OpError> {
        self.duplicate_behind(Front::default_of(self.shared()))
    }

    /// As [`duplicate`](Self::duplicate), with exactly `headroom` bytes in front.
    ///
    /// # Errors
    /// As [`duplicate`](Self::duplicate), and [`OpError::TooLong`] if the headroom is 16 KiB or more.
    #[doc(alias = "m_dup_pkt")]
    #[track_caller]
    pub fn duplicate_with_headroom(&self, headroom: usize) -> Result<Self, OpError> {
        self.duplicate_behind(Front::exactly(headroom)?)
    }

    #[track_caller]
    fn duplicate_behind(&self, front: Front) -> Result<Self, OpError> {
        self.duplicate_part(self.total(), front)
    }

    /// The same, of a chain of `len` bytes, whatever a header says.
    #[inline(always)]
    #[track_caller]
    pub(crate) fn duplicate_part(&self, len: usize, front: Front) -> Result<Self, OpError> {
        // Errors leave at once: put together with the result, they would have it moved by way of memory.
        let mut mbuf = match blank_one(self.shared(), len, H::HEADER, front) {
            Ok(mbuf) => mbuf,
            Err(error) => return self.not_duplicated(error.into()),
        };
        if mbuf.tailroom() < len {
            return self.duplicate_long(mbuf, len).or_else(|error| self.not_duplicated(error));
        }
        let mut place = mbuf.edit().grow_back(len).unwrap_or_default();
        let mut flags = 0;
        for seg in self.segs() {
            place = copy_to_front(place, seg.bytes());
            flags |= seg.user_flags();
        }
        let mut mbuf = self.like_first(mbuf);
        mbuf.edit().set_user_flags(flags);
        match self.like(mbuf) {
            Ok(copy) => Ok(copy),
            Err(error) => self.not_duplicated(error),
        }
    }

    #[cold]
    fn not_duplicated(&self, error: OpError) -> Result<Self, OpError> {
        self.shared().ops.add(|ops| &ops.duplicate_failures, 1);
        Err(error)
    }

    /// Into a first segment that has not room for all, and others.
    #[inline(never)]
    #[track_caller]
    fn duplicate_long(&self, first: Mbuf, len: usize) -> Result<Self, OpError> {
        let len = add_lengths(len, 0)?;
        let rest = blank(self.shared(), len - first.tailroom(), false, Front::NONE)?;
        let mut run = Run::of(first);
        run.append(rest);
        Source::new(self.segs().map(|seg| seg.bytes())).fill(&mut run, len);
        describe(&mut run, self.segs());
        #[allow(clippy::expect_used, reason = "a run that was just filled")]
        let mut copy = self.like(run.pop_front().expect("a chain has a segment"))?;
        copy.link_back(run, len);
        Ok(copy)
    }
}

/// Takes as much off the front of a part of a segment as one mbuf can show: inline data has to fit into its own.
fn cut(seg: &RawMbuf, part: &mut Range<usize>, header: bool) -> Range<usize> {
    let most = if seg.has_storage() { usize::MAX } else { inline_capacity(header) };
    let end = part.end.min(part.start.saturating_add(most));
    core::mem::replace(&mut part.start, end)..end
}

//! Fewer segments, or others.

use core::panic::Location;

use mbuf_zone::Cause;

use crate::blank::{Front, Source, absorb, blank, contiguous, describe, inline_capacity};
use crate::config::{Class, MJUM16BYTES, MJUMPAGESIZE};
use crate::error::{OpError, Resource};
use crate::fault::FaultPoint;
use crate::raw::{Head, MbufChain, Run};

/// Other segments for the same bytes.
impl<H: Head> MbufChain<H> {
    /// Copies the bytes into as few segments as their number needs, of at most 4 KiB each, or of 9 KiB where pages would
    /// take more memory, and frees the old ones. Does nothing if there are no more segments than that in pages.
    ///
    /// # Errors
    /// [`OpError::Alloc`]. Nothing changed.
    /// # Cost
    /// Copies all bytes, or none.
    /// # BSD
    /// `m_defrag`. Differs: in place; metadata and tags stay; a chain that is short enough is not copied.
    #[doc(alias = "m_defrag")]
    #[doc(alias = "m_defrag_nofree")]
    #[doc(alias = "rte_pktmbuf_linearize")]
    #[doc(alias = "skb_linearize")]
    #[track_caller]
    pub fn defragment(&mut self) -> Result<(), OpError> {
        let total = self.total();
        let ops = &self.shared().ops;
        let fewest = if total <= inline_capacity(H::HEADER) { 1 } else { total.div_ceil(MJUMPAGESIZE) };
        if self.segment_count() <= fewest {
            ops.add(|ops| &ops.defrag_useless, 1);
            return Ok(());
        }
        let shared = self.shared();
        let mut front = Front::default_of(shared);
        // Headroom must not cost a segment.
        let spare = fewest * MJUMPAGESIZE - total.min(fewest * MJUMPAGESIZE);
        front.storage = front.storage.min(spare & !7);
        let run = if shared.inspector.faults.strikes(FaultPoint::Defragment, Location::caller()) {
            Err(shared.dry(Resource::Mbuf, Cause::Refused))
        } else {
            blank(shared, total, H::HEADER, front)
        };
        let run = run.inspect_err(|_| ops.add(|ops| &ops.defrag_failures, 1))?;
        ops.add(|ops| &ops.defrag_packets, 1);
        ops.add(|ops| &ops.defrag_bytes, total);
        self.replace_all(run, total);
        Ok(())
    }

    /// Copies all bytes into fresh segments and puts these in the place of the old ones.
    fn replace_all(&mut self, mut run: Run, total: usize) {
        Source::new(self.segs().map(|seg| seg.bytes())).fill(&mut run, total);
        describe(&mut run, self.segs());
        self.edit(total, |old, trash| trash.append(core::mem::replace(old, run)));
    }

    /// Reduces the chain to at most `max` segments: as many as needed, counted from the back, are copied into one
    /// buffer of up to 16 KiB; if that is too small, all are copied into 16 KiB buffers.
    ///
    /// # Errors
    /// [`OpError::TooManySegments`] if even these would be too many; [`OpError::Alloc`]. Nothing changed.
    /// # Cost
    /// Free if there are no more than `max` segments. Otherwise copies the bytes of those joined.
    /// # BSD
    /// `m_collapse`. Differs: nothing changes on failure.
    #[doc(alias = "m_collapse")]
    #[track_caller]
    pub fn collapse(&mut self, max: usize) -> Result<(), OpError> {
        let count = self.segment_count();
        if count <= max {
            return Ok(());
        }
        let total = self.total();
        let needed = total.div_ceil(MJUM16BYTES).max(1);
        if needed > max {
            return Err(OpError::TooManySegments { needed, max });
        }
        let kept = max - 1;
        let before: usize = self.segs().take(kept).map(|seg| seg.len()).sum();
        let joined = total - before;
        let shared = self.shared();
        if joined <= MJUM16BYTES && kept > 0 {
            let mut fresh = contiguous(shared, false, joined, 0)?;
            self.edit(total, |run, trash| {
                let (mut whole, _) = run.take_front(before);
                if let Some(first) = run.segs().next() {
                    fresh.edit().set_type(first.type_bits());
                }
                absorb(&mut fresh, run, trash, joined);
                whole.push_back(fresh);
                *run = whole;
            });
            return Ok(());
        }
        let mut run = Run::new();
        let mut left = total;
        while left > 0 {
            let n = left.min(MJUM16BYTES);
            run.push_back(contiguous(shared, H::HEADER && run.is_empty(), n, 0)?);
            left -= n;
        }
        self.replace_all(run, total);
        Ok(())
    }

    /// Copies the bytes into segments of the given sizes, each between 1 and 16384 bytes (others are brought into
    /// that range); what the sizes do not cover goes into segments of at most 2 KiB. For tests of code that reads
    /// packets: whatever the segments, it has to find the same.
    ///
    /// # Errors
    /// [`OpError::Alloc`]. Nothing changed.
    /// # Cost
    /// Copies all bytes; one mbuf per size.
    /// # BSD
    /// `m_fragment`.
    #[doc(alias = "m_fragment")]
    #[track_caller]
    pub fn shatter(&mut self, sizes: impl IntoIterator<Item = usize>) -> Result<(), OpError> {
        let total = self.total();
        let mut sizes = sizes.into_iter();
        let mut run = Run::new();
        let mut left = total;
        while left > 0 || run.is_empty() {
            let size =
                sizes.next().map_or(Class::Cluster.size(), |size| size.clamp(1, MJUM16BYTES)).min(left);
            let header = H::HEADER && run.is_empty();
            // Exactly so much room, so that the next segment begins where it should.
            let mut mbuf = contiguous(self.shared(), header, size, 0)?;
            let room = mbuf.capacity();
            mbuf.place(room - size);
            run.push_back(mbuf);
            left -= size;
        }
        self.replace_all(run, total);
        Ok(())
    }
}

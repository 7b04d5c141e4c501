//! Making bytes contiguous.

use core::ops::{Bound, RangeBounds};

use crate::blank::{Parts, absorb, bounds, contiguous, contiguous_soft, resolve};
use crate::config::MCLBYTES;
use crate::error::{BoundsError, OpError};
use crate::raw::{Head, Mbuf, MbufChain};

/// Contiguous bytes.
impl<H: Head> MbufChain<H> {
    /// Makes the first `n` bytes contiguous and returns them.
    ///
    /// ```text
    /// before 5   [abc··]─[defg]─[h]
    /// after      [abcde]─[  fg]─[h]         room behind the first segment, otherwise a new one
    /// ```
    ///
    /// # Errors
    /// [`OpError::Bounds`] if there are fewer bytes, [`OpError::Alloc`], [`OpError::TooLong`] over 16 KiB. Nothing
    /// changed.
    /// # Cost
    /// Free if they are contiguous already, whatever storage they are in. Otherwise O(segments that hold the first
    /// `n` bytes); copies at most `n` bytes, takes at most one mbuf. Segments that become empty are freed.
    /// # BSD
    /// `m_pullup`. Differs: the packet survives a failure; bytes that are contiguous stay where they are; exact fits
    /// are used; up to 16 KiB; no bytes beyond `n` are moved.
    #[doc(alias = "m_pullup")]
    #[doc(alias = "m_ensure_contig")]
    #[doc(alias = "pskb_may_pull")]
    #[inline]
    #[track_caller]
    pub fn make_contiguous(&mut self, n: usize) -> Result<&[u8], OpError> {
        if n > self.first().len() {
            self.gather(n, None)?;
        }
        Ok(&self.first().bytes()[..n])
    }

    /// Makes the first `n` bytes contiguous, with at least `room` writable bytes of headroom in front of them.
    ///
    /// # Errors
    /// As [`make_contiguous`](Self::make_contiguous), for `n + room` bytes.
    /// # Cost
    /// Free if it is so already. If the first segment has the room, all of its bytes slide back in it, unless over 2 KiB
    /// of them are not asked for: then, as without the room, the `n` bytes are copied into another mbuf, which becomes
    /// the first segment. If none is free the bytes slide all the same.
    /// # BSD
    /// `m_copyup`. Differs: copies only if it has to; the packet survives a failure.
    #[doc(alias = "m_copyup")]
    #[track_caller]
    pub fn make_contiguous_with_headroom(&mut self, n: usize, room: usize) -> Result<&[u8], OpError> {
        if n > self.first().len() || room > self.first().headroom() {
            self.gather(n, Some(room))?;
        }
        Ok(&self.first().bytes()[..n])
    }

    #[cold]
    #[track_caller]
    fn gather(&mut self, n: usize, room: Option<usize>) -> Result<(), OpError> {
        let total = self.total();
        bounds(0, n, total)?;
        // If only headroom is asked for, it is that of a byte: no segment stays empty.
        let n = n.max(1).min(total);
        let first = self.first();
        let (have, front) = (first.len(), first.headroom());
        let span = n.max(have);
        let fits = first.is_writable() && room.unwrap_or(0).saturating_add(span) <= first.capacity();
        let slides = front < room.unwrap_or(0) || first.tailroom() < span - have;
        let shared = self.shared();
        // To slide moves all that the segment has. From about 2 KiB too many on, another mbuf costs less.
        let fresh = if fits && (!slides || span - n <= MCLBYTES) {
            None
        } else {
            let fresh = match room {
                None => contiguous_soft(shared, H::HEADER, n),
                Some(room) => contiguous(shared, H::HEADER, n, room),
            };
            match fresh {
                Err(OpError::Alloc(_)) if fits => None,
                fresh => Some(fresh.inspect_err(|_| shared.ops.add(|ops| &ops.pullup_failures, 1))?),
            }
        };
        let Some(fresh) = fresh else {
            if slides {
                // Keep as much of the headroom as possible.
                let front = room.unwrap_or(front.min(first.capacity() - span));
                self.first_mut().slide(front);
            }
            self.edit_rest(total, |first, rest, trash| absorb(first, rest, trash, span - have));
            return Ok(());
        };
        shared.ops.add(|ops| &ops.pullups, 1);
        let mut fresh = self.like_first(fresh);
        self.edit(total, |run, trash| {
            if n == 0 {
                // An empty chain's segment is replaced.
                trash.append(core::mem::take(run));
            }
            absorb(&mut fresh, run, trash, n);
            run.push_front(fresh);
        });
        Ok(())
    }

    /// An mbuf with the type of the first segment.
    pub(super) fn like_first(&self, mut mbuf: Mbuf) -> Mbuf {
        mbuf.edit().set_type(self.first().type_bits());
        mbuf
    }

    /// An mbuf with the type of the last segment.
    pub(super) fn like_last(&self, mut mbuf: Mbuf) -> Mbuf {
        mbuf.edit().set_type(self.last().type_bits());
        mbuf
    }

    /// Makes a range contiguous and returns it. Bytes in front of it do not move.
    ///
    /// ```text
    /// before 4..8   [abc]─[def]─[gh]─[ij]
    /// after         [abc]─[d]─[efgh]─[ij]    or, with room behind `def`:  [abc]─[defgh]─[ij]
    /// ```
    ///
    /// # Errors
    /// As [`make_contiguous`](Self::make_contiguous), for the length of the range.
    /// # Cost
    /// Free if it is contiguous already. Otherwise O(segments up to its end); copies at most its bytes, takes at most
    /// one mbuf.
    /// # BSD
    /// `m_pulldown`. Differs: the packet survives a failure; up to 16 KiB.
    #[doc(alias = "m_pulldown")]
    #[track_caller]
    pub fn make_contiguous_at(&mut self, range: impl RangeBounds<usize>) -> Result<&[u8], OpError> {
        let total = self.total();
        let (start, len) = resolve(range, total)?;
        if self.find(start, len).is_none() {
            self.gather_at(start, len, total)?;
        }
        Ok(self.find(start, len).unwrap_or_default())
    }

    #[cold]
    #[track_caller]
    fn gather_at(&mut self, start: usize, len: usize, total: usize) -> Result<(), OpError> {
        if start == 0 {
            return self.gather(len, None);
        }
        let Some((seg, part)) = Parts::new(self.segs(), start, len).next() else {
            return Err(BoundsError { start, end: start + len, available: total }.into());
        };
        let missing = len - part.len();
        let shared = self.shared();
        let fresh = if seg.is_writable() && seg.tailroom() >= missing {
            None
        } else {
            let fresh = contiguous_soft(shared, false, len)
                .inspect_err(|_| shared.ops.add(|ops| &ops.pullup_failures, 1))?;
            shared.ops.add(|ops| &ops.pullups, 1);
            Some(fresh)
        };
        self.edit(total, |run, trash| {
            let (mut front, within) = run.take_front(start);
            let Some(mut seg) = run.pop_front() else { return };
            match fresh {
                None => absorb(&mut seg, run, trash, missing),
                Some(mut fresh) => {
                    let moved = seg.len() - within;
                    if let Some(place) = fresh.edit().grow_back(moved) {
                        place.copy_from_slice(&seg.bytes()[within..]);
                    }
                    fresh.edit().set_type(seg.type_bits());
                    fresh.edit().set_user_flags(seg.user_flags());
                    absorb(&mut fresh, run, trash, missing);
                    run.push_front(fresh);
                    seg.edit().trim_back(moved);
                    seg.edit().clear_end();
                }
            }
            if seg.len() == 0 {
                trash.push(seg)
            } else {
                front.push_back(seg)
            }
            front.append(core::mem::take(run));
            *run = front;
        });
        Ok(())
    }

    /// A range, if it lies within one segment. Moves nothing.
    ///
    /// # Cost
    /// O(segments up to the range).
    #[inline]
    pub fn contiguous(&self, range: impl RangeBounds<usize>) -> Option<&[u8]> {
        let first = self.first().bytes();
        // The common case, without a walk. Open ends are those of the whole chain.
        if !matches!(range.end_bound(), Bound::Unbounded)
            && let Ok((start, len)) = resolve((range.start_bound(), range.end_bound()), usize::MAX)
            && len > 0
        {
            let here = first.get(start..start + len);
            if here.is_some() || start < first.len() {
                // What begins here lies here or in no segment.
                return here;
            }
        }
        let (start, len) = resolve(range, self.total()).ok()?;
        self.find(start, len)
    }

    /// A range within one segment.
    #[inline]
    fn find(&self, start: usize, len: usize) -> Option<&[u8]> {
        let mut offset = start;
        for seg in self.segs() {
            if let Some(rest) = seg.bytes().get(offset..)
                && (!rest.is_empty() || len == 0)
            {
                return rest.get(..len);
            }
            offset -= seg.len();
        }
        None
    }
}

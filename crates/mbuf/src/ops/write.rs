//! Writing: private copies of what is shared, and bytes at an offset.

use core::ops::{Range, RangeBounds};

use super::join::zeros;
use crate::blank::{Front, Parts, Source, blank, contiguous_soft, is_small, resolve};
use crate::error::OpError;
use crate::pool::LifeEvent;
use crate::raw::{Head, MbufChain, RawMbuf, Run};

/// The part of a segment that is copied when `part` of it has to be written: all of it, but for ends that are worth
/// sharing.
fn copied(seg: &RawMbuf, part: Range<usize>) -> Range<usize> {
    let start = if is_small(part.start) { 0 } else { part.start };
    let end = if is_small(seg.len() - part.end) { seg.len() } else { part.end };
    start..end
}

/// Segments that take the place of chosen ones.
#[must_use]
struct Copies(Run);

/// Takes the choice of segments back when their copies cannot be had, or the page source panics.
struct Choice<'a, H: Head>(&'a mut MbufChain<H>);

impl<H: Head> Drop for Choice<'_, H> {
    fn drop(&mut self) {
        for mut seg in self.0.segs_mut() {
            seg.choose(false);
        }
    }
}

/// Writing.
impl<H: Head> MbufChain<H> {
    /// Makes every segment writable, by copying what is shared or read-only.
    ///
    /// # Errors
    /// [`OpError::Alloc`]. Nothing changed.
    /// # Cost
    /// Free if all is writable. Otherwise copies the segments that are not.
    /// # BSD
    /// `m_unshare`. Differs: the packet survives a failure.
    #[doc(alias = "m_unshare")]
    #[track_caller]
    pub fn make_unique(&mut self) -> Result<(), OpError> {
        if self.is_empty() && !self.first().is_writable() {
            // No bytes to copy, but the segment's room is not ours either.
            let mut fresh = self.like_first(contiguous_soft(self.shared(), H::HEADER, 0)?);
            fresh.edit().set_user_flags(self.first().user_flags());
            self.edit(0, |run, trash| {
                trash.append(core::mem::take(run));
                run.push_back(fresh);
            });
            return Ok(());
        }
        self.make_unique_range(..)
    }

    /// Makes a range writable, by copying what of it is shared or read-only. Where a segment reaches far beyond the
    /// range (over 256 bytes at an end), that end stays shared.
    ///
    /// # Errors
    /// [`OpError::Bounds`], [`OpError::Alloc`], [`OpError::TooManySharers`]. Nothing changed.
    /// # Cost
    /// Free if all of it is writable. Otherwise copies the range's bytes in segments that are not, and up to 256 at
    /// either end.
    /// # BSD
    /// `m_makewritable`, `m_copyback_cow`.
    #[doc(alias = "m_makewritable")]
    #[doc(alias = "m_copyback_cow")]
    #[track_caller]
    pub fn make_unique_range(&mut self, range: impl RangeBounds<usize>) -> Result<(), OpError> {
        let (start, len) = resolve(range, self.total())?;
        let copies = self.reserve_copies(start, len)?;
        self.commit_copies(start, len, copies);
        Ok(())
    }

    /// Chooses the segments that have to be copied before `start..start + len` can be written, and makes the copies.
    #[track_caller]
    fn reserve_copies(&mut self, start: usize, len: usize) -> Result<Copies, OpError> {
        let mut any = false;
        for (mut seg, _) in Parts::new(self.segs_mut(), start, len) {
            let chosen = !seg.is_writable();
            seg.choose(chosen);
            any |= chosen;
        }
        let mut run = Run::new();
        if !any {
            return Ok(Copies(run));
        }
        let choice = Choice(self);
        choice.0.make_copies(start, len, &mut run)?;
        core::mem::forget(choice);
        Ok(Copies(run))
    }

    #[track_caller]
    fn make_copies(&self, start: usize, len: usize, run: &mut Run) -> Result<(), OpError> {
        let shared = self.shared();
        for (seg, part) in Parts::new(self.segs(), start, len).filter(|(seg, _)| seg.is_chosen()) {
            let Range { start: from, end: to } = copied(seg, part);
            // The first segment carries the header unless its front stays.
            let header = seg.has_header() && from == 0;
            let mut copy = blank(shared, to - from, header, Front::NONE)?;
            Source::new(core::iter::once(&seg.bytes()[from..to])).fill(&mut copy, to - from);
            let mut end = from;
            for mut part in copy.segs_mut() {
                end += part.len();
                part.set_type(seg.type_bits());
                part.set_user_flags(seg.flags_up_to(end));
            }
            run.append(copy);
            if to < seg.len() {
                run.push_back(shared.showing(false, &seg, to..seg.len())?);
            }
            shared.ops.add(|ops| &ops.copies_on_write, 1);
            seg.note(LifeEvent::Copied);
        }
        Ok(())
    }

    fn commit_copies(&mut self, start: usize, len: usize, copies: Copies) {
        let Copies(mut copies) = copies;
        if copies.is_empty() {
            return;
        }
        let total = self.total();
        self.edit(total, |run, trash| {
            let (mut whole, within) = run.take_front(start);
            for (mut seg, part) in Parts::new(core::iter::from_fn(|| run.pop_front()), within, len) {
                if !seg.is_chosen() {
                    whole.push_back(seg);
                    continue;
                }
                seg.edit().choose(false);
                let from = copied(&seg, part).start;
                let gone = seg.len() - from;
                if from > 0 {
                    seg.edit().trim_back(gone);
                    seg.edit().clear_end();
                    whole.push_back(seg);
                } else {
                    trash.push(seg);
                }
                whole.append(copies.take_front(gone).0);
            }
            whole.append(core::mem::take(run));
            *run = whole;
        });
    }

    /// Writes bytes at `offset`, extending the chain if they reach beyond its end; a gap is filled with zeros. What
    /// is shared or read-only is copied first: other holders see no change.
    ///
    /// # Errors
    /// [`OpError::Alloc`], [`OpError::TooLong`] over 4 GiB, [`OpError::TooManySharers`]. Nothing changed.
    /// # Cost
    /// Copies the bytes; otherwise as [`make_unique_range`](Self::make_unique_range) and
    /// [`extend_from_slice`](Self::extend_from_slice).
    /// # BSD
    /// `m_copyback`. Differs: all or nothing; never writes what others see; uses tailroom and clusters.
    #[doc(alias = "m_copyback")]
    #[inline]
    #[track_caller]
    pub fn write_at(&mut self, offset: usize, bytes: &[u8]) -> Result<(), OpError> {
        if let Some(place) = self.first_mut().bytes_mut().and_then(|first| first.get_mut(offset..))
            && let Some(place) = place.get_mut(..bytes.len())
        {
            place.copy_from_slice(bytes);
            return Ok(());
        }
        self.write_far(offset, bytes)
    }

    /// Writes what is not all within the first segment, or not to be written there.
    // Its frame and its registers are not for the path above.
    #[inline(never)]
    #[track_caller]
    fn write_far(&mut self, offset: usize, bytes: &[u8]) -> Result<(), OpError> {
        let total = self.total();
        let end = crate::blank::add_lengths(offset, bytes.len())?;
        if bytes.is_empty() && offset <= total {
            return Ok(());
        }
        let over = end.min(total).saturating_sub(offset);
        let (inside, beyond) = bytes.split_at(over);
        let copies = self.reserve_copies(offset.min(total), over)?;
        let choice = Choice(self);
        let more = choice.0.reserve_back(end.saturating_sub(total))?;
        core::mem::forget(choice);
        self.commit_copies(offset.min(total), over, copies);
        if end > total {
            let gap = offset.saturating_sub(total);
            self.commit_back(more, &mut Source::new(zeros(gap).chain(core::iter::once(beyond))));
        }
        self.overwrite(offset, inside);
        Ok(())
    }

    /// Writes bytes over those of segments that are writable.
    fn overwrite(&mut self, offset: usize, bytes: &[u8]) {
        let mut left = bytes;
        for (seg, part) in Parts::new(self.segs_mut(), offset, bytes.len()) {
            let (now, rest) = left.split_at(part.len());
            let Some(place) = seg.bytes_mut() else {
                debug_assert!(false, "the segment was made writable");
                return;
            };
            place[part].copy_from_slice(now);
            left = rest;
        }
    }

    /// The bytes of a range, to be written, one slice per segment; `None` if some are shared or read-only, which after
    /// [`make_unique_range`](Self::make_unique_range) none is.
    ///
    /// ```
    /// # use mbuf::{Packet, Pool};
    /// let mut packet = Packet::from_slice(&Pool::new(), &[1; 5000])?;
    /// let mirror = packet.share()?;
    /// packet.make_unique_range(10..4500)?;
    /// packet.slices_mut(10..4500)?.into_iter().flatten().for_each(|slice| slice.fill(2));
    /// assert_eq!((packet.read_array(9)?, mirror.read_array(9)?), ([1, 2], [1, 1]));
    /// # Ok::<(), mbuf::OpError>(())
    /// ```
    ///
    /// # Errors
    /// [`BoundsError`](crate::BoundsError) if the range lies outside.
    pub fn slices_mut(
        &mut self,
        range: impl RangeBounds<usize>,
    ) -> Result<Option<impl Iterator<Item = &mut [u8]>>, crate::BoundsError> {
        let (start, len) = resolve(range, self.total())?;
        if !Parts::new(self.segs(), start, len).all(|(seg, _)| seg.is_writable()) {
            return Ok(None);
        }
        let parts = Parts::new(self.segs_mut(), start, len);
        Ok(Some(parts.filter_map(|(seg, part)| seg.bytes_mut()?.get_mut(part))))
    }
}

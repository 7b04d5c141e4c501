//! Reserving: every operation that needs memory takes all of it here before it changes anything.

use core::ops::{Deref, Range};

use crate::config::{COPY_BREAK, Class, MCLBYTES, MHLEN, MJUM9BYTES, MJUM16BYTES, MJUMPAGESIZE, MLEN};
use crate::copy::copy_to_front;
use crate::error::{AllocError, BoundsError, OpError};
use crate::pool::Shared;
use crate::raw::{Mbuf, RawMbuf, Run};

/// Where the first byte goes.
#[derive(Clone, Copy)]
pub(crate) struct Front {
    /// Bytes in front if the first segment is inline.
    pub(crate) inline: usize,
    /// Bytes in front if it has storage.
    pub(crate) storage: usize,
    /// Most bytes that a packet's first segment may hold inline.
    pub(crate) data: usize,
}

impl Front {
    pub(crate) const NONE: Front = Front { inline: 0, storage: 0, data: MHLEN };

    /// What the pool gives by default.
    #[inline]
    pub(crate) fn default_of(shared: &Shared) -> Front {
        let room = &shared.tuning.room;
        Front { inline: room.link(), storage: room.header(), data: room.data() }
    }

    /// Exactly this many bytes, which have to leave room in a buffer.
    pub(crate) fn exactly(bytes: usize) -> Result<Front, OpError> {
        let max = MJUM16BYTES - 1;
        if bytes > max {
            return Err(OpError::TooLong { len: bytes, max });
        }
        Ok(Front { inline: bytes, storage: bytes, ..Front::NONE })
    }
}

/// Inline bytes of an mbuf with or without a packet header.
pub(crate) const fn inline_capacity(header: bool) -> usize {
    if header { MHLEN } else { MLEN }
}

/// Empty segments with room for `len` bytes, the first with a packet header if asked, and with bytes in front. The
/// room of all but the last is to be used up, so that none stays empty.
#[track_caller]
pub(crate) fn blank(shared: &Shared, len: usize, header: bool, front: Front) -> Result<Run, AllocError> {
    let mut run = Run::new();
    let mut left = len;
    while left > 0 || run.is_empty() {
        let (header, front) = if run.is_empty() { (header, front) } else { (false, Front::NONE) };
        let mbuf = blank_one(shared, left, header, front)?;
        left = left.saturating_sub(mbuf.tailroom());
        run.push_back(mbuf);
    }
    Ok(run)
}

/// Whether so many bytes, or one that comes later, are given one segment, of a cluster at most.
#[inline]
fn is_one(len: usize, front: Front) -> bool {
    front.storage.saturating_add(len.max(1)) <= MCLBYTES
}

/// One empty segment, with room for `len` bytes unless these and the bytes in front are more than a cluster.
#[inline(always)]
#[track_caller]
pub(crate) fn blank_one(shared: &Shared, len: usize, header: bool, front: Front) -> Result<Mbuf, AllocError> {
    let inline = !header || len <= front.data;
    if inline && front.inline.saturating_add(len) <= inline_capacity(header) {
        return shared.inline_behind(front.inline, header);
    }
    if !is_one(len, front) {
        return blank_large(shared, len, header, front);
    }
    let mut mbuf = shared.with_class(Class::Cluster, header)?;
    mbuf.place(front.storage);
    Ok(mbuf)
}

/// One empty segment with more than a cluster, if it can be had.
#[inline(never)]
#[track_caller]
fn blank_large(shared: &Shared, len: usize, header: bool, front: Front) -> Result<Mbuf, AllocError> {
    let at_least = Class::for_len(front.storage + 1).unwrap_or(Class::Jumbo16);
    let best = match front.storage.saturating_add(len) {
        // Two pages and a cluster would take more memory.
        LONGER_THAN_PAGES..=MJUM9BYTES => Class::Jumbo9,
        _ => Class::Page,
    };
    let mut got = shared.with_class(best.max(at_least), header);
    // Several smaller ones do as well.
    for class in [Class::Page, Class::Cluster] {
        if got.is_err() && class < best && class >= at_least {
            got = shared.with_class(class, header);
        }
    }
    let mut mbuf = got?;
    mbuf.place(front.storage.min(mbuf.capacity() - 1));
    Ok(mbuf)
}

/// More bytes than two pages.
const LONGER_THAN_PAGES: usize = 2 * MJUMPAGESIZE + 1;

/// One empty segment with room for `len` contiguous bytes behind `headroom`, both exactly.
#[inline]
#[track_caller]
pub(crate) fn contiguous(
    shared: &Shared,
    header: bool,
    len: usize,
    headroom: usize,
) -> Result<Mbuf, OpError> {
    let max = MJUM16BYTES;
    let need = len.checked_add(headroom).ok_or(OpError::TooLong { len, max })?;
    let mut mbuf = if need <= inline_capacity(header) {
        shared.inline(header)?
    } else {
        let class = Class::for_len(need).ok_or(OpError::TooLong { len: need, max })?;
        shared.with_class(class, header)?
    };
    mbuf.place(headroom);
    Ok(mbuf)
}

/// One empty segment with room for `len` contiguous bytes, and in front what room there is, up to the default.
#[track_caller]
pub(crate) fn contiguous_soft(shared: &Shared, header: bool, len: usize) -> Result<Mbuf, OpError> {
    let front = Front::default_of(shared);
    let (size, front) = if len <= inline_capacity(header) {
        (inline_capacity(header), front.inline)
    } else {
        let class = Class::for_len(len).ok_or(OpError::TooLong { len, max: MJUM16BYTES })?;
        (class.size(), front.storage)
    };
    // A multiple of eight, so that what follows stays as aligned as it may be.
    contiguous(shared, header, len, front.min((size - len) & !7))
}

/// Bytes that come in pieces.
pub(crate) struct Source<I: Iterator> {
    pieces: I,
    piece: Option<I::Item>,
    /// Bytes of the piece that were copied.
    done: usize,
}

impl<I: Iterator<Item: Deref<Target = [u8]>>> Source<I> {
    pub(crate) fn new(pieces: impl IntoIterator<IntoIter = I>) -> Self {
        Source { pieces: pieces.into_iter(), piece: None, done: 0 }
    }

    /// Copies the next bytes. If the source ends early, the rest is zeroed.
    pub(crate) fn copy_to(&mut self, mut place: &mut [u8]) {
        loop {
            if let Some(piece) = &self.piece {
                // A piece of the user's may say something else each time.
                let rest = piece.get(self.done..).unwrap_or_default();
                let n = place.len().min(rest.len());
                let (now, later) = place.split_at_mut(n);
                now.copy_from_slice(&rest[..n]);
                place = later;
                self.done += n;
            }
            if place.is_empty() {
                return;
            }
            (self.piece, self.done) = (self.pieces.next(), 0);
            if self.piece.is_none() {
                return place.fill(0);
            }
        }
    }

    /// Copies the next `n` bytes into the tailroom of the segments, one after the other.
    pub(crate) fn fill(&mut self, run: &mut Run, n: usize) {
        let mut left = n;
        for seg in run.segs_mut() {
            let k = left.min(seg.tailroom());
            left -= k;
            if let Some(place) = seg.grow_back(k) {
                self.copy_to(place);
            }
        }
        debug_assert_eq!(left, 0, "there was room for all");
    }
}

/// Moves `n` bytes from the front of a list behind the window of `into`, which has room for them, and ors their
/// flags to its own: it ends a record if it did, or the last byte of one came. Segments that become empty go into the
/// trash.
pub(crate) fn absorb(into: &mut Mbuf, from: &mut Run, trash: &mut crate::raw::Trash, mut n: usize) {
    let mut flags = into.user_flags();
    into.edit().clear_end();
    while n > 0 {
        let Some(mut first) = from.segs_mut().next() else { break };
        let k = n.min(first.len());
        copy_to_front(into.edit().grow_back(k).unwrap_or_default(), &first.bytes()[..k]);
        flags |= first.flags_up_to(k);
        n -= k;
        if k < first.len() {
            first.trim_front(k);
        } else if let Some(first) = from.pop_front() {
            trash.push(first);
        }
    }
    into.edit().set_user_flags(flags);
}

/// Makes `head`, which is empty and can carry a header, the carrier of the header for `run`, if the first segment of
/// `run` cannot be it: inline data in its way moves into `head`.
pub(crate) fn rehead(mut head: Mbuf, run: &mut Run, trash: &mut crate::raw::Trash, header: bool) {
    let Some(first) = run.segs().next() else {
        return run.push_front(head);
    };
    if !header || first.can_carry_header() {
        return trash.push(head);
    }
    head.edit().set_type(first.type_bits());
    trash.push_storage(head.strip());
    head.place(MLEN - MHLEN);
    absorb(&mut head, run, trash, MHLEN);
    run.push_front(head);
}

/// Whether copying is preferred to sharing.
pub(crate) fn is_small(len: usize) -> bool {
    len <= COPY_BREAK
}

/// A range of so many bytes, if it lies within `available`.
#[inline]
pub(crate) fn bounds(offset: usize, len: usize, available: usize) -> Result<(), BoundsError> {
    match offset.checked_add(len) {
        Some(end) if end <= available => Ok(()),
        end => Err(BoundsError { start: offset, end: end.unwrap_or(usize::MAX), available }),
    }
}

/// The sum of two lengths, if a chain can be so long.
#[inline]
pub(crate) fn add_lengths(a: usize, b: usize) -> Result<usize, OpError> {
    let max = u32::MAX as usize;
    a.checked_add(b).filter(|&len| len <= max).ok_or(OpError::TooLong { len: a.saturating_add(b), max })
}

/// Start and length of a range, with open ends where the data begins and ends.
#[inline]
pub(crate) fn resolve(
    range: impl core::ops::RangeBounds<usize>,
    available: usize,
) -> Result<(usize, usize), BoundsError> {
    use core::ops::Bound;
    let outside = |start, end| BoundsError { start, end, available };
    let start = match range.start_bound() {
        Bound::Included(&n) => n,
        Bound::Excluded(&n) => n.checked_add(1).ok_or(outside(n, n))?,
        Bound::Unbounded => 0,
    };
    let end = match range.end_bound() {
        Bound::Included(&n) => n.checked_add(1).ok_or(outside(start, n))?,
        Bound::Excluded(&n) => n,
        Bound::Unbounded => available.max(start),
    };
    if start > end || end > available {
        return Err(outside(start, end));
    }
    Ok((start, end - start))
}

/// The segments that hold some of a range of bytes, each with where in its window they are; none of them is empty.
#[derive(Clone)]
pub(crate) struct Parts<I> {
    segs: I,
    skip: usize,
    left: usize,
}

impl<I> Parts<I> {
    /// The range of `len` bytes from `start` on; what of it is not there is left out.
    #[inline]
    pub(crate) fn new(segs: I, start: usize, len: usize) -> Self {
        Parts { segs, skip: start, left: len }
    }

    /// Bytes of the range that are still to come.
    pub(crate) fn left(&self) -> usize {
        self.left
    }
}

impl<S: Deref<Target = RawMbuf>, I: Iterator<Item = S>> Iterator for Parts<I> {
    type Item = (S, Range<usize>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        while self.left > 0 {
            let seg = self.segs.next()?;
            let len = seg.len();
            if self.skip >= len {
                self.skip -= len;
                continue;
            }
            let start = core::mem::take(&mut self.skip);
            let n = self.left.min(len - start);
            self.left -= n;
            return Some((seg, start..start + n));
        }
        None
    }
}

/// Segments of a list with the offset of each.
pub(crate) fn offsets<'a>(
    segs: impl Iterator<Item = &'a RawMbuf>,
) -> impl Iterator<Item = (usize, &'a RawMbuf)> {
    let mut offset = 0;
    segs.map(move |seg| {
        let at = offset;
        offset += seg.len();
        (at, seg)
    })
}

/// Tells the segments of a copy what those of the original say: each has the type of its first byte and the flags of
/// all its bytes.
pub(crate) fn describe<'a>(copy: &mut Run, mut original: impl Iterator<Item = &'a RawMbuf>) {
    let Some(mut seg) = original.next() else { return };
    let mut done = 0;
    for mut part in copy.segs_mut() {
        part.set_type(seg.type_bits());
        let mut flags = 0;
        let mut left = part.len();
        while left > 0 {
            let n = left.min(seg.len() - done);
            left -= n;
            done += n;
            flags |= seg.flags_up_to(done);
            if done == seg.len() {
                let Some(next) = original.next() else { break };
                (seg, done) = (next, 0);
            }
        }
        part.set_user_flags(flags);
    }
}

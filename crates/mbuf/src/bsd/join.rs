//! `m_cat`, `m_catpkt`, `m_prepend`, `m_append`, `m_devpad`, `m_collapse`.

use super::{absorb, first, succeed};
use crate::blank::Source as Bytes;
use crate::blank::{Front, blank, contiguous, inline_capacity};
use crate::config::{Class, MJUM16BYTES};
use crate::error::OpError;
use crate::pool::Pool;
use crate::raw::foreign::{Error, Loose};
use crate::raw::{Mbuf, RawMbuf, Run};

impl Loose {
    /// `m_cat`: what fits into the tailroom of the last mbuf is copied there, mbuf by mbuf; the rest is linked. No header
    /// learns of it.
    pub fn concatenate(&mut self, mut other: Loose) {
        while let (Some(next), Some(last)) = (other.segs().next(), self.segs().last()) {
            let alike = next.type_bits() == last.type_bits();
            if next.has_storage() || !alike || next.len() > last.tailroom() {
                break;
            }
            next.next_packet.set(core::ptr::null_mut());
            let Some(mbuf) = other.run.pop_front() else { break };
            if let Some(mut last) = self.last_mut() {
                let flags = last.user_flags() | mbuf.flags_up_to(mbuf.len());
                last.set_user_flags(flags & !crate::meta::Flags::END_OF_RECORD.0);
                if let Some(place) = last.grow_back(mbuf.len()) {
                    place.copy_from_slice(mbuf.bytes());
                }
                if let Some(mut last) = self.last_mut() {
                    last.set_user_flags(flags);
                }
            }
        }
        self.run.append(other.into_run());
    }

    /// `m_catpkt`: two packets become one. Returns the second, if there is a header missing.
    pub fn concatenate_packets(&mut self, mut other: Loose) -> Result<(), Loose> {
        let (Some(_), Some(more)) = (self.length(), other.length()) else { return Err(other) };
        self.add_length(i64::from(more));
        other.demote(true, !0);
        self.concatenate(other);
        Ok(())
    }

    /// `M_PREPEND` in the first mbuf, if it has so much room: `n` bytes of which nothing is known, and the header says so.
    /// Whether it had.
    #[inline]
    pub fn grow_front(&mut self, n: usize) -> bool {
        let grown = self.segs_mut().next().is_some_and(|first| first.grow_front(n).is_some());
        if grown {
            self.add_length(n as i64);
        }
        grown
    }

    /// `m_prepend`: another first mbuf, with the header, and `n` bytes in it of which nothing is known.
    pub fn put_in_front(&mut self, pool: &Pool, n: usize) -> Result<(), Error> {
        let header = self.has_header();
        let mut fresh = contiguous(pool.shared(), header, n, 0)?;
        let word = size_of::<usize>();
        fresh.place((fresh.capacity() - n) / word * word);
        let _ = fresh.edit().grow_back(n);
        let mut old = first(self)?;
        succeed(&mut fresh, &mut old);
        self.run.push_front(old);
        self.run.push_front(fresh);
        Ok(())
    }

    /// Bytes behind the last one: `m_append`, and zeros for `m_devpad`. The header, if there is one, says that they came.
    pub fn append_bytes<'a>(
        &mut self,
        pool: &Pool,
        n: usize,
        bytes: impl Iterator<Item = &'a [u8]>,
    ) -> Result<(), Error> {
        let more = self.reserve_behind(pool, n)?;
        self.extend_with(more, n, &mut Bytes::new(bytes));
        self.add_length(n as i64);
        Ok(())
    }

    /// Mbufs for what of `n` bytes does not fit into the last one.
    pub(super) fn reserve_behind(&self, pool: &Pool, n: usize) -> Result<Run, Error> {
        let room = self.segs().last().map_or(0, RawMbuf::tailroom);
        if n <= room {
            return Ok(Run::new());
        }
        let mut run = blank(pool.shared(), n - room, false, Front::NONE)?;
        if let Some(last) = self.segs().last() {
            for mut seg in run.segs_mut() {
                seg.set_type(last.type_bits());
            }
        }
        Ok(run)
    }

    pub(super) fn extend_with<'a>(
        &mut self,
        mut more: Run,
        n: usize,
        bytes: &mut Bytes<impl Iterator<Item = &'a [u8]>>,
    ) {
        let mut here = 0;
        if let Some(last) = self.last_mut() {
            here = n.min(last.tailroom());
            if let Some(place) = last.grow_back(here) {
                bytes.copy_to(place);
            }
        }
        bytes.fill(&mut more, n - here);
        self.run.append(more);
    }

    /// `m_devpad`: zeros until there are so many bytes.
    pub fn pad_to(&mut self, pool: &Pool, n: usize) -> Result<(), Error> {
        let missing = n.saturating_sub(self.bytes());
        let zeros = core::iter::repeat_n(&[0; 512][..], missing.div_ceil(512));
        self.append_bytes(pool, missing, zeros)
    }

    /// `m_collapse`: at most `most` mbufs, of which the first stays.
    pub fn collapse(&mut self, pool: &Pool, most: usize) -> Result<(), Error> {
        let count = self.segs().count();
        if count <= most {
            return Ok(());
        }
        // As many as fit into the first; the others are kept from the front, and the rest is put together.
        let (have, room) = self.segs().next().map_or((0, 0), |first| (first.len(), first.tailroom()));
        let total = self.bytes();
        if most > 0 && total - have <= room {
            let mut head = first(self)?;
            absorb(&mut head, self, total - have);
            drop(core::mem::take(&mut self.run));
            self.run.push_front(head);
            return Ok(());
        }
        let kept = most.saturating_sub(1);
        let before: usize = self.segs().take(kept).map(RawMbuf::len).sum();
        let (kept, before) = if total - before <= MJUM16BYTES { (kept, before) } else { (1, have) };
        let needed = (total - before).div_ceil(MJUM16BYTES);
        if kept == 0 || kept + needed > most {
            return Err(OpError::TooManySegments { needed: needed + 1, max: most }.into());
        }
        let mut fresh = Run::new();
        let mut left = total - before;
        while left > 0 {
            let n = left.min(MJUM16BYTES);
            fresh.push_back(contiguous(pool.shared(), false, n, 0)?);
            left -= n;
        }
        let mut front = Run::new();
        for _ in 0..kept {
            front.push_back(first(self)?);
        }
        let mut left = total - before;
        while let Some(mut mbuf) = fresh.pop_front() {
            let n = left.min(MJUM16BYTES);
            if let Some(next) = self.segs().next() {
                mbuf.edit().set_type(next.type_bits());
            }
            absorb(&mut mbuf, self, n);
            front.push_back(mbuf);
            left -= n;
        }
        // What is left has no bytes.
        drop(core::mem::replace(&mut self.run, front));
        Ok(())
    }
}

/// An mbuf with storage for `n` bytes, empty.
pub(super) fn with_storage(pool: &Pool, n: usize) -> Result<Mbuf, Error> {
    let n = n.max(inline_capacity(false) + 1);
    let class = Class::for_len(n).ok_or(OpError::TooLong { len: n, max: MJUM16BYTES })?;
    let mut mbuf = pool.shared().with_class(class, false)?;
    mbuf.place(0);
    Ok(mbuf)
}

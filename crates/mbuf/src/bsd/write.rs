//! `m_copyback`, `m_makewritable`, `m_unshare`.

use super::first;
use super::join::with_storage;
use crate::blank::{Parts, Source as Bytes, add_lengths};
use crate::config::MJUM16BYTES;
use crate::pool::Pool;
use crate::raw::foreign::{Error, Loose};
use crate::raw::{RawMbuf, Run};

/// Storage for the bytes of mbufs that may not write their own, in order.
struct Copies(Run);

fn needs_copy(seg: &RawMbuf) -> bool {
    // Inline bytes are the mbuf's alone, whatever a flag says.
    seg.has_storage() && !seg.is_writable()
}

impl Loose {
    fn reserve_copies(&self, pool: &Pool, start: usize, len: usize) -> Result<Copies, Error> {
        let mut run = Run::new();
        for (seg, _) in Parts::new(self.segs(), start, len).filter(|(seg, _)| needs_copy(seg)) {
            let mut left = seg.len();
            while left > 0 {
                let n = left.min(MJUM16BYTES);
                run.push_back(with_storage(pool, n)?);
                left -= n;
            }
            pool.shared().ops.add(|ops| &ops.copies_on_write, 1);
        }
        Ok(Copies(run))
    }

    fn commit_copies(&mut self, start: usize, len: usize, Copies(mut copies): Copies) -> Result<(), Error> {
        if copies.is_empty() {
            return Ok(());
        }
        let mut old = core::mem::take(&mut self.run);
        let mut at = 0;
        while let Some(mut seg) = old.pop_front() {
            let here = at;
            at += seg.len();
            if !needs_copy(&seg) || seg.len() == 0 || at <= start || here >= start + len {
                self.run.push_back(seg);
                continue;
            }
            let mut more = Run::new();
            let mut done = 0;
            // In its own mbuf, which C may know; what no buffer holds follows in others.
            let mut own = copies.pop_front().ok_or(Error::Nothing)?;
            let n = seg.len().min(MJUM16BYTES);
            fill(&mut own, &seg, done..n);
            done = n;
            while done < seg.len() {
                let mut next = copies.pop_front().ok_or(Error::Nothing)?;
                let n = (seg.len() - done).min(MJUM16BYTES);
                fill(&mut next, &seg, done..done + n);
                next.edit().set_type(seg.type_bits());
                next.edit().set_user_flags(seg.flags_up_to(done + n));
                done += n;
                more.push_back(next);
            }
            if !more.is_empty() {
                seg.edit().clear_end();
            }
            seg.swap_storage(&mut own);
            self.run.push_back(seg);
            self.run.append(more);
        }
        Ok(())
    }

    /// `m_makewritable`: the range may be written. Mbufs keep their places, and get storage of their own.
    pub fn make_writable(&mut self, pool: &Pool, start: usize, len: usize) -> Result<(), Error> {
        let copies = self.reserve_copies(pool, start, len)?;
        self.commit_copies(start, len, copies)
    }

    /// `m_copyback`: bytes at an offset, which may be beyond the end: what is between is zero. The header says so, if
    /// there are more bytes than it said.
    pub fn write_back(&mut self, pool: &Pool, offset: usize, bytes: &[u8]) -> Result<(), Error> {
        let end = add_lengths(offset, bytes.len())?;
        self.write_anywhere(pool, offset, bytes, end)?;
        if self.length().is_some_and(|len| (len.max(0) as usize) < end) {
            self.set_length(end);
        }
        Ok(())
    }

    fn write_anywhere(&mut self, pool: &Pool, offset: usize, bytes: &[u8], end: usize) -> Result<(), Error> {
        let total = self.bytes();
        let inside = end.min(total).saturating_sub(offset);
        let copies = self.reserve_copies(pool, offset, inside)?;
        let beyond = end.saturating_sub(total);
        let more = self.reserve_behind(pool, beyond)?;
        if beyond > 0 {
            let gap = offset.saturating_sub(total);
            let zeros = core::iter::repeat_n(&[0; 512][..], gap / 512).chain([&[0; 512][..gap % 512]]);
            self.extend_with(more, beyond, &mut Bytes::new(zeros.chain([&bytes[inside..]])));
        }
        self.commit_copies(offset, inside, copies)?;
        let mut left = &bytes[..inside];
        for (seg, part) in Parts::new(self.segs_mut(), offset, inside) {
            let (now, rest) = left.split_at(part.len());
            if let Some(place) = seg.own_bytes_mut() {
                place[part].copy_from_slice(now);
            }
            left = rest;
        }
        Ok(())
    }

    /// The first mbuf's storage is exchanged for a cluster, for which it must have none (`m_clget`, `m_cljget`).
    pub fn attach_cluster(&mut self, pool: &Pool, class: crate::Class) -> Result<(), Error> {
        let seg = self.segs().next().ok_or(Error::Nothing)?;
        if seg.has_storage() {
            return Err(Error::Nothing);
        }
        let fresh = pool.shared().bare_cluster(class)?;
        let mut mbuf = first(self)?;
        mbuf.edit().empty();
        mbuf.give(fresh);
        self.run.push_front(mbuf);
        Ok(())
    }
}

fn fill(into: &mut crate::raw::Mbuf, from: &RawMbuf, part: core::ops::Range<usize>) {
    // Where the bytes were, if there is room: what follows stays as aligned as it was.
    if let Some(place) = into.edit().grow_back(part.len()) {
        place.copy_from_slice(&from.bytes()[part]);
    }
}

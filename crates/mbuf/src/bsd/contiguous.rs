//! `m_pullup`, `m_copyup`, `m_pulldown`, `m_align`.

use super::{absorb, first, succeed};
use crate::blank::{bounds, contiguous, contiguous_soft};
use crate::pool::Pool;
use crate::raw::foreign::{CMbuf, Error, Loose, named};

impl Loose {
    /// `m_pullup`: the first `n` bytes are in the first mbuf.
    pub fn pull_up(&mut self, pool: &Pool, n: usize) -> Result<(), Error> {
        bounds(0, n, self.bytes())?;
        let Some(seg) = self.segs().next() else { return Ok(()) };
        let (have, header) = (seg.len(), seg.has_header());
        if n <= have {
            return Ok(());
        }
        if seg.tailroom() >= n - have {
            let mut head = first(self)?;
            absorb(&mut head, self, n - have);
            self.run.push_front(head);
            return Ok(());
        }
        let fresh = contiguous_soft(pool.shared(), header, n)
            .inspect_err(|_| pool.shared().ops.add(|ops| &ops.pullup_failures, 1))?;
        pool.shared().ops.add(|ops| &ops.pullups, 1);
        self.gather(fresh, n)
    }

    /// `m_copyup`: the first `n` bytes are in a new first mbuf, with `room` bytes in front.
    pub fn copy_up(&mut self, pool: &Pool, n: usize, room: usize) -> Result<(), Error> {
        bounds(0, n, self.bytes())?;
        let fresh = contiguous(pool.shared(), self.has_header(), n, room)?;
        self.gather(fresh, n)
    }

    fn gather(&mut self, mut fresh: crate::raw::Mbuf, n: usize) -> Result<(), Error> {
        let mut old = first(self)?;
        succeed(&mut fresh, &mut old);
        self.run.push_front(old);
        absorb(&mut fresh, self, n);
        self.run.push_front(fresh);
        Ok(())
    }

    /// `m_pulldown`: so many bytes from `start` on are in one mbuf, at the offset that is returned with it: zero, unless
    /// any will do. What is in front of them stays where it is.
    pub fn pull_down(
        &mut self,
        pool: &Pool,
        start: usize,
        n: usize,
        anywhere: bool,
    ) -> Result<(*mut CMbuf, usize), Error> {
        bounds(start, n, self.bytes())?;
        let mut at = 0;
        let holds = |seg: &crate::raw::RawMbuf| {
            let here = at;
            at += seg.len();
            (start < here + seg.len()).then(|| (named(seg), start - here, seg.len(), seg.tailroom()))
        };
        let Some((place, within, len, tailroom)) = self.segs().find_map(holds) else {
            return Err(Error::Nothing);
        };
        let here = within == 0 || anywhere;
        if here && n <= len - within {
            return Ok((place, within));
        }
        let missing = (within + n).saturating_sub(len);
        let fresh = if here && tailroom >= missing {
            None
        } else {
            Some(contiguous_soft(pool.shared(), false, n.max(len - within))?)
        };
        let (mut front, _) = self.run.take_front(start);
        let mut seg = first(self)?;
        let found = match fresh {
            None => {
                absorb(&mut seg, self, missing);
                front.push_back(seg);
                (place, within)
            }
            Some(mut fresh) => {
                let moved = len - within;
                if let Some(bytes) = fresh.edit().grow_back(moved) {
                    bytes.copy_from_slice(&seg.bytes()[within..]);
                }
                fresh.edit().set_type(seg.type_bits());
                fresh.edit().set_user_flags(seg.flags_up_to(len));
                seg.edit().trim_back(moved);
                seg.edit().clear_end();
                front.push_back(seg);
                absorb(&mut fresh, self, missing);
                let place = named(&fresh);
                front.push_back(fresh);
                (place, 0)
            }
        };
        front.append(core::mem::take(&mut self.run));
        self.run = front;
        Ok(found)
    }

    /// `m_align`: the window of the first mbuf, which is empty, is put where `n` bytes end with the storage, or before,
    /// so that it begins at a multiple of a word.
    pub fn align_end(&mut self, n: usize) -> Result<(), Error> {
        let mut mbuf = first(self)?;
        let possible = n <= mbuf.capacity() && mbuf.is_writable() && mbuf.len() == 0;
        if possible {
            let word = size_of::<usize>();
            mbuf.place((mbuf.capacity() - n) / word * word);
        }
        self.run.push_front(mbuf);
        if possible { Ok(()) } else { Err(Error::Nothing) }
    }
}

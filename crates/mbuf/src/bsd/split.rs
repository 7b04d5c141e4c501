//! `m_split`.

use super::first;
use crate::blank::{bounds, contiguous};
use crate::config::MHLEN;
use crate::pool::Pool;
use crate::raw::foreign::{Error, Loose};
use crate::raw::{Mbuf, Run};

impl Loose {
    /// `m_split`: what is behind `at`, in a chain of its own, that has a header if this has one. The first mbuf stays,
    /// if only as an empty one.
    pub fn split_off(&mut self, pool: &Pool, at: usize) -> Result<Loose, Error> {
        let total = self.bytes();
        bounds(at, 0, total)?;
        let header = self.has_header();
        if at == total && !header {
            // What is behind has no bytes: there is nothing to return.
            return Err(Error::Nothing);
        }
        let mut within = at;
        let border = self.segs().enumerate().find_map(|(i, seg)| {
            let cut = (within > 0 || i == 0) && within < seg.len();
            if !cut {
                within = within.saturating_sub(seg.len());
            }
            cut.then_some(seg)
        });
        let mut tail = Run::new();
        let mut rest: Option<Mbuf> = None;
        if let Some(seg) = border {
            let part = within..seg.len();
            let small = !seg.has_storage() && part.len() <= MHLEN;
            let copy = match seg.has_storage() {
                true => pool.shared().showing(header, &seg, part)?,
                false => contiguous(pool.shared(), header && small, part.len(), 0)?.copy_of(seg, part)?,
            };
            rest = Some(copy);
        }
        if header && !rest.as_ref().is_some_and(|rest| rest.has_header()) {
            tail.push_back(contiguous(pool.shared(), true, 0, 0)?);
        }
        // Nothing fails from here on.
        let (mut front, left) = self.run.take_front(at);
        if let Some(mut rest) = rest {
            let mut seg = first(self)?;
            seg.edit().cut_for(left, &mut rest);
            front.push_back(seg);
            tail.push_back(rest);
        }
        if front.is_empty() {
            // Empty as it is, it stays.
            front.push_back(first(self)?);
        }
        tail.append(core::mem::replace(&mut self.run, front));
        let mut tail = Loose::of(tail);
        if let Some(len) = self.length() {
            tail.describe_as(self);
            tail.set_length((i64::from(len) - at as i64).max(0) as usize);
            self.set_length(at);
        }
        Ok(tail)
    }

    /// Copies the interface from another header, as `m_split` does.
    fn describe_as(&mut self, from: &Loose) {
        let Some(meta) = from.segs().next().map(|first| first.header().meta) else { return };
        if let Some(first) = self.run.segs_mut().next() {
            let header = first.header_mut();
            header.meta.interface = meta.interface;
            header.meta.user = meta.user;
        }
    }
}

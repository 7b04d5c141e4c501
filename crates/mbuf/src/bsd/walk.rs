//! `m_getptr`, `m_apply`, `m_length`, `m_sanity`.

use crate::raw::foreign::{CMbuf, Error, Loose, View, named};

/// What `m_sanity` finds, in a chain whose windows are right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sanity {
    /// Nothing.
    Sane,
    /// An mbuf behind the first has a packet header.
    Header(*const CMbuf),
    /// An mbuf behind the first is linked to another packet.
    Linked(*const CMbuf),
    /// The header says another length than there is.
    Length(i32, usize),
}

impl View<'_> {
    /// `m_getptr`: the mbuf with the byte at an offset, and where in its window that is. The end is in the last mbuf.
    pub fn find(&self, offset: usize) -> Option<(*mut CMbuf, usize)> {
        let mut end = None;
        for (at, seg) in self.places() {
            if offset < at + seg.len() {
                return Some((named(seg), offset - at));
            }
            end = (offset == at + seg.len()).then(|| (named(seg), seg.len()));
        }
        end
    }

    /// `m_apply`: calls `f` with each piece of a range, until it does not return zero.
    pub fn apply(&self, start: usize, len: usize, mut f: impl FnMut(&[u8]) -> i32) -> Result<i32, Error> {
        let slices = self.slices(start..start.checked_add(len).ok_or(Error::Nothing)?)?;
        Ok(slices.map(&mut f).find(|&result| result != 0).unwrap_or(0))
    }

    /// Whether there is one mbuf.
    pub fn is_contiguous(&self) -> bool {
        self.is_single()
    }

    /// Whether the first mbuf has a packet header, and what length that says.
    pub fn length_said(&self) -> Option<i32> {
        let first = self.first();
        first.has_header().then(|| first.header().len as i32)
    }

    /// Mbufs that share the storage of the first; zero if its bytes are its own (`m_sharecount`).
    pub fn sharers(&self) -> u32 {
        if self.first().has_storage() { self.first().share_count() } else { 0 }
    }

    /// Bytes that all mbufs pin: `m_countm`.
    pub fn charge(&self) -> usize {
        self.segs().map(|seg| seg.memory()).sum()
    }

    /// What `m_sanity` finds.
    pub fn sanity(&self) -> Sanity {
        for seg in self.segs().skip(1) {
            if seg.has_header() {
                return Sanity::Header(named(seg));
            }
            if !seg.next_packet.get().is_null() {
                return Sanity::Linked(named(seg));
            }
        }
        match self.length_said() {
            Some(said) if said < 0 || said as usize != self.len() => Sanity::Length(said, self.len()),
            _ => Sanity::Sane,
        }
    }
}

impl Loose {
    /// Repairs what [`View::sanity`] finds.
    pub fn sanitize(&mut self) {
        self.demote(false, !0);
        for seg in self.segs().skip(1) {
            seg.next_packet.set(core::ptr::null_mut());
        }
        self.fix_length();
    }
}

//! Packet headers.

use super::first;
use crate::raw::foreign::{Error, Loose, View};
use crate::raw::{Mbuf, Packet, PacketHeader, Run};

impl Loose {
    /// Whether the first mbuf has a packet header.
    pub fn has_header(&self) -> bool {
        self.segs().next().is_some_and(|first| first.has_header())
    }

    /// The length that the header says, if there is one.
    pub fn length(&self) -> Option<i32> {
        self.segs().next().filter(|first| first.has_header()).map(|first| first.header().len as i32)
    }

    /// Adds to the length that the header says, if there is one.
    pub fn add_length(&mut self, n: i64) {
        if let Some(len) = self.length() {
            self.set_length((i64::from(len) + n) as i32 as u32 as usize);
        }
    }

    /// Sets the length that the header says, if there is one.
    pub fn set_length(&mut self, len: usize) {
        if let Some(first) = self.run.segs_mut().next().filter(|first| first.has_header()) {
            first.header_mut().len = len as u32;
        }
    }

    /// Sets the interface that the header names, as C does.
    pub fn set_interface(&mut self, interface: *mut core::ffi::c_void) {
        if let Some(first) = self.run.segs_mut().next().filter(|first| first.has_header()) {
            first.header_mut().meta.user = (interface.expose_provenance() as u64).to_ne_bytes();
        }
    }

    /// `m_fixhdr`: the header says what is there. Returns that.
    pub fn fix_length(&mut self) -> usize {
        let len = self.bytes();
        self.set_length(len);
        len
    }

    /// `m_demote`: no mbuf has a header, or none but the first. Only flags among `keep` stay.
    pub fn demote(&mut self, all: bool, keep: u16) {
        let mut list = core::mem::take(&mut self.run);
        while let Some(mut mbuf) = list.pop_front() {
            if all || !self.run.is_empty() {
                if mbuf.has_header() {
                    drop(mbuf.take_header());
                }
                let flags = mbuf.user_flags() & keep;
                mbuf.edit().set_user_flags(flags);
            }
            self.run.push_back(mbuf);
        }
    }

    /// `m_move_pkthdr`, onto the single mbuf that this is: it gets the header that is moved, which has none left.
    pub fn take_header_of(&mut self, from: &mut Loose) -> Result<(), Error> {
        let (mut to, mut source) = (first(self)?, first(from)?);
        let possible = source.has_header() && to.can_carry_header();
        if possible {
            put_header(&mut to, source.take_header());
        }
        self.run.push_front(to);
        from.run.push_front(source);
        if possible { Ok(()) } else { Err(Error::NoHeader) }
    }

    /// `m_dup_pkthdr`, onto the single mbuf that this is: it gets a copy of the header.
    pub fn copy_header_of(&mut self, from: &View<'_>) -> Result<(), Error> {
        let Some(packet) = from.as_packet() else { return Err(Error::NoHeader) };
        let mut header = packet.copy_header()?;
        header.len = packet.header().len;
        let mut to = first(self)?;
        let possible = to.can_carry_header();
        if possible {
            put_header(&mut to, header);
        }
        self.run.push_front(to);
        if possible { Ok(()) } else { Err(Error::NoHeader) }
    }

    /// As a packet, if the first mbuf has a header: without mbufs that are empty, without other headers, and linked to no
    /// other packet.
    ///
    /// # Errors
    /// This, if it has none.
    pub fn into_packet(mut self) -> Result<Packet, Self> {
        let total = self.bytes();
        if !self.has_header() || u32::try_from(total).is_err() {
            return Err(self);
        }
        self.demote(false, !0);
        let mut list = self.into_run();
        let Some(mut head) = list.pop_front() else { return Err(Loose::of(list)) };
        let header = head.take_header();
        let mut run = Run::of(head);
        while let Some(mbuf) = list.pop_front() {
            if mbuf.len() > 0 {
                run.push_back(mbuf);
            }
        }
        if run.segs().next().is_some_and(|first| first.len() == 0) && total > 0 {
            // The mbuf of the header has no bytes: those that follow move into it, or the next one gets the header.
            if let Some(head) = run.pop_front() {
                let mut trash = crate::raw::Trash::default();
                crate::blank::rehead(head, &mut run, &mut trash, true);
            }
        }
        for mut seg in run.segs_mut() {
            seg.forget_empty_end();
        }
        Ok(run.into_packet(header, total))
    }

    /// `m_chtype`, of all mbufs that are here.
    pub fn set_type(&mut self, bits: u8) {
        for mut seg in self.segs_mut() {
            seg.set_type(bits & 0xf);
        }
    }
}

/// Gives an mbuf a header in place of the one it has. If it is empty, what is put there begins behind the header.
fn put_header(mbuf: &mut Mbuf, header: PacketHeader) {
    drop(mbuf.has_header().then(|| mbuf.take_header()));
    mbuf.add_header();
    mbuf.set_header(header);
    if !mbuf.has_storage() && mbuf.len() == 0 {
        mbuf.place(0);
    }
}

//! What code in C writes into fields.

use std::ptr;

use mbuf::ffi::CMbuf;

use super::Desk;
use super::place::{
    COUNTED, DATA, EXT, EXT_BUF, EXT_SIZE, FLAGS, LEN, META, META_SIZE, NEXT, NEXT_PACKET, PACKET_LEN,
    PKTHDR, Place, TYPE,
};
use crate::drive::Words;

impl Desk {
    /// Writes a field of an mbuf that C has: often what is wrong, sometimes what is not.
    pub(super) fn spoil(&mut self, words: &mut Words<'_>) {
        let n = usize::from(words.byte());
        let Some(mbuf) = self.known.live.iter().nth(n % self.known.live.len().max(1)).copied() else {
            return;
        };
        let (buf, size) = mbuf.bounds();
        let size = size.min(i32::MAX as usize);
        match words.byte() % 17 {
            0 => mbuf.set(LEN, words.wild(size) as i32),
            1 => mbuf.set(LEN, i32::from(words.byte() % 128)),
            2 => mbuf.shift((words.byte() as i8).into()),
            3 => {
                let start = words.wild(size).min(size);
                mbuf.set(DATA, buf.wrapping_add(start));
                mbuf.set(LEN, (usize::from(words.byte()) % (size - start + 1)) as i32);
            }
            4 => {
                let other = self.known.any(words.byte().into());
                mbuf.set(DATA, other.map_or(ptr::null_mut(), |other| other.get::<*mut u8>(DATA)));
            }
            5 => {
                let flag = 1 << (12 + words.byte() % 20);
                self.set_flags(mbuf, mbuf.flags() ^ flag, words);
            }
            6 => {
                let flags = u32::from(words.word()) << 14 | u32::from(words.byte()) << 12;
                self.set_flags(mbuf, flags, words);
            }
            7 => self.set_flags(mbuf, mbuf.flags() ^ PKTHDR, words),
            8 => mbuf.set(FLAGS, mbuf.flags() & !TYPE | u32::from(words.byte() % 16)),
            9 => {
                let other = self.known.any(words.byte().into());
                mbuf.set(NEXT_PACKET, other.map_or(ptr::null_mut(), Place::mbuf));
            }
            10 if mbuf.has(PKTHDR) => mbuf.set(PACKET_LEN, words.wild(size) as i32),
            11 if mbuf.has(PKTHDR) => mbuf.set(META, [words.byte(); META_SIZE]),
            12 if !mbuf.has_storage() => self.attach(mbuf, words),
            12 => {
                // A copy: the library knows better.
                mbuf.set(EXT_BUF, self.memory.zeros().cast::<u8>());
                mbuf.set(EXT_SIZE, words.wild(size) as u32);
            }
            13 => self.link(mbuf, ptr::null_mut()),
            14 => self.link(mbuf, self.no_mbuf(words)),
            _ => {
                let other = self.known.any(words.byte().into());
                self.link(mbuf, other.map_or(ptr::null_mut(), Place::mbuf));
            }
        }
    }

    /// Writes `m_next`. C keeps a pointer to what was there, as far as it has room.
    fn link(&mut self, mbuf: Place, next: *mut CMbuf) {
        let before: *mut CMbuf = mbuf.get(NEXT);
        mbuf.set(NEXT, next);
        if self.known.find(before).is_some() && self.roots.len() < super::CHAINS {
            self.roots.push(before);
        }
    }

    /// Writes `m_flags`. What C must not do without having written more is left as it was: a header whose tags nobody
    /// would drop, memory attached without a word of which.
    fn set_flags(&mut self, mbuf: Place, wanted: u32, words: &mut Words<'_>) {
        const BELOW: u32 = EXT - 1;
        let old = mbuf.flags();
        let mut flags = old & BELOW | wanted & !BELOW;
        if mbuf.has_tags() {
            flags |= PKTHDR;
        }
        let attach = !mbuf.has_storage() && flags & EXT != 0;
        if attach || mbuf.is_by_hand() {
            flags = flags & !(EXT | COUNTED) | old & (EXT | COUNTED);
        }
        mbuf.set(FLAGS, flags);
        if attach && !mbuf.is_by_hand() {
            self.attach(mbuf, words);
        } else if mbuf.is_by_hand() && wanted & EXT == 0 {
            self.memory.take_back(mbuf);
            mbuf.set(FLAGS, flags & !(EXT | COUNTED));
        }
    }

    /// Attaches memory by hand, instead of what was attached by hand.
    fn attach(&mut self, mbuf: Place, words: &mut Words<'_>) {
        if mbuf.is_by_hand() {
            self.memory.take_back(mbuf);
        }
        self.memory.attach(mbuf, words.byte());
        if words.byte().is_multiple_of(2) {
            mbuf.set(DATA, mbuf.bounds().0);
            mbuf.set(LEN, i32::from(words.byte()));
        }
    }
}

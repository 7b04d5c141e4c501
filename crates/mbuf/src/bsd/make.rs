//! New chains: `m_getm2`, `m_getjcl`, `m_devget`, `m_uiotombuf`, `m_extadd`.

use super::first;
use crate::blank::{Front, blank, contiguous};
use crate::config::{Class, MHLEN};
use crate::meta::MbufType;
use crate::pool::Pool;
use crate::raw::Run;
use crate::raw::foreign::{Error, Lent, Loose};

/// What a new mbuf is.
#[derive(Clone, Copy)]
pub struct Kind {
    /// Has a packet header.
    pub header: bool,
    /// `m_type`.
    pub bits: u8,
}

/// Writes bytes from an offset on.
pub type Source<'a> = &'a mut dyn FnMut(usize, &mut [u8]);

impl Loose {
    fn typed(mut run: Run, kind: Kind) -> Self {
        for mut seg in run.segs_mut() {
            seg.set_type(kind.bits);
        }
        Loose::of(run)
    }

    /// `m_get`, `m_gethdr`: one mbuf without storage.
    pub fn plain(pool: &Pool, kind: Kind) -> Result<Self, Error> {
        Ok(Self::typed(Run::of(pool.shared().inline(kind.header)?), kind))
    }

    /// `m_getjcl`: one mbuf with a cluster.
    pub fn with_class(pool: &Pool, kind: Kind, class: Class) -> Result<Self, Error> {
        let mut mbuf = pool.shared().with_class(class, kind.header)?;
        mbuf.place(0);
        Ok(Self::typed(Run::of(mbuf), kind))
    }

    /// `m_get2`: one mbuf for so many bytes.
    pub fn with_capacity(pool: &Pool, kind: Kind, len: usize) -> Result<Self, Error> {
        Ok(Self::typed(Run::of(contiguous(pool.shared(), kind.header, len, 0)?), kind))
    }

    /// `m_getm2`, `m_getc`: empty mbufs that together hold so many bytes.
    pub fn with_room(pool: &Pool, kind: Kind, len: usize) -> Result<Self, Error> {
        Ok(Self::typed(blank(pool.shared(), len, kind.header, Front::NONE)?, kind))
    }

    /// `m_devget`, `m_uiotombuf`: a packet or a chain of so many bytes with headroom, which `copy` writes.
    pub fn filled(pool: &Pool, kind: Kind, len: usize, room: usize, copy: Source<'_>) -> Result<Self, Error> {
        let front = Front {
            data: if kind.header { MHLEN.saturating_sub(room) } else { MHLEN },
            ..Front::exactly(room)?
        };
        let mut list = Self::typed(blank(pool.shared(), len, kind.header, front)?, kind);
        let mut offset = 0;
        for seg in list.segs_mut() {
            let n = seg.tailroom().min(len - offset);
            if let Some(place) = seg.grow_back(n) {
                copy(offset, place);
            }
            offset += n;
        }
        list.set_length(len);
        Ok(list)
    }

    /// Writes all bytes, from the first on.
    pub fn fill(&mut self, copy: &mut dyn FnMut(&mut [u8])) {
        for seg in self.segs_mut() {
            if let Some(place) = seg.bytes_mut() {
                copy(place);
            }
        }
    }

    /// `m_extadd`: attaches memory of C's to the first mbuf, which has no storage yet.
    ///
    /// # Errors
    /// What was wrong, and the memory.
    ///
    /// # Safety
    /// The memory may be read, and unless `read_only` written, until the callback is called.
    #[allow(unsafe_code)]
    pub unsafe fn lend(&mut self, pool: &Pool, lent: Lent, read_only: bool) -> Result<(), (Error, Lent)> {
        let mut mbuf = match first(self) {
            Ok(mbuf) => mbuf,
            Err(error) => return Err((error, lent)),
        };
        let done = match mbuf.refuses(&lent) {
            Some(fault) => Err((Error::Fault(fault), lent)),
            // SAFETY: by this function's contract.
            None => unsafe { mbuf.lend(pool.shared(), lent, read_only) }
                .map_err(|refused| (Error::Op(refused.error), refused.input)),
        };
        self.run.push_front(mbuf);
        done
    }

    /// Marks the last mbuf as the end of a record, once it has bytes.
    pub fn end_record(&mut self) {
        if let Some(mut last) = self.last_mut() {
            last.mark_end();
        }
    }

    /// Puts another chain behind this one.
    pub fn link(&mut self, other: Loose) {
        self.run.append(other.into_run());
    }
}

const _: () = assert!(MbufType::Data as u8 == 1);

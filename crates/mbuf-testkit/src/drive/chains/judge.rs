//! What there is to be said of a chain, by nobody's word but that of its fields.

use std::collections::{BTreeMap, BTreeSet};
use std::slice;

use mbuf::ffi::{CMbuf, Fault, Wrong};

use super::place::{DATA, EXT, EXT_BUF, EXT_FREE, EXT_SIZE, EXT_TYPE, PACKET_LEN, PKTHDR, Place};

/// A chain with which nothing is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sound {
    pub(super) mbufs: Vec<Place>,
    pub(super) bytes: Vec<u8>,
    /// The length that the header says, if there is one.
    pub(super) said: Option<i32>,
}

impl Sound {
    pub(super) fn first(&self) -> Place {
        self.mbufs[0]
    }

    pub(super) fn shares_with(&self, other: &Sound) -> bool {
        self.mbufs.iter().any(|mbuf| other.mbufs.contains(mbuf))
    }
}

/// What is wrong, and with which field of which mbuf; of a loop any.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Blame {
    mbuf: Option<*const CMbuf>,
    field: &'static str,
    wrong: Wrong,
}

impl Blame {
    fn of(mbuf: *const CMbuf, field: &'static str, wrong: Wrong) -> Self {
        Blame { mbuf: Some(mbuf), field, wrong }
    }

    pub(super) fn is(&self, fault: &Fault) -> bool {
        let same = self.mbuf.is_none_or(|mbuf| mbuf == fault.mbuf);
        same && (self.field, self.wrong) == (fault.field, fault.wrong)
    }

    #[track_caller]
    pub(super) fn assert_is(&self, fault: &Fault) {
        assert!(self.is(fault), "{self:?}, not {fault}");
    }
}

/// Which addresses are mbufs' of the pool, and which of those are in use.
#[derive(Default)]
pub(super) struct Known {
    pub(super) live: BTreeSet<Place>,
    ever: BTreeMap<usize, Place>,
}

impl Known {
    pub(super) fn add(&mut self, mbuf: Place) {
        self.ever.insert(mbuf.mbuf().addr(), mbuf);
        assert!(self.live.insert(mbuf), "an mbuf that is in use was handed out: {mbuf:?}");
    }

    pub(super) fn find(&self, mbuf: *mut CMbuf) -> Option<Place> {
        self.ever.get(&mbuf.addr()).copied()
    }

    /// One of all that there ever were.
    pub(super) fn any(&self, n: usize) -> Option<Place> {
        self.ever.values().nth(n % self.ever.len().max(1)).copied()
    }

    /// The mbuf there, if that is one, and in use.
    pub(super) fn judge_address(&self, mbuf: *mut CMbuf, field: &'static str) -> Result<Place, Blame> {
        if mbuf.is_null() || !mbuf.addr().is_multiple_of(64) {
            return Err(Blame::of(mbuf, field, Wrong::Misaligned));
        }
        let place = self.find(mbuf).ok_or(Blame::of(mbuf, field, Wrong::Unknown))?;
        if self.live.contains(&place) { Ok(place) } else { Err(Blame::of(mbuf, "m_type", Wrong::Freed)) }
    }

    /// What an mbuf says of itself, but for memory attached by hand.
    fn judge_one(&self, mbuf: *mut CMbuf, field: &'static str) -> Result<Place, Blame> {
        let place = self.judge_address(mbuf, field)?;
        match () {
            () if place.is_by_hand() => {}
            () if place.has_storage() && !place.has(EXT) => {
                return Err(Blame::of(mbuf, "m_flags", Wrong::Ext));
            }
            () => judge_window(place)?,
        }
        Ok(place)
    }

    pub(super) fn judge(&self, first: *mut CMbuf) -> Result<Sound, Blame> {
        let mut mbufs = vec![self.judge_one(first, "the mbuf given")?];
        loop {
            let next = mbufs[mbufs.len() - 1].next();
            if next.is_null() {
                break;
            }
            let next = self.judge_one(next, "m_next")?;
            if mbufs.contains(&next) {
                return Err(Blame { mbuf: None, field: "m_next", wrong: Wrong::Loop });
            }
            mbufs.push(next);
        }
        self.sound(mbufs)
    }

    /// The first mbuf, whatever follows.
    pub(super) fn judge_first(&self, first: *mut CMbuf) -> Result<Sound, Blame> {
        self.sound(vec![self.judge_one(first, "the mbuf given")?])
    }

    fn sound(&self, mbufs: Vec<Place>) -> Result<Sound, Blame> {
        let mut bytes = Vec::new();
        for &mbuf in &mbufs {
            if mbuf.is_by_hand() {
                judge_attached(mbuf)?;
                judge_window(mbuf)?;
            }
            // SAFETY: a window within its storage.
            bytes.extend_from_slice(unsafe { window(mbuf) });
        }
        let said = mbufs[0].has(PKTHDR).then(|| mbufs[0].get(PACKET_LEN));
        Ok(Sound { mbufs, bytes, said })
    }
}

/// # Safety
/// The window is within the storage, which nobody changes meanwhile.
pub(super) unsafe fn window<'a>(mbuf: Place) -> &'a [u8] {
    // SAFETY: by this function's contract.
    unsafe { slice::from_raw_parts(mbuf.get::<*mut u8>(DATA), mbuf.len() as usize) }
}

fn judge_window(mbuf: Place) -> Result<(), Blame> {
    let (buf, size) = mbuf.bounds();
    let (start, len) = (mbuf.get::<*mut u8>(DATA).addr().wrapping_sub(buf.addr()), mbuf.len());
    if start > size {
        return Err(Blame::of(mbuf.mbuf(), "m_data", Wrong::Start(start as isize, size)));
    }
    if len < 0 || len as usize > size - start {
        return Err(Blame::of(mbuf.mbuf(), "m_len", Wrong::End(len, size - start)));
    }
    Ok(())
}

/// What C says of memory that it attached by hand.
pub(super) fn judge_attached(mbuf: Place) -> Result<(), Blame> {
    let (buf, size) = (mbuf.get::<*mut u8>(EXT_BUF), mbuf.get::<u32>(EXT_SIZE));
    if buf.is_null() || size > i32::MAX as u32 {
        return Err(Blame::of(mbuf.mbuf(), "m_ext", Wrong::NoStorage));
    }
    // What the library shows of storage of its own.
    if mbuf.get::<usize>(EXT_FREE) == 0 && [1, 3, 4, 5, 255].contains(&mbuf.get::<u8>(EXT_TYPE)) {
        return Err(Blame::of(mbuf.mbuf(), "m_ext", Wrong::Uncounted));
    }
    Ok(())
}

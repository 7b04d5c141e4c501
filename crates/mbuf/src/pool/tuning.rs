//! What of a pool's settings its buffers' code looks at. It may change while they are in use.

use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use crate::config::{LINK_HEADER, MHLEN};
use crate::tune::MAX_HEADROOM;

#[derive(Debug, Default)]
pub(crate) struct Tuning {
    pub(crate) room: Room,
    pub(crate) defrag_failures: OneIn,
    pub(crate) wait: DefaultWait,
}

impl Tuning {
    /// The same settings for another pool.
    pub(crate) fn again(&self) -> Self {
        let Tuning { room, defrag_failures, wait } = self;
        let again = Tuning {
            room: Room::new(room.link(), room.header, room.data.load(Ordering::Relaxed)),
            ..Tuning::default()
        };
        again.defrag_failures.set(defrag_failures.get());
        again.wait.set(wait.get());
        again
    }
}

/// Where constructors put the first byte.
///
/// # Invariants
/// 1. `header` is at most [`MAX_HEADROOM`]: less than any cluster.
/// 2. `link` is at most [`MHLEN`].
#[derive(Debug)]
pub(crate) struct Room {
    /// Bytes in front of data in storage (`max_hdr`). Does not change: what allocates reads it, and an atomic load there
    /// costs two instructions more.
    header: usize,
    /// Bytes in front of inline data (`max_linkhdr`).
    link: AtomicUsize,
    /// Most bytes a packet has inline (`max_datalen`), if `link` leaves so many.
    data: AtomicUsize,
}

impl Default for Room {
    fn default() -> Self {
        Room::new(LINK_HEADER, 64, MHLEN)
    }
}

// Relaxed throughout: the figures are each right by themselves, and any mixture of old and new ones is, too.
impl Room {
    /// The caller has looked whether they are possible.
    pub(crate) fn new(link: usize, header: usize, data: usize) -> Self {
        assert!(header <= MAX_HEADROOM, "no room for data");
        let room = Room { header, link: 0.into(), data: data.into() };
        room.set_link(link);
        room
    }

    #[inline(always)]
    pub(crate) fn header(&self) -> usize {
        self.header
    }

    #[inline]
    pub(crate) fn link(&self) -> usize {
        self.link.load(Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn data(&self) -> usize {
        self.data.load(Ordering::Relaxed).min(MHLEN - self.link())
    }

    pub(crate) fn set_link(&self, link: usize) {
        assert!(link <= MHLEN, "no room for data");
        self.link.store(link, Ordering::Relaxed);
    }

    pub(crate) fn set_data(&self, data: usize) {
        self.data.store(data, Ordering::Relaxed);
    }
}

/// How long the program waits for buffers where it does not say (`mbuf_wait`).
#[derive(Debug, Default)]
pub(crate) struct DefaultWait(AtomicUsize);

impl DefaultWait {
    /// Milliseconds; `None` is for ever.
    pub(crate) fn get(&self) -> Option<usize> {
        Some(self.0.load(Ordering::Relaxed)).filter(|&ms| ms != usize::MAX)
    }

    pub(crate) fn set(&self, milliseconds: Option<usize>) {
        self.0.store(milliseconds.unwrap_or(usize::MAX), Ordering::Relaxed);
    }
}

/// Says yes once in so many times, without a pattern, but the same in every run.
#[derive(Debug, Default)]
pub(crate) struct OneIn {
    /// Zero: never.
    n: AtomicU32,
    asked: AtomicU32,
}

impl OneIn {
    pub(crate) fn get(&self) -> u32 {
        self.n.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, n: u32) {
        self.n.store(n, Ordering::Relaxed);
    }

    pub(crate) fn strikes(&self) -> bool {
        let n = self.get();
        n > 0 && (u64::from(mix(self.asked.fetch_add(1, Ordering::Relaxed))) * u64::from(n)) >> 32 == 0
    }
}

/// The last steps of MurmurHash3: each input another output, neighbours far apart.
fn mix(mut x: u32) -> u32 {
    x ^= x >> 16;
    x = x.wrapping_mul(0x85eb_ca6b);
    x ^= x >> 13;
    x = x.wrapping_mul(0xc2b2_ae35);
    x ^ x >> 16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg_attr(miri, ignore = "arithmetic, and much of it")]
    #[test]
    fn one_in_n_is_about_that() {
        for n in [0, 1, 2, 10, 256] {
            let chance = OneIn::default();
            chance.set(n);
            let strikes = (0..65_536).filter(|_| chance.strikes()).count();
            let expected = 65_536_usize.checked_div(n as usize).unwrap_or(0);
            assert!(strikes.abs_diff(expected) <= expected / 5, "{strikes} of {expected}");
            assert!(n > 1 || strikes == expected, "never and always are exact");
        }
    }
}

//! What of a pool's settings its buffers' code looks at. It may change while they are in use.

use core::sync::atomic::{AtomicUsize, Ordering};

use crate::config::{LINK_HEADER, MHLEN};
use crate::tune::MAX_HEADROOM;

#[derive(Debug, Default)]
pub(crate) struct Tuning {
    pub(crate) room: Room,
    pub(crate) wait: DefaultWait,
}

impl Tuning {
    /// The same settings for another pool.
    pub(crate) fn again(&self) -> Self {
        let Tuning { room, wait } = self;
        let again = Tuning {
            room: Room::new(room.link(), room.header, room.data.load(Ordering::Relaxed)),
            ..Tuning::default()
        };
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

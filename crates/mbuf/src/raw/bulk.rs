//! Many packets at a time, in one step of the cache.
#![allow(unsafe_code)]

use alloc::vec::Vec;

use mbuf_zone::raw::{Object, try_put_bulk};

use super::chain::{MbufChain, Packet};
use super::lane;
use super::mbuf::Mbuf;
use super::zones::Shared;
use crate::config::Class;
use crate::error::AllocError;

const CLUSTER: Class = Class::Cluster;
const LANE: usize = lane::PACKETS[CLUSTER.index()];

/// Packets that room is made for in one step.
const BATCH: usize = 64;

impl Shared {
    /// `n` packets as [`paired`](Self::paired) makes them behind what is in `out`, or none.
    #[track_caller]
    fn paired_batch(&self, n: usize, out: &mut Vec<Packet>) -> Result<(), AllocError> {
        out.reserve(n);
        let headroom = self.tuning.room.header();
        self.packets[CLUSTER.index()]
            .get_bulk::<LANE, _>(&mut out.spare_capacity_mut()[..n], |object| {
                // SAFETY: an object of the packet zone, at rest, just handed out; the headroom is as in `paired`.
                MbufChain::from_fresh(unsafe { Mbuf::paired(object, CLUSTER, true, headroom) })
            })
            .map_err(|cause| self.pair_missing(CLUSTER, cause))?;
        // SAFETY: the next `n` are there now.
        unsafe { out.set_len(out.len() + n) };
        Ok(())
    }

    /// `n` packets behind what is in `out`, or none.
    #[track_caller]
    pub(crate) fn paired_bulk(&self, n: usize, out: &mut Vec<Packet>) -> Result<(), AllocError> {
        /// Takes back what was added, if not all could be had or a page source panicked.
        struct Added<'a>(&'a mut Vec<Packet>, usize);

        impl Drop for Added<'_> {
            fn drop(&mut self) {
                self.0.truncate(self.1);
            }
        }

        let before = out.len();
        let mut added = Added(out, before);
        let mut left = n;
        while left > 0 {
            let batch = left.min(BATCH);
            self.paired_batch(batch, added.0)?;
            left -= batch;
        }
        added.1 = added.0.len();
        Ok(())
    }
}

/// Drops packets from the last to the first, in one step as many as are simple ones with clusters of one pool.
pub(crate) fn free_bulk(packets: &mut Vec<Packet>) {
    /// Whatever panics, all of them are freed: some may say so already.
    struct Rest<'a>(&'a mut Vec<Packet>);

    impl Drop for Rest<'_> {
        fn drop(&mut self) {
            self.0.clear();
        }
    }

    let rest = Rest(packets);
    let packets = &mut *rest.0;
    while let Some(last) = packets.last() {
        let home = last.first().head.whence();
        let simple = packets.iter().rev().map_while(|packet| {
            let first = packet.first();
            (packet.is_single() && first.head.whence() == home).then(|| {
                first.note_free();
                Object::new(packet.0.cast())
            })
        });
        // SAFETY: of one zone and linked to nothing; unmarked, they are at rest but for the window. Those that are taken are
        // no packets any more.
        unsafe {
            let n = try_put_bulk::<LANE>(home, simple);
            packets.set_len(packets.len() - n);
            if n == 0 {
                packets.pop();
            }
        }
    }
}

//! Many packets at a time, in one step of the cache.
#![allow(unsafe_code)]

use alloc::vec::Vec;
use core::mem::MaybeUninit;

use super::chain::{MbufChain, Packet};
use super::lane;
use super::mbuf::Mbuf;
use super::zones::Shared;
use crate::config::Class;
use crate::error::AllocError;

const CLUSTER: Class = Class::Cluster;

/// Packets that go through the cache in one step.
const BATCH: usize = 32;

impl Shared {
    /// Up to `BATCH` packets as [`paired`](Self::paired) makes them: all `n` of them behind what is in `out`, or none.
    #[track_caller]
    fn paired_batch(&self, n: usize, out: &mut Vec<Packet>) -> Result<(), AllocError> {
        let mut objects = [MaybeUninit::uninit(); BATCH];
        let objects = &mut objects[..n];
        self.packets[CLUSTER.index()]
            .get_bulk::<{ lane::PACKETS[CLUSTER.index()] }>(objects)
            .map_err(|cause| self.pair_missing(CLUSTER, cause))?;
        let headroom = self.tuning.room.header();
        out.extend(objects.iter().map(|object| {
            // SAFETY: written by `get_bulk`: an object of the packet zone, at rest, just handed out; the headroom is as in
            // `paired`. `extend` takes them all: room was made, and nothing here panics.
            MbufChain::from_fresh(unsafe { Mbuf::paired(object.assume_init(), CLUSTER, true, headroom) })
        }));
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
            added.0.reserve(batch);
            self.paired_batch(batch, added.0)?;
            left -= batch;
        }
        added.1 = added.0.len();
        Ok(())
    }
}

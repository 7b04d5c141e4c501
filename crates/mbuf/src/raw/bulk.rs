//! Many packets at a time, in one step of the cache.
#![allow(unsafe_code)]

use alloc::vec::Vec;
use core::mem::MaybeUninit;

use super::chain::{MbufChain, Packet};
use super::lane;
use super::mbuf::Mbuf;
use super::zones::Shared;
use crate::error::AllocError;

/// Packets that go through the cache in one step.
const BATCH: usize = 32;

impl Shared {
    /// Up to `BATCH` packets as [`paired`](Self::paired) makes them: all `n` of them behind what is in `out`, or none.
    fn paired_batch(&self, n: usize, out: &mut Vec<Packet>) -> Result<(), AllocError> {
        let mut objects = [MaybeUninit::uninit(); BATCH];
        let objects = &mut objects[..n];
        self.packets.get_bulk::<{ lane::PACKET }>(objects).map_err(|cause| self.pair_missing(cause))?;
        let headroom = self.tuning.room.header();
        out.extend(objects.iter().map(|object| {
            // SAFETY: written by `get_bulk`: an object of the packet zone, at rest, just handed out; the headroom is as in
            // `paired`. `extend` takes them all: room was made, and nothing here panics.
            MbufChain::from_fresh(unsafe { Mbuf::paired(object.assume_init(), headroom) })
        }));
        Ok(())
    }

    /// `n` packets behind what is in `out`, or none.
    pub(crate) fn paired_bulk(&self, n: usize, out: &mut Vec<Packet>) -> Result<(), AllocError> {
        let before = out.len();
        out.reserve(n);
        while out.len() - before < n {
            let batch = (before + n - out.len()).min(BATCH);
            if let Err(error) = self.paired_batch(batch, out) {
                out.truncate(before);
                return Err(error);
            }
        }
        Ok(())
    }
}

//! Many packets at a time: one step of the cache for all of them.
#![allow(unsafe_code)]

use alloc::vec::Vec;
use core::mem::{self, MaybeUninit};

use mbuf_zone::raw::{Object, RawZone};

use super::chain::{MbufChain, Packet};
use super::lane;
use super::mbuf::{self, Mbuf};
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
                self.free_bulk(out.drain(before..));
                return Err(error);
            }
        }
        Ok(())
    }

    /// Frees packets: simple ones of this pool a batch at a time, others as dropping them does.
    pub(crate) fn free_bulk(&self, packets: impl IntoIterator<Item = Packet>) {
        let mut batch = Batch { zone: &self.packets, objects: [MaybeUninit::uninit(); BATCH], n: 0 };
        for packet in packets {
            batch.push(packet);
        }
    }
}

/// Free packets on their way to their zone.
///
/// # Invariants
/// 1. The first `n` objects are written: free, unmarked ones of the zone, at rest but for their windows, and nobody
///    else's.
struct Batch<'a> {
    zone: &'a RawZone,
    objects: [MaybeUninit<Object>; BATCH],
    n: usize,
}

impl Batch<'_> {
    #[inline]
    fn push(&mut self, packet: Packet) {
        // SAFETY: the packet keeps its first mbuf out of the zone while the head is looked at.
        let (object, head) = unsafe { mbuf::as_object(packet.0) };
        if !packet.is_single() || !self.zone.owns(head) {
            return drop(packet);
        }
        if self.n == BATCH {
            self.flush();
        }
        mem::forget(packet);
        self.objects[self.n].write(object);
        self.n += 1;
    }

    fn flush(&mut self) {
        let n = mem::take(&mut self.n);
        // SAFETY: by invariant 1, `n` objects of the zone, which are given away.
        unsafe {
            let objects = &*(&raw const self.objects[..n] as *const [Object]);
            self.zone.put_bulk::<{ lane::PACKET }>(objects);
        }
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        self.flush();
    }
}

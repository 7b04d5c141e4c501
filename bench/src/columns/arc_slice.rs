//! `arc-slice`: as `bytes`, with another layout. Memory by the process's allocator.

use arc_slice::{ArcBytes, ArcBytesMut};

use crate::column::{Cell, Column, keep};
use crate::seen::{Seen, pattern};

const CLUSTER: usize = 2048;
const HEADER: usize = 104;
const JUMBO: usize = 9216;

pub struct Slices {
    shared: ArcBytes,
}

impl Column for Slices {
    fn open(_: usize) -> Result<Self, String> {
        Ok(Slices { shared: ArcBytes::from_slice(pattern(1500)) })
    }

    fn cells() -> Vec<Cell<Self>> {
        vec![
            cell!("alloc+free packet with cluster", packet),
            cell!("alloc+free header mbuf", header),
            cell!("alloc+free packet with 9 KiB", jumbo),
            cell!("alloc, fill 1500 B, free", fill),
            cell!("share 1500 B + free", share),
            cell!("share a range + free", share_range),
            cell!("split at 500 + free both", split),
            cell!("duplicate 1500 B", duplicate),
            pair!("alloc+free, two threads", 1, packet),
        ]
    }
}

#[inline(always)]
fn sized<const SEE: bool>(size: usize, n: u64, seen: &mut Seen) {
    for _ in 0..n {
        let mut buffer: ArcBytesMut = ArcBytesMut::with_capacity(size);
        keep(buffer.as_ptr());
        if SEE {
            buffer.extend_from_slice(&pattern(size)[..size]);
            seen.room(&mut buffer);
        }
    }
}

fn packet<const SEE: bool>(_: &mut Slices, n: u64, seen: &mut Seen) {
    sized::<SEE>(CLUSTER, n, seen);
}

fn header<const SEE: bool>(_: &mut Slices, n: u64, seen: &mut Seen) {
    sized::<SEE>(HEADER, n, seen);
}

fn jumbo<const SEE: bool>(_: &mut Slices, n: u64, seen: &mut Seen) {
    sized::<SEE>(JUMBO, n, seen);
}

/// A buffer of which 1500 bytes have been written by somebody else.
#[inline(always)]
fn received() -> ArcBytesMut {
    let mut buffer = ArcBytesMut::with_capacity(CLUSTER);
    // SAFETY: there is room, and the bytes are written before they are looked at.
    unsafe { buffer.set_len(1500) };
    buffer
}

fn fill<const SEE: bool>(_: &mut Slices, n: u64, seen: &mut Seen) {
    for _ in 0..n {
        let mut buffer = received();
        buffer.fill(0x5a);
        keep(buffer.as_ptr());
        if SEE {
            seen.packet(&buffer);
        }
    }
}

fn share<const SEE: bool>(s: &mut Slices, n: u64, seen: &mut Seen) {
    for _ in 0..n {
        let shared = s.shared.clone();
        keep(shared.as_ptr());
        if SEE {
            seen.packet(&shared);
        }
    }
}

fn share_range<const SEE: bool>(s: &mut Slices, n: u64, seen: &mut Seen) {
    for _ in 0..n {
        let shared = s.shared.subslice(100..1300);
        keep(shared.as_ptr());
        if SEE {
            seen.packet(&shared);
        }
    }
}

fn split<const SEE: bool>(_: &mut Slices, n: u64, seen: &mut Seen) {
    for _ in 0..n {
        let mut buffer = received();
        if SEE {
            buffer.copy_from_slice(pattern(1500));
        }
        // Only a buffer that may be shared can be split.
        let mut front = buffer.into_shared();
        let tail = front.split_off(500);
        keep(front.as_ptr());
        keep(tail.as_ptr());
        if SEE {
            seen.packet(&front);
            seen.packet(&tail);
        }
    }
}

fn duplicate<const SEE: bool>(s: &mut Slices, n: u64, seen: &mut Seen) {
    for _ in 0..n {
        let copy: ArcBytes = ArcBytes::from_slice(&s.shared);
        keep(copy.as_ptr());
        if SEE {
            seen.packet(&copy);
        }
    }
}

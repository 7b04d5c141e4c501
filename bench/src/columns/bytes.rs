//! `bytes`: a buffer is allocated by the process's allocator, and counted when it is shared.

use std::sync::LazyLock;

use bytes::{BufMut, Bytes, BytesMut};

use crate::column::{Cell, Column, keep};
use crate::ring::{Ends, Ring};
use crate::rows::{BULK, BURST};
use crate::seen::{Flat, Seen, pattern};

const HEADROOM: usize = 64;
const CLUSTER: usize = 2048;
const HEADER: usize = 104;
const JUMBO: usize = 9216;

static RING: LazyLock<Ring<BytesMut>> = LazyLock::new(Ring::default);

pub struct Buffers {
    shared: Bytes,
    packet: BytesMut,
    burst: Vec<BytesMut>,
    buffer: Box<Flat>,
    ring: Ends<BytesMut>,
}

impl Column for Buffers {
    fn open(_: usize) -> Result<Self, String> {
        let mut packet = BytesMut::with_capacity(CLUSTER);
        packet.extend_from_slice(pattern(1500));
        // As it is once somebody has cloned it: the first clone would allocate the count.
        let shared = packet.clone().freeze();
        drop(shared.clone());
        Ok(Buffers {
            shared,
            packet,
            burst: Vec::with_capacity(BURST as usize),
            buffer: Flat::new(),
            // SAFETY: the first thread sends, the second receives.
            ring: unsafe { Ends::new(&RING) },
        })
    }

    fn cells() -> Vec<Cell<Self>> {
        vec![
            cell!("alloc+free packet with cluster", packet),
            cell!("alloc+free header mbuf", header),
            cell!("alloc+free packet with 9 KiB", jumbo),
            cell!("bulk of 32", BULK, singles),
            cell!("burst of 32 singles", BULK, singles),
            cell!("burst of 4096, first in first out", BURST, fifo),
            cell!("burst of 4096, last in first out", BURST, lifo),
            cell!("alloc, fill 1500 B, free", fill),
            cell!("share 1500 B + free", share),
            cell!("share 1500 B by reference + free", share),
            cell!("share a range + free", share_range),
            cell!("split at 500 + free both", split),
            cell!("append 64 + trim", append),
            cell!("duplicate 64 B", duplicate_64),
            cell!("duplicate 1500 B", duplicate_1500),
            cell!("copy out 1500 B", copy_out),
            cell!("copy in 1500 B", copy_in),
            pair!("alloc+free, two threads", 1, packet),
            pair!("burst of 4096, two threads", BURST, fifo),
            pair!("allocate here, free there", 1, send, receive),
            pair!("allocate 32 here, free there", BULK, send_32, receive_32),
        ]
    }
}

fn see_room(buffer: &mut BytesMut, seen: &mut Seen) {
    buffer.resize(buffer.capacity(), 0);
    seen.room(buffer);
}

#[inline(always)]
fn sized<const SEE: bool>(size: usize, n: u64, seen: &mut Seen) {
    for _ in 0..n {
        let mut buffer = BytesMut::with_capacity(size);
        keep(buffer.as_ptr());
        if SEE {
            see_room(&mut buffer, seen);
        }
    }
}

fn packet<const SEE: bool>(_: &mut Buffers, n: u64, seen: &mut Seen) {
    sized::<SEE>(CLUSTER, n, seen);
}

fn header<const SEE: bool>(_: &mut Buffers, n: u64, seen: &mut Seen) {
    sized::<SEE>(HEADER, n, seen);
}

fn jumbo<const SEE: bool>(_: &mut Buffers, n: u64, seen: &mut Seen) {
    sized::<SEE>(JUMBO, n, seen);
}

#[inline(always)]
fn allocate<const SEE: bool>(s: &mut Buffers, n: u64, seen: &mut Seen) {
    s.burst.extend((0..n).map(|_| BytesMut::with_capacity(CLUSTER)));
    keep(s.burst.as_ptr());
    if SEE {
        s.burst.iter_mut().for_each(|buffer| see_room(buffer, seen));
    }
}

fn singles<const SEE: bool>(s: &mut Buffers, n: u64, seen: &mut Seen) {
    for _ in 0..n / BULK {
        allocate::<SEE>(s, BULK, seen);
        s.burst.clear();
    }
}

fn fifo<const SEE: bool>(s: &mut Buffers, n: u64, seen: &mut Seen) {
    for _ in 0..n / BURST {
        allocate::<SEE>(s, BURST, seen);
        s.burst.clear();
    }
}

fn lifo<const SEE: bool>(s: &mut Buffers, n: u64, seen: &mut Seen) {
    for _ in 0..n / BURST {
        allocate::<SEE>(s, BURST, seen);
        while let Some(buffer) = s.burst.pop() {
            drop(buffer);
        }
    }
}

fn fill<const SEE: bool>(_: &mut Buffers, n: u64, seen: &mut Seen) {
    for _ in 0..n {
        let mut buffer = BytesMut::with_capacity(CLUSTER);
        buffer.put_bytes(0x5a, 1500);
        keep(buffer.as_ptr());
        if SEE {
            seen.packet(&buffer);
        }
    }
}

fn share<const SEE: bool>(s: &mut Buffers, n: u64, seen: &mut Seen) {
    for _ in 0..n {
        let shared = s.shared.clone();
        keep(shared.as_ptr());
        if SEE {
            seen.packet(&shared);
        }
    }
}

fn share_range<const SEE: bool>(s: &mut Buffers, n: u64, seen: &mut Seen) {
    for _ in 0..n {
        let shared = s.shared.slice(100..1300);
        keep(shared.as_ptr());
        if SEE {
            seen.packet(&shared);
        }
    }
}

fn split<const SEE: bool>(_: &mut Buffers, n: u64, seen: &mut Seen) {
    for _ in 0..n {
        let mut buffer = BytesMut::with_capacity(CLUSTER);
        if SEE {
            buffer.extend_from_slice(pattern(1500));
        } else {
            // SAFETY: there is room, and the bytes are not looked at: a driver has put them there.
            unsafe { buffer.set_len(1500) };
        }
        let tail = buffer.split_off(500);
        keep(buffer.as_ptr());
        keep(tail.as_ptr());
        if SEE {
            seen.packet(&buffer);
            seen.packet(&tail);
        }
    }
}

fn append<const SEE: bool>(s: &mut Buffers, n: u64, seen: &mut Seen) {
    for _ in 0..n {
        s.packet.reserve(64);
        keep(s.packet.spare_capacity_mut().as_ptr());
        if SEE {
            s.packet.put_bytes(0x5a, 64);
            seen.packet(&s.packet);
        } else {
            // SAFETY: there is room, and the bytes are not looked at.
            unsafe { s.packet.set_len(1564) };
        }
        s.packet.truncate(1500);
        keep(&s.packet);
        if SEE {
            seen.packet(&s.packet);
        }
    }
}

#[inline(always)]
fn duplicate<const SEE: bool>(from: &[u8], n: u64, seen: &mut Seen) {
    for _ in 0..n {
        // With the headroom and the tailroom that a packet has.
        let mut copy = BytesMut::with_capacity(HEADROOM + from.len());
        copy.extend_from_slice(from);
        keep(copy.as_ptr());
        if SEE {
            seen.packet(&copy);
        }
    }
}

fn duplicate_64<const SEE: bool>(s: &mut Buffers, n: u64, seen: &mut Seen) {
    duplicate::<SEE>(&s.shared[..64], n, seen);
}

fn duplicate_1500<const SEE: bool>(s: &mut Buffers, n: u64, seen: &mut Seen) {
    duplicate::<SEE>(&s.shared, n, seen);
}

fn copy_out<const SEE: bool>(s: &mut Buffers, n: u64, seen: &mut Seen) {
    let out = &mut s.buffer.beside(s.packet.as_ptr())[..1500];
    for _ in 0..n {
        out.copy_from_slice(&s.packet[..1500]);
        keep(out.as_ptr());
    }
    if SEE {
        seen.packet(out);
    }
}

fn copy_in<const SEE: bool>(s: &mut Buffers, n: u64, seen: &mut Seen) {
    let bytes = &mut s.buffer.beside(s.packet.as_ptr())[..1500];
    bytes.copy_from_slice(pattern(1500));
    for _ in 0..n {
        s.packet[..1500].copy_from_slice(bytes);
        keep(s.packet.as_ptr());
    }
    if SEE {
        seen.packet(&s.packet);
    }
}

#[inline(always)]
fn fresh<const SEE: bool>() -> BytesMut {
    let mut buffer = BytesMut::with_capacity(CLUSTER);
    if SEE {
        buffer.put_bytes(7, 64);
    }
    keep(buffer.as_ptr());
    buffer
}

fn send<const SEE: bool>(s: &mut Buffers, n: u64, _: &mut Seen) {
    for _ in 0..n {
        let buffer = fresh::<SEE>();
        s.ring.out.push([buffer].into_iter());
    }
}

fn receive<const SEE: bool>(s: &mut Buffers, n: u64, seen: &mut Seen) {
    for _ in 0..n {
        s.ring.into.pop(1, |buffer| {
            if SEE {
                seen.packet(&buffer);
            }
        });
    }
}

fn send_32<const SEE: bool>(s: &mut Buffers, n: u64, _: &mut Seen) {
    for _ in 0..n / BULK {
        s.burst.extend((0..BULK).map(|_| fresh::<SEE>()));
        s.ring.out.push(s.burst.drain(..));
    }
}

fn receive_32<const SEE: bool>(s: &mut Buffers, n: u64, seen: &mut Seen) {
    for _ in 0..n / BULK {
        s.ring.into.pop(BULK as usize, |buffer| {
            if SEE {
                seen.packet(&buffer);
            }
        });
    }
}

//! This library, by an explicit cache: the rows that allocate and free whole packets.

use std::sync::LazyLock;

use mbuf::{Packet, Pool, PoolCache};

use super::ours::{see, see_room, used};
use crate::column::{Cell, Column, keep};
use crate::ring::{Ends, Ring};
use crate::rows::{BULK, BURST};
use crate::seen::Seen;

static POOL: LazyLock<Pool> = LazyLock::new(Pool::new);
static RING: LazyLock<Ring<Packet>> = LazyLock::new(Ring::default);

pub struct Cached {
    cache: PoolCache,
    burst: Vec<Packet>,
    ring: Ends<Packet>,
}

impl Column for Cached {
    fn open(_: usize) -> Result<Self, String> {
        Ok(Cached {
            cache: POOL.cache(),
            burst: Vec::with_capacity(BURST as usize),
            // SAFETY: the first thread sends, the second receives.
            ring: unsafe { Ends::new(&RING) },
        })
    }

    fn cells() -> Vec<Cell<Self>> {
        vec![
            cell!("alloc+free packet with cluster", packet),
            cell!("alloc+free header mbuf", header),
            cell!("bulk of 32", BULK, singles),
            cell!("burst of 32 singles", BULK, singles),
            cell!("burst of 4096, first in first out", BURST, fifo),
            cell!("burst of 4096, last in first out", BURST, lifo),
            cell!("alloc, fill 1500 B, free", fill),
            pair!("alloc+free, two threads", 1, packet),
            pair!("burst of 4096, two threads", BURST, fifo),
            pair!("allocate here, free there", 1, send, receive),
            pair!("allocate 32 here, free there", BULK, send_32, receive_32),
        ]
    }
}

fn packet<const SEE: bool>(s: &mut Cached, n: u64, seen: &mut Seen) {
    for _ in 0..n {
        let mut packet = s.cache.with_cluster().unwrap();
        used(&packet);
        if SEE {
            see_room(&mut packet, seen);
        }
        s.cache.free(packet);
    }
}

fn header<const SEE: bool>(s: &mut Cached, n: u64, seen: &mut Seen) {
    for _ in 0..n {
        let mut packet = s.cache.new_packet().unwrap();
        used(&packet);
        if SEE {
            see_room(&mut packet, seen);
        }
        s.cache.free(packet);
    }
}

#[inline(always)]
fn allocate<const SEE: bool>(s: &mut Cached, n: u64, seen: &mut Seen) {
    s.burst.extend((0..n).map(|_| s.cache.with_cluster().unwrap()));
    keep(s.burst.as_ptr());
    if SEE {
        s.burst.iter_mut().for_each(|packet| see_room(packet, seen));
    }
}

fn singles<const SEE: bool>(s: &mut Cached, n: u64, seen: &mut Seen) {
    for _ in 0..n / BULK {
        allocate::<SEE>(s, BULK, seen);
        s.burst.drain(..).for_each(|packet| s.cache.free(packet));
    }
}

fn fifo<const SEE: bool>(s: &mut Cached, n: u64, seen: &mut Seen) {
    for _ in 0..n / BURST {
        allocate::<SEE>(s, BURST, seen);
        s.burst.drain(..).for_each(|packet| s.cache.free(packet));
    }
}

fn lifo<const SEE: bool>(s: &mut Cached, n: u64, seen: &mut Seen) {
    for _ in 0..n / BURST {
        allocate::<SEE>(s, BURST, seen);
        s.burst.drain(..).rev().for_each(|packet| s.cache.free(packet));
    }
}

fn fill<const SEE: bool>(s: &mut Cached, n: u64, seen: &mut Seen) {
    for _ in 0..n {
        let mut packet = s.cache.with_cluster().unwrap();
        packet.extend(1500).unwrap().fill(0x5a);
        used(&packet);
        if SEE {
            see(&packet, seen);
        }
        s.cache.free(packet);
    }
}

#[inline(always)]
fn fresh<const SEE: bool>(cache: &mut PoolCache) -> Packet {
    let mut packet = cache.with_cluster().unwrap();
    if SEE {
        packet.extend_from_slice(&[7; 64]).unwrap();
    }
    used(&packet);
    packet
}

fn send<const SEE: bool>(s: &mut Cached, n: u64, _: &mut Seen) {
    for _ in 0..n {
        let packet = fresh::<SEE>(&mut s.cache);
        s.ring.out.push([packet].into_iter());
    }
}

fn receive<const SEE: bool>(s: &mut Cached, n: u64, seen: &mut Seen) {
    take::<SEE>(s, n, 1, seen);
}

fn send_32<const SEE: bool>(s: &mut Cached, n: u64, _: &mut Seen) {
    for _ in 0..n / BULK {
        s.burst.extend((0..BULK).map(|_| fresh::<SEE>(&mut s.cache)));
        s.ring.out.push(s.burst.drain(..));
    }
}

fn receive_32<const SEE: bool>(s: &mut Cached, n: u64, seen: &mut Seen) {
    take::<SEE>(s, n, BULK, seen);
}

#[inline(always)]
fn take<const SEE: bool>(s: &mut Cached, n: u64, at_once: u64, seen: &mut Seen) {
    for _ in 0..n / at_once {
        s.ring.into.pop(at_once as usize, |packet| {
            if SEE {
                see(&packet, seen);
            }
            s.cache.free(packet);
        });
    }
}

//! The least that an allocation of a packet with its cluster could be: an array of pointers per thread, no limit, no
//! check of who frees what where, no help from other threads, nothing counted. What is left of an mbuf's promises is
//! that it comes out empty, and that a free looks whether there is more to do.
//!
//! Between threads nothing is freed: the sender takes the next of many packets, in a circle, and the receiver has done
//! with one before its turn comes again, as the ring is shorter. What is left is the ring, and a header that is
//! written here and read there.

use std::cell::UnsafeCell;
use std::hint::black_box;
use std::ptr;
use std::sync::LazyLock;

use crate::column::{Cell, Column, keep};
use crate::ring::{Ends, Ring, SLOTS};
use crate::rows::{BULK, BURST};
use crate::seen::Seen;

const HEADROOM: usize = 64;
const CLUSTER: usize = 2048;
/// As many as the longest burst takes.
const FREE: usize = BURST as usize + 512;

/// 256 bytes, of which an allocation writes the window.
#[repr(C, align(256))]
struct Header {
    data: *mut u8,
    next: *mut Header,
    /// Shared, chained, external, tagged: anything but one plain segment.
    complex: u64,
    len: u32,
    packet_len: u32,
    flags: u64,
    cluster: *mut u8,
}

/// The free packets of a thread.
struct Free {
    count: usize,
    packets: [*mut Header; FREE],
}

thread_local! {
    static FREE_PACKETS: UnsafeCell<Free> = const { UnsafeCell::new(Free { count: 0, packets: [ptr::null_mut(); FREE] }) };
}

/// A packet on its way to the other thread.
struct Sent(*mut Header);

// SAFETY: the sender does not use it until the receiver has done with it.
unsafe impl Send for Sent {}

static RING: LazyLock<Ring<Sent>> = LazyLock::new(Ring::default);

pub struct Floor {
    burst: Vec<*mut Header>,
    /// Those that are sent, in this order.
    circle: Vec<*mut Header>,
    next: usize,
    ring: Ends<Sent>,
}

impl Column for Floor {
    fn open(_: usize) -> Result<Self, String> {
        // Somebody else might use the list, as far as the compiler knows: its count has to be in memory.
        FREE_PACKETS.with(|free| keep(black_box(free.get())));
        Ok(Floor {
            burst: Vec::with_capacity(BURST as usize),
            circle: made(2 * SLOTS).collect(),
            next: 0,
            // SAFETY: the first thread sends, the second receives.
            ring: unsafe { Ends::new(&RING) },
        })
    }

    fn cells() -> Vec<Cell<Self>> {
        vec![
            cell!("alloc+free packet with cluster", packet),
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

#[inline(always)]
fn alloc() -> *mut Header {
    FREE_PACKETS.with(|free| {
        let free = free.get();
        // SAFETY: this thread's, and nobody else looks meanwhile.
        unsafe {
            if (*free).count == 0 {
                refill(free);
            }
            let count = (*free).count - 1;
            (*free).count = count;
            let header = *(&raw const (*free).packets).cast::<*mut Header>().add(count);
            start(header);
            header
        }
    })
}

/// The window of an empty packet.
///
/// # Safety
/// The packet is the caller's alone.
#[inline(always)]
unsafe fn start(header: *mut Header) {
    // SAFETY: by this function's contract.
    unsafe {
        (*header).data = (*header).cluster.add(HEADROOM);
        (*header).len = 0;
        (*header).packet_len = 0;
        (*header).flags = 0;
    }
}

#[inline(always)]
fn free(header: *mut Header) {
    FREE_PACKETS.with(|free| {
        let free = free.get();
        // SAFETY: as in `alloc`; the packet came from there and is not used any more.
        unsafe {
            if (*header).complex != 0 || (*free).count == FREE {
                std::process::abort();
            }
            (&raw mut (*free).packets).cast::<*mut Header>().add((*free).count).write(header);
            (*free).count += 1;
        }
    })
}

#[cold]
#[inline(never)]
unsafe fn refill(free: *mut Free) {
    for header in made(BURST as usize) {
        // SAFETY: this thread's; the list is empty, and takes a burst.
        unsafe {
            (*free).packets[(*free).count] = header;
            (*free).count += 1;
        }
    }
}

/// Memory for so many packets, the headers apart from the clusters. It is never given back.
fn made(packets: usize) -> impl Iterator<Item = *mut Header> {
    let clusters = Box::leak(vec![0u8; packets * CLUSTER].into_boxed_slice());
    clusters.chunks_exact_mut(CLUSTER).map(|cluster| {
        &raw mut *Box::leak(Box::new(Header {
            data: ptr::null_mut(),
            next: ptr::null_mut(),
            complex: 0,
            len: 0,
            packet_len: 0,
            flags: 0,
            cluster: cluster.as_mut_ptr(),
        }))
    })
}

fn see_room(header: *mut Header, seen: &mut Seen) {
    // SAFETY: an allocated packet has its cluster for itself.
    unsafe {
        assert_eq!(((*header).len, (*header).next), (0, ptr::null_mut()));
        seen.room(std::slice::from_raw_parts_mut((*header).data, CLUSTER - HEADROOM));
    }
}

fn packet<const SEE: bool>(_: &mut Floor, n: u64, seen: &mut Seen) {
    for _ in 0..n {
        let packet = alloc();
        keep(packet);
        if SEE {
            see_room(packet, seen);
        }
        free(packet);
    }
}

#[inline(always)]
fn allocate<const SEE: bool>(s: &mut Floor, n: u64, seen: &mut Seen) {
    s.burst.clear();
    s.burst.extend((0..n).map(|_| alloc()));
    keep(s.burst.as_ptr());
    if SEE {
        s.burst.iter().for_each(|packet| see_room(*packet, seen));
    }
}

fn singles<const SEE: bool>(s: &mut Floor, n: u64, seen: &mut Seen) {
    for _ in 0..n / BULK {
        allocate::<SEE>(s, BULK, seen);
        s.burst.iter().for_each(|packet| free(*packet));
    }
}

fn fifo<const SEE: bool>(s: &mut Floor, n: u64, seen: &mut Seen) {
    for _ in 0..n / BURST {
        allocate::<SEE>(s, BURST, seen);
        s.burst.iter().for_each(|packet| free(*packet));
    }
}

fn lifo<const SEE: bool>(s: &mut Floor, n: u64, seen: &mut Seen) {
    for _ in 0..n / BURST {
        allocate::<SEE>(s, BURST, seen);
        s.burst.iter().rev().for_each(|packet| free(*packet));
    }
}

fn fill<const SEE: bool>(_: &mut Floor, n: u64, seen: &mut Seen) {
    for _ in 0..n {
        let packet = alloc();
        // SAFETY: an allocated packet has its cluster for itself.
        let bytes = unsafe {
            (*packet).len = 1500;
            (*packet).packet_len = 1500;
            std::slice::from_raw_parts_mut((*packet).data, 1500)
        };
        bytes.fill(0x5a);
        keep(packet);
        if SEE {
            seen.packet(bytes);
        }
        free(packet);
    }
}

#[inline(always)]
fn send_by<const SEE: bool, const MANY: u64>(s: &mut Floor, n: u64) {
    for _ in 0..n / MANY {
        let packets = (0..MANY as usize).map(|i| {
            let packet = s.circle[(s.next + i) % (2 * SLOTS)];
            // SAFETY: the receiver has done with it: the ring holds half as many.
            unsafe {
                start(packet);
                if SEE {
                    (*packet).len = 64;
                    (*packet).data.write_bytes(7, 64);
                }
            }
            keep(packet);
            Sent(packet)
        });
        s.ring.out.push(packets);
        s.next += MANY as usize;
    }
}

#[inline(always)]
fn receive_by<const SEE: bool, const MANY: u64>(s: &mut Floor, n: u64, seen: &mut Seen) {
    for _ in 0..n / MANY {
        s.ring.into.pop(MANY as usize, |Sent(packet)| {
            // SAFETY: the sender gave it away.
            unsafe {
                if (*packet).complex != 0 {
                    std::process::abort();
                }
                if SEE {
                    seen.packet(std::slice::from_raw_parts((*packet).data, (*packet).len as usize));
                }
            }
        });
    }
}

fn send<const SEE: bool>(s: &mut Floor, n: u64, _: &mut Seen) {
    send_by::<SEE, 1>(s, n);
}

fn receive<const SEE: bool>(s: &mut Floor, n: u64, seen: &mut Seen) {
    receive_by::<SEE, 1>(s, n, seen);
}

fn send_32<const SEE: bool>(s: &mut Floor, n: u64, _: &mut Seen) {
    send_by::<SEE, BULK>(s, n);
}

fn receive_32<const SEE: bool>(s: &mut Floor, n: u64, seen: &mut Seen) {
    receive_by::<SEE, BULK>(s, n, seen);
}

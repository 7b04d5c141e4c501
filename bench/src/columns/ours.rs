//! This library, by the handle that finds the thread's cache.

use std::sync::LazyLock;

use mbuf::{Class, Packet, Pool};

use crate::column::{Cell, Column, keep, keep_number};
use crate::ring::{Ends, Ring};
use crate::rows::{BULK, BURST};
use crate::seen::{Flat, Seen, pattern};

static POOL: LazyLock<Pool> = LazyLock::new(Pool::new);
/// Its clusters begin with data, as the BSDs' do.
static NO_HEADROOM: LazyLock<Pool> = LazyLock::new(|| Pool::builder().headroom(0).build().unwrap());
static RING: LazyLock<Ring<Packet>> = LazyLock::new(Ring::default);

pub struct Ours {
    pool: &'static Pool,
    no_headroom: &'static Pool,
    small: Packet,
    /// 1500 bytes in a cluster.
    cluster: Packet,
    /// 9000 bytes in one segment.
    jumbo: Packet,
    /// 1500 bytes in segments of 375.
    four: Packet,
    /// 9000 bytes in segments of 1500.
    six: Packet,
    buffer: Box<Flat>,
    burst: Vec<Packet>,
    ring: Ends<Packet>,
}

impl Column for Ours {
    fn open(_: usize) -> Result<Self, String> {
        let pool = &*POOL;
        let mut jumbo = Packet::with_class(pool, Class::Jumbo9).unwrap();
        jumbo.extend_from_slice(pattern(9000)).unwrap();
        Ok(Ours {
            pool,
            no_headroom: &NO_HEADROOM,
            small: Packet::from_slice(pool, pattern(64)).unwrap(),
            cluster: filled(pool, pattern(1500)),
            jumbo,
            four: chain(pool, 1500, 375),
            six: chain(pool, 9000, 1500),
            buffer: Flat::new(),
            burst: Vec::with_capacity(BURST as usize),
            // SAFETY: the first thread sends, the second receives.
            ring: unsafe { Ends::new(&RING) },
        })
    }

    fn cells() -> Vec<Cell<Self>> {
        vec![
            cell!("alloc+free packet with cluster", packet),
            cell!("alloc+free header mbuf", header),
            cell!("alloc+free packet with 9 KiB", jumbo),
            cell!("bulk of 32", BULK, bulk),
            cell!("burst of 32 singles", BULK, singles),
            cell!("burst of 4096, first in first out", BURST, fifo),
            cell!("burst of 4096, last in first out", BURST, lifo),
            cell!("alloc, fill 1500 B, free", fill),
            cell!("share 1500 B + free", share),
            cell!("share 1500 B by reference + free", share_by_reference),
            cell!("share a range + free", share_range),
            cell!("share 4 segments + free", share_four),
            cell!("split at 500 + free both", split),
            cell!("prepend 14 + trim", prepend),
            cell!("append 64 + trim", append),
            cell!("prepend 20 beyond headroom", prepend_beyond),
            cell!("pullup 40 over two mbufs", pullup),
            cell!("build 4 segments + free", build),
            cell!("build 4 segments, linearize + free", linearize),
            cell!("40 contiguous bytes, present", present),
            cell!("40 contiguous bytes, across a border", across),
            cell!("duplicate 64 B", duplicate_64),
            cell!("duplicate 1500 B", duplicate_1500),
            cell!("duplicate 9000 B of 6 segments", duplicate_six),
            cell!("duplicate 9000 B of 1 segment", duplicate_jumbo),
            cell!("copy out 1500 B", copy_out),
            cell!("copy in 1500 B", copy_in),
            cell!("copy out 9000 B of 6 segments", copy_out_six),
            cell!("checksum 64 B", sum_64),
            cell!("checksum 1500 B", sum_1500),
            cell!("checksum 9000 B", sum_9000),
            cell!("checksum 4 × 375 B", sum_four),
            cell!("checksum 6 × 1500 B", sum_six),
            pair!("alloc+free, two threads", 1, packet),
            pair!("burst of 4096, two threads", BURST, fifo),
            pair!("allocate here, free there", 1, send, receive),
            pair!("allocate 32 here, free there", BULK, send_32, receive_32),
        ]
    }
}

/// A packet is a pointer: the mbuf it points to.
#[inline(always)]
pub(super) fn used(packet: &Packet) {
    const { assert!(size_of::<Packet>() == size_of::<*const ()>()) };
    // SAFETY: a pointer's worth of initialised bytes, of which a pointer is made again.
    keep(unsafe { std::mem::transmute_copy::<Packet, *const ()>(packet) });
}

pub(super) fn filled(pool: &Pool, bytes: &[u8]) -> Packet {
    let mut packet = Packet::with_cluster(pool).unwrap();
    packet.extend_from_slice(bytes).unwrap();
    assert_eq!(packet.segment_count(), 1);
    packet
}

fn chain(pool: &Pool, len: usize, segment: usize) -> Packet {
    let mut parts = pattern(len).chunks(segment).map(|part| filled(pool, part));
    let mut packet = parts.next().unwrap();
    parts.for_each(|part| packet.append(part).unwrap());
    assert_eq!(packet.segment_count(), len / segment);
    packet
}

pub(super) fn see(packet: &Packet, seen: &mut Seen) {
    packet.segments().for_each(|segment| seen.part(segment.bytes()));
    seen.end();
}

pub(super) fn see_room(packet: &mut Packet, seen: &mut Seen) {
    let room = packet.tailroom();
    seen.room(packet.extend(room).unwrap());
}

fn packet<const SEE: bool>(s: &mut Ours, n: u64, seen: &mut Seen) {
    for _ in 0..n {
        let mut packet = Packet::with_cluster(s.pool).unwrap();
        used(&packet);
        if SEE {
            see_room(&mut packet, seen);
        }
    }
}

fn header<const SEE: bool>(s: &mut Ours, n: u64, seen: &mut Seen) {
    for _ in 0..n {
        let mut packet = Packet::new(s.pool).unwrap();
        used(&packet);
        if SEE {
            see_room(&mut packet, seen);
        }
    }
}

fn jumbo<const SEE: bool>(s: &mut Ours, n: u64, seen: &mut Seen) {
    for _ in 0..n {
        let mut packet = Packet::with_class(s.pool, Class::Jumbo9).unwrap();
        used(&packet);
        if SEE {
            see_room(&mut packet, seen);
        }
    }
}

#[inline(always)]
fn allocate<const SEE: bool>(s: &mut Ours, n: u64, seen: &mut Seen) {
    s.burst.extend((0..n).map(|_| Packet::with_cluster(s.pool).unwrap()));
    keep(s.burst.as_ptr());
    if SEE {
        s.burst.iter_mut().for_each(|packet| see_room(packet, seen));
    }
}

fn bulk<const SEE: bool>(s: &mut Ours, n: u64, seen: &mut Seen) {
    for _ in 0..n / BULK {
        Packet::with_cluster_bulk(s.pool, BULK as usize, &mut s.burst).unwrap();
        keep(s.burst.as_ptr());
        if SEE {
            s.burst.iter_mut().for_each(|packet| see_room(packet, seen));
        }
        Packet::free_bulk(&mut s.burst);
    }
}

fn singles<const SEE: bool>(s: &mut Ours, n: u64, seen: &mut Seen) {
    for _ in 0..n / BULK {
        allocate::<SEE>(s, BULK, seen);
        s.burst.clear();
    }
}

fn fifo<const SEE: bool>(s: &mut Ours, n: u64, seen: &mut Seen) {
    for _ in 0..n / BURST {
        allocate::<SEE>(s, BURST, seen);
        s.burst.clear();
    }
}

fn lifo<const SEE: bool>(s: &mut Ours, n: u64, seen: &mut Seen) {
    for _ in 0..n / BURST {
        allocate::<SEE>(s, BURST, seen);
        while let Some(packet) = s.burst.pop() {
            drop(packet);
        }
    }
}

fn fill<const SEE: bool>(s: &mut Ours, n: u64, seen: &mut Seen) {
    for _ in 0..n {
        let mut packet = Packet::with_cluster(s.pool).unwrap();
        packet.extend(1500).unwrap().fill(0x5a);
        used(&packet);
        if SEE {
            see(&packet, seen);
        }
    }
}

#[inline(always)]
fn shared<const SEE: bool>(packet: &mut Packet, n: u64, seen: &mut Seen) {
    for _ in 0..n {
        let shared = packet.share_mut().unwrap();
        used(&shared);
        if SEE {
            see(&shared, seen);
        }
    }
}

fn share<const SEE: bool>(s: &mut Ours, n: u64, seen: &mut Seen) {
    shared::<SEE>(&mut s.cluster, n, seen);
}

fn share_by_reference<const SEE: bool>(s: &mut Ours, n: u64, seen: &mut Seen) {
    for _ in 0..n {
        let shared = s.cluster.share().unwrap();
        used(&shared);
        if SEE {
            see(&shared, seen);
        }
    }
}

fn share_four<const SEE: bool>(s: &mut Ours, n: u64, seen: &mut Seen) {
    shared::<SEE>(&mut s.four, n, seen);
}

fn share_range<const SEE: bool>(s: &mut Ours, n: u64, seen: &mut Seen) {
    for _ in 0..n {
        let shared = s.cluster.share_range_mut(100..1300).unwrap();
        used(&shared);
        if SEE {
            see(&shared, seen);
        }
    }
}

fn split<const SEE: bool>(s: &mut Ours, n: u64, seen: &mut Seen) {
    for _ in 0..n {
        let mut packet = Packet::with_cluster(s.pool).unwrap();
        let bytes = packet.extend(1500).unwrap();
        if SEE {
            bytes.copy_from_slice(pattern(1500));
        }
        let tail = packet.split_off(500).unwrap();
        used(&packet);
        used(&tail);
        if SEE {
            see(&packet, seen);
            see(&tail, seen);
        }
    }
}

fn prepend<const SEE: bool>(s: &mut Ours, n: u64, seen: &mut Seen) {
    for _ in 0..n {
        let room = s.cluster.prepend(14).unwrap();
        keep(room.as_ptr());
        if SEE {
            room.fill(0x5a);
            see(&s.cluster, seen);
        }
        s.cluster.trim_front(14).unwrap();
        used(&s.cluster);
        if SEE {
            see(&s.cluster, seen);
        }
    }
}

fn append<const SEE: bool>(s: &mut Ours, n: u64, seen: &mut Seen) {
    for _ in 0..n {
        let room = s.cluster.extend(64).unwrap();
        keep(room.as_ptr());
        if SEE {
            room.fill(0x5a);
            see(&s.cluster, seen);
        }
        s.cluster.trim_back(64).unwrap();
        used(&s.cluster);
        if SEE {
            see(&s.cluster, seen);
        }
    }
}

fn prepend_beyond<const SEE: bool>(s: &mut Ours, n: u64, seen: &mut Seen) {
    for _ in 0..n {
        let mut packet = Packet::with_cluster(s.no_headroom).unwrap();
        let bytes = packet.extend(1000).unwrap();
        if SEE {
            bytes.copy_from_slice(pattern(1000));
        }
        let room = packet.prepend(20).unwrap();
        keep(room.as_ptr());
        if SEE {
            room.fill(0x5a);
            assert_eq!(packet.segment_count(), 2);
            see(&packet, seen);
        }
    }
}

fn pullup<const SEE: bool>(s: &mut Ours, n: u64, seen: &mut Seen) {
    for _ in 0..n {
        let mut packet = Packet::new(s.pool).unwrap();
        let bytes = packet.extend(20).unwrap();
        if SEE {
            bytes.copy_from_slice(pattern(20));
        }
        let mut rest = Packet::with_cluster(s.pool).unwrap();
        let bytes = rest.extend(1000).unwrap();
        if SEE {
            bytes.copy_from_slice(&pattern(1020)[20..]);
        }
        packet.append(rest).unwrap();
        let front = packet.make_contiguous(40).unwrap();
        keep(front.as_ptr());
        if SEE {
            let front = front.to_vec();
            see(&packet, seen);
            seen.packet(&front);
        }
    }
}

#[inline(always)]
fn built<const SEE: bool>(s: &mut Ours) -> Packet {
    let part = |i: usize| {
        let mut packet = Packet::with_cluster(s.pool).unwrap();
        let bytes = packet.extend(375).unwrap();
        if SEE {
            bytes.copy_from_slice(&pattern(1500)[i * 375..][..375]);
        }
        packet
    };
    let mut packet = part(0);
    (1..4).for_each(|i| packet.append(part(i)).unwrap());
    packet
}

fn build<const SEE: bool>(s: &mut Ours, n: u64, seen: &mut Seen) {
    for _ in 0..n {
        let packet = built::<SEE>(s);
        used(&packet);
        if SEE {
            assert_eq!(packet.segment_count(), 4);
            see(&packet, seen);
        }
    }
}

fn linearize<const SEE: bool>(s: &mut Ours, n: u64, seen: &mut Seen) {
    for _ in 0..n {
        let mut packet = built::<SEE>(s);
        packet.make_contiguous(1500).unwrap();
        used(&packet);
        if SEE {
            assert_eq!(packet.segment_count(), 1);
            see(&packet, seen);
        }
    }
}

/// The bytes where they are, or else a copy: what `rte_pktmbuf_read` does.
#[inline(always)]
fn view<'a>(packet: &'a Packet, at: usize, copy: &'a mut [u8; 40]) -> &'a [u8] {
    match packet.contiguous(at..at + 40) {
        Some(bytes) => bytes,
        None => {
            packet.read_at(at, copy).unwrap();
            copy
        }
    }
}

fn present<const SEE: bool>(s: &mut Ours, n: u64, seen: &mut Seen) {
    let mut copy = [0; 40];
    for _ in 0..n {
        used(&s.cluster);
        let bytes = view(&s.cluster, 100, &mut copy);
        keep(bytes.as_ptr());
        if SEE {
            seen.packet(bytes);
        }
    }
}

fn across<const SEE: bool>(s: &mut Ours, n: u64, seen: &mut Seen) {
    let mut copy = [0; 40];
    for _ in 0..n {
        used(&s.four);
        let bytes = view(&s.four, 355, &mut copy);
        keep(bytes.as_ptr());
        if SEE {
            seen.packet(bytes);
        }
    }
}

#[inline(always)]
fn duplicated<const SEE: bool>(packet: &Packet, n: u64, seen: &mut Seen) {
    for _ in 0..n {
        let copy = packet.duplicate().unwrap();
        used(&copy);
        if SEE {
            see(&copy, seen);
        }
    }
}

fn duplicate_64<const SEE: bool>(s: &mut Ours, n: u64, seen: &mut Seen) {
    duplicated::<SEE>(&s.small, n, seen);
}

fn duplicate_1500<const SEE: bool>(s: &mut Ours, n: u64, seen: &mut Seen) {
    duplicated::<SEE>(&s.cluster, n, seen);
}

fn duplicate_six<const SEE: bool>(s: &mut Ours, n: u64, seen: &mut Seen) {
    duplicated::<SEE>(&s.six, n, seen);
}

fn duplicate_jumbo<const SEE: bool>(s: &mut Ours, n: u64, seen: &mut Seen) {
    duplicated::<SEE>(&s.jumbo, n, seen);
}

#[inline(always)]
fn copied_out<const SEE: bool, const LEN: usize>(
    packet: &Packet,
    buffer: &mut Flat,
    n: u64,
    seen: &mut Seen,
) {
    let out = &mut buffer.beside(first_byte(packet))[..LEN];
    for _ in 0..n {
        packet.read_at(0, out).unwrap();
        keep(out.as_ptr());
    }
    if SEE {
        seen.packet(out);
    }
}

fn first_byte(packet: &Packet) -> *const u8 {
    packet.segments().next().unwrap().bytes().as_ptr()
}

fn copy_out<const SEE: bool>(s: &mut Ours, n: u64, seen: &mut Seen) {
    copied_out::<SEE, 1500>(&s.cluster, &mut s.buffer, n, seen);
}

fn copy_in<const SEE: bool>(s: &mut Ours, n: u64, seen: &mut Seen) {
    let bytes = &mut s.buffer.beside(first_byte(&s.cluster))[..1500];
    bytes.copy_from_slice(pattern(1500));
    for _ in 0..n {
        s.cluster.write_at(0, bytes).unwrap();
        used(&s.cluster);
    }
    if SEE {
        see(&s.cluster, seen);
    }
}

fn copy_out_six<const SEE: bool>(s: &mut Ours, n: u64, seen: &mut Seen) {
    copied_out::<SEE, 9000>(&s.six, &mut s.buffer, n, seen);
}

#[inline(always)]
fn summed<const SEE: bool>(packet: &Packet, n: u64, seen: &mut Seen) {
    for _ in 0..n {
        used(packet);
        let sum = packet.sum(..).unwrap();
        keep_number(sum.value().into());
        if SEE {
            seen.packet(&sum.value().to_be_bytes());
        }
    }
}

fn sum_64<const SEE: bool>(s: &mut Ours, n: u64, seen: &mut Seen) {
    summed::<SEE>(&s.small, n, seen);
}

fn sum_1500<const SEE: bool>(s: &mut Ours, n: u64, seen: &mut Seen) {
    summed::<SEE>(&s.cluster, n, seen);
}

fn sum_9000<const SEE: bool>(s: &mut Ours, n: u64, seen: &mut Seen) {
    summed::<SEE>(&s.jumbo, n, seen);
}

fn sum_four<const SEE: bool>(s: &mut Ours, n: u64, seen: &mut Seen) {
    summed::<SEE>(&s.four, n, seen);
}

fn sum_six<const SEE: bool>(s: &mut Ours, n: u64, seen: &mut Seen) {
    summed::<SEE>(&s.six, n, seen);
}

#[inline(always)]
fn fresh<const SEE: bool>(pool: &Pool) -> Packet {
    let mut packet = Packet::with_cluster(pool).unwrap();
    if SEE {
        packet.extend_from_slice(&[7; 64]).unwrap();
    }
    used(&packet);
    packet
}

fn send<const SEE: bool>(s: &mut Ours, n: u64, _: &mut Seen) {
    for _ in 0..n {
        let packet = fresh::<SEE>(s.pool);
        s.ring.out.push([packet].into_iter());
    }
}

fn receive<const SEE: bool>(s: &mut Ours, n: u64, seen: &mut Seen) {
    for _ in 0..n {
        s.ring.into.pop(1, |packet| {
            if SEE {
                see(&packet, seen);
            }
        });
    }
}

fn send_32<const SEE: bool>(s: &mut Ours, n: u64, _: &mut Seen) {
    for _ in 0..n / BULK {
        Packet::with_cluster_bulk(s.pool, BULK as usize, &mut s.burst).unwrap();
        if SEE {
            s.burst.iter_mut().for_each(|packet| packet.extend_from_slice(&[7; 64]).unwrap());
        }
        s.ring.out.push(s.burst.drain(..));
    }
}

fn receive_32<const SEE: bool>(s: &mut Ours, n: u64, seen: &mut Seen) {
    for _ in 0..n / BULK {
        s.ring.into.pop(BULK as usize, |packet| s.burst.push(packet));
        if SEE {
            s.burst.iter().for_each(|packet| see(packet, seen));
        }
        Packet::free_bulk(&mut s.burst);
    }
}

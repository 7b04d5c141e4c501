//! Chains that go to C and come back, with what C does to fields in between: for Miri, which cannot run C. Fields are where
//! `mbuf.h` has them, which is for 64-bit machines.
#![cfg(all(feature = "ffi", target_pointer_width = "64"))]
#![allow(unsafe_code)]

use std::ffi::c_void;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, Ordering};

use mbuf::ffi::{
    CMbuf, Error, Kind, Lent, Loose, Names, Release, Share, View, Wrong, free_one, free_or, get_or,
    get_pair_or, leave_or, share_or,
};
use mbuf::{Fault, MCLBYTES, OpError, Packet, Pool};

type M = *mut CMbuf;

const DATA: Kind = Kind { header: false, bits: 1 };
const PACKET: Kind = Kind { header: true, bits: 1 };

/// A field, where `mbuf.h` has it.
unsafe fn field<T>(m: M, offset: usize) -> *mut T {
    // SAFETY: within the mbuf.
    unsafe { m.cast::<u8>().add(offset).cast() }
}

const NEXT: usize = 16;
const NEXT_PACKET: usize = 24;
const DATA_POINTER: usize = 32;
const LEN: usize = 40;
const FLAGS: usize = 44;
const EXT_BUF: usize = 152;
const EXT_SIZE: usize = 160;
const EXT_FREE: usize = 168;
const EXT_ARG1: usize = 176;
const M_EXT: u32 = 1 << 12;
const M_PKTHDR: u32 = 1 << 13;

fn make(pool: &Pool, kind: Kind, bytes: &[u8]) -> M {
    Loose::filled(pool, kind, bytes.len(), 0, &mut |at, place: &mut [u8]| {
        place.copy_from_slice(&bytes[at..at + place.len()]);
    })
    .unwrap()
    .export()
}

fn read(pool: &Pool, m: M) -> Vec<u8> {
    // SAFETY: a chain of ours.
    unsafe { View::of(pool, m) }.unwrap().to_vec()
}

fn free(pool: &Pool, m: M) {
    let mut next = m;
    while let Some(m) = NonNull::new(next) {
        // SAFETY: a chain of ours.
        next = unsafe { free_one(pool, m) }.unwrap().0;
    }
}

fn edit<T>(pool: &Pool, m: M, f: impl FnOnce(&mut Loose) -> T) -> (M, T) {
    // SAFETY: a chain of ours.
    let mut list = unsafe { Loose::import(pool, m) }.unwrap();
    let done = f(&mut list);
    (list.export(), done)
}

fn empty(pool: &Pool) {
    assert_eq!((pool.stats().mbufs.current, pool.stats().clusters.current), (0, 0));
}

#[test]
fn a_chain_linked_by_hand_is_changed_shared_and_freed() {
    let pool = Pool::new();
    let (a, b, c) =
        (make(&pool, PACKET, b"abc"), make(&pool, PACKET, b"defgh"), make(&pool, DATA, &[7; 300]));
    // SAFETY: our own mbufs, as C sees them.
    unsafe {
        *field::<M>(a, NEXT) = b;
        *field::<M>(b, NEXT) = c;
        *field::<i32>(b, LEN) -= 1;
        *field::<*mut u8>(b, DATA_POINTER) = (*field::<*mut u8>(b, DATA_POINTER)).add(1);
    }
    assert_eq!(&read(&pool, a)[..8], b"abcefgh\x07");
    // SAFETY: as above.
    let view = unsafe { View::of(&pool, a) }.unwrap();
    let copy = view.share_packet().unwrap().export();
    let deep = view.duplicate_loose().unwrap().export();
    let (a, ()) = edit(&pool, a, |list| {
        list.trim_front(2);
        list.trim_back(250);
        list.write_back(&pool, 5, b"XY").unwrap();
        list.pull_up(&pool, 10).unwrap();
    });
    assert_eq!(read(&pool, a)[..8], *b"cefghXY\x07");
    assert_eq!(read(&pool, copy), read(&pool, deep));
    let (a, tail) = edit(&pool, a, |list| list.split_off(&pool, 3).unwrap().export());
    let (a, ()) = edit(&pool, a, |list| {
        // SAFETY: a chain of ours.
        list.concatenate(unsafe { Loose::import(&pool, tail) }.unwrap());
        list.pull_down(&pool, 2, 6, false).unwrap();
        list.put_in_front(&pool, 4).unwrap();
        list.collapse(&pool, 2).unwrap();
        list.demote(true, 0);
    });
    assert_eq!(&read(&pool, a)[4..12], b"cefghXY\x07");
    for m in [a, copy, deep] {
        free(&pool, m);
    }
    empty(&pool);
}

#[test]
fn headers_flags_and_storage_made_by_hand_become_real() {
    static FREED: AtomicU32 = AtomicU32::new(0);
    unsafe extern "C" fn freed(m: *mut CMbuf) {
        // SAFETY: the stand-in's `m_ext`.
        let memory = unsafe { Box::from_raw(*field::<*mut [u8; 64]>(m, EXT_ARG1)) };
        assert_eq!(memory[9], 9);
        FREED.fetch_add(1, Ordering::Relaxed);
    }
    let pool = Pool::new();
    let m = Loose::plain(&pool, DATA).unwrap().export();
    let mut memory = Box::new([0; 64]);
    for (i, byte) in memory.iter_mut().enumerate() {
        *byte = i as u8;
    }
    let memory = Box::into_raw(memory).cast::<u8>();
    // SAFETY: our own mbuf, as C sees it.
    unsafe {
        *field::<*mut u8>(m, EXT_BUF) = memory;
        *field::<u32>(m, EXT_SIZE) = 64;
        *field::<u32>(m, EXT_SIZE + 4) = 0;
        *field::<Option<unsafe extern "C" fn(M)>>(m, EXT_FREE) = Some(freed);
        *field::<*mut u8>(m, EXT_ARG1) = memory;
        *field::<*mut c_void>(m, EXT_ARG1 + 8) = ptr::null_mut();
        *field::<*mut u8>(m, DATA_POINTER) = memory.add(8);
        *field::<i32>(m, LEN) = 4;
        *field::<u32>(m, FLAGS) |= M_EXT | M_PKTHDR;
    }
    // SAFETY: as above.
    let copy = unsafe { View::of(&pool, m) }.unwrap().share_packet().unwrap().export();
    assert_eq!(read(&pool, copy), [8, 9, 10, 11]);
    free(&pool, m);
    assert_eq!(FREED.load(Ordering::Relaxed), 0);
    free(&pool, copy);
    assert_eq!(FREED.load(Ordering::Relaxed), 1);
    empty(&pool);
}

#[test]
fn memory_that_is_lent_comes_back_once() {
    unsafe extern "C" fn freed(count: *mut c_void, more: *mut c_void) {
        // SAFETY: what was given with the callback.
        unsafe { *count.cast::<u32>() += *more.cast::<u32>() };
    }
    let pool = Pool::new();
    let (mut memory, mut count, mut more) = (vec![5u8; 100], 0u32, 7u32);
    let lent = Lent {
        buf: memory.as_mut_ptr(),
        size: 100,
        kind: 1,
        release: Release::Args(freed),
        arg1: (&raw mut count).cast(),
        arg2: (&raw mut more).cast(),
    };
    let mut list = Loose::plain(&pool, PACKET).unwrap();
    // SAFETY: the memory outlives the mbuf.
    assert!(unsafe { list.lend(&pool, lent, false) }.is_ok());
    let m = list.export();
    // SAFETY: our own mbuf.
    unsafe { *field::<i32>(m, LEN) = 100 };
    let (m, tail) = edit(&pool, m, |list| list.split_off(&pool, 40).unwrap().export());
    free(&pool, m);
    assert_eq!((count, read(&pool, tail).len()), (0, 60));
    free(&pool, tail);
    assert_eq!(count, 7);
    empty(&pool);
}

#[test]
fn what_is_wrong_is_found_before_anything_is_changed() {
    let pool = Pool::new();
    let (a, b) = (make(&pool, PACKET, b"abc"), make(&pool, DATA, &[1; 1000]));
    let wrong = |m: M| {
        // SAFETY: mbufs of ours, in whatever state.
        let (import, view) =
            unsafe { (Loose::import(&pool, m).map(Loose::export), View::of(&pool, m).map(drop)) };
        assert!(matches!((import, view), (Err(Error::Fault(_)), Err(Error::Fault(_)))));
    };
    // SAFETY: our own mbufs, as C sees them.
    unsafe {
        *field::<M>(a, NEXT) = b;
        *field::<i32>(b, LEN) = MCLBYTES as i32 + 1;
        wrong(a);
        *field::<i32>(b, LEN) = -1;
        wrong(a);
        *field::<i32>(b, LEN) = 1000;
        let data = *field::<*mut u8>(b, DATA_POINTER);
        *field::<*mut u8>(b, DATA_POINTER) = data.wrapping_sub(1);
        wrong(a);
        *field::<*mut u8>(b, DATA_POINTER) = data;
        *field::<M>(b, NEXT) = a;
        wrong(a);
        *field::<M>(b, NEXT) = ptr::null_mut();
        *field::<u32>(b, FLAGS) &= !M_EXT;
        wrong(a);
        *field::<u32>(b, FLAGS) |= M_EXT;
    }
    assert_eq!(read(&pool, a).len(), 1003);
    free(&pool, a);
    empty(&pool);
}

#[test]
fn chains_that_meet_are_not_made_one() {
    let pool = Pool::new();
    let [a, b, c] = [make(&pool, PACKET, b"abc"), make(&pool, PACKET, b"de"), make(&pool, DATA, b"f")];
    // SAFETY: our own mbufs, as C sees them.
    unsafe {
        *field::<M>(a, NEXT) = c;
        *field::<M>(b, NEXT) = c;
        for (first, other) in [(a, b), (a, a), (a, c), (c, a)] {
            let both = Loose::import_both(&pool, first, other).err();
            assert!(matches!(both, Some(Error::Fault(fault)) if fault.wrong == Wrong::Common
                && fault.mbuf == c.cast_const()));
        }
        *field::<M>(b, NEXT) = ptr::null_mut();
        let (mut list, other) = Loose::import_both(&pool, a, b).unwrap();
        list.concatenate(other);
        assert_eq!(read(&pool, list.export()), b"abcfde");
    }
    free(&pool, a);
    empty(&pool);
}

#[test]
fn of_two_chains_one_of_which_is_wrong_none_is_taken() {
    let pool = Pool::new();
    let [a, b] = [make(&pool, PACKET, b"abc"), Loose::plain(&pool, DATA).unwrap().export()];
    // SAFETY: our own mbufs, as C sees them.
    unsafe {
        // Attached by hand, and nothing there: seen when it is taken over, after everything was looked at.
        *field::<*mut u8>(b, EXT_BUF) = ptr::null_mut();
        *field::<u32>(b, FLAGS) |= M_EXT;
        for (first, other) in [(a, b), (b, a)] {
            let both = Loose::import_both(&pool, first, other).err();
            assert!(
                matches!(both, Some(Error::Fault(fault)) if fault.wrong == Wrong::NoStorage && fault.field == "m_ext")
            );
        }
        *field::<u32>(b, FLAGS) &= !M_EXT;
    }
    assert_eq!(read(&pool, a), b"abc");
    for m in [a, b] {
        free(&pool, m);
    }
    empty(&pool);
}

#[test]
fn no_chain_is_collapsed_to_nothing() {
    let pool = Pool::new();
    let m = make(&pool, PACKET, b"abc");
    let (m, done) = edit(&pool, m, |list| list.collapse(&pool, 0));
    assert!(matches!(done, Err(Error::Op(OpError::TooManySegments { max: 0, .. }))));
    free(&pool, m);
    empty(&pool);
}

#[test]
fn who_keeps_the_first_mbuf_from_before_a_pull_up_is_told_that_it_is_free() {
    let pool = Pool::new();
    let (a, b) = (make(&pool, PACKET, &[1; 100]), make(&pool, DATA, &[2; 100]));
    // SAFETY: our own mbuf.
    unsafe { *field::<M>(a, NEXT) = b };
    let (m, done) = edit(&pool, a, |list| list.pull_up(&pool, 200));
    done.unwrap();
    assert_ne!(m, a);
    // SAFETY: memory of the pool's, which may be read.
    let stale = unsafe { View::of(&pool, a) }.err();
    assert!(
        matches!(stale, Some(Error::Fault(fault)) if fault.wrong == Wrong::Freed && fault.mbuf == a.cast_const())
    );
    assert_eq!(read(&pool, m), [[1; 100], [2; 100]].concat());
    free(&pool, m);
    empty(&pool);
}

#[test]
fn a_packet_stays_in_its_queue_whether_or_not_a_pull_up_fails() {
    let pool = Pool::new();
    let [a, b, next] =
        [make(&pool, PACKET, &[1; 100]), make(&pool, DATA, &[2; 100]), make(&pool, PACKET, &[3])];
    // SAFETY: our own mbufs.
    unsafe {
        *field::<M>(a, NEXT) = b;
        *field::<M>(a, NEXT_PACKET) = next;
    }
    pool.inject([Fault::after(0)]);
    let (m, done) = edit(&pool, a, |list| list.pull_up(&pool, 200));
    assert!(matches!(done, Err(Error::Op(OpError::Alloc(_)))));
    assert_eq!(m, a);
    pool.inject([]);
    let linked = |m| {
        // SAFETY: a chain of ours.
        let view = unsafe { View::of(&pool, m) }.unwrap();
        assert_eq!((view.next_packet(), view.to_vec()), (next, [[1; 100], [2; 100]].concat()));
    };
    linked(m);
    let (m, done) = edit(&pool, m, |list| list.pull_up(&pool, 200));
    done.unwrap();
    linked(m);
    for m in [m, next] {
        free(&pool, m);
    }
    empty(&pool);
}

#[test]
fn mbufs_without_bytes_may_be_anywhere() {
    let pool = Pool::new();
    type Change<'a> = &'a dyn Fn(&mut Loose) -> Result<(), Error>;
    let changes: [(Change<'_>, &[u8]); 9] = [
        (&|list| list.pull_up(&pool, 6), b"abcdef"),
        (&|list| list.copy_up(&pool, 4, 8), b"abcdef"),
        (&|list| list.pull_down(&pool, 2, 3, false).map(drop), b"abcdef"),
        (&|list| list.split_off(&pool, 3).map(drop), b"abc"),
        (&|list| list.collapse(&pool, 1), b"abcdef"),
        (&|list| list.write_back(&pool, 4, b"XYZ"), b"abcdXYZ"),
        (&|list| list.make_writable(&pool, 0, 6), b"abcdef"),
        (&|list| list.append_bytes(&pool, 2, [&b"gh"[..]].into_iter()), b"abcdefgh"),
        (&|list| list.put_in_front(&pool, 0), b"abcdef"),
    ];
    for (change, expected) in changes {
        // Empty ones in front, between, and behind.
        let parts = [&b""[..], b"ab", b"", b"", b"cd", b"ef", b""];
        let mbufs = parts.map(|part| make(&pool, DATA, part));
        for pair in mbufs.windows(2) {
            // SAFETY: our own mbufs.
            unsafe { *field::<M>(pair[0], NEXT) = pair[1] };
        }
        let m = mbufs[0];
        // SAFETY: a chain of ours.
        let view = unsafe { View::of(&pool, m) }.unwrap();
        let copies = [view.share_loose(1, 4), view.duplicate_loose()].map(|copy| copy.unwrap().export());
        assert_eq!((read(&pool, copies[0]), read(&pool, copies[1])), (b"bcde".to_vec(), b"abcdef".to_vec()));
        let (m, done) = edit(&pool, m, change);
        done.unwrap();
        assert_eq!(read(&pool, m), expected);
        for m in [m, copies[0], copies[1]] {
            free(&pool, m);
        }
    }
    empty(&pool);
}

#[test]
fn the_short_ways_give_and_take() {
    let pool = Pool::new();
    let names = Names::new();
    names.set(&pool);
    for _ in 0..3 {
        let slowly = || Loose::plain(&pool, PACKET).unwrap().export();
        let a = get_or::<true>(&names, slowly);
        let b =
            get_pair_or(&names, || Loose::with_class(&pool, PACKET, mbuf::Class::Cluster).unwrap().export());
        for m in [a, b] {
            assert!(read(&pool, m).is_empty());
            // SAFETY: mbufs of ours.
            if !unsafe { free_or::<false, _>(NonNull::new(m).unwrap(), |_| true, || false) } {
                free(&pool, m);
            }
        }
    }
    empty(&pool);
}

/// What the short way of sharing was asked for.
#[derive(Clone, Copy)]
struct Wish {
    from: M,
    part: Option<(usize, usize)>,
}

impl Share for Wish {
    fn from(self) -> M {
        self.from
    }

    fn part(self, have: usize, has_header: bool) -> Option<(usize, usize)> {
        self.part.or(has_header.then_some((0, have)))
    }

    fn otherwise(self) -> M {
        ptr::null_mut()
    }
}

/// A share, or a null pointer.
fn share(names: &Names, from: M, part: Option<(usize, usize)>) -> M {
    // SAFETY: an mbuf of ours, and one thread.
    unsafe { share_or(names, Wish { from, part }) }
}

/// Frees one by the short ways, and returns what was behind it; `None` if they do not.
fn leave(m: M) -> Option<M> {
    let m = NonNull::new(m).unwrap();
    // SAFETY: an mbuf of ours, given up if it is freed.
    unsafe { free_or::<true, _>(m, Some, || leave_or::<true, _>(m, Some, || None)) }
}

#[test]
fn what_was_shared_by_the_short_way_is_freed_by_it() {
    // More than the caches of a thread hold, so that they are filled and emptied meanwhile.
    const MANY: usize = 300;
    let pool = Pool::new();
    let names = Names::new();
    names.set(&pool);
    free(&pool, make(&pool, DATA, b""));
    let m = make(&pool, PACKET, &[7; 700]);
    let part = |i: usize| if i.is_multiple_of(3) { None } else { Some((i % 40, 100)) };
    let mut slowly = 0;
    let mut share_some = |i| {
        let share = share(&names, m, part(i));
        if !share.is_null() {
            return share;
        }
        slowly += 1;
        let (start, len) = part(i).unwrap_or((0, 700));
        // SAFETY: our own mbuf.
        unsafe { View::of(&pool, m) }.unwrap().share_loose(start, len).unwrap().export()
    };
    let shares: Vec<M> = (0..MANY).map(&mut share_some).collect();
    // Under Miri a thread's cache gets few at a time.
    assert!(slowly <= MANY / 2, "{slowly}");
    for (i, &share) in shares.iter().enumerate() {
        let (start, len) = part(i).unwrap_or((0, 700));
        // SAFETY: our own mbufs, as C sees them.
        unsafe {
            assert_eq!(
                *field::<*mut u8>(share, DATA_POINTER),
                (*field::<*mut u8>(m, DATA_POINTER)).add(start)
            );
            assert_eq!(*field::<i32>(share, LEN), len as i32);
            assert_eq!(*field::<u32>(share, FLAGS) & M_PKTHDR != 0, start == 0);
            assert_eq!(*field::<*mut u8>(share, EXT_BUF), *field::<*mut u8>(m, EXT_BUF));
        }
    }
    assert_eq!(read(&pool, shares[0]), [7; 700]);
    let stats = pool.stats();
    assert_eq!((stats.mbufs.current, stats.clusters.current), (MANY + 1, 1));
    // Some of the shares in one chain.
    let (chain, single) = shares.split_at(MANY / 2);
    for pair in chain.windows(2) {
        // SAFETY: as above.
        unsafe { *field::<M>(pair[0], NEXT) = pair[1] };
    }
    let mut next = chain[0];
    while !next.is_null() {
        next = leave(next).unwrap();
    }
    assert!(single.iter().all(|&m| leave(m) == Some(ptr::null_mut())));
    // It has the cluster for itself again.
    assert_eq!(leave(m), Some(ptr::null_mut()));
    empty(&pool);
    pool.check().unwrap();
}

#[test]
fn the_short_ways_leave_what_is_odd_as_it_was() {
    let pool = Pool::new();
    let names = Names::new();
    names.set(&pool);
    free(&pool, make(&pool, DATA, b""));
    let m = make(&pool, PACKET, &[7; 700]);
    for part in [(0, 0), (0, 701), (1, 700), (700, 1), (701, 0), (usize::MAX, 2), (2, usize::MAX)] {
        assert!(share(&names, m, Some(part)).is_null(), "{part:?}");
    }
    let inline = make(&pool, PACKET, b"inline");
    assert!(share(&names, inline, None).is_null());
    assert!(share(&names, ptr::null_mut(), None).is_null());
    assert!(share(&names, m.wrapping_byte_add(8), None).is_null());
    assert!(share(&Names::new(), m, None).is_null());
    let odd = |offset: usize, value: u32| {
        // SAFETY: our own mbuf, as C sees it.
        unsafe {
            let was = field::<u32>(m, offset).replace(value);
            assert!(share(&names, m, None).is_null(), "{offset}: {value}");
            field::<u32>(m, offset).write(was);
        }
    };
    // SAFETY: as above.
    let flags = unsafe { *field::<u32>(m, FLAGS) };
    odd(LEN, 1 << 20);
    odd(FLAGS, flags & !M_EXT);
    odd(FLAGS, flags & !0xf | 2);
    // SAFETY: as above.
    unsafe {
        *field::<M>(m, NEXT) = inline;
        assert!(share(&names, m, None).is_null());
        *field::<M>(m, NEXT) = ptr::null_mut();
    }
    let other = Pool::new();
    let strange = make(&other, PACKET, &[8; 700]);
    free(&pool, make(&pool, DATA, b""));
    assert!(share(&names, strange, None).is_null());
    // The last one to have a cluster, and who loses it, are left to others; so is what is linked to another packet.
    free(&pool, make(&pool, DATA, b""));
    let first = make(&pool, PACKET, &[9; 700]);
    let second = share(&names, first, None);
    assert_eq!(leave(first), None);
    free(&pool, first);
    assert_eq!(leave(second), None);
    // SAFETY: as above.
    unsafe {
        *field::<M>(inline, NEXT_PACKET) = m;
        assert_eq!(leave(inline), None);
        *field::<M>(inline, NEXT_PACKET) = ptr::null_mut();
    }
    free(&pool, second);
    assert_eq!(leave(inline), Some(ptr::null_mut()));
    assert_eq!(leave(inline), None, "it is free");
    free(&other, strange);
    free(&pool, m);
    empty(&other);
    empty(&pool);
}

#[test]
fn memory_that_is_only_to_be_read_stays_so_whatever_becomes_of_its_flag() {
    static OURS: [u8; 40] = *b"memory that nobody may write, not even C";
    const M_RDONLY: u32 = 1 << 30;
    let pool = Pool::new();
    let m = Loose::from(Packet::from_owner(&pool, &OURS[..]).unwrap()).export();
    // SAFETY: our own mbuf, as C sees it.
    unsafe {
        assert_ne!(*field::<u32>(m, FLAGS) & M_RDONLY, 0);
        *field::<u32>(m, FLAGS) &= !M_RDONLY;
    }
    // SAFETY: as above.
    let copy = unsafe { View::of(&pool, m) }.unwrap().share_packet().unwrap().export();
    // SAFETY: as above.
    assert_eq!(unsafe { View::first_room(&pool, m) }.unwrap(), (0, 0, false));
    free(&pool, m);
    let (copy, written) = edit(&pool, copy, |list| list.write_back(&pool, 0, b"somebody"));
    written.unwrap();
    assert_eq!(read(&pool, copy), b"somebodyhat nobody may write, not even C");
    assert_eq!(OURS, *b"memory that nobody may write, not even C");
    free(&pool, copy);
    empty(&pool);
}

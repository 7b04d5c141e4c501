//! Chains as code in C leaves them: linked by hand, with any field wrong.
//!
//! C's side is played on the memory itself: [`Place`] has the fields where `mbuf.h` has them, `hand` writes them, and
//! `judge` says by them alone what is wrong with a chain, or which bytes it has. `calls` are the library's functions, on
//! what is right and wrong alike: they name what is wrong and change nothing, or do what they are for; no other chain
//! changes; and in the end every mbuf goes home, once, whatever is linked to what.
#![allow(unsafe_code)]

mod calls;
mod hand;
mod judge;
mod memory;
mod place;

use std::ptr::{self, NonNull};

use mbuf::ffi::{CMbuf, Error, Kind, Loose, Names, Share, View, free_one, free_or, leave_or, share_or};
use mbuf::{Audit, Fault, OpError, Pool};

use self::judge::{Blame, Known, Sound, judge_attached};
use self::memory::Memory;
use self::place::{EXT, NEXT_PACKET, PKTHDR, Place};
use super::Words;

/// Chains there may be at a time.
const CHAINS: usize = 8;
/// Bytes and mbufs of the longest chain that is kept.
const LONGEST: (usize, usize) = (5000, 30);
/// Steps of a run: what takes more is found by others.
const STEPS: usize = 200;

/// Three bytes that say which allocations fail, or whether the pool is audited, then steps: each is a call, or C writes a
/// field.
pub fn chains(bytes: &[u8]) {
    let mut words = Words(bytes);
    let (how, n) = (words.byte(), words.word());
    let pool = Pool::new();
    match how % 4 {
        0 => pool.inject([Fault::nth(n.into())]),
        1 => pool.inject([Fault::one_in(u32::from(n % 64), n.into())]),
        2 => pool.set_audit(Some(Audit::every())),
        _ => {}
    }
    let stranger = Pool::new();
    let strange = Loose::plain(&stranger, Kind { header: true, bits: 1 }).expect("memory").export();
    let memory = Memory::default();
    let names = Names::new();
    names.set(&pool);
    let mut desk = Desk {
        pool,
        names,
        faulty: how % 4 < 2,
        known: Known::default(),
        roots: Vec::new(),
        memory,
        strange,
    };
    for _ in 0..STEPS {
        if words.is_empty() {
            break;
        }
        desk.step(&mut words);
    }
    desk.close();
    // SAFETY: the stranger's own.
    unsafe { free_one(&stranger, NonNull::new(strange).expect("an mbuf")) }.expect("its own");
    crate::assert_empty(&stranger);
}

/// What C has.
struct Desk {
    pool: Pool,
    names: Names,
    /// Whether allocations fail.
    faulty: bool,
    known: Known,
    /// What C takes for first mbufs.
    roots: Vec<*mut CMbuf>,
    memory: Memory,
    /// An mbuf of another pool's.
    strange: *mut CMbuf,
}

/// Why a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    Dry,
    Bounds,
    TooLong,
    TooManySegments,
    NoHeader,
    Nothing,
}

impl Why {
    fn of(error: &Error) -> Self {
        match error {
            Error::Op(OpError::Alloc(_)) => Why::Dry,
            Error::Op(OpError::Bounds(_)) => Why::Bounds,
            Error::Op(OpError::TooLong { .. }) => Why::TooLong,
            Error::Op(OpError::TooManySegments { .. }) => Why::TooManySegments,
            Error::NoHeader => Why::NoHeader,
            Error::Nothing => Why::Nothing,
            error => panic!("{error:?}"),
        }
    }
}

/// A part of a chain that C wants to share, or with `None` all of a packet.
#[derive(Clone, Copy)]
struct Wish {
    from: *mut CMbuf,
    part: Option<(usize, usize)>,
}

impl Share for Wish {
    fn from(self) -> *mut CMbuf {
        self.from
    }

    fn part(self, have: usize, has_header: bool) -> Option<(usize, usize)> {
        self.part.or(has_header.then_some((0, have)))
    }

    fn otherwise(self) -> *mut CMbuf {
        ptr::null_mut()
    }
}

/// A chain before and after a change.
struct Done<T> {
    before: Sound,
    after: Sound,
    result: Result<T, Error>,
}

impl Desk {
    fn step(&mut self, words: &mut Words<'_>) {
        match words.byte() % 3 {
            0 if self.roots.len() < CHAINS => self.make(words),
            1 => self.spoil(words),
            _ if self.roots.is_empty() => self.make(words),
            _ => self.call(words),
        }
        self.shorten();
    }

    /// An address that C takes for an mbuf, good for no more than to be found out.
    fn no_mbuf(&self, words: &mut Words<'_>) -> *mut CMbuf {
        match (words.byte() % 3, self.known.any(words.byte().into())) {
            (0, Some(place)) => place.mbuf().wrapping_byte_add(usize::from(words.byte() % 63) + 1),
            (1, _) => self.memory.zeros(),
            _ => self.strange,
        }
    }

    /// A chain that C got is one more.
    fn adopt(&mut self, first: *mut CMbuf) -> Sound {
        let mut next = first;
        while !next.is_null() {
            // SAFETY: the library gave it to C just now.
            let place = unsafe { Place::new(next) };
            self.known.add(place);
            next = place.next();
        }
        let made = self.known.judge(first).expect("what the library gives is right");
        match self.roots.len() < CHAINS {
            true => self.roots.push(first),
            false => self.free(first, false),
        }
        made
    }

    /// The result, if what failed failed because it had to.
    #[track_caller]
    fn expect<T>(&self, result: Result<T, Error>, due: Option<Why>) -> Option<T> {
        let why = result.as_ref().err().map(Why::of);
        assert!(why == due || why == Some(Why::Dry) && self.faulty, "{why:?}, not {due:?}");
        result.ok()
    }

    /// What the library makes of a chain, if it takes it. If not, that has to be right.
    fn taken<T>(&self, given: Result<T, Error>, judged: Result<Sound, Blame>) -> Option<(T, Sound)> {
        match (given, judged) {
            (Ok(list), Ok(sound)) => Some((list, sound)),
            (Err(Error::Fault(fault)), Err(blame)) => {
                blame.assert_is(&fault);
                None
            }
            // Taking over what C attached by hand takes memory.
            (Err(error), _) => {
                assert!(self.faulty && Why::of(&error) == Why::Dry, "{error:?}");
                None
            }
            (Ok(_), Err(blame)) => panic!("taken, although {blame:?}"),
        }
    }

    fn read<T>(&self, slot: usize, f: impl FnOnce(&View<'_>, &Sound) -> T) -> Option<T> {
        let first = self.roots[slot];
        let judged = self.known.judge(first);
        // SAFETY: memory that may be read, whatever is wrong with it, and one thread.
        let (view, sound) = self.taken(unsafe { View::of(&self.pool, first) }, judged)?;
        Some(f(&view, &sound))
    }

    /// Changes a chain.
    fn edit<T>(
        &mut self,
        slot: usize,
        f: impl FnOnce(&Pool, &mut Loose) -> Result<T, Error>,
    ) -> Option<Done<T>> {
        let first = self.roots[slot];
        let judged = self.known.judge(first);
        // SAFETY: memory that may be read, and ours if it is an mbuf that is in use.
        let (mut list, before) = self.taken(unsafe { Loose::import(&self.pool, first) }, judged)?;
        let others = self.others(&[&before]);
        let result = f(&self.pool, &mut list);
        self.roots[slot] = list.export();
        let after = self.replaced(&[&before], self.roots[slot]);
        Self::assert_same(&self.known, &others);
        if result.is_err() {
            assert_eq!(before, after, "an error changed something");
        }
        Some(Done { before, after, result })
    }

    /// The same for what cannot fail.
    fn alter(&mut self, slot: usize, f: impl FnOnce(&mut Loose)) -> Option<Done<()>> {
        self.edit(slot, |_, list| {
            f(list);
            Ok(())
        })
    }

    /// Changes the first mbuf, whatever follows: bytes and mbufs are its.
    fn edit_first<T>(
        &mut self,
        slot: usize,
        f: impl FnOnce(&Pool, &mut Loose) -> Result<T, Error>,
    ) -> Option<Done<T>> {
        let first = self.roots[slot];
        let judged = self.known.judge_first(first);
        // SAFETY: as above.
        let ((mut list, next), before) =
            self.taken(unsafe { Loose::import_first(&self.pool, first) }, judged)?;
        let result = f(&self.pool, &mut list);
        assert_eq!(list.export_before(next), first, "it stays the first");
        let after = self.known.judge_first(first).expect("what the library gives is right");
        if result.is_err() {
            assert_eq!(before, after, "an error changed something");
        }
        Some(Done { before, after, result })
    }

    /// What is in use when chains were made into one.
    fn replaced(&mut self, before: &[&Sound], now: *mut CMbuf) -> Sound {
        let gone: Vec<Place> = before.iter().flat_map(|sound| sound.mbufs.iter().copied()).collect();
        for mbuf in &gone {
            assert!(self.known.live.remove(mbuf));
        }
        let mut next = now;
        while !next.is_null() {
            // SAFETY: the library gave it to C just now.
            let place = unsafe { Place::new(next) };
            self.known.add(place);
            next = place.next();
        }
        self.known.judge(now).expect("what the library gives is right")
    }

    /// What C has beside these chains.
    fn others(&self, but: &[&Sound]) -> Vec<(*mut CMbuf, Sound)> {
        let sound = |&root: &*mut CMbuf| Some((root, self.known.judge(root).ok()?));
        let apart = |(_, sound): &(_, Sound)| but.iter().all(|chain| !chain.shares_with(sound));
        self.roots.iter().filter_map(sound).filter(apart).collect()
    }

    fn assert_same(known: &Known, others: &[(*mut CMbuf, Sound)]) {
        for (root, before) in others {
            assert_eq!(known.judge(*root).as_ref(), Ok(before), "another chain changed");
        }
    }

    /// Frees a chain as `m_freem` does, by the short way if that is wanted and possible.
    fn free(&mut self, first: *mut CMbuf, short: bool) {
        let mut next = first;
        while let Some(mbuf) = NonNull::new(next) {
            let due = self.known.judge_address(next, "the mbuf given").and_then(|place| {
                if place.is_by_hand() { judge_attached(place).map(|()| place) } else { Ok(place) }
            });
            let (behind, linked) = due.map_or((ptr::null_mut(), false), |place| {
                (place.next(), !place.get::<*mut CMbuf>(NEXT_PACKET).is_null())
            });
            let short = short && self.known.find(next).is_some();
            // SAFETY: an mbuf that C gives up, or gave up before.
            let done = unsafe {
                let left = || leave_or::<true, _>(mbuf, Some, || None);
                if short { free_or::<true, _>(mbuf, Some, left) } else { None }
            };
            if let Some(done) = done {
                assert_eq!(Ok((done, false)), due.map(|_| (behind, linked)));
            } else {
                // SAFETY: as above, or memory that may be read.
                match unsafe { free_one(&self.pool, mbuf) } {
                    Ok(done) => assert_eq!(Ok(done), due.map(|_| (behind, linked))),
                    Err(Error::Fault(fault)) => return due.expect_err("it is in use").assert_is(&fault),
                    Err(error) => panic!("{error:?}"),
                }
            }
            assert!(self.known.live.remove(&due.expect("just judged")));
            next = behind;
        }
    }

    /// Shares a part of a chain by the short way, or all of a packet, where that way is open.
    fn share_at_once(&mut self, slot: usize, part: Option<(usize, usize)>) {
        let from = self.roots[slot];
        let judged = self.known.judge(from);
        // SAFETY: memory that may be read, whatever is wrong with it, and one thread.
        let copy = unsafe { share_or(&self.names, Wish { from, part }) };
        if copy.is_null() {
            return;
        }
        let sound = judged.expect("shared by the short way");
        let (at, len) = part.unwrap_or((0, sound.bytes.len()));
        let (bytes, header) = (sound.bytes[at..at + len].to_vec(), sound.first().has(PKTHDR) && at == 0);
        let copy = self.adopt(copy);
        assert_eq!((copy.bytes, copy.said), (bytes, header.then_some(len as i32)));
    }

    /// Keeps chains short.
    fn shorten(&mut self) {
        while let Some(long) = self.roots.iter().position(|&root| {
            self.known
                .judge(root)
                .is_ok_and(|chain| chain.bytes.len() > LONGEST.0 || chain.mbufs.len() > LONGEST.1)
        }) {
            let root = self.roots.swap_remove(long);
            self.free(root, false);
        }
    }

    /// Frees every mbuf that C should still have, whatever links say.
    fn close(mut self) {
        self.pool.inject([]);
        for mbuf in self.known.live.clone() {
            mbuf.set(place::NEXT, ptr::null_mut::<CMbuf>());
            if mbuf.is_by_hand() && judge_attached(mbuf).is_err() {
                mbuf.set(place::FLAGS, mbuf.flags() & !EXT);
            }
            self.free(mbuf.mbuf(), false);
        }
        assert!(self.known.live.is_empty());
        crate::assert_empty(&self.pool);
        self.memory.assert_back();
        drop(self.pool);
    }
}

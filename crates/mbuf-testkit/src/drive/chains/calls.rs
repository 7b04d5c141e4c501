//! What C calls.

use std::iter;

use mbuf::ffi::{Error, Kind, Loose, Sanity, View, Wrong};
use mbuf::{Class, Flags, OpError, Refused};

use super::place::{EXT, LEN, PKTHDR, Place};
use super::{Desk, Done, Why};
use crate::drive::Words;
use crate::{Label, pattern};

/// The most that a single buffer has.
const LARGEST: usize = 16384;

/// An offset or a length of C's: not negative, and at most what an `int` is.
fn int(words: &mut Words<'_>, len: usize) -> usize {
    words.wild(len).min(i32::MAX as usize)
}

/// One that memory can be had for.
fn small(words: &mut Words<'_>, len: usize) -> usize {
    words.wild(len).min(6000)
}

fn kind(words: &mut Words<'_>) -> Kind {
    let byte = words.byte();
    Kind { header: byte & 1 != 0, bits: if byte < 128 { 1 } else { byte % 16 } }
}

impl Desk {
    /// `m_get` and its kin.
    pub(super) fn make(&mut self, words: &mut Words<'_>) {
        let kind = kind(words);
        let mut fill = |at: usize, place: &mut [u8]| {
            place.iter_mut().enumerate().for_each(|(i, byte)| *byte = pattern(at + i));
        };
        let pool = &self.pool;
        let (made, len) = match words.byte() % 6 {
            0 => (Loose::plain(pool, kind), 0),
            1 => (Loose::with_class(pool, kind, Class::ALL[usize::from(words.byte() % 4)]), 0),
            2 => (Loose::with_room(pool, kind, small(words, 5000)), 0),
            3 => (Loose::with_capacity(pool, kind, small(words, 5000)), 0),
            _ => {
                let (len, room) = (small(words, 3000), usize::from(words.byte() % 64));
                (Loose::filled(pool, kind, len, room, &mut fill), len)
            }
        };
        if let Some(list) = self.expect(made, None) {
            let made = self.adopt(list.export());
            assert_eq!(made.bytes.len(), len);
            // As memory that a device writes: C says how much.
            if len == 0 && !made.mbufs[0].is_by_hand() {
                made.mbufs[0].set(LEN, i32::from(words.byte() % 100));
            }
        }
    }

    /// A call on one of the chains.
    pub(super) fn call(&mut self, words: &mut Words<'_>) {
        let slot = usize::from(words.byte()) % self.roots.len();
        let len = self.known.judge(self.roots[slot]).map_or(0, |chain| chain.bytes.len());
        match words.byte() % 40 {
            n @ 0..12 => self.look(n, slot, len, words),
            n @ 12..30 => self.change(n - 12, slot, len, words),
            30 => self.join(slot, words),
            31 => self.move_header(slot, words),
            32 => self.lend(slot, words),
            33 => self.attach_cluster(slot, words),
            34 => self.align(slot, words),
            35 => self.as_packet(slot, words),
            36 => self.tag(slot, words),
            _ => {
                let first = self.roots.swap_remove(slot);
                self.free(first, words.byte().is_multiple_of(2));
            }
        }
    }

    /// Reads a chain, and makes copies.
    fn look(&mut self, n: u8, slot: usize, len: usize, words: &mut Words<'_>) {
        let (at, n_bytes) = (int(words, len), int(words, len));
        let part = |bytes: &[u8]| bytes.get(at..at.checked_add(n_bytes)?).map(<[u8]>::to_vec);
        match n {
            7 => self.share_at_once(slot, Some((at, n_bytes))),
            8 => self.share_at_once(slot, None),
            _ => {}
        }
        let copy = match n {
            0 => {
                self.read(slot, |view, sound| {
                    assert_eq!((view.to_vec(), view.len()), (sound.bytes.clone(), len));
                    assert_eq!(Some(view.last_mbuf()), sound.mbufs.last().map(|mbuf| mbuf.mbuf()));
                    assert_eq!(view.length_said(), sound.said);
                    assert!(view.charge() >= 256 * sound.mbufs.len());
                    let sum = part(&sound.bytes).map(|bytes| mbuf::checksum::sum(&bytes));
                    assert_eq!(view.sum(at..at + n_bytes).ok(), sum);
                });
                None
            }
            1 => {
                let mut out = vec![0xee; n_bytes.min(9000)];
                self.read(slot, |view, sound| match view.copy_out(at, &mut out) {
                    Ok(()) => assert_eq!(Some(&out[..]), sound.bytes.get(at..at + out.len())),
                    Err(OpError::Bounds(_)) => {
                        assert!(sound.bytes.get(at..at + out.len()).is_none());
                        assert!(out.iter().all(|&byte| byte == 0xee));
                    }
                    Err(error) => panic!("{error}"),
                });
                None
            }
            2 => {
                self.read(slot, |view, sound| match view.find(at) {
                    None => assert!(at > sound.bytes.len()),
                    Some((mbuf, offset)) => {
                        let mbuf =
                            sound.mbufs.iter().find(|place| place.mbuf() == mbuf).expect("one of them");
                        assert!(offset <= mbuf.len() as usize && at <= sound.bytes.len());
                    }
                });
                None
            }
            3 => {
                self.read(slot, |view, sound| {
                    let mut seen = Vec::new();
                    let found = view.apply(at, n_bytes, |bytes| {
                        seen.extend_from_slice(bytes);
                        0
                    });
                    assert_eq!(found.ok().map(|_| seen), part(&sound.bytes));
                });
                None
            }
            4 => {
                self.read(slot, |view, sound| match view.sanity() {
                    Sanity::Sane => assert!(sound.mbufs[1..].iter().all(|mbuf| !mbuf.has(PKTHDR))),
                    Sanity::Length(said, len) => assert!(said as usize != len && Some(said) == sound.said),
                    Sanity::Header(mbuf) | Sanity::Linked(mbuf) => {
                        assert!(sound.mbufs[1..].iter().any(|place| place.mbuf().cast_const() == mbuf));
                    }
                });
                None
            }
            5 => {
                let first = self.roots[slot];
                let judged = self.known.judge_first(first);
                // SAFETY: memory that may be read.
                let room = unsafe { View::first_room(&self.pool, first) };
                if let Some(((front, back, _), sound)) = self.taken(room, judged) {
                    assert!(front + back + sound.bytes.len() <= sound.first().bounds().1);
                }
                None
            }
            6 | 7 => self
                .read(slot, |view, sound| {
                    let part = part(&sound.bytes);
                    let due = match &part {
                        None => Some(Why::Bounds),
                        Some(part) => part.is_empty().then_some(Why::Nothing),
                    };
                    (view.share_loose(at, n_bytes), due, part)
                })
                .and_then(|(copy, due, part)| Some((self.expect(copy, due)?, part?))),
            8 => self
                .read(slot, |view, sound| (view.share_packet(), sound.said, sound.bytes.clone()))
                .and_then(|(copy, said, bytes)| {
                    let due = said.is_none().then_some(Why::NoHeader);
                    Some((self.expect(copy, due)?, bytes))
                }),
            9 => self
                .read(slot, |view, sound| (view.duplicate_loose(), sound.bytes.clone()))
                .and_then(|(copy, bytes)| Some((self.expect(copy, None)?, bytes))),
            10 => self
                .read(slot, |view, sound| (view.defragment_loose(&self.pool), sound.bytes.clone()))
                .and_then(|(copy, bytes)| Some((self.expect(copy, None)?, bytes))),
            _ => self
                .read(slot, |view, sound| (view.fragment_loose(n_bytes), sound.said, sound.bytes.clone()))
                .and_then(|(copy, said, bytes)| {
                    let due = said.is_none().then_some(Why::NoHeader);
                    Some((self.expect(copy, due)?, bytes))
                }),
        };
        if let Some((copy, bytes)) = copy {
            assert_eq!(self.adopt(copy.export()).bytes, bytes);
        }
    }

    /// What a change does to bytes.
    fn becomes<T>(&self, done: Done<T>, due: Option<Why>, becomes: impl FnOnce(&mut Vec<u8>)) -> Option<T> {
        let Done { before, after, result } = done;
        let result = self.expect(result, due)?;
        let mut bytes = before.bytes;
        becomes(&mut bytes);
        assert_eq!(after.bytes, bytes);
        Some(result)
    }

    /// Changes a chain.
    fn change(&mut self, n: u8, slot: usize, len: usize, words: &mut Words<'_>) {
        let at = int(words, len);
        let outside = (at > len).then_some(Why::Bounds);
        let same = |_: &mut Vec<u8>| {};
        match n {
            0 => {
                let Some(done) = self.alter(slot, |list| list.trim_front(at)) else { return };
                self.becomes(done, None, |bytes| drop(bytes.drain(..at.min(len))));
            }
            1 => {
                let Some(done) = self.alter(slot, |list| list.trim_back(at)) else { return };
                self.becomes(done, None, |bytes| bytes.truncate(len.saturating_sub(at)));
            }
            2 => {
                let (at, new) = (at.min(6000), words.bytes(30));
                let Some(done) = self.edit(slot, |pool, list| list.write_back(pool, at, new)) else { return };
                self.becomes(done, None, |bytes| {
                    // Nothing, too, reaches so far.
                    bytes.resize(len.max(at + new.len()), 0);
                    bytes[at..at + new.len()].copy_from_slice(new);
                });
            }
            3 => {
                let Some(done) = self.edit(slot, |pool, list| list.pull_up(pool, at)) else { return };
                let first = done.after.first();
                if self.becomes(done, outside, same).is_some() {
                    assert!(first.len() as usize >= at);
                }
            }
            4 => {
                let room = int(words, 100);
                let long = (at + room > LARGEST).then_some(Why::TooLong);
                let Some(done) = self.edit(slot, |pool, list| list.copy_up(pool, at, room)) else { return };
                let first = done.after.first();
                if self.becomes(done, outside.or(long), same).is_some() {
                    assert!(first.len() as usize >= at);
                }
            }
            5 => {
                let (n, anywhere) = (int(words, len.saturating_sub(at)), words.byte() & 1 != 0);
                let Some(done) = self.edit(slot, |pool, list| list.pull_down(pool, at, n, anywhere)) else {
                    return;
                };
                let due = match () {
                    () if at + n > len => Some(Why::Bounds),
                    () => (at == len).then_some(Why::Nothing),
                };
                let expected = done.before.bytes.get(at..at + n).map(<[u8]>::to_vec);
                let mbufs = done.after.mbufs.clone();
                if let Some((mbuf, offset)) = self.becomes(done, due, same) {
                    let mbuf = mbufs.into_iter().find(|place| place.mbuf() == mbuf).expect("one of them");
                    assert!(anywhere || offset == 0);
                    // SAFETY: judged just now.
                    let window = unsafe { super::judge::window(mbuf) };
                    assert_eq!(window.get(offset..offset + n), expected.as_deref());
                }
            }
            6 => {
                let split = |pool: &_, list: &mut Loose| list.split_off(pool, at).map(Loose::export);
                let Some(done) = self.edit(slot, split) else { return };
                let nothing = (at == len && done.before.said.is_none()).then_some(Why::Nothing);
                let tail = done.before.bytes.get(at..).map(<[u8]>::to_vec);
                if let Some(m) = self.becomes(done, outside.or(nothing), |bytes| bytes.truncate(at)) {
                    assert_eq!(Some(self.adopt(m).bytes), tail);
                }
            }
            7 => {
                let long = (at > LARGEST).then_some(Why::TooLong);
                let Some(done) = self.edit(slot, |pool, list| list.put_in_front(pool, at)) else { return };
                // Nothing is known of the new bytes.
                let new = done.after.bytes.get(..at).unwrap_or_default().to_vec();
                self.becomes(done, long, |bytes| drop(bytes.splice(..0, new)));
            }
            8 => {
                let new = words.bytes(200);
                let append = |pool: &_, list: &mut Loose| list.append_bytes(pool, new.len(), iter::once(new));
                let Some(done) = self.edit(slot, append) else { return };
                self.becomes(done, None, |bytes| bytes.extend_from_slice(new));
            }
            9 => {
                let n = at.min(6000);
                let Some(done) = self.edit(slot, |pool, list| list.pad_to(pool, n)) else { return };
                self.becomes(done, None, |bytes| bytes.resize(len.max(n), 0));
            }
            10 => {
                let most = usize::from(words.byte() % 6);
                let Some(done) = self.edit(slot, |pool, list| list.collapse(pool, most)) else { return };
                match &done.result {
                    Ok(()) => assert!(done.after.mbufs.len() <= most),
                    Err(Error::Op(OpError::TooManySegments { needed, max })) => {
                        return assert!(*max == most && *needed > most);
                    }
                    Err(_) => {}
                }
                self.becomes(done, None, same);
            }
            11 => {
                let n = int(words, len);
                let Some(done) = self.edit(slot, |pool, list| list.make_writable(pool, at, n)) else {
                    return;
                };
                self.becomes(done, None, same);
            }
            12 => {
                let (all, keep) = (words.byte() & 1 != 0, words.word());
                let Some(done) = self.alter(slot, |list| list.demote(all, keep)) else { return };
                assert!(done.after.mbufs[usize::from(!all)..].iter().all(|mbuf| !mbuf.has(PKTHDR)));
                self.becomes(done, None, same);
            }
            13 => {
                let Some(done) = self.edit(slot, |_, list| Ok(list.fix_length())) else { return };
                let said = done.after.said;
                let len = self.becomes(done, None, same);
                assert!(said.is_none_or(|said| Some(said as usize) == len));
            }
            14 => {
                let bits = words.byte() % 16;
                let Some(done) = self.alter(slot, |list| list.set_type(bits)) else { return };
                self.becomes(done, None, same);
            }
            15 => {
                let flags = Flags(words.word());
                let Some(done) = self.alter(slot, |list| list.clear_flags(flags)) else { return };
                self.becomes(done, None, same);
            }
            16 => {
                let Some(done) = self.alter(slot, |list| list.sanitize()) else { return };
                self.becomes(done, None, same);
                self.read(slot, |view, _| assert_eq!(view.sanity(), Sanity::Sane));
            }
            _ => {
                let kind = kind(words);
                let more = |pool: &_, list: &mut Loose| {
                    list.link(Loose::with_room(pool, kind, 300)?);
                    Ok(())
                };
                let Some(done) = self.edit(slot, more) else { return };
                self.becomes(done, None, same);
            }
        }
    }

    /// `m_cat`, `m_catpkt`.
    fn join(&mut self, slot: usize, words: &mut Words<'_>) {
        let second = usize::from(words.byte()) % self.roots.len();
        let (m, n) = (self.roots[slot], self.roots[second]);
        let (a, b) = (self.known.judge(m), self.known.judge(n));
        // SAFETY: memory that may be read, and ours if it is mbufs that are in use.
        let (mut list, other) = match unsafe { Loose::import_both(&self.pool, m, n) } {
            Ok(both) => both,
            Err(Error::Fault(fault)) => {
                return match (a, b) {
                    (Ok(a), Ok(b)) => {
                        assert!(fault.wrong == Wrong::Common && a.shares_with(&b), "{fault}");
                        assert_eq!(a.mbufs.last().map(|mbuf| mbuf.mbuf().cast_const()), Some(fault.mbuf));
                    }
                    _ if fault.wrong == Wrong::Common => {}
                    // Who is looked at first is of no interest.
                    (a, b) => {
                        let blamed = |blame: &_| super::judge::Blame::is(blame, &fault);
                        assert!(a.err().iter().chain(&b.err()).any(blamed), "{fault}");
                    }
                };
            }
            Err(error) => return assert!(self.faulty && Why::of(&error) == Why::Dry),
        };
        let (a, b) = (a.expect("taken"), b.expect("taken"));
        let others = self.others(&[&a, &b]);
        let packets = words.byte() & 1 != 0;
        let refused = if packets {
            list.concatenate_packets(other).err().map(Loose::export)
        } else {
            list.concatenate(other);
            None
        };
        self.roots[slot] = list.export();
        if let Some(n) = refused {
            assert!(a.said.is_none() || b.said.is_none());
            let after = (self.replaced(&[&a], m), self.replaced(&[&b], n));
            assert_eq!(after, (a, b), "an error changed something");
        } else {
            let after = self.replaced(&[&a, &b], m);
            assert_eq!(after.bytes, [a.bytes, b.bytes].concat());
            self.roots.retain(|&root| root != n);
        }
        Self::assert_same(&self.known, &others);
    }

    /// `m_move_pkthdr`, `m_dup_pkthdr`.
    fn move_header(&mut self, slot: usize, words: &mut Words<'_>) {
        let from = self.roots[usize::from(words.byte()) % self.roots.len()];
        if from == self.roots[slot] {
            return;
        }
        let judged = self.known.judge_first(from);
        if words.byte() & 1 != 0 {
            let judged = self.known.judge(from);
            // SAFETY: memory that may be read; nobody changes it meanwhile but by a fault of C's.
            let view = unsafe { View::of(&self.pool, from) };
            let Some((view, sound)) = self.taken(view, judged) else { return };
            if sound.mbufs.iter().any(|place| place.mbuf() == self.roots[slot]) {
                return;
            }
            let copy = |_: &_, list: &mut Loose| list.copy_header_of(&view);
            let Some(Done { before, after, result }) = self.edit_first(slot, copy) else { return };
            assert_eq!(before.bytes, after.bytes);
            match result {
                Ok(()) => assert!(sound.said.is_some() && after.said == sound.said),
                Err(error) => assert!(
                    Why::of(&error) == Why::NoHeader || self.faulty && Why::of(&error) == Why::Dry,
                    "{error:?}"
                ),
            }
            return;
        }
        // SAFETY: as above.
        let source = unsafe { Loose::import_first(&self.pool, from) };
        let Some(((mut source, next), before)) = self.taken(source, judged) else { return };
        let done = self.edit_first(slot, |_, list| list.take_header_of(&mut source));
        assert_eq!(source.export_before(next), from);
        let after = self.known.judge_first(from).expect("what the library gives is right");
        assert_eq!(after.bytes, before.bytes);
        let Some(Done { before: old, after: new, result }) = done else { return };
        assert_eq!(old.bytes, new.bytes);
        match result {
            Ok(()) => assert!(before.said.is_some() && after.said.is_none() && new.said == before.said),
            Err(error) => assert_eq!(Why::of(&error), Why::NoHeader),
        }
    }

    /// `m_extadd`.
    fn lend(&mut self, slot: usize, words: &mut Words<'_>) {
        let lent = self.memory.lend(words.byte());
        let read_only = words.byte() & 1 != 0;
        let mut refused = None;
        let done = self.edit_first(slot, |pool, list| {
            // SAFETY: memory that lives as long as the pool.
            unsafe { list.lend(pool, lent, read_only) }.map_err(|(error, lent)| {
                refused = Some(lent);
                error
            })
        });
        // Dropped, if it was refused.
        drop(refused);
        let Some(Done { before, after, result }) = done else { return };
        match result {
            Ok(()) => assert!(after.bytes.is_empty() && after.first().has(EXT)),
            Err(Error::Fault(fault)) => {
                assert!(fault.wrong == Wrong::Storage && before.first().has_storage(), "{fault}");
            }
            Err(error) => assert!(self.faulty && Why::of(&error) == Why::Dry, "{error:?}"),
        }
    }

    /// `m_clget`, `m_cljget`.
    fn attach_cluster(&mut self, slot: usize, words: &mut Words<'_>) {
        let class = Class::ALL[usize::from(words.byte() % 4)];
        let had =
            self.known.find(self.roots[slot]).is_some_and(|place| place.has_storage() || place.has(EXT));
        let Some(done) = self.edit_first(slot, |pool, list| list.attach_cluster(pool, class)) else { return };
        self.becomes(done, had.then_some(Why::Nothing), Vec::clear);
    }

    /// `m_align`.
    fn align(&mut self, slot: usize, words: &mut Words<'_>) {
        let n = int(words, 3000);
        let Some(done) = self.edit_first(slot, |_, list| list.align_end(n)) else { return };
        assert_eq!(done.before.bytes, done.after.bytes);
        let possible = done.before.bytes.is_empty() && n <= done.before.first().bounds().1;
        if let Err(error) = done.result {
            let first = done.before.first();
            assert!(Why::of(&error) == Why::Nothing && (!possible || first.has_storage()), "{error:?}");
        } else {
            assert!(possible);
        }
    }

    /// The chain as Rust has it, and back.
    fn as_packet(&mut self, slot: usize, words: &mut Words<'_>) {
        let first = self.roots[slot];
        let judged = self.known.judge(first);
        // SAFETY: memory that may be read, and ours if it is mbufs that are in use.
        let list = unsafe { Loose::import(&self.pool, first) };
        let Some((list, before)) = self.taken(list, judged) else { return };
        let mut packet = match list.into_packet() {
            Ok(packet) => packet,
            Err(list) => {
                assert!(before.said.is_none());
                assert_eq!(self.replaced(&[&before], list.export()), before);
                return;
            }
        };
        let mut bytes = before.bytes.clone();
        assert_eq!(packet.check(), Ok(()));
        assert_eq!(packet, bytes);
        let at = words.wild(bytes.len()).min(bytes.len());
        match words.byte() % 4 {
            0 => {
                let made = packet.make_contiguous(at).is_ok();
                assert!(made || self.faulty || at > LARGEST);
            }
            1 => match packet.split_off(at) {
                Ok(tail) => {
                    assert_eq!(tail, bytes[at..]);
                    let joined = packet.append(tail).map_err(|Refused { error, .. }| error);
                    if joined.is_err() {
                        assert!(self.faulty);
                        bytes.truncate(at);
                    }
                }
                Err(_) => assert!(self.faulty),
            },
            2 => match packet.prepend_slice(&[7; 20]) {
                Ok(()) => drop(bytes.splice(..0, [7; 20])),
                Err(_) => assert!(self.faulty),
            },
            _ => match packet.write_at(at, &[9; 9]) {
                Ok(()) => {
                    bytes.resize(bytes.len().max(at + 9), 0);
                    bytes[at..at + 9].fill(9);
                }
                Err(_) => assert!(self.faulty),
            },
        }
        assert_eq!(packet.check(), Ok(()));
        assert_eq!(packet, bytes);
        self.roots[slot] = Loose::from(packet).export();
        assert_eq!(self.replaced(&[&before], self.roots[slot]).bytes, bytes);
    }

    /// A tag on a header.
    fn tag(&mut self, slot: usize, words: &mut Words<'_>) {
        let label = Label(words.byte().into());
        let tag = |_: &_, list: &mut Loose| {
            list.push_tag(label.clone())?;
            assert!(list.tag::<Label>().is_some());
            Ok(())
        };
        let Some(done) = self.edit_first(slot, tag) else { return };
        let due = done.before.said.is_none().then_some(Why::NoHeader);
        let first: Place = done.after.first();
        if self.becomes(done, due, |_| {}).is_some() {
            assert!(first.has_tags());
        }
    }
}

//! Offsets, lengths and lists of slices as an attacker would choose them.

use std::io::{self, BufRead, IoSlice, Read, Seek, SeekFrom, Write};
use std::ops::Range;

use bytes::Buf;
use mbuf::{Packet, Pool, Refused, Reserve};

use super::Words;
use crate::pattern;

/// The longest packet that is kept.
const LONGEST: usize = 20_000;

/// Bytes of the pool: enough for such a packet several times, and for nothing that an attacker would like.
const BUDGET: usize = 4 << 20;

/// One packet, cut into segments as the first bytes say, and calls on it with any arguments. Each is compared with
/// the same on a vector; what is refused changes nothing.
pub fn arguments(bytes: &[u8]) {
    let mut words = Words(bytes);
    let headroom = usize::from(words.byte()) % 128;
    let pool = Pool::builder().headroom(headroom).budget(BUDGET).build().expect("a small headroom");
    let mut model: Vec<u8> = (0..usize::from(words.word()) % 6000).map(pattern).collect();
    let mut packet = Packet::from_slice(&pool, &model).expect("memory");
    let sizes: Vec<usize> = words.bytes(8).iter().map(|&n| usize::from(n) * 8).collect();
    packet.shatter(sizes).expect("memory");
    while !words.is_empty() {
        call(&pool, &mut packet, &mut model, &mut words);
        assert_eq!(packet.check(), Ok(()));
        assert_eq!(packet, model);
        packet.truncate(LONGEST);
        model.truncate(LONGEST);
    }
    drop(packet);
    crate::assert_empty(&pool);
}

/// A range that may be outside, or end before it starts; and the bytes it names.
fn range<'a>(words: &mut Words<'_>, model: &'a [u8]) -> (Range<usize>, Option<&'a [u8]>) {
    let range = words.wild(model.len())..words.wild(model.len());
    (range.clone(), model.get(range))
}

fn call(pool: &Pool, packet: &mut Packet, model: &mut Vec<u8>, words: &mut Words<'_>) {
    let len = model.len();
    match words.byte() % 24 {
        0 => {
            let (range, expected) = range(words, model);
            let found = packet.slices(range).ok().map(|slices| slices.collect::<Vec<_>>().concat());
            assert_eq!(found.as_deref(), expected);
        }
        1 => {
            let (at, n) = (words.wild(len), words.wild(len));
            let mut out = vec![0xee; n.min(LONGEST)];
            let expected = at.checked_add(out.len()).and_then(|end| model.get(at..end));
            match packet.read_at(at, &mut out) {
                Ok(()) => assert_eq!(Some(&out[..]), expected),
                Err(_) => assert!(expected.is_none() && out.iter().all(|&byte| byte == 0xee)),
            }
        }
        2 => {
            let (range, expected) = range(words, model);
            let with = words.bytes(20);
            let equal = packet.range_eq(range, with).ok();
            assert_eq!(equal, expected.map(|bytes| bytes == with));
        }
        3 => {
            let (from, needle) = (words.wild(len), words.bytes(3));
            let expected = model.get(from..).and_then(|rest| match needle {
                [] => Some(from),
                _ => rest.windows(needle.len()).position(|part| part == needle).map(|at| from + at),
            });
            assert_eq!(packet.find_bytes(from, needle), expected);
        }
        4 => {
            let at = words.wild(len);
            match packet.locate(at) {
                None => assert!(at >= len),
                Some((which, offset)) => {
                    let seg = packet.segments().nth(which).expect("a segment that was named");
                    assert_eq!(seg.bytes().get(offset), model.get(at));
                }
            }
        }
        5 => {
            let (range, expected) = range(words, model);
            let sum = packet.sum(range).ok();
            assert_eq!(sum, expected.map(mbuf::checksum::sum));
        }
        6 => {
            let (range, expected) = range(words, model);
            if let Some(bytes) = packet.contiguous(range) {
                assert_eq!(Some(bytes), expected);
            }
        }
        7 => {
            let (range, expected) = range(words, model);
            assert_eq!(packet.make_contiguous_at(range.clone()).ok(), expected, "{range:?}");
        }
        8 => {
            let (n, room) = (words.wild(len), words.wild(len));
            if let Ok(bytes) = packet.make_contiguous_with_headroom(n, room) {
                assert_eq!(Some(bytes), model.get(..n));
            } else {
                assert!(n > len || n.saturating_add(room) > 2048, "{n} bytes behind {room} are refused");
            }
        }
        9 => {
            let (at, bytes) = (words.wild(len), words.bytes(30));
            if packet.write_at(at, bytes).is_ok() && !(bytes.is_empty() && at <= len) {
                model.resize(len.max(at + bytes.len()), 0);
                model[at..at + bytes.len()].copy_from_slice(bytes);
            }
        }
        10 => {
            let (range, expected) = range(words, model);
            let shared = packet.share_range(range).ok();
            assert_eq!(shared.is_some(), expected.is_some());
            assert!(shared.is_none_or(|shared| shared == *expected.unwrap_or_default()));
        }
        11 => {
            let range = range(words, model).0;
            if packet.remove_range(range.clone()).is_ok() {
                model.drain(range);
            }
        }
        12 => {
            let at = words.wild(len);
            match packet.split_off(at) {
                Err(_) => assert!(at > len),
                Ok(tail) => {
                    assert_eq!(tail, model[at..]);
                    packet.append(tail).map_err(|Refused { error, .. }| error).expect("they were one");
                }
            }
        }
        13 => {
            let n = words.wild(len);
            match packet.trim_front(n) {
                Ok(()) => drop(model.drain(..n)),
                Err(_) => assert!(n > len),
            }
        }
        14 => {
            let n = words.wild(len);
            match packet.trim_back(n) {
                Ok(()) => model.truncate(len - n),
                Err(_) => assert!(n > len),
            }
        }
        15 => {
            let n = words.wild(200);
            match packet.prepend(n) {
                Err(error) => assert!(n > 200, "{error}"),
                Ok(place) => {
                    place.fill(0x11);
                    model.splice(..0, std::iter::repeat_n(0x11, n));
                }
            }
        }
        16 => {
            let n = words.wild(200);
            match packet.extend(n) {
                Err(error) => assert!(n > 200, "{error}"),
                Ok(place) => {
                    place.fill(0x22);
                    model.resize(len + n, 0x22);
                }
            }
        }
        17 => reading(packet, model, words),
        18 => {
            let slices = [words.bytes(3), &[], words.bytes(300), words.bytes(1)];
            let written = packet.writer().write_vectored(&slices.map(IoSlice::new)).expect("memory");
            model.extend_from_slice(&slices.concat()[..written]);
        }
        19 => {
            let (capacity, n) = (words.wild(5000).min(60_000), words.wild(5000));
            let reserve = Reserve::new(pool, capacity).expect("memory");
            let most = reserve.capacity();
            match reserve.into_packet(n) {
                Ok(made) => assert!(made.len() == n && n <= most),
                Err(refused) => assert!(n > most && refused.input.capacity() == most),
            }
        }
        20 => {
            let mut slices = [IoSlice::new(&[]); 5];
            let n = packet.chunks_vectored(&mut slices[..usize::from(words.byte() % 6)]);
            let found: Vec<u8> = slices[..n].iter().flat_map(|slice| slice.iter().copied()).collect();
            assert!(model.starts_with(&found) && slices[..n].iter().all(|slice| !slice.is_empty()));
        }
        21 => {
            let (offset, frame) = (words.wild(40), words.bytes(60));
            match Packet::from_trailer(pool, frame, offset) {
                Ok(made) => assert_eq!(made, [&frame[offset + 4..], &frame[..offset]].concat()),
                Err(_) => assert!(offset.saturating_add(4) > frame.len()),
            }
        }
        22 => {
            let n = words.wild(3000);
            if packet.pad_to(n).is_ok() {
                model.resize(len.max(n), 0);
            }
        }
        _ => {
            let sizes: Vec<usize> = (0..words.byte() % 6).map(|_| words.wild(len)).collect();
            packet.shatter(sizes).expect("memory");
        }
    }
}

/// Reads and seeks, as std's cursor does over one slice.
fn reading(packet: &Packet, model: &[u8], words: &mut Words<'_>) {
    let (mut ours, mut theirs) = (packet.reader(), io::Cursor::new(model));
    for _ in 0..words.byte() % 8 {
        match words.byte() % 5 {
            0 => {
                let n = words.wild(model.len()).min(LONGEST);
                let (mut a, mut b) = (vec![0; n], vec![0; n]);
                let read = ours.read(&mut a).expect("memory");
                // Ours may stop at the end of a segment, but not earlier.
                assert!(read > 0 || n == 0 || ours.remaining() == 0);
                theirs.read_exact(&mut b[..read]).expect("as many");
                assert_eq!(a[..read], b[..read]);
            }
            1 => {
                let n = words.wild(model.len()) as u64;
                let to = match words.byte() % 3 {
                    0 => SeekFrom::Start(n),
                    1 => SeekFrom::Current(n as i64),
                    _ => SeekFrom::End(n as i64),
                };
                let at = theirs.position();
                match (ours.seek(to), theirs.seek(to)) {
                    (Ok(a), Ok(b)) => assert_eq!(a, b),
                    (Err(_), Err(_)) => {}
                    (a, b) => panic!("{to:?} from {at} of {}: {a:?}, std: {b:?}", model.len()),
                }
            }
            2 => {
                let n = ours.fill_buf().expect("memory").len();
                let n = n.min(usize::from(words.byte()));
                ours.consume(n);
                theirs.consume(n);
            }
            3 => {
                let (mut a, mut b) = (Vec::new(), Vec::new());
                let end = words.byte();
                ours.read_until(end, &mut a).expect("memory");
                theirs.read_until(end, &mut b).expect("memory");
                assert_eq!(a, b);
            }
            _ => {
                let (mut a, mut b) = (vec![0; usize::from(words.byte())], vec![0; 0]);
                b.resize(a.len(), 0);
                let at = (ours.position(), theirs.position());
                assert_eq!(ours.read_exact(&mut a).is_ok(), theirs.read_exact(&mut b).is_ok(), "{at:?}");
                assert_eq!(a, b);
                return;
            }
        }
        assert_eq!(ours.position(), theirs.position());
    }
}

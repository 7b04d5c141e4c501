//! Looking at a chain: lengths, segments, slices, bytes, printing.

use mbuf::{BoundsError, Header, MSIZE, Packet, Pool};
use mbuf_testkit::{Rng, Shape, Storage, assert_empty, both_kinds, each_offset, each_range, each_shape};

both_kinds! {
    fn lengths_and_counts_are_those_of_the_segments<H>() {
        each_shape::<H>(|built| {
            let segments: Vec<_> = built.chain.segments().collect();
            assert_eq!(built.chain.len(), built.bytes.len());
            assert_eq!(built.chain.is_empty(), built.bytes.is_empty());
            assert_eq!(built.chain.segment_count(), segments.len());
            assert_eq!(segments.iter().flat_map(|seg| seg.bytes()).copied().collect::<Vec<u8>>(), built.bytes);
            let memory: usize = segments.iter().map(|seg| {
                let inline = seg.storage_kind() == mbuf::StorageKind::Inline;
                MSIZE + if inline { 0 } else { seg.capacity() }
            }).sum();
            assert_eq!(built.chain.memory(), memory);
            assert_eq!(built.chain.headroom(), segments[0].headroom());
            assert_eq!(built.chain.tailroom(), segments[segments.len() - 1].tailroom());
            assert_eq!(built.chain.share_count(), segments.iter().map(|seg| seg.share_count()).max().unwrap());
            assert_eq!(built.chain.is_writable(), segments.iter().all(|seg| seg.is_writable()));
            assert_eq!(built.chain.to_vec(), built.bytes);
            let slices: Vec<u8> = built.chain.io_slices().flat_map(|slice| slice.to_vec()).collect();
            assert_eq!(slices, built.bytes);
            assert_eq!((&built.chain).into_iter().count(), segments.len());
            for seg in segments {
                assert!(seg.headroom() + seg.len() + seg.tailroom() <= seg.capacity());
            }
        });
    }

    fn locate_finds_the_segment_of_a_byte_and_the_end<H>() {
        each_offset::<H>(|built, at| {
            let mut start = 0;
            let mut expected = None;
            for (i, seg) in built.chain.segments().enumerate() {
                let last = i + 1 == built.chain.segment_count();
                if at >= start && (at < start + seg.len() || (last && at == start + seg.len())) {
                    expected = Some((i, at - start));
                    break;
                }
                start += seg.len();
            }
            assert_eq!(built.chain.locate(at), expected);
        });
    }

    fn slices_reads_and_compares_give_the_range<H>() {
        each_range::<H>(|built, range| {
            let error = BoundsError { start: range.start, end: range.end, available: built.bytes.len() };
            let Some(expected) = built.bytes.get(range.clone()) else {
                assert_eq!(built.chain.slices(range.clone()).err(), Some(error));
                assert_eq!(built.chain.range_eq(range.clone(), &[]), Err(error));
                assert_eq!(built.chain.sum(range).err(), Some(error));
                return;
            };
            let slices: Vec<&[u8]> = built.chain.slices(range.clone()).unwrap().collect();
            assert!(slices.iter().all(|slice| !slice.is_empty()));
            assert_eq!(slices.concat(), expected);
            let mut out = vec![0xee; range.len()];
            built.chain.read_at(range.start, &mut out).unwrap();
            assert_eq!(out, expected);
            assert_eq!(built.chain.range_eq(range.clone(), expected), Ok(true));
            let mut other = expected.to_vec();
            if let Some(last) = other.last_mut() {
                *last ^= 1;
                assert_eq!(built.chain.range_eq(range.clone(), &other), Ok(false));
                assert_eq!(built.chain.range_eq(range.clone(), &other[1..]), Ok(false));
            }
            other.push(0);
            assert_eq!(built.chain.range_eq(range, &other), Ok(false));
        });
    }

    fn reading_beyond_the_end_leaves_the_buffer_alone<H>() {
        each_offset::<H>(|built, at| {
            let len = built.bytes.len();
            for n in [0usize, 1, 4] {
                let mut out = vec![0xee; n];
                let result = built.chain.read_at(at, &mut out);
                match at.checked_add(n).and_then(|end| built.bytes.get(at..end)) {
                    Some(expected) => {
                        assert_eq!(result, Ok(()));
                        assert_eq!(out, expected);
                    }
                    None => {
                        assert_eq!(result, Err(BoundsError { start: at, end: at.saturating_add(n), available: len }));
                        assert_eq!(out, vec![0xee; n]);
                    }
                }
            }
            let expected = at.checked_add(2).and_then(|end| built.bytes.get(at..end));
            assert_eq!(built.chain.read_array::<2>(at).ok().as_ref().map(|a| &a[..]), expected);
        });
    }

    fn chains_are_equal_if_their_bytes_are<H>() {
        each_shape::<H>(|built| {
            let same = Packet::from_slice(&built.pool, &built.bytes).unwrap();
            let mut other = same.duplicate().unwrap();
            assert!(built.chain == same);
            assert!(same == built.chain);
            other.extend_from_slice(&[1]).unwrap();
            assert!(built.chain != other);
 assert!(other != built.chain);
            if !built.bytes.is_empty() {
                other.truncate(built.bytes.len());
                other.write_at(built.bytes.len() - 1, &[!built.bytes[built.bytes.len() - 1]]).unwrap();
                assert!(built.chain != other);
 assert!(other != built.chain);
                assert!(built.chain != built.bytes[1..]);
            }
        });
    }

    fn find_bytes_finds_what_crosses_segments<H>() {
        each_offset::<H>(|built, from| {
            let len = built.bytes.len();
            assert_eq!(built.chain.find_bytes(from, &[]), (from <= len).then_some(from));
            for n in [1usize, 3] {
                let needle = from.checked_add(n).and_then(|end| built.bytes.get(from..end));
                let Some(needle) = needle else {
                    assert_eq!(built.chain.find_bytes(from, &vec![0; n]), None);
                    continue;
                };
                for start in [0, from / 2, from] {
                    let expected = built.bytes[start..].windows(n).position(|w| w == needle).map(|at| start + at);
                    assert_eq!(built.chain.find_bytes(start, needle), expected);
                }
            }
        });
    }

    fn the_hex_dump_shows_the_bytes_and_where_segments_begin<H>() {
        each_shape::<H>(|built| {
            if built.bytes.len() > 400 {
                return;
            }
            for max in [0, 1, 15, 16, 17, 500, usize::MAX] {
                let dump = built.chain.hexdump(max).to_string();
                let shown = built.bytes.len().min(max);
                let lines: Vec<&str> = dump.lines().collect();
                let more = usize::from(built.bytes.len() > max);
                assert_eq!(lines.len(), shown.div_ceil(16) + more);
                let mut found = Vec::new();
                let mut borders = 0;
                for line in &lines[..lines.len() - more] {
                    let hex = &line[5..5 + 48];
                    borders += hex.matches('|').count();
                    let words = hex.split(['|', ' ']).filter(|word| !word.is_empty());
                    found.extend(words.map(|word| u8::from_str_radix(word, 16).unwrap()));
                }
                assert_eq!(found, built.bytes[..shown]);
                let mut at = 0;
                let begun = built.chain.segments().filter(|seg| {
                    at += seg.len();
                    at - seg.len() < shown
                });
                assert_eq!(borders, begun.count());
            }
            assert!(format!("{:?}", built.chain).contains(&format!("len: {}", built.bytes.len())));
            let segments: Vec<_> = built.chain.segments().collect();
            assert_eq!(format!("{:?}", built.chain.segments()), format!("{segments:?}"));
            let slices = format!("{:?}", built.chain.slices(..).unwrap());
            assert!(slices.contains(&format!("left: {}", built.bytes.len())), "{slices}");
        });
    }
}

#[test]
fn open_and_closed_ranges_mean_what_they_mean_for_slices() {
    use std::ops::Bound;
    let pool = Pool::new();
    let built = Shape::of([(2, Storage::Inline), (3, Storage::ReadOnly)]).build::<Header>(&pool);
    let (packet, bytes) = (&built.chain, &built.bytes[..]);
    assert_eq!(packet.range_eq(.., bytes), Ok(true));
    assert_eq!(packet.range_eq(1.., &bytes[1..]), Ok(true));
    assert_eq!(packet.range_eq(..4, &bytes[..4]), Ok(true));
    assert_eq!(packet.range_eq(1..=3, &bytes[1..=3]), Ok(true));
    assert_eq!(packet.range_eq(..=4, bytes), Ok(true));
    assert_eq!(packet.range_eq((Bound::Excluded(0), Bound::Unbounded), &bytes[1..]), Ok(true));
    for bad in
        [(Bound::Excluded(usize::MAX), Bound::Unbounded), (Bound::Unbounded, Bound::Included(usize::MAX))]
    {
        assert!(packet.slices(bad).is_err());
    }
    assert!(packet.slices(6..).is_err());
    assert_eq!(packet.slices(5..).unwrap().count(), 0);
    drop(built);
    assert_empty(&pool);
}

#[test]
fn find_bytes_agrees_with_a_plain_search_of_bytes_that_repeat() {
    let pool = Pool::new();
    let mut rng = Rng::new(5);
    for _ in 0..mbuf_testkit::scaled(300, 3) {
        let bytes: Vec<u8> = (0..1 + rng.below(40)).map(|_| b'a' + rng.below(2) as u8).collect();
        let mut packet = Packet::from_slice(&pool, &bytes).unwrap();
        packet.shatter(std::iter::repeat_with(|| 1 + rng.below(4))).unwrap();
        for n in 1..=9.min(bytes.len()) {
            // One that is there, and one that may not be.
            let at = rng.below(bytes.len() - n + 1);
            let mut needle = bytes[at..at + n].to_vec();
            for _ in 0..2 {
                for from in 0..=bytes.len() {
                    let expected = bytes[from..].windows(n).position(|w| w == needle).map(|at| from + at);
                    assert_eq!(packet.find_bytes(from, &needle), expected, "{needle:?} in {bytes:?}");
                }
                needle[n / 2] ^= b'a' ^ b'b';
            }
        }
    }
    assert_empty(&pool);
}

#[test]
fn bytes_of_any_type_are_equal_or_not() {
    let pool = Pool::new();
    let packet = Packet::from_slice(&pool, b"mbuf").unwrap();
    for (bytes, equal) in [(b"mbuf", true), (b"mbug", false), (b"Mbuf", false)] {
        let all = [packet == *bytes, packet == bytes, packet == bytes[..], packet == bytes.to_vec()];
        assert_eq!((all, packet.eq(&&bytes[..])), ([equal; 4], equal), "{bytes:?}");
    }
    let (again, at) = (Packet::from_slice(&pool, b"mbuf").unwrap(), format!("{packet:?}"));
    assert!(
        packet == again && at != format!("{again:?}") && at == format!("{packet:?}"),
        "each has its place"
    );
    drop(again);
    let longer = b"mbufs";
    assert!(packet != *longer && packet != longer && packet != longer[..] && packet != longer.to_vec());
    drop(packet);
    assert_empty(&pool);
}

#[test]
#[allow(clippy::reversed_empty_ranges)]
fn an_error_says_what_is_wrong_with_the_range() {
    let pool = Pool::new();
    let mut packet = Packet::from_slice(&pool, &[1; 4]).unwrap();
    let text = |error: BoundsError| error.to_string();
    assert_eq!(text(packet.slices(3..1).unwrap_err()), "the range 3..1 ends before it begins");
    assert_eq!(text(packet.slices(5..).unwrap_err()), "offset 5 is beyond the end of 4 bytes");
    assert_eq!(text(packet.slices(5..7).unwrap_err()), "offset 5 is beyond the end of 4 bytes");
    assert_eq!(text(packet.slices(2..=4).unwrap_err()), "the range 2..5 reaches beyond the end of 4 bytes");
    assert_eq!(text(packet.trim_back(9).unwrap_err()), "the range 0..9 reaches beyond the end of 4 bytes");
    let long = packet.prepend(20_000).unwrap_err();
    assert_eq!(long.to_string(), "20000 bytes are more than the 16384 that the largest buffer holds");
    let long = packet.extend_zeroed(u32::MAX as usize).unwrap_err();
    let sum = (u32::MAX as usize).saturating_add(4);
    assert_eq!(long.to_string(), format!("{sum} bytes are more than the 4294967295 that a chain may have"));
    drop(packet);
    assert_empty(&pool);
}

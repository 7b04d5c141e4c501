//! Operations on one chain, beside what it should be.

use std::io::{BufRead, IoSlice, Read, Seek, SeekFrom, Write};

use mbuf::{Flags, Head, MbufChain, MbufType, Meta, OpError};

use crate::oracle::Oracle;
use crate::{Dial, Kind, Label, Op, Rng};

/// An operation on one chain and on its oracle. Returns whether it was to take nothing from the pool, and did.
pub(crate) fn change<H: Kind>(
    chain: &mut MbufChain<H>,
    oracle: &mut Oracle,
    op: Op,
    data: &[u8],
) -> Result<bool, OpError> {
    let len = oracle.len();
    let segments = chain.segment_count();
    match op {
        Op::Prepend { len: n, .. } | Op::PrependSlice { len: n, .. } => {
            let data = &data[..n.size()];
            let free = data.len() <= chain.headroom();
            if matches!(op, Op::Prepend { .. }) {
                let place = chain.prepend(data.len());
                assert!(!free || place.is_ok(), "there was headroom");
                place?.copy_from_slice(data);
            } else {
                chain.prepend_slice(data)?;
            }
            assert!(!free || chain.segment_count() == segments);
            oracle.prepend(data);
            Ok(free)
        }
        Op::ExtendFromSlice { len: n, .. } | Op::Extend { len: n, .. } | Op::ExtendZeroed { len: n, .. } => {
            let zeros = vec![0; n.size()];
            let data = if matches!(op, Op::ExtendZeroed { .. }) { &zeros[..] } else { &data[..n.size()] };
            let free = data.len() <= chain.tailroom();
            match op {
                Op::ExtendFromSlice { .. } => chain.extend_from_slice(data)?,
                Op::ExtendZeroed { .. } => chain.extend_zeroed(data.len())?,
                _ => {
                    let place = chain.extend(data.len());
                    assert!(!free || place.is_ok(), "there was tailroom");
                    place?.copy_from_slice(data);
                }
            }
            assert!(!free || chain.segment_count() == segments);
            oracle.extend(data);
            Ok(free)
        }
        Op::PadTo { len: n, .. } => {
            chain.pad_to(n.size())?;
            oracle.pad_to(n.size());
            Ok(len >= n.size())
        }
        Op::TrimFront { len: n, .. } => {
            chain.trim_front(n.at(len))?;
            oracle.remove(0..n.at(len));
            Ok(false)
        }
        Op::TrimBack { len: n, .. } => {
            chain.trim_back(n.at(len))?;
            oracle.truncate(len - n.at(len));
            Ok(false)
        }
        Op::Truncate { len: n, .. } => {
            chain.truncate(n.at(len));
            oracle.truncate(n.at(len));
            Ok(false)
        }
        Op::RemoveRange { from, to, .. } => {
            let range = from.at(len)..to.at(len);
            chain.remove_range(range.clone())?;
            oracle.remove(range);
            Ok(false)
        }
        Op::WriteAt { at, len: n, .. } => {
            // Not so far beyond the end that only memory would decide.
            let at = at.at(len);
            let data = &data[..n.size()];
            if at > len + 10_000 && at < usize::MAX - 3 {
                return Ok(false);
            }
            let end = at.checked_add(data.len());
            let free = chain.is_writable() && end.is_some_and(|end| end <= len);
            chain.write_at(at, data)?;
            if !data.is_empty() || at > len {
                oracle.write(at, data);
            }
            Ok(free)
        }
        Op::MakeUnique { .. } => {
            let free = chain.is_writable();
            chain.make_unique()?;
            assert!(chain.is_writable());
            Ok(free)
        }
        Op::MakeUniqueRange { from, to, .. } => {
            let range = from.at(len)..to.at(len);
            let free = chain.is_writable() || range.is_empty();
            chain.make_unique_range(range.clone())?;
            assert!(chain.slices_mut(range)?.is_some(), "the range is not writable");
            Ok(free)
        }
        Op::SlicesMut { from, to, .. } => {
            let range = from.at(len)..to.at(len);
            let Some(slices) = chain.slices_mut(range.clone())? else { return Ok(true) };
            let mut rest = &data[..range.len()];
            for slice in slices {
                assert!(!slice.is_empty());
                let (now, later) = rest.split_at(slice.len());
                slice.copy_from_slice(now);
                rest = later;
            }
            assert!(rest.is_empty());
            oracle.write(range.start, &data[..range.len()]);
            Ok(true)
        }
        Op::MakeContiguous { len: n, .. } => {
            let n = n.at(len);
            let free = n <= chain.first_segment().len();
            assert_eq!(chain.make_contiguous(n)?, &oracle.bytes[..n]);
            assert!(chain.first_segment().len() >= n);
            Ok(free)
        }
        Op::MakeContiguousWithHeadroom { len: n, room, .. } => {
            let (n, room) = (n.at(len), room.size());
            assert_eq!(chain.make_contiguous_with_headroom(n, room)?, &oracle.bytes[..n]);
            assert!(chain.headroom() >= room);
            Ok(false)
        }
        Op::MakeContiguousAt { from, to, .. } => {
            let range = from.at(len)..to.at(len);
            let free = chain.contiguous(range.clone()).is_some();
            assert_eq!(chain.make_contiguous_at(range.clone())?, &oracle.bytes[range.clone()]);
            assert_eq!(chain.contiguous(range.clone()), Some(&oracle.bytes[range]));
            Ok(free)
        }
        Op::Defragment { .. } => {
            chain.defragment()?;
            let fewest = if len <= H::INLINE { 1 } else { len.div_ceil(4096) };
            // Two clusters stand in for a page when there is none.
            assert!(chain.segment_count() <= fewest.max(len.div_ceil(2048 - 64)), "{chain:?}");
            Ok(false)
        }
        Op::Collapse { max, .. } => {
            let max = max.of(6);
            chain.collapse(max)?;
            assert!(chain.segment_count() <= max);
            Ok(segments <= max)
        }
        Op::Shatter { seed, .. } => {
            let mut rng = Rng::new(u64::from(seed.0));
            let most = if len > 1000 { 900 } else { 40 };
            chain.shatter(std::iter::from_fn(|| Some(rng.between(0, most))))?;
            Ok(false)
        }
        Op::SetHeader { value, .. } => {
            if let Some(known) = &mut oracle.header {
                let flags = flags(value);
                let value = u32::from(value.0);
                let meta = Meta { interface: value, timestamp: u64::from(value) << 20, ..Meta::EMPTY };
                H::set_header(chain, meta, Label(value), flags);
                (known.meta, known.label) = (meta, Some(Label(value)));
                oracle.set_flags(0..chain.first_segment().len(), flags);
                assert_eq!(chain.flags(), if len == 0 { flags.without(Flags::END_OF_RECORD) } else { flags });
            }
            Ok(true)
        }
        Op::SetSegment { which, value, .. } => {
            let (which, flags, kind) = (which.of(segments), flags(value), kind(value));
            let start = chain.segments().take(which).map(|seg| seg.len()).sum();
            let mut seg = chain.segments_mut().nth(which).expect("one of them");
            let range = start..start + seg.bytes().len();
            seg.set_flags(flags);
            seg.set_type(kind);
            oracle.set_flags(range.clone(), flags);
            oracle.set_type(range, kind);
            Ok(true)
        }
        Op::ClearFlags { value, .. } => {
            chain.clear_flags(Flags(value.0));
            oracle.clear_flags(Flags(value.0));
            Ok(true)
        }
        Op::SetType { value, .. } => {
            chain.set_type(kind(value));
            assert_eq!(chain.mbuf_type(), kind(value));
            oracle.set_type(0..len, kind(value));
            Ok(true)
        }
        Op::Write { len: n, cut, .. } => {
            let data = &data[..n.size()];
            let cut = cut.at(data.len()).min(data.len());
            let free = data.len() <= chain.tailroom();
            let (a, b) = data.split_at(cut);
            let slices = [a, &[], b].map(IoSlice::new);
            let written = chain.writer().write_vectored(&slices).map_err(|error| {
                assert_eq!(error.kind(), std::io::ErrorKind::OutOfMemory);
                *error.get_ref().and_then(|error| error.downcast_ref::<OpError>()).expect("one of ours")
            })?;
            assert_eq!(written, data.len());
            oracle.extend(data);
            Ok(free)
        }
        Op::Advance { len: n, .. } => {
            let n = n.at(len);
            if n > len {
                return Err(chain.trim_front(n).expect_err("there are not so many").into());
            }
            advance(chain, n);
            oracle.remove(0..n);
            Ok(false)
        }
        Op::CopyToBytes { len: n, .. } => {
            let n = n.at(len);
            if n <= len {
                consume(chain, &oracle.bytes[..n]);
                oracle.remove(0..n);
            }
            Ok(false)
        }
        Op::Seek { from, to, .. } => {
            seek(chain, &oracle.bytes, from.at(len), to.at(len));
            Ok(true)
        }
        Op::Read { from, to, .. } => {
            let (from, to) = (from.at(len), to.at(len));
            read(chain, &oracle.bytes, from, to)?;
            Ok(true)
        }
        op => unreachable!("{op:?} is not about one chain"),
    }
}

/// Flags of every sort, the end of a record often.
fn flags(value: Dial) -> Flags {
    let end = Flags(value.0 & 1);
    let other =
        if value.0 & 6 == 6 { Flags::protocol(u32::from(value.0 >> 3) % 11) } else { Flags(value.0 & 2) };
    end.with(other)
}

fn kind(value: Dial) -> MbufType {
    use MbufType::{Control, Data, Header, OutOfBand, SocketName};
    [Data, Header, SocketName, Control, OutOfBand][usize::from(value.0 >> 8) % 5]
}

#[cfg(feature = "bytes")]
fn advance<H: Kind>(chain: &mut MbufChain<H>, n: usize) {
    bytes::Buf::advance(chain, n);
}

#[cfg(not(feature = "bytes"))]
fn advance<H: Kind>(chain: &mut MbufChain<H>, n: usize) {
    chain.trim_front(n).expect("there are as many");
}

/// Takes the first bytes as `Bytes`, if there is such a type.
#[cfg(feature = "bytes")]
fn consume<H: Kind>(chain: &mut MbufChain<H>, expected: &[u8]) {
    assert_eq!(bytes::Buf::copy_to_bytes(chain, expected.len()), expected);
}

#[cfg(not(feature = "bytes"))]
fn consume<H: Kind>(chain: &mut MbufChain<H>, expected: &[u8]) {
    advance(chain, expected.len());
}

/// A reader does what a cursor over the same bytes does.
fn seek<H: Head>(chain: &MbufChain<H>, bytes: &[u8], from: usize, to: usize) {
    let (mut ours, mut theirs) = (chain.reader(), std::io::Cursor::new(bytes));
    for at in [from, to] {
        let n = theirs.seek(SeekFrom::Start(at as u64)).expect("any place will do");
        assert_eq!(ours.seek(SeekFrom::Start(n)).expect("as above"), n);
        let chunk = ours.fill_buf().expect("memory does not fail");
        let rest = theirs.fill_buf().expect("as above");
        assert!(rest.starts_with(chunk) && chunk.is_empty() == rest.is_empty());
    }
    let mut rest = Vec::new();
    ours.read_to_end(&mut rest).expect("as above");
    assert_eq!(rest, &bytes[to.min(bytes.len())..]);
}

/// Every way to read a range gives the same bytes.
fn read<H: Head>(chain: &MbufChain<H>, bytes: &[u8], from: usize, to: usize) -> Result<(), OpError> {
    let len = bytes.len();
    assert_eq!(chain.is_empty(), bytes.is_empty());
    assert_eq!(chain.segments().map(|seg| seg.len()).sum::<usize>(), len);
    match chain.locate(from) {
        None => assert!(from > len),
        Some((segment, within)) => {
            let before: usize = chain.segments().take(segment).map(|seg| seg.len()).sum();
            assert_eq!(before + within, from);
        }
    }
    let slices: Vec<&[u8]> = chain.slices(from..to)?.collect();
    let expected = &bytes[from..to];
    assert!(slices.iter().all(|slice| !slice.is_empty()));
    assert_eq!(slices.concat(), expected);
    assert_eq!(chain.range_eq(from..to, expected), Ok(true));
    let mut out = vec![0; to - from];
    chain.read_at(from, &mut out)?;
    assert_eq!(out, expected);
    assert_eq!(chain.sum(from..to)?, mbuf::checksum::sum(expected));
    assert!(chain.find_bytes(0, expected).is_some_and(|at| at <= from));
    let contiguous = chain.contiguous(from..to);
    assert!(contiguous.is_none_or(|slice| slice == expected));
    assert_eq!(contiguous.is_some(), slices.len() < 2);
    Ok(())
}

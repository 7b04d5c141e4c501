//! [`Packet`]: pooled, headroom in front. [`Linked`] and [`Copied`] differ in what becomes of pieces.
//!
//! ```text
//!   Linked   │ header │─│ piece │─│ header │─│ piece │ …   payloads stay where they are; each header gets an mbuf
//!   Copied   │ room │ header, piece ……… │ room │          a piece gets a cluster of its own, as in a flat buffer
//! ```

use std::ops::Range;

use mbuf::checksum::Sum;
use mbuf::{MCLBYTES, Packet, Pool};

use crate::frame::{Cut, Frame, Gather, ROOM};

const UNLIMITED: &str = "the pool has no limit, and offsets were checked";

/// A packet that is cut and joined without moving a byte.
pub type Linked = Ours<false>;

/// A packet that is cut and joined by copying, where that needs no larger buffer.
pub type Copied = Ours<true>;

pub struct Ours<const COPY: bool>(Packet);

impl<const COPY: bool> Gather for Ours<COPY> {
    fn each_slice(&self, mut each: impl FnMut(&[u8])) {
        self.0.segments().for_each(|segment| each(segment.bytes()));
    }
}

impl<const COPY: bool> Frame for Ours<COPY> {
    type Source = Pool;
    type Sent = Self;

    fn source() -> Pool {
        Pool::builder().headroom(ROOM).build().expect("a pool as one gets it")
    }

    /// A driver has given its card a cluster before it knows how long the frame will be.
    fn receive(pool: &Pool, bytes: &[u8]) -> Self {
        if bytes.len() > MCLBYTES - ROOM {
            return Self(Packet::from_slice(pool, bytes).expect(UNLIMITED));
        }
        let mut packet = Packet::with_cluster(pool).expect(UNLIMITED);
        packet.extend_from_slice(bytes).expect(UNLIMITED);
        Self(packet)
    }

    fn length(&self) -> usize {
        self.0.len()
    }

    fn read<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.0.read_array(at).ok()
    }

    fn view<'a, const N: usize>(&'a self, at: usize, scratch: &'a mut [u8; N]) -> Option<&'a [u8; N]> {
        if let Some(bytes) = self.0.contiguous(at..at + N) {
            return bytes.first_chunk();
        }
        self.0.read_at(at, scratch).ok()?;
        Some(scratch)
    }

    fn sum_of(&self, range: Range<usize>) -> Option<Sum> {
        self.0.sum(range).ok()
    }

    fn put_front(&mut self, bytes: &[u8]) {
        self.0.prepend_slice(bytes).expect(UNLIMITED);
    }

    fn cut_front(&mut self, n: usize) {
        self.0.trim_front(n).expect(UNLIMITED);
    }

    fn cut_back(&mut self, len: usize) {
        self.0.truncate(len);
    }

    fn put_at(&mut self, at: usize, bytes: &[u8]) {
        self.0.write_at(at, bytes).expect(UNLIMITED);
    }

    /// Off the front and on again: that leaves shared bytes alone.
    fn insert_tag(&mut self, tag: [u8; 4]) {
        let addresses: [u8; 12] = self.read(0).expect(UNLIMITED);
        self.cut_front(12);
        let header = self.0.prepend(16).expect(UNLIMITED);
        header[..12].copy_from_slice(&addresses);
        header[12..].copy_from_slice(&tag);
    }

    fn remove_tag(&mut self) {
        let addresses: [u8; 12] = self.read(0).expect(UNLIMITED);
        self.cut_front(16);
        self.put_front(&addresses);
    }

    fn cut<const H: usize>(
        self,
        pool: &Pool,
        size: usize,
        out: &mut Vec<Self>,
        head: impl FnMut(Cut) -> [u8; H],
    ) {
        if COPY { self.cut_copied(pool, size, out, head) } else { self.cut_linked(size, out, head) }
    }

    fn join(&mut self, pieces: &mut Vec<Self>, skip: usize) {
        for Self(mut piece) in pieces.drain(..) {
            if COPY
                && let Some(payload) = piece.contiguous(skip..)
                && payload.len() <= self.0.tailroom()
            {
                self.0.extend_from_slice(payload).expect(UNLIMITED);
                continue;
            }
            piece.trim_front(skip).expect(UNLIMITED);
            self.0.append(piece).map_err(|refused| refused.error).expect(UNLIMITED);
        }
    }

    fn mirror(mut self) -> (Self, Self) {
        let mirror = self.0.share_mut().expect(UNLIMITED);
        (self, Self(mirror))
    }
}

impl<const COPY: bool> Ours<COPY> {
    fn cut_linked<const H: usize>(
        mut self,
        size: usize,
        out: &mut Vec<Self>,
        mut head: impl FnMut(Cut) -> [u8; H],
    ) {
        self.cut_front(H);
        let mut offset = 0;
        loop {
            let rest = (self.length() > size).then(|| self.0.split_off(size).expect(UNLIMITED));
            let len = self.length();
            self.put_front(&head(Cut { offset, len, last: rest.is_none() }));
            out.push(self);
            offset += len;
            let Some(rest) = rest else { return };
            self = Self(rest);
        }
    }

    /// The first piece stays in the frame's memory.
    fn cut_copied<const H: usize>(
        self,
        pool: &Pool,
        size: usize,
        out: &mut Vec<Self>,
        mut head: impl FnMut(Cut) -> [u8; H],
    ) {
        let (first, payload) = (out.len(), self.length() - H);
        out.push(self);
        for offset in (0..payload).step_by(size) {
            let len = size.min(payload - offset);
            let header = head(Cut { offset, len, last: offset + len == payload });
            if offset == 0 {
                out[first].put_at(0, &header);
                continue;
            }
            let mut piece = Packet::with_cluster(pool).expect(UNLIMITED);
            piece.extend_from_slice(&header).expect(UNLIMITED);
            for part in out[first].0.slices(H + offset..H + offset + len).expect(UNLIMITED) {
                piece.extend_from_slice(part).expect(UNLIMITED);
            }
            out.push(Self(piece));
        }
        out[first].cut_back(H + size);
    }
}

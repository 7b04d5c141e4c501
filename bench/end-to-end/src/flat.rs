//! Flat buffers: all bytes of a frame in one allocation, by `Vec<u8>` or `BytesMut`, each in two ways.
//!
//! ```text
//!   Vec<u8>, BytesMut   │ frame ……………… │ capacity │     a header moves the bytes, or they are copied behind it
//!   FrontRoom           │ room │ frame ……………… │         as drivers have it: a header goes into the room
//!                        0      start
//! ```

use std::ops::{DerefMut, Range};

use bytes::{Buf, Bytes, BytesMut};
use mbuf::checksum::{self, Sum};

use crate::frame::{Cut, Frame, Gather, ROOM};

/// What `Vec<u8>` and `BytesMut` have in common.
pub trait Buffer: DerefMut<Target = [u8]> + Sized {
    type Sent: Gather;

    fn with_capacity(len: usize) -> Self;
    fn extend(&mut self, bytes: &[u8]);
    fn reserve(&mut self, n: usize);
    fn truncate(&mut self, len: usize);

    /// Twice the bytes behind the first `start`.
    fn mirror_from(self, start: usize) -> (Self::Sent, Self::Sent);
}

/// A frame in one piece.
pub trait Flat: Sized {
    type Buffer: Buffer;

    /// Empty, with room for so many bytes and for [`ROOM`] more in front.
    fn with_room(len: usize) -> Self;
    /// The memory, and where in it the frame begins.
    fn parts(&self) -> (&Self::Buffer, usize);
    fn parts_mut(&mut self) -> (&mut Self::Buffer, usize);
    fn into_parts(self) -> (Self::Buffer, usize);
    fn prepend(&mut self, bytes: &[u8]);
    fn trim_front(&mut self, n: usize);

    fn bytes(&self) -> &[u8] {
        let (buffer, start) = self.parts();
        &buffer[start..]
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        let (buffer, start) = self.parts_mut();
        &mut buffer[start..]
    }
}

impl<F: Flat> Gather for F {
    fn each_slice(&self, mut each: impl FnMut(&[u8])) {
        each(self.bytes());
    }
}

impl<F: Flat> Frame for F {
    type Source = ();
    type Sent = <F::Buffer as Buffer>::Sent;

    fn source() {}

    fn receive((): &(), bytes: &[u8]) -> Self {
        let mut frame = F::with_room(bytes.len());
        frame.parts_mut().0.extend(bytes);
        frame
    }

    fn length(&self) -> usize {
        self.bytes().len()
    }

    fn read<const N: usize>(&self, at: usize) -> Option<[u8; N]> {
        self.bytes().get(at..)?.first_chunk().copied()
    }

    fn view<'a, const N: usize>(&'a self, at: usize, _: &'a mut [u8; N]) -> Option<&'a [u8; N]> {
        self.bytes().get(at..)?.first_chunk()
    }

    fn sum_of(&self, range: Range<usize>) -> Option<Sum> {
        self.bytes().get(range).map(checksum::sum)
    }

    fn put_front(&mut self, bytes: &[u8]) {
        self.prepend(bytes);
    }

    fn cut_front(&mut self, n: usize) {
        self.trim_front(n);
    }

    fn cut_back(&mut self, len: usize) {
        let (buffer, start) = self.parts_mut();
        buffer.truncate(start + len);
    }

    fn put_at(&mut self, at: usize, bytes: &[u8]) {
        self.bytes_mut()[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn insert_tag(&mut self, tag: [u8; 4]) {
        self.prepend(&[0; 4]);
        let bytes = self.bytes_mut();
        bytes.copy_within(4..16, 0);
        bytes[12..16].copy_from_slice(&tag);
    }

    fn remove_tag(&mut self) {
        self.bytes_mut().copy_within(0..12, 4);
        self.trim_front(4);
    }

    /// The first piece stays in the frame's memory, the others are copied.
    fn cut<const H: usize>(
        self,
        (): &(),
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
            let mut piece = F::with_room(H + len);
            let buffer = piece.parts_mut().0;
            buffer.extend(&header);
            buffer.extend(&out[first].bytes()[H + offset..][..len]);
            out.push(piece);
        }
        out[first].cut_back(H + size);
    }

    /// The first piece grows at most once: one that was cut here still has the memory.
    fn join(&mut self, pieces: &mut Vec<Self>, skip: usize) {
        let buffer = self.parts_mut().0;
        buffer.reserve(pieces.iter().map(|piece| piece.length() - skip).sum());
        pieces.drain(..).for_each(|piece| buffer.extend(&piece.bytes()[skip..]));
    }

    fn mirror(self) -> (Self::Sent, Self::Sent) {
        let (buffer, start) = self.into_parts();
        buffer.mirror_from(start)
    }
}

/// Also what a `Vec<u8>` is when it is sent: the copy is a whole one.
impl Flat for Vec<u8> {
    type Buffer = Self;

    fn with_room(len: usize) -> Self {
        Vec::with_capacity(len + ROOM)
    }

    fn parts(&self) -> (&Self, usize) {
        (self, 0)
    }

    fn parts_mut(&mut self) -> (&mut Self, usize) {
        (self, 0)
    }

    fn into_parts(self) -> (Self, usize) {
        (self, 0)
    }

    fn prepend(&mut self, bytes: &[u8]) {
        self.splice(0..0, bytes.iter().copied());
    }

    fn trim_front(&mut self, n: usize) {
        self.drain(..n);
    }
}

impl Flat for BytesMut {
    type Buffer = Self;

    fn with_room(len: usize) -> Self {
        // Room at the end would be of no use.
        BytesMut::with_capacity(len)
    }

    fn parts(&self) -> (&Self, usize) {
        (self, 0)
    }

    fn parts_mut(&mut self) -> (&mut Self, usize) {
        (self, 0)
    }

    fn into_parts(self) -> (Self, usize) {
        (self, 0)
    }

    fn prepend(&mut self, bytes: &[u8]) {
        let mut longer = BytesMut::with_capacity(bytes.len() + self.len());
        longer.extend_from_slice(bytes);
        longer.extend_from_slice(self);
        *self = longer;
    }

    fn trim_front(&mut self, n: usize) {
        self.advance(n);
    }
}

/// A buffer, and where in it the frame begins.
pub struct FrontRoom<B> {
    buffer: B,
    start: usize,
}

impl<B: Buffer> Flat for FrontRoom<B> {
    type Buffer = B;

    fn with_room(len: usize) -> Self {
        let mut buffer = B::with_capacity(ROOM + len);
        buffer.extend(&[0; ROOM]);
        Self { buffer, start: ROOM }
    }

    fn parts(&self) -> (&B, usize) {
        (&self.buffer, self.start)
    }

    fn parts_mut(&mut self) -> (&mut B, usize) {
        (&mut self.buffer, self.start)
    }

    fn into_parts(self) -> (B, usize) {
        (self.buffer, self.start)
    }

    fn prepend(&mut self, bytes: &[u8]) {
        self.start = self.start.checked_sub(bytes.len()).expect("room enough for all stages");
        self.put_at(0, bytes);
    }

    fn trim_front(&mut self, n: usize) {
        assert!(n <= self.length(), "as many bytes as there are");
        self.start += n;
    }
}

impl Buffer for Vec<u8> {
    type Sent = FrontRoom<Self>;

    fn with_capacity(len: usize) -> Self {
        Vec::with_capacity(len)
    }

    fn extend(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn reserve(&mut self, n: usize) {
        self.reserve(n);
    }

    fn truncate(&mut self, len: usize) {
        self.truncate(len);
    }

    fn mirror_from(self, start: usize) -> (Self::Sent, Self::Sent) {
        let copy = self[start..].to_vec();
        (FrontRoom { buffer: self, start }, FrontRoom { buffer: copy, start: 0 })
    }
}

impl Buffer for BytesMut {
    type Sent = Bytes;

    fn with_capacity(len: usize) -> Self {
        BytesMut::with_capacity(len)
    }

    fn extend(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }

    fn reserve(&mut self, n: usize) {
        self.reserve(n);
    }

    fn truncate(&mut self, len: usize) {
        self.truncate(len);
    }

    fn mirror_from(self, start: usize) -> (Bytes, Bytes) {
        let mut bytes = self.freeze();
        bytes.advance(start);
        (bytes.clone(), bytes)
    }
}

impl Gather for Bytes {
    fn each_slice(&self, mut each: impl FnMut(&[u8])) {
        each(self);
    }
}

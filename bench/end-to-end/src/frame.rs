//! What the stages need of a buffer that holds a frame.

use std::ops::Range;

use mbuf::checksum::Sum;

/// Bytes that stages put in front of a frame: a tag and the tunnel's headers need 54 of them.
pub const ROOM: usize = 64;

/// One of the pieces that a frame is cut into.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// Payload bytes in front of it.
    pub offset: usize,
    /// Its payload bytes.
    pub len: usize,
    /// No other follows.
    pub last: bool,
}

/// Something whose bytes can be given to a card.
pub trait Gather {
    /// The parts, in order.
    fn each_slice(&self, each: impl FnMut(&[u8]));

    /// A copy of the bytes, to look at.
    fn to_vec(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.each_slice(|part| bytes.extend_from_slice(part));
        bytes
    }
}

/// A frame. Each kind does what its users would, the stages are the same for all.
pub trait Frame: Gather + Sized {
    /// Where its memory comes from.
    type Source;
    /// What is left of it when nobody writes to it any more.
    type Sent: Gather;

    /// As it is before the first frame.
    fn source() -> Self::Source;

    /// A copy of what arrived, as a driver makes it, with leave to put [`ROOM`] bytes in front later.
    fn receive(source: &Self::Source, bytes: &[u8]) -> Self;

    /// Its length in bytes.
    fn length(&self) -> usize;

    /// Bytes from `at` on; `None` where there are not so many.
    fn read<const N: usize>(&self, at: usize) -> Option<[u8; N]>;

    /// Bytes from `at` on where they are, or else copied; `None` where there are not so many.
    fn view<'a, const N: usize>(&'a self, at: usize, scratch: &'a mut [u8; N]) -> Option<&'a [u8; N]>;

    /// The sum of bytes for a checksum; `None` where there are not so many.
    fn sum_of(&self, range: Range<usize>) -> Option<Sum>;

    /// Puts bytes in front.
    fn put_front(&mut self, bytes: &[u8]);

    /// Takes bytes off the front.
    fn cut_front(&mut self, n: usize);

    /// Takes off what is behind `len` bytes.
    fn cut_back(&mut self, len: usize);

    /// Overwrites bytes in a header.
    fn put_at(&mut self, at: usize, bytes: &[u8]);

    /// Puts a tag behind the first 12 bytes.
    fn insert_tag(&mut self, tag: [u8; 4]);

    /// Takes the tag behind the first 12 bytes out.
    fn remove_tag(&mut self);

    /// Cuts what is behind the first `H` bytes into pieces of `size` bytes and a rest, each behind the header that
    /// `head` makes for it.
    fn cut<const H: usize>(
        self,
        source: &Self::Source,
        size: usize,
        out: &mut Vec<Self>,
        head: impl FnMut(Cut) -> [u8; H],
    );

    /// Puts all pieces behind this one, without the first `skip` bytes of each.
    fn join(&mut self, pieces: &mut Vec<Self>, skip: usize);

    /// Twice the same, to be sent from two ports.
    fn mirror(self) -> (Self::Sent, Self::Sent);
}

//! Views of one segment.

use core::fmt;
use core::ops::Deref;

use crate::meta::{Flags, MbufType};
use crate::raw::{Edit, RawMbuf, StorageKind};

/// One segment of a chain: a window on inline data or on storage. Dereferences to its bytes.
///
/// ```text
///  ├── headroom ────┼──── bytes ──────┼─── tailroom ─────┤
/// ```
///
/// It borrows the chain, so it cannot outlive a change:
///
/// ```compile_fail,E0502
/// # use mbuf::{Packet, Pool};
/// let mut packet = Packet::from_slice(&Pool::new(), b"abc").unwrap();
/// let header = packet.first_segment();
/// packet.make_contiguous(3).unwrap();
/// println!("{}", header[0]);
/// ```
#[derive(Clone, Copy)]
#[doc(alias = "struct mbuf")]
pub struct Segment<'a>(pub(crate) &'a RawMbuf);

impl<'a> Segment<'a> {
    /// The bytes, for as long as the chain is borrowed.
    #[inline]
    pub fn bytes(self) -> &'a [u8] {
        self.0.bytes()
    }

    /// Bytes in front that may be written in place; none if the storage is shared or read-only.
    pub fn headroom(self) -> usize {
        self.0.headroom()
    }

    /// Bytes behind that may be written in place; none if the storage is read-only, or shared and its tail not ours, or
    /// if a record ends here.
    pub fn tailroom(self) -> usize {
        self.0.tailroom()
    }

    /// Whether the bytes may be written: the storage is not read-only, and held by this segment alone.
    pub fn is_writable(self) -> bool {
        self.0.is_writable()
    }

    /// Whether the storage is read-only, whoever holds it.
    pub fn is_read_only(self) -> bool {
        self.0.is_read_only()
    }

    /// Where the bytes are.
    pub fn storage_kind(self) -> StorageKind {
        self.0.kind()
    }

    /// Bytes of the storage, or of the inline area.
    pub fn capacity(self) -> usize {
        self.0.capacity()
    }

    /// Segments, of this and other chains, that share the storage; one if none does.
    pub fn share_count(self) -> u32 {
        self.0.share_count()
    }

    /// The flags.
    pub fn flags(self) -> Flags {
        Flags(self.0.user_flags())
    }

    /// The type.
    pub fn mbuf_type(self) -> MbufType {
        MbufType::from_bits(self.0.type_bits())
    }
}

impl Deref for Segment<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.0.bytes()
    }
}

impl AsRef<[u8]> for Segment<'_> {
    fn as_ref(&self) -> &[u8] {
        self.0.bytes()
    }
}

impl fmt::Debug for Segment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segment")
            .field("len", &self.0.len())
            .field("headroom", &self.headroom())
            .field("tailroom", &self.tailroom())
            .field("storage", &self.storage_kind())
            .field("sharers", &self.share_count())
            .field("writable", &self.is_writable())
            .finish()
    }
}

/// One segment of a chain that is borrowed mutably.
pub struct SegmentMut<'a>(pub(crate) Edit<'a>);

impl<'a> SegmentMut<'a> {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }

    /// The bytes, to be written; `None` if the storage is shared or read-only.
    /// [`make_unique`](crate::MbufChain::make_unique) helps.
    pub fn bytes_mut(self) -> Option<&'a mut [u8]> {
        self.0.bytes_mut()
    }

    /// The segment, to be looked at.
    pub fn as_segment(&self) -> Segment<'_> {
        Segment(&self.0)
    }

    /// Sets the flags.
    pub fn set_flags(&mut self, flags: Flags) {
        self.0.set_user_flags(flags.0);
    }

    /// Sets the type.
    pub fn set_type(&mut self, kind: MbufType) {
        self.0.set_type(kind as u8);
    }
}

impl fmt::Debug for SegmentMut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SegmentMut").field(&self.as_segment()).finish()
    }
}

//! Sizes, in bytes. The BSD names are kept: they are what documentation everywhere calls them.

use crate::raw::PacketHeader;

/// Size of an mbuf.
pub const MSIZE: usize = 256;

/// Where the inline data of a headerless mbuf begins: behind links, window and storage.
pub(crate) const PLAIN_OFFSET: usize = if cfg!(target_pointer_width = "64") { 72 } else { 48 };

/// Where the inline data of an mbuf with a packet header begins.
pub(crate) const HEADER_OFFSET: usize = PLAIN_OFFSET + size_of::<PacketHeader>();

/// Inline data bytes of an mbuf without a packet header.
pub const MLEN: usize = MSIZE - PLAIN_OFFSET;

/// Inline data bytes of an mbuf with a packet header.
pub const MHLEN: usize = MSIZE - HEADER_OFFSET;

/// Fewest bytes for which a packet is given a cluster rather than inline storage.
pub const MINCLSIZE: usize = MHLEN + 1;

/// Size of a standard cluster.
pub const MCLBYTES: usize = 2048;
/// Size of a page-size jumbo cluster.
pub const MJUMPAGESIZE: usize = 4096;
/// Size of a 9 KiB jumbo cluster.
pub const MJUM9BYTES: usize = 9 * 1024;
/// Size of a 16 KiB jumbo cluster, the largest contiguous buffer a pool has.
pub const MJUM16BYTES: usize = 16 * 1024;

/// Headroom that inline packets leave for a link-level header (`max_linkhdr`).
pub(crate) const LINK_HEADER: usize = 16;

/// Bytes up to which an operation that may either copy or share copies.
pub(crate) const COPY_BREAK: usize = 256;

#[cfg(target_pointer_width = "64")]
const _: () = {
    assert!(MLEN == 184);
    assert!(MHLEN == 104);
};

/// The sizes of storage that a pool keeps beside the inline one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Class {
    /// 2 KiB (`MCLBYTES`).
    Cluster = 1,
    /// 4 KiB (`MJUMPAGESIZE`).
    Page = 2,
    /// 9 KiB (`MJUM9BYTES`).
    Jumbo9 = 3,
    /// 16 KiB (`MJUM16BYTES`).
    Jumbo16 = 4,
}

impl Class {
    /// All classes, smallest first.
    pub const ALL: [Class; 4] = [Class::Cluster, Class::Page, Class::Jumbo9, Class::Jumbo16];

    /// Bytes of one buffer.
    pub const fn size(self) -> usize {
        match self {
            Class::Cluster => MCLBYTES,
            Class::Page => MJUMPAGESIZE,
            Class::Jumbo9 => MJUM9BYTES,
            Class::Jumbo16 => MJUM16BYTES,
        }
    }

    /// The smallest class that holds `len` contiguous bytes, if one does.
    pub fn for_len(len: usize) -> Option<Class> {
        Class::ALL.into_iter().find(|class| len <= class.size())
    }

    pub(crate) const fn index(self) -> usize {
        self as usize - 1
    }
}

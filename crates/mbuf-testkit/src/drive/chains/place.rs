//! An mbuf's fields, where `mbuf.h` has them.

use mbuf::ffi::CMbuf;

/// Fields that C has names for.
pub(super) const NEXT: usize = 16;
pub(super) const NEXT_PACKET: usize = 24;
pub(super) const DATA: usize = 32;
pub(super) const LEN: usize = 40;
/// `m_type` in the lowest four bits, `m_flags` in the upper twenty.
pub(super) const FLAGS: usize = 44;
pub(super) const PACKET_LEN: usize = 72;
const TAGS: usize = 88;
pub(super) const META: usize = 96;
pub(super) const META_SIZE: usize = 56;
pub(super) const EXT_BUF: usize = 152;
pub(super) const EXT_SIZE: usize = 160;
pub(super) const EXT_TYPE: usize = 164;
pub(super) const EXT_FREE: usize = 168;
pub(super) const EXT_ARG1: usize = 176;
const EXT_ARG2: usize = 184;
pub(super) const EXT_REF: usize = 192;

/// Fields that are the library's, and only looked at.
const STORAGE: usize = 48;
const BUF: usize = 56;
const CAP: usize = 64;

pub(super) const TYPE: u32 = 0xf;
pub(super) const EXT: u32 = 1 << 12;
pub(super) const PKTHDR: u32 = 1 << 13;
pub(super) const COUNTED: u32 = 1 << 31;

/// Where an mbuf is, or was before it was freed.
///
/// # Invariants
/// 1. It is memory of a pool that is there as long as this value, and that one thread works with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place(*mut CMbuf);

impl Place {
    /// # Safety
    /// As invariant 1 says.
    pub(super) unsafe fn new(mbuf: *mut CMbuf) -> Self {
        Place(mbuf)
    }

    pub(super) fn mbuf(self) -> *mut CMbuf {
        self.0
    }

    pub(super) fn get<T: Field>(self, offset: usize) -> T {
        // SAFETY: within the mbuf (invariant 1): every offset above is that of a field of such a type, which any bytes are.
        unsafe { self.0.cast::<u8>().add(offset).cast::<T>().read() }
    }

    pub(super) fn set<T: Field>(self, offset: usize, value: T) {
        // SAFETY: as above.
        unsafe { self.0.cast::<u8>().add(offset).cast::<T>().write(value) }
    }

    pub(super) fn next(self) -> *mut CMbuf {
        self.get(NEXT)
    }

    pub(super) fn len(self) -> i32 {
        self.get(LEN)
    }

    pub(super) fn flags(self) -> u32 {
        self.get(FLAGS)
    }

    pub(super) fn has(self, flag: u32) -> bool {
        self.flags() & flag != 0
    }

    /// Whether there is storage, whatever the flags say.
    pub(super) fn has_storage(self) -> bool {
        !self.get::<*mut u8>(STORAGE).is_null()
    }

    /// Whether C attached memory that the library has not heard of yet.
    pub(super) fn is_by_hand(self) -> bool {
        self.has(EXT) && !self.has_storage()
    }

    /// Whether there are tags, if there is a header.
    pub(super) fn has_tags(self) -> bool {
        self.has(PKTHDR) && !self.get::<*mut u8>(TAGS).is_null()
    }

    /// Where bytes may be, and how many.
    pub(super) fn bounds(self) -> (*mut u8, usize) {
        match (self.is_by_hand(), self.has_storage(), self.has(PKTHDR)) {
            (true, ..) => (self.get(EXT_BUF), self.get::<u32>(EXT_SIZE) as usize),
            (_, true, _) => (self.get(BUF), self.get::<u32>(CAP) as usize),
            (_, _, true) => (self.inline(152), 104),
            _ => (self.inline(72), 184),
        }
    }

    fn inline(self, offset: usize) -> *mut u8 {
        self.0.cast::<u8>().wrapping_add(offset)
    }

    /// Moves the start of the window.
    pub(super) fn shift(self, by: isize) {
        self.set(DATA, self.get::<*mut u8>(DATA).wrapping_offset(by));
    }

    /// Says that nothing is known of memory that might be attached here.
    pub(super) fn clear_ext(self) {
        for offset in [EXT_BUF, EXT_SIZE, EXT_FREE, EXT_ARG1, EXT_ARG2, EXT_REF] {
            self.set(offset, 0usize);
        }
    }
}

/// What a field may be: any bytes are one.
pub(super) trait Field: Copy {}

impl Field for u8 {}
impl Field for u32 {}
impl Field for i32 {}
impl Field for usize {}
impl<T> Field for *mut T {}
impl Field for [u8; META_SIZE] {}

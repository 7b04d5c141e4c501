//! Chains that come from C, and go back there (design note 0009).
//!
//! ```text
//! C ──import──▶ Loose: ours to change ──export──▶ C
//! C ──view────▶ View: only to be read, nothing is changed
//! ```
//!
//! What C hands over may have any field wrong. Both ways walk along the chain once, and give a [`Fault`] that names the
//! mbuf and the field before a byte is touched.
#![allow(unsafe_code)]

use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ptr::{self, NonNull};

use super::chain::{Chain, Head, MbufChain, Packet};
use super::mbuf::{self, Edit, RawMbuf, foreign, lent};
use super::run::{Run, Segs, SegsMut};
use crate::error::{AllocError, OpError};
use crate::pool::{Pool, Shared};

pub use super::mbuf::foreign::{CMbuf, Fault, Wrong};
pub use super::mbuf::lent::{Ext, Lent, Release};

/// Why something from C could not be done.
#[derive(Debug, Clone, Copy)]
pub enum Error {
    /// An mbuf is not as it should be.
    Fault(Fault),
    /// The operation failed; unless its own documentation says so, nothing was changed.
    Op(OpError),
    /// A packet header is needed.
    NoHeader,
    /// There is nothing: the answer that BSD's functions give as a null pointer without being out of memory.
    Nothing,
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Error::Fault(fault)
    }
}

impl<E: Into<OpError>> From<E> for Error {
    fn from(error: E) -> Self {
        Error::Op(error.into())
    }
}

impl crate::error::Shortage for Error {
    fn shortage(&self) -> Option<AllocError> {
        match self {
            Error::Op(error) => error.shortage(),
            _ => None,
        }
    }
}

/// Notices when a walk comes back to where it was, however long the way around (Brent).
struct Walk {
    mark: *mut RawMbuf,
    left: usize,
    stride: usize,
}

impl Walk {
    fn new() -> Self {
        Walk { mark: ptr::null_mut(), left: 1, stride: 1 }
    }

    #[inline]
    fn comes_back(&mut self, to: *mut RawMbuf) -> bool {
        if to == self.mark {
            return true;
        }
        self.left -= 1;
        if self.left == 0 {
            self.mark = to;
            self.stride *= 2;
            self.left = self.stride;
        }
        false
    }
}

/// Looks at every mbuf from `first` on. Returns the last.
///
/// # Safety
/// As for [`foreign::look`], of each.
#[inline]
unsafe fn look_along(pool: &Shared, first: *mut CMbuf) -> Result<NonNull<RawMbuf>, Fault> {
    // SAFETY: by this function's contract.
    let first = unsafe { foreign::look(pool, first.cast(), "the mbuf given") }?;
    // SAFETY: just looked at.
    if unsafe { first.as_ref() }.next.get().is_null() {
        return Ok(first);
    }
    // SAFETY: as above.
    unsafe { look_behind(pool, first) }
}

/// # Safety
/// As for [`look_along`], of those behind the first, which was looked at.
unsafe fn look_behind(pool: &Shared, first: NonNull<RawMbuf>) -> Result<NonNull<RawMbuf>, Fault> {
    let (mut walk, mut last) = (Walk::new(), first);
    loop {
        // SAFETY: just looked at.
        let next = unsafe { last.as_ref() }.next.get();
        if next.is_null() {
            return Ok(last);
        }
        if walk.comes_back(next) {
            return Err(Fault { mbuf: next.cast(), field: "m_next", wrong: Wrong::Loop });
        }
        // SAFETY: by this function's contract.
        last = unsafe { foreign::look(pool, next, "m_next") }?;
    }
}

/// A chain that C has, to be read. As a [`Chain`] it has all that reads one, whether or not its mbufs have headers; no
/// length is believed.
pub struct View<'a> {
    chain: ManuallyDrop<Chain>,
    last: NonNull<RawMbuf>,
    _of: PhantomData<&'a CMbuf>,
}

impl core::ops::Deref for View<'_> {
    type Target = Chain;

    fn deref(&self) -> &Chain {
        &self.chain
    }
}

impl<'a> View<'a> {
    /// # Safety
    /// Each mbuf of the chain is memory that may be read, and nobody changes the chain during `'a`; nobody else reads one
    /// with a header or storage that C made by hand, which is not changed, but taken over.
    #[inline]
    pub unsafe fn of(pool: &Pool, first: *mut CMbuf) -> Result<Self, Error> {
        let pool = pool.shared();
        // SAFETY: by this function's contract.
        unsafe {
            let last = match foreign::look_single(pool, first.cast()) {
                Some(last) => last,
                None => Self::look_at_all(pool, first)?,
            };
            let first = NonNull::new_unchecked(first.cast());
            Ok(View { chain: ManuallyDrop::new(Chain::from_first(first)), last, _of: PhantomData })
        }
    }

    /// Returns the last.
    ///
    /// # Safety
    /// As for [`of`](Self::of).
    unsafe fn look_at_all(pool: &Shared, first: *mut CMbuf) -> Result<NonNull<RawMbuf>, Error> {
        // SAFETY: by this function's contract.
        unsafe {
            let last = look_along(pool, first)?;
            for raw in Segs::along(first.cast()).filter(|raw| raw.is_made_by_hand()) {
                settle(pool, NonNull::from(raw))?;
            }
            Ok(last)
        }
    }

    /// The bytes of the first mbuf alone, whatever follows, if nothing about it is wrong or made by hand.
    ///
    /// # Safety
    /// As for [`of`](Self::of), of the first mbuf.
    #[inline]
    pub unsafe fn first_bytes(pool: &Pool, first: *mut CMbuf) -> Option<&'a [u8]> {
        // SAFETY: by this function's contract.
        unsafe { foreign::look_sound(pool.shared(), first.cast()).map(|first| first.as_ref().bytes()) }
    }

    /// Headroom and tailroom of the first mbuf.
    ///
    /// # Safety
    /// As for [`import`](Loose::import), of the first mbuf.
    pub unsafe fn first_room(pool: &Pool, first: *mut CMbuf) -> Result<(usize, usize, bool), Error> {
        // SAFETY: by this function's contract.
        unsafe {
            let raw = settled(pool.shared(), first)?.as_ref();
            Ok((raw.headroom(), raw.tailroom(), raw.is_writable()))
        }
    }

    /// The first mbuf of the next packet.
    pub fn next_packet(&self) -> *mut CMbuf {
        self.first().next_packet.get().cast()
    }

    /// The first mbuf's header, if it has one.
    pub(crate) fn as_packet(&self) -> Option<&Packet> {
        if !self.first().has_header() || self.first().is_fresh() {
            return None;
        }
        // SAFETY: both are one pointer to the first mbuf. Its length and its tail are C's: only operations that read
        // neither are used (`Packet::share_part`, `Packet::duplicate_part`, `Packet::copy_header`).
        Some(unsafe { &*(&raw const *self.chain).cast::<Packet>() })
    }

    /// The mbufs with the offset of each.
    pub(crate) fn places(&self) -> impl Iterator<Item = (usize, &RawMbuf)> {
        crate::blank::offsets(self.segs())
    }

    /// The last mbuf.
    pub fn last_mbuf(&self) -> *mut CMbuf {
        self.last.as_ptr().cast()
    }
}

/// An mbuf's address, as C names it.
pub(crate) fn named(raw: &RawMbuf) -> *mut CMbuf {
    ptr::from_ref(raw).cast_mut().cast()
}

/// The mbuf that C names, brought back to what the library expects of one.
///
/// # Safety
/// As for [`foreign::look`] and [`foreign::settle`].
#[inline(never)]
unsafe fn settled(pool: &Shared, mbuf: *mut CMbuf) -> Result<NonNull<RawMbuf>, Error> {
    // SAFETY: by this function's contract.
    unsafe {
        let place = foreign::look(pool, mbuf.cast(), "the mbuf given")?;
        settle(pool, place)?;
        Ok(place)
    }
}

/// # Safety
/// As for [`foreign::settle`].
unsafe fn settle(pool: &Shared, place: NonNull<RawMbuf>) -> Result<(), Error> {
    // SAFETY: by this function's contract.
    unsafe { foreign::settle(pool, place) }.map_err(|why| match why {
        foreign::Settle::Fault(fault) => Error::Fault(fault),
        foreign::Settle::Dry(error) => Error::Op(error),
    })
}

/// An owned chain of mbufs as BSD has it: empty ones are allowed, headers in the middle, and any length in the header.
pub struct Loose {
    pub(crate) run: Run,
}

impl Loose {
    /// Takes a chain over from C: all that follows along `m_next`.
    ///
    /// # Safety
    /// Each mbuf of the chain is memory that may be read. Those that are this library's are nobody else's.
    #[inline]
    pub unsafe fn import(pool: &Pool, first: *mut CMbuf) -> Result<Self, Error> {
        let pool = pool.shared();
        // SAFETY: by this function's contract.
        unsafe {
            match foreign::look_settled(pool, first.cast()) {
                Some(one) if one.as_ref().next.get().is_null() => {
                    Ok(Loose { run: Run { first: one.as_ptr(), last: one.as_ptr() } })
                }
                _ => Self::import_any(pool, first),
            }
        }
    }

    /// # Safety
    /// As for [`import`](Self::import).
    #[inline(never)]
    unsafe fn import_any(pool: &Shared, first: *mut CMbuf) -> Result<Self, Error> {
        // SAFETY: by this function's contract. Nothing is changed before everything was looked at.
        unsafe {
            let last = look_along(pool, first)?;
            Self::settle(pool, first, last)
        }
    }

    /// Takes two chains over, which must have no mbuf in common.
    ///
    /// # Safety
    /// As for [`import`](Self::import), of each.
    pub unsafe fn import_both(
        pool: &Pool,
        first: *mut CMbuf,
        other: *mut CMbuf,
    ) -> Result<(Self, Self), Error> {
        let pool = pool.shared();
        // SAFETY: by this function's contract. Nothing is changed before everything was looked at.
        unsafe {
            let (last, end) = (look_along(pool, first)?, look_along(pool, other)?);
            // Lists that meet end alike.
            if last == end {
                return Err(Fault { mbuf: end.as_ptr().cast(), field: "m_next", wrong: Wrong::Common }.into());
            }
            let list = ManuallyDrop::new(Self::settle(pool, first, last)?);
            let other = Self::settle(pool, other, end)?;
            Ok((ManuallyDrop::into_inner(list), other))
        }
    }

    /// # Safety
    /// As for [`import`](Self::import), of a chain that was just looked at, from its first mbuf to its last.
    unsafe fn settle(pool: &Shared, first: *mut CMbuf, last: NonNull<RawMbuf>) -> Result<Self, Error> {
        let mut next: *mut RawMbuf = first.cast();
        while let Some(place) = NonNull::new(next) {
            // SAFETY: by this function's contract.
            let raw = unsafe {
                settle(pool, place)?;
                place.as_ref()
            };
            next = raw.next.get();
            if place.as_ptr() != first.cast() {
                // Only the first mbuf of a packet is linked to the next.
                raw.next_packet.set(ptr::null_mut());
            }
        }
        Ok(Loose { run: Run { first: first.cast(), last: last.as_ptr() } })
    }

    /// Takes the first mbuf over, without what follows it: that is returned.
    ///
    /// # Safety
    /// As for [`import`](Self::import), of the first mbuf.
    #[inline]
    pub unsafe fn import_first(pool: &Pool, first: *mut CMbuf) -> Result<(Self, *mut CMbuf), Error> {
        let pool = pool.shared();
        // SAFETY: by this function's contract.
        unsafe {
            let place = match foreign::look_settled(pool, first.cast()) {
                Some(place) => place,
                None => settled(pool, first)?,
            };
            let next = place.as_ref().next.replace(ptr::null_mut());
            Ok((Loose { run: Run { first: place.as_ptr(), last: place.as_ptr() } }, next.cast()))
        }
    }

    /// Where so many bytes of the first mbuf are to be written, if they all are, and it may be, and nothing about it is wrong,
    /// made by hand or to be changed for that, whatever follows.
    ///
    /// # Safety
    /// As for [`import`](Self::import), of the first mbuf.
    #[inline]
    pub unsafe fn first_place(
        pool: &Pool,
        first: *mut CMbuf,
        offset: usize,
        len: usize,
    ) -> Option<NonNull<u8>> {
        // SAFETY: by this function's contract.
        let seg = unsafe { Edit::new(foreign::look_settled(pool.shared(), first.cast())?) };
        let end = offset.checked_add(len)?;
        if seg.has_header() && (seg.header().len as i32) < i32::try_from(end).ok()? {
            return None;
        }
        Some(NonNull::from(seg.bytes_mut()?.get_mut(offset..end)?).cast())
    }

    /// Gives the chain to C.
    pub fn export(self) -> *mut CMbuf {
        let mut this = ManuallyDrop::new(self);
        let run = &mut this.run;
        if let Some(mut first) = run.segs_mut().next()
            && first.has_header()
            && first.is_fresh()
        {
            first.make_header();
        }
        run.first.cast()
    }

    /// Gives the first mbuf back to C, with what followed it.
    pub fn export_before(self, next: *mut CMbuf) -> *mut CMbuf {
        let first = self.export();
        // SAFETY: an mbuf that was ours until now, and single.
        unsafe { (*first).0.next.set(next.cast()) };
        first
    }

    pub(crate) fn of(run: Run) -> Self {
        Loose { run }
    }

    /// The list of its mbufs, which is linked to no other packet.
    pub(crate) fn into_run(mut self) -> Run {
        self.unlink();
        core::mem::take(&mut self.run)
    }

    fn unlink(&mut self) {
        if let Some(first) = self.run.segs().next() {
            first.next_packet.set(ptr::null_mut());
        }
    }

    pub(crate) fn segs(&self) -> Segs<'_> {
        self.run.segs()
    }

    pub(crate) fn segs_mut(&mut self) -> SegsMut<'_> {
        self.run.segs_mut()
    }

    /// The last mbuf, to be changed.
    pub(crate) fn last_mut(&mut self) -> Option<Edit<'_>> {
        let last = NonNull::new(self.run.last)?;
        // SAFETY: the last of our list, borrowed mutably.
        Some(unsafe { Edit::new(last) })
    }
}

impl Drop for Loose {
    fn drop(&mut self) {
        self.unlink();
    }
}

impl<H: Head> From<MbufChain<H>> for Loose {
    fn from(chain: MbufChain<H>) -> Self {
        let chain = ManuallyDrop::new(chain);
        Loose { run: Run { first: chain.0.as_ptr(), last: chain.last_address() } }
    }
}

/// Frees one mbuf that C had, and returns the one behind it, and whether it was linked to another packet.
///
/// # Errors
/// What is wrong with it; it is not freed.
///
/// # Safety
/// As for [`Loose::import_first`].
#[inline]
pub unsafe fn free_one(pool: &Pool, mbuf: NonNull<CMbuf>) -> Result<(*mut CMbuf, bool), Error> {
    // SAFETY: by this function's contract.
    unsafe {
        match free_sound(pool.shared(), mbuf) {
            Some(next) => Ok((next, false)),
            None => free_any(pool.shared(), mbuf),
        }
    }
}

/// The same, if nothing is odd about it but what it holds. `None`: nothing was done.
///
/// # Safety
/// As for [`free_one`].
#[inline]
unsafe fn free_sound(pool: &Shared, mbuf: NonNull<CMbuf>) -> Option<*mut CMbuf> {
    // SAFETY: by this function's contract; linked to nothing any more.
    unsafe {
        let place = foreign::look_simple_to_free(pool, mbuf.as_ptr().cast())?;
        let raw = place.as_ref();
        if !raw.next_packet.get().is_null() {
            return None;
        }
        let next = raw.next.replace(ptr::null_mut());
        mbuf::free(place);
        Some(next.cast())
    }
}

/// # Safety
/// As for [`free_one`].
#[cold]
unsafe fn free_any(pool: &Shared, mbuf: NonNull<CMbuf>) -> Result<(*mut CMbuf, bool), Error> {
    // SAFETY: by this function's contract.
    unsafe {
        let place = foreign::look_to_free(pool, mbuf.cast().as_ptr())?;
        // Let go of when the mbuf is home.
        let _lent = lent::detach(place)?;
        settle(pool, place)?;
        Ok(free_looked_at(place))
    }
}

/// # Safety
/// The mbuf is the caller's alone, and what the library expects of one.
unsafe fn free_looked_at(place: NonNull<RawMbuf>) -> (*mut CMbuf, bool) {
    // SAFETY: by this function's contract.
    unsafe {
        let raw = place.as_ref();
        let linked = !raw.next_packet.replace(ptr::null_mut()).is_null();
        let next = raw.next.replace(ptr::null_mut());
        mbuf::free(place);
        (next.cast(), linked)
    }
}

impl CMbuf {
    /// Zeroes the inline bytes.
    ///
    /// # Safety
    /// An mbuf without header and storage that is the caller's.
    pub unsafe fn clear(this: *mut CMbuf) {
        // SAFETY: by this function's contract.
        unsafe { (*this).0.clear() };
    }

    /// Where the window begins.
    ///
    /// # Safety
    /// An mbuf that the caller may read.
    pub unsafe fn data(this: *mut CMbuf) -> *mut u8 {
        // SAFETY: by this function's contract.
        unsafe { (*this).0.data_address() }
    }
}

/// Whether C can tell of all lengths of a packet, which it has as `int`.
pub fn fits(packet: &Packet) -> bool {
    packet.segs().map(|seg| seg.capacity()).chain([packet.len()]).all(|len| i32::try_from(len).is_ok())
}

/// Whether all mbufs of a packet are of a pool.
pub fn is_of(pool: &Pool, packet: &Packet) -> bool {
    packet.segs().all(|seg| pool.shared().knows(seg.head()))
}

/// Whether a pool is audited now, and not by samples. Asks without a lock if it is not audited at all.
#[inline]
pub fn is_audited(pool: &Pool) -> bool {
    let auditor = &pool.shared().inspector.auditor;
    auditor.is_on() && auditor.sees_all()
}

/// Whether so many bytes from an offset on are among those there are.
pub fn in_range(offset: usize, len: usize, available: usize) -> Result<(), Error> {
    Ok(crate::blank::bounds(offset, len, available)?)
}

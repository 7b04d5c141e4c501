//! Copies.

use std::ffi::c_int;
use std::ptr;

use mbuf_core::ffi::{Error, Loose, Share, View, share_or};

use crate::border::{M, given, read, report, size};
use crate::free::m_freem;
use crate::pool::{NAMES, pool, wait};

const M_COPYALL: c_int = 1_000_000_000;

unsafe fn copied(
    function: &str,
    m: M,
    how: c_int,
    mut copy: impl FnMut(&View<'_>) -> Result<Loose, Error>,
) -> M {
    // SAFETY: a chain of C's.
    given(function, unsafe { read(m, |view| pool().wait(wait(how), || copy(view))) })
}

/// The arguments of `m_copym`.
#[derive(Clone, Copy)]
struct Copym {
    m: M,
    off: c_int,
    len: c_int,
    how: c_int,
}

impl Share for Copym {
    #[inline(always)]
    fn from(self) -> M {
        self.m
    }

    #[inline(always)]
    fn part(self, have: usize, _: bool) -> Option<(usize, usize)> {
        // What is negative is more than there is.
        let off = self.off as u32 as usize;
        Some((off, if self.len == M_COPYALL { have.wrapping_sub(off) } else { self.len as u32 as usize }))
    }

    #[inline(always)]
    fn otherwise(self) -> M {
        // SAFETY: by the contract of `m_copym`.
        unsafe { copym_slowly(self.m, self.off, self.len, self.how) }
    }
}

#[cold]
#[inline(never)]
unsafe extern "C" fn copym_slowly(m: M, off: c_int, len: c_int, how: c_int) -> M {
    let copy = |view: &View<'_>| {
        let off = size(off)?;
        let len = if len == M_COPYALL { view.len().saturating_sub(off) } else { size(len)? };
        view.share_loose(off, len)
    };
    // SAFETY: by this function's contract.
    unsafe { copied("m_copym", m, how, copy) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn m_copym(m: M, off: c_int, len: c_int, how: c_int) -> M {
    // SAFETY: by this function's contract.
    unsafe { share_or(&NAMES, Copym { m, off, len, how }) }
}

/// The arguments of `m_copypacket`.
#[derive(Clone, Copy)]
struct Copypacket {
    m: M,
    how: c_int,
}

impl Share for Copypacket {
    #[inline(always)]
    fn from(self) -> M {
        self.m
    }

    #[inline(always)]
    fn part(self, have: usize, has_header: bool) -> Option<(usize, usize)> {
        has_header.then_some((0, have))
    }

    #[inline(always)]
    fn otherwise(self) -> M {
        // SAFETY: by the contract of `m_copypacket`.
        unsafe { copypacket_slowly(self.m, self.how) }
    }
}

#[cold]
#[inline(never)]
unsafe extern "C" fn copypacket_slowly(m: M, how: c_int) -> M {
    // SAFETY: by this function's contract.
    unsafe { copied("m_copypacket", m, how, |view| view.share_packet()) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn m_copypacket(m: M, how: c_int) -> M {
    // SAFETY: by this function's contract.
    unsafe { share_or(&NAMES, Copypacket { m, how }) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_dup(m: M, how: c_int) -> M {
    if m.is_null() {
        return m;
    }
    // SAFETY: by this function's contract.
    unsafe { copied("m_dup", m, how, |view| view.duplicate_loose()) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_defrag_nofree(m: M, how: c_int) -> M {
    // SAFETY: by this function's contract.
    unsafe { copied("m_defrag_nofree", m, how, |view| view.defragment_loose(pool())) }
}

/// The copy in place of what was copied, or a null pointer and what was copied as it was.
unsafe fn instead(m: M, copy: M) -> M {
    if !copy.is_null() {
        // SAFETY: a chain of C's that was just looked at.
        unsafe { m_freem(m) };
    }
    copy
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_defrag(m: M, how: c_int) -> M {
    // SAFETY: a chain of C's.
    match unsafe { read(m, |view| Ok(view.is_contiguous())) } {
        // There is nothing to gain.
        Ok(true) => m,
        // SAFETY: as above.
        Ok(false) => unsafe { instead(m, copied("m_defrag", m, how, |view| view.defragment_loose(pool()))) },
        Err(error) => {
            report("m_defrag", &error);
            ptr::null_mut()
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_fragment(m: M, how: c_int, length: c_int) -> M {
    let shatter = |view: &View<'_>| view.fragment_loose(size(length)?);
    // SAFETY: a chain of C's.
    let copy = unsafe { instead(m, copied("m_fragment", m, how, shatter)) };
    if copy.is_null() { m } else { copy }
}

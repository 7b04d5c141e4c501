//! To and from scattered memory.

use std::ffi::{c_int, c_void};
use std::ptr;

use mbuf_core::ffi::{Error, Loose};
use mbuf_core::{Class, OpError};

use crate::border::{M, given, read, report, size};
use crate::make::{M_PKTHDR, kind};
use crate::pool::{pool, wait};

/// `struct uio`.
#[repr(C)]
pub struct Uio {
    iov: *mut libc::iovec,
    iovcnt: c_int,
    offset: i64,
    resid: isize,
    segflg: c_int,
    rw: c_int,
    td: *mut c_void,
}

impl Uio {
    /// Passes over `n` bytes, and gives them piece by piece.
    ///
    /// # Safety
    /// There are so many.
    unsafe fn advance(&mut self, mut n: usize, mut piece: impl FnMut(*mut u8, usize)) {
        // SAFETY: by this function's contract, the vectors are there.
        unsafe {
            while n > 0 {
                let vector = &mut *self.iov;
                let k = n.min(vector.iov_len);
                piece(vector.iov_base.cast(), k);
                vector.iov_base = vector.iov_base.cast::<u8>().add(k).cast();
                vector.iov_len -= k;
                self.offset += k as i64;
                self.resid -= k as isize;
                n -= k;
                if vector.iov_len == 0 {
                    self.iov = self.iov.add(1);
                    self.iovcnt -= 1;
                }
            }
        }
    }

    /// Bytes that are really there, of those it says.
    ///
    /// # Safety
    /// The vectors are as many as it says.
    unsafe fn there(&self) -> usize {
        let count = usize::try_from(self.iovcnt).unwrap_or(0);
        // SAFETY: by this function's contract.
        let all = (0..count).map(|i| unsafe { (*self.iov.add(i)).iov_len }).fold(0, usize::saturating_add);
        all.min(usize::try_from(self.resid).unwrap_or(0))
    }
}

unsafe fn gather(function: &str, uio: *mut Uio, how: c_int, len: c_int, room: c_int, flags: c_int) -> M {
    // SAFETY: C's own structure and vectors.
    let (uio, there) = unsafe { (&mut *uio, (*uio).there()) };
    let made = size(room).and_then(|room| {
        let len = if len > 0 { there.min(len as usize) } else { there };
        if room >= Class::Jumbo16.size() {
            return Err(Error::Op(OpError::TooLong { len: room, max: Class::Jumbo16.size() }));
        }
        let mut list = pool().wait(wait(how), || {
            Loose::filled(pool(), kind(1, flags), len, room, &mut |_, _: &mut [u8]| {})
        })?;
        list.fill(&mut |mut place: &mut [u8]| {
            // SAFETY: no more than there are.
            unsafe {
                uio.advance(place.len(), |from, n| {
                    let (now, rest) = std::mem::take(&mut place).split_at_mut(n);
                    ptr::copy_nonoverlapping(from, now.as_mut_ptr(), n);
                    place = rest;
                });
            }
        });
        Ok(list)
    });
    given(function, made)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_uiotombuf(uio: *mut Uio, how: c_int, len: c_int, align: c_int, flags: c_int) -> M {
    // SAFETY: by this function's contract.
    unsafe { gather("m_uiotombuf", uio, how, len, align, flags) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_uiomove(uio: *mut Uio) -> M {
    // SAFETY: by this function's contract.
    unsafe { gather("m_uiomove", uio, 2, 0, 16, M_PKTHDR) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_mbuftouio(uio: *mut Uio, m: M, len: c_int) -> c_int {
    // SAFETY: C's own structure and vectors, and a chain.
    let done = unsafe {
        read(m, |view| {
            let uio = &mut *uio;
            let n = view.len().min(uio.there());
            let n = if len > 0 { n.min(len as usize) } else { n };
            for slice in view.slices(..n)? {
                let mut from = slice;
                uio.advance(slice.len(), |to, n| {
                    let (now, rest) = from.split_at(n);
                    ptr::copy_nonoverlapping(now.as_ptr(), to, n);
                    from = rest;
                });
            }
            Ok(())
        })
    };
    match done {
        Ok(()) => 0,
        Err(error) => {
            report("m_mbuftouio", &error);
            libc::EFAULT
        }
    }
}

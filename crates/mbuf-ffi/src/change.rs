//! Changes of chains.

use std::ffi::{c_int, c_void};
use std::iter;
use std::ptr;
use std::slice;

use mbuf_core::ffi::{Error, Loose, View};

use crate::border::{
    M, edit, edit_one, edit_waiting, failed, given, remake, report, report_void, size, wrong,
};
use crate::pool::{M_NOWAIT, pool, wait};

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_adj(m: M, len: c_int) {
    if m.is_null() {
        return;
    }
    let n = len.unsigned_abs() as usize;
    // What the first mbuf has goes without a look at the others.
    // SAFETY: an mbuf of C's.
    if len >= 0 && unsafe { edit_one(m, |list| Ok(list.trim_first(n))) }.is_ok_and(|done| done) {
        return;
    }
    // SAFETY: a chain of C's.
    let done = unsafe {
        edit(m, |list| {
            if len >= 0 {
                list.trim_front(n)
            } else {
                list.trim_back(n)
            }
            Ok(())
        })
    };
    if let Err(error) = done {
        report_void("m_adj", &error);
    }
}

/// What is left of `m_adj` where the header has the rest.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_priv_adj(m: M, len: c_int) {
    // SAFETY: by this function's contract.
    unsafe { m_adj(m, len) }
}

/// Two chains that C has, which must have no mbuf in common.
unsafe fn join(function: &str, m: M, n: M, f: impl FnOnce(&mut Loose, Loose) -> Result<(), Error>) {
    if n.is_null() {
        return;
    }
    // SAFETY: chains of C's.
    let done = unsafe { Loose::import_both(pool(), m, n) }.and_then(|(mut list, other)| {
        let done = f(&mut list, other);
        let _same = list.export();
        done
    });
    if let Err(error) = done {
        report_void(function, &error);
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_cat(m: M, n: M) {
    // SAFETY: by this function's contract.
    unsafe {
        join("m_cat", m, n, |list, other| {
            list.concatenate(other);
            Ok(())
        });
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_catpkt(m: M, n: M) {
    // SAFETY: by this function's contract.
    unsafe {
        join("m_catpkt", m, n, |list, other| {
            list.concatenate_packets(other).map_err(|other| {
                other.export();
                Error::NoHeader
            })
        });
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_prepend(m: M, len: c_int, how: c_int) -> M {
    let put = |list: &mut Loose| {
        let len = size(len)?;
        pool().wait(wait(how), || list.put_in_front(pool(), len))
    };
    // SAFETY: by this function's contract.
    unsafe { remake("m_prepend", m, how, put) }
}

/// `M_PREPEND`: in the first mbuf, whatever follows, if there is room.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_priv_prepend(m: M, len: c_int, how: c_int) -> M {
    // SAFETY: an mbuf of C's.
    if let Ok(true) = unsafe { edit_one(m, |list| Ok(list.grow_front(size(len)?))) } {
        return m;
    }
    let put = |list: &mut Loose| {
        let len = size(len)?;
        pool().wait(wait(how), || list.put_in_front(pool(), len))?;
        list.add_length(len as i64);
        Ok(())
    };
    // SAFETY: a chain of C's.
    unsafe { remake("M_PREPEND", m, how, put) }
}

/// Bytes of C's.
unsafe fn bytes<'a>(buf: *const c_void, len: usize) -> &'a [u8] {
    if len == 0 {
        return &[];
    }
    // SAFETY: C says that so many are there.
    unsafe { slice::from_raw_parts(buf.cast(), len) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_append(m: M, len: c_int, buf: *const c_void) -> c_int {
    // SAFETY: a chain of C's, and so many bytes.
    let done = size(len).and_then(|len| unsafe {
        edit(m, |list| list.append_bytes(pool(), len, iter::once(bytes(buf, len))))
    });
    match done {
        Ok(()) => 1,
        Err(error) => {
            report("m_append", &error);
            0
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_devpad(m: M, padto: c_int) -> c_int {
    // SAFETY: a chain of C's.
    result("m_devpad", size(padto).and_then(|padto| unsafe { edit(m, |list| list.pad_to(pool(), padto)) }))
}

/// Zero, or the error number.
fn result(function: &str, done: Result<(), Error>) -> c_int {
    match done {
        Ok(()) => 0,
        Err(error) => {
            report(function, &error);
            match error {
                Error::Fault(_) => libc::EFAULT,
                Error::Op(error) => crate::border::errno_of(&error),
                Error::NoHeader | Error::Nothing => libc::EINVAL,
            }
        }
    }
}

unsafe fn copy_back(m: M, off: c_int, len: c_int, buf: *const c_void, how: c_int) -> Result<(), Error> {
    let (off, len) = (size(off)?, size(len)?);
    // SAFETY: an mbuf of C's.
    if let Some(place) = unsafe { Loose::first_place(pool(), m, off, len) } {
        // SAFETY: so many bytes, which may be those that are there.
        unsafe { ptr::copy(buf.cast(), place.as_ptr(), len) };
        return Ok(());
    }
    // SAFETY: a chain of C's, and so many bytes.
    unsafe {
        edit_waiting(m, how, |list| pool().wait(wait(how), || list.write_back(pool(), off, bytes(buf, len))))
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_copyback(m: M, off: c_int, len: c_int, buf: *const c_void) {
    if m.is_null() {
        return;
    }
    // SAFETY: by this function's contract.
    if let Err(error) = unsafe { copy_back(m, off, len, buf, M_NOWAIT) } {
        report_void("m_copyback", &error);
    }
}

/// What is left of `m_copyback` where the header has the rest.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_priv_copyback(m: M, off: c_int, len: c_int, buf: *const c_void) {
    // SAFETY: by this function's contract.
    unsafe { m_copyback(m, off, len, buf) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_copyback2(m: M, off: c_int, len: c_int, buf: *const c_void, how: c_int) -> c_int {
    // SAFETY: by this function's contract.
    result("m_copyback2", unsafe { copy_back(m, off, len, buf, how) })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_split(m: M, len: c_int, how: c_int) -> M {
    // SAFETY: a chain of C's.
    let tail = size(len).and_then(|len| unsafe {
        edit_waiting(m, how, |list| pool().wait(wait(how), || list.split_off(pool(), len)))
    });
    given("m_split", tail)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_pullup(m: M, len: c_int) -> M {
    // SAFETY: an mbuf of C's.
    let there = unsafe { View::first_bytes(pool(), m) }.map(<[u8]>::len);
    if there.is_some_and(|there| len >= 0 && len as usize <= there) {
        return m;
    }
    // SAFETY: by this function's contract.
    unsafe { m_priv_pullup(m, len) }
}

/// What is left of `m_pullup` where the header has the rest.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_priv_pullup(m: M, len: c_int) -> M {
    // SAFETY: a chain of C's.
    unsafe { remake("m_pullup", m, M_NOWAIT, |list| list.pull_up(pool(), size(len)?)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_copyup(m: M, len: c_int, dstoff: c_int) -> M {
    // SAFETY: by this function's contract.
    unsafe { remake("m_copyup", m, M_NOWAIT, |list| list.copy_up(pool(), size(len)?, size(dstoff)?)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_pulldown(m: M, off: c_int, len: c_int, offp: *mut c_int) -> M {
    let mut found = (ptr::null_mut(), 0);
    let pull = |list: &mut Loose| {
        found = list.pull_down(pool(), size(off)?, size(len)?, !offp.is_null())?;
        Ok(())
    };
    // SAFETY: by this function's contract.
    if unsafe { remake("m_pulldown", m, M_NOWAIT, pull) }.is_null() {
        return ptr::null_mut();
    }
    if !offp.is_null() {
        // SAFETY: C wants it there.
        unsafe { *offp = found.1 as c_int };
    }
    found.0
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_collapse(m: M, how: c_int, maxfrags: c_int) -> M {
    // SAFETY: a chain of C's.
    let done = size(maxfrags).and_then(|most| unsafe {
        edit_waiting(m, how, |list| pool().wait(wait(how), || list.collapse(pool(), most)))
    });
    match done {
        Ok(()) => m,
        Err(error) => failed("m_collapse", error),
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_unshare(m: M, how: c_int) -> M {
    let unshare = |list: &mut Loose| pool().wait(wait(how), || list.make_writable(pool(), 0, usize::MAX));
    // SAFETY: by this function's contract.
    unsafe { remake("m_unshare", m, how, unshare) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_makewritable(mp: *mut M, off: c_int, len: c_int, how: c_int) -> c_int {
    let write = |list: &mut Loose| {
        let (off, len) = (size(off)?, size(len)?);
        pool().wait(wait(how), || list.make_writable(pool(), off, len))
    };
    // SAFETY: a pointer to a chain of C's.
    result("m_makewritable", unsafe { edit_waiting(*mp, how, write) })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_align(m: M, len: c_int) {
    // SAFETY: an mbuf of C's.
    match size(len).and_then(|len| unsafe { edit_one(m, |list| list.align_end(len)) }) {
        Ok(()) => {}
        Err(Error::Nothing) => {
            wrong("m_align", format_args!("mbuf {m:p} is not empty, or has no room for {len} bytes"))
        }
        Err(error) => report_void("m_align", &error),
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_chtype(m: M, ty: c_int) {
    // SAFETY: an mbuf of C's.
    let done = unsafe {
        edit_one(m, |list| {
            list.set_type((ty & 0xf) as u8);
            Ok(())
        })
    };
    if let Err(error) = done {
        report("m_chtype", &error);
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_clrprotoflags(m: M) {
    // SAFETY: a chain of C's.
    let done = unsafe {
        edit(m, |list| {
            list.clear_flags(mbuf_core::Flags::PROTOCOL);
            Ok(())
        })
    };
    if let Err(error) = done {
        report("m_clrprotoflags", &error);
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_ensure_contig(mp: *mut M, len: c_int) -> c_int {
    // SAFETY: a pointer to a chain of C's, which is there in any case.
    let done = unsafe {
        Loose::import(pool(), *mp).and_then(|mut list| {
            let done = size(len).and_then(|len| list.pull_up(pool(), len));
            *mp = list.export();
            done
        })
    };
    match done {
        Ok(()) => 1,
        Err(error) => {
            report("m_ensure_contig", &error);
            0
        }
    }
}

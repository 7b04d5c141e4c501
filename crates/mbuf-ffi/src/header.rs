//! Packet headers.

use std::ffi::{c_int, c_uint};

use mbuf_core::ffi::{Loose, View};

use crate::border::{M, edit, edit_one, report, report_void};
use crate::pool::{pool, wait};

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_fixhdr(m: M) -> c_uint {
    // SAFETY: a chain of C's.
    unsafe { edit(m, |list| Ok(list.fix_length())) }.unwrap_or_else(|error| {
        report("m_fixhdr", &error);
        0
    }) as c_uint
}

unsafe fn demote(function: &str, m: M, all: bool, flags: c_int) {
    // As m_flags has them: M_EOR is the lowest.
    let keep = (flags >> 2) as u16;
    // SAFETY: a chain of C's.
    let done = unsafe {
        edit(m, |list| {
            list.demote(all, keep);
            Ok(())
        })
    };
    if let Err(error) = done {
        report(function, &error);
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_demote(m: M, all: c_int, flags: c_int) {
    // SAFETY: by this function's contract.
    unsafe { demote("m_demote", m, all != 0, flags) };
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_demote_pkthdr(m: M) {
    // SAFETY: an mbuf of C's.
    let done = unsafe {
        edit_one(m, |list| {
            list.demote(true, !0);
            Ok(())
        })
    };
    if let Err(error) = done {
        report("m_demote_pkthdr", &error);
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_move_pkthdr(to: M, from: M) {
    if to == from {
        return;
    }
    // SAFETY: two mbufs of C's.
    let done = unsafe {
        edit_one(from, |source| {
            let (mut target, next): (Loose, M) = Loose::import_first(pool(), to)?;
            let moved = target.take_header_of(source);
            target.export_before(next);
            moved
        })
    };
    if let Err(error) = done {
        report_void("m_move_pkthdr", &error);
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_dup_pkthdr(to: M, from: M, how: c_int) -> c_int {
    // SAFETY: an mbuf of C's to be read, and one to be changed.
    let done = unsafe {
        View::of(pool(), from)
            .and_then(|view| pool().wait(wait(how), || edit_one(to, |target| target.copy_header_of(&view))))
    };
    match done {
        Ok(()) => 1,
        Err(error) => {
            report("m_dup_pkthdr", &error);
            0
        }
    }
}

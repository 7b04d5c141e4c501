//! Letting go of mbufs.

use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, Ordering};

use mbuf_core::ffi::{CMbuf, free_one, free_or, is_linked, leave_or};

use crate::border::{M, report};
use crate::pool::pool;
use crate::sites::freed;

/// BSD has it that a packet which is freed out of a queue cuts it.
#[cold]
fn cut(function: &str, m: NonNull<CMbuf>) {
    static SAID: AtomicU32 = AtomicU32::new(0);
    // Relaxed: a number of its own.
    if SAID.fetch_add(1, Ordering::Relaxed) < 10 {
        eprintln!("libmbuf: {function}: mbuf {m:p}: m_nextpkt: freed while linked to another packet");
    }
}

#[inline(never)]
unsafe fn slowly(function: &str, m: NonNull<CMbuf>) -> M {
    // SAFETY: an mbuf that C gives up.
    match unsafe { free_one(pool(), m) } {
        Ok((next, linked)) => {
            freed(function, m.as_ptr());
            if linked {
                cut(function, m);
            }
            next
        }
        Err(error) => {
            report(function, &error);
            ptr::null_mut()
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn m_free(m: M) -> M {
    let Some(m) = NonNull::new(m) else { return ptr::null_mut() };
    // SAFETY: by this function's contract. What is freed by the short way has none behind it.
    unsafe { free_or::<false, _>(m, |_| ptr::null_mut(), || free_next(m)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C-unwind" fn m_freem(m: M) {
    let Some(m) = NonNull::new(m) else { return };
    // SAFETY: by this function's contract.
    unsafe { free_or::<false, _>(m, |_| (), || free_more(m)) }
}

/// Frees one that is linked, or shares what it has.
#[inline(never)]
unsafe extern "C-unwind" fn free_next(m: NonNull<CMbuf>) -> M {
    // SAFETY: by this function's contract.
    unsafe { leave_or::<true, _>(m, |next| next, move || free_slowly(m)) }
}

/// The same, and all behind it.
#[inline(never)]
unsafe extern "C-unwind" fn free_more(m: NonNull<CMbuf>) {
    // SAFETY: by this function's contract.
    unsafe { leave_or::<false, _>(m, |_| (), move || free_all(m)) }
}

#[cold]
#[inline(never)]
unsafe extern "C" fn free_slowly(m: NonNull<CMbuf>) -> M {
    // SAFETY: by this function's contract.
    unsafe { slowly("m_free", m) }
}

#[inline(never)]
unsafe extern "C" fn free_all(m: NonNull<CMbuf>) {
    // SAFETY: by this function's contract. A single one was no case for the short ways.
    unsafe {
        if is_linked(m) {
            free_chain("m_freem", m);
        } else {
            slowly("m_freem", m);
        }
    }
}

/// Frees a chain that C gives up to a function.
#[inline(always)]
pub(crate) unsafe fn free_chain(function: &str, m: NonNull<CMbuf>) {
    let mut next = Some(m);
    while let Some(m) = next {
        // SAFETY: a chain that C gives up.
        next = NonNull::new(unsafe {
            let other = || leave_or::<true, _>(m, |next| next, move || slowly(function, m));
            free_or::<true, _>(m, |next| next, other)
        });
    }
}

//! Letting go of mbufs.

use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, Ordering};

use mbuf_core::ffi::{CMbuf, free_one, try_free_one};

use crate::border::{M, report};
use crate::pool::pool;

/// BSD has it that a packet which is freed out of a queue cuts it.
#[cold]
fn cut(function: &str, m: NonNull<CMbuf>) {
    static SAID: AtomicU32 = AtomicU32::new(0);
    // Relaxed: a number of its own.
    if SAID.fetch_add(1, Ordering::Relaxed) < 10 {
        eprintln!("libmbuf: {function}: mbuf {m:p}: m_nextpkt: freed while linked to another packet");
    }
}

#[inline(always)]
unsafe fn free(function: &str, m: NonNull<CMbuf>) -> M {
    // SAFETY: an mbuf that C gives up.
    match unsafe { try_free_one(m) } {
        Some(next) => next,
        // SAFETY: as above.
        None => unsafe { slowly(function, m) },
    }
}

#[cold]
#[inline(never)]
unsafe fn slowly(function: &str, m: NonNull<CMbuf>) -> M {
    // SAFETY: an mbuf that C gives up.
    match unsafe { free_one(pool(), m) } {
        Ok((next, linked)) => {
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
pub unsafe extern "C" fn m_free(m: M) -> M {
    match NonNull::new(m) {
        // SAFETY: by this function's contract.
        Some(m) => unsafe { free("m_free", m) },
        None => ptr::null_mut(),
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_freem(m: M) {
    let mut next = m;
    while let Some(m) = NonNull::new(next) {
        // SAFETY: by this function's contract.
        next = unsafe { free("m_freem", m) };
    }
}

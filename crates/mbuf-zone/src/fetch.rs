//! Hints to the processor.
#![allow(unsafe_code)]

use core::ptr::NonNull;

/// Asks for the cache line at this address, to be written soon. Does not wait for it.
#[inline(always)]
pub(crate) fn fetch(line: NonNull<u8>) {
    // A compiler knows the instruction for some processors only; the others that execute this take it for none.
    // SAFETY: a hint, which changes nothing, whatever the address.
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    unsafe {
        core::arch::asm!("prefetchw [{}]", in(reg) line.as_ptr(), options(nostack, preserves_flags, readonly));
    }
    // SAFETY: as above.
    #[cfg(all(target_arch = "aarch64", not(miri)))]
    unsafe {
        core::arch::asm!("prfm pstl1keep, [{}]", in(reg) line.as_ptr(), options(nostack, preserves_flags, readonly));
    }
    #[cfg(any(miri, not(any(target_arch = "x86_64", target_arch = "aarch64"))))]
    let _ = line;
}

//! Memory that nobody may touch for now, as AddressSanitizer and Valgrind are told of it.
//!
//! AddressSanitizer is found at run time, by the names of its functions: then a program in C that was compiled with it can
//! use a library that was not. A Rust program does not show these names; it says `--cfg mbuf_asan`. Valgrind is asked by
//! instructions that do nothing elsewhere; on x86-64 alone.
#![allow(unsafe_code)]

/// Bytes that are hidden until this is dropped.
pub(crate) struct Hidden {
    /// Only the address: nothing is read or written through it.
    at: usize,
    len: usize,
}

impl Hidden {
    /// Hides bytes that nobody uses until this is dropped.
    pub(crate) fn new(bytes: &mut [u8]) -> Self {
        let (at, len) = (bytes.as_mut_ptr().addr(), bytes.len());
        asan::hide(at, len);
        valgrind::hide(at, len);
        Hidden { at, len }
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        asan::show(self.at, self.len);
        valgrind::show(self.at, self.len);
    }
}

#[cfg(mbuf_asan)]
mod asan {
    use core::ffi::c_void;
    use core::ptr::without_provenance;

    unsafe extern "C" {
        fn __asan_poison_memory_region(at: *const c_void, len: usize);
        fn __asan_unpoison_memory_region(at: *const c_void, len: usize);
    }

    pub(super) fn hide(at: usize, len: usize) {
        // SAFETY: an address and a length, of which notes are made.
        unsafe { __asan_poison_memory_region(without_provenance(at), len) };
    }

    pub(super) fn show(at: usize, len: usize) {
        // SAFETY: as above.
        unsafe { __asan_unpoison_memory_region(without_provenance(at), len) };
    }
}

#[cfg(all(target_os = "linux", feature = "std", not(any(mbuf_asan, miri))))]
mod asan {
    use core::ffi::{CStr, c_char, c_void};
    use core::ptr::{null_mut, without_provenance};
    use std::sync::OnceLock;

    type Note = unsafe extern "C" fn(*const c_void, usize);

    unsafe extern "C" {
        fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
    }

    fn find(name: &CStr) -> Option<Note> {
        // SAFETY: a name, looked for in all that is loaded. What has it is a function of this type.
        unsafe { core::mem::transmute::<*mut c_void, Option<Note>>(dlsym(null_mut(), name.as_ptr())) }
    }

    /// How to hide and to show.
    fn notes() -> Option<(Note, Note)> {
        static FOUND: OnceLock<Option<(Note, Note)>> = OnceLock::new();
        *FOUND.get_or_init(|| {
            Some((find(c"__asan_poison_memory_region")?, find(c"__asan_unpoison_memory_region")?))
        })
    }

    pub(super) fn hide(at: usize, len: usize) {
        if let Some((hide, _)) = notes() {
            // SAFETY: an address and a length, of which notes are made.
            unsafe { hide(without_provenance(at), len) };
        }
    }

    pub(super) fn show(at: usize, len: usize) {
        if let Some((_, show)) = notes() {
            // SAFETY: as above.
            unsafe { show(without_provenance(at), len) };
        }
    }
}

#[cfg(not(any(mbuf_asan, all(target_os = "linux", feature = "std", not(miri)))))]
mod asan {
    pub(super) fn hide(_: usize, _: usize) {}
    pub(super) fn show(_: usize, _: usize) {}
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
mod valgrind {
    use core::arch::asm;

    const MEMCHECK: usize = (b'M' as usize) << 24 | (b'C' as usize) << 16;
    const MAKE_NO_ACCESS: usize = MEMCHECK;
    const MAKE_DEFINED: usize = MEMCHECK + 2;

    /// Asks Valgrind something; elsewhere, does nothing.
    fn ask(what: usize, at: usize, len: usize) {
        let words = [what, at, len, 0, 0, 0];
        // SAFETY: rotations of a register by 128 bits in all, and an exchange of one with itself. Valgrind, which knows
        // them, reads the words and makes notes.
        unsafe {
            asm!(
                "rol rdi, 3", "rol rdi, 13", "rol rdi, 61", "rol rdi, 51", "xchg rbx, rbx",
                in("rax") words.as_ptr(),
                inout("rdx") 0usize => _,
                options(nostack),
            );
        }
    }

    pub(super) fn hide(at: usize, len: usize) {
        ask(MAKE_NO_ACCESS, at, len);
    }

    pub(super) fn show(at: usize, len: usize) {
        ask(MAKE_DEFINED, at, len);
    }
}

#[cfg(not(all(target_arch = "x86_64", not(miri))))]
mod valgrind {
    pub(super) fn hide(_: usize, _: usize) {}
    pub(super) fn show(_: usize, _: usize) {}
}

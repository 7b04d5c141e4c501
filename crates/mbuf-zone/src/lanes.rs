//! Where the running thread's lanes are (see `thread.rs`).
//!
//! In an executable the compiler knows that at once. In a library it cannot know whether the library will be loaded while
//! the program runs, and asks the loader for the address each time: a call, around which the function has to keep its
//! registers, and a dozen instructions. The feature `static-tls` asks the linker for a place in the block that each
//! thread has from its start (the *initial-exec* model). Then the address is the thread's pointer and an offset that the
//! loader put into a table, or in an executable the linker into the instruction. The loader keeps room in that block for
//! libraries that come later.
//!
//! Rust has no word for that, so the place is made by assembler. What is there is the same, and goes as the thread goes.
#![allow(unsafe_code)]
#![cfg_attr(any(not(feature = "std"), loom), allow(dead_code, reason = "there are no thread-locals"))]

use core::cell::Cell;
use core::ptr::{self, NonNull};

use crate::cache::Cache;
use crate::zone::Core;

macro_rules! lanes {
    () => {
        16
    };
}

/// Number of lanes. Call sites with different kinds of objects use different ones; sharing one is only slower.
pub const LANES: usize = lanes!();

/// The zone that the thread used last in a lane.
///
/// # Invariants
/// 1. `zone` is [`NOBODY`], or this thread owns `cache`, which belongs to `zone`, and the thread's list holds both.
#[repr(C)]
pub(crate) struct Lane {
    pub(crate) zone: Cell<*const Core>,
    pub(crate) cache: Cell<NonNull<Cache>>,
}

/// Nor what anything else has for its first word by chance: C may free what is none of ours.
const NOBODY_ADDRESS: usize = 0x9e3d_5b27_c4a1_68f3_u64 as usize;

/// No zone's address, and no object's home: those are aligned, but for a mark in the lowest bit. Nor what becomes of anything when
/// that bit is cleared.
pub(crate) const NOBODY: *const Core = ptr::without_provenance(NOBODY_ADDRESS);

const _: () =
    assert!(!NOBODY_ADDRESS.is_multiple_of(2) && !(NOBODY_ADDRESS - 1).is_multiple_of(align_of::<Core>()));

#[cfg(all(feature = "std", not(loom)))]
pub(crate) use place::with;

#[cfg(all(
    feature = "std",
    not(loom),
    not(all(
        feature = "static-tls",
        target_arch = "x86_64",
        target_pointer_width = "64",
        target_os = "linux",
        target_env = "gnu",
        not(miri)
    ))
))]
mod place {
    use super::*;

    std::thread_local! {
        static LANES_HERE: [Lane; LANES] = const {
            [const { Lane { zone: Cell::new(NOBODY), cache: Cell::new(NonNull::dangling()) } }; LANES]
        };
    }

    /// Calls `f` with this thread's lanes.
    #[inline(always)]
    pub(crate) fn with<R>(f: impl FnOnce(&[Lane; LANES]) -> R) -> R {
        LANES_HERE.with(f)
    }
}

#[cfg(all(
    feature = "static-tls",
    target_arch = "x86_64",
    target_pointer_width = "64",
    target_os = "linux",
    target_env = "gnu",
    not(any(loom, miri))
))]
mod place {
    use super::*;
    use core::arch::{asm, global_asm};
    use core::mem::offset_of;

    /// The version and the number are in the name: another one may be in the same program, with other lanes.
    macro_rules! name {
        () => {
            concat!("mbuf_zone_lanes_", env!("CARGO_PKG_VERSION"), "_", lanes!())
        };
    }

    // Weak: a library that contains this crate may be linked to a program that does, too. One place is enough for both,
    // as a lane says whose it is.
    global_asm!(
        concat!(".pushsection .tdata.", name!(), ", \"awT\", @progbits"),
        concat!(".weak \"", name!(), "\""),
        concat!(".hidden \"", name!(), "\""),
        concat!(".type \"", name!(), "\", @object"),
        concat!(".size \"", name!(), "\", {lanes} * {size}"),
        ".p2align 6",
        concat!("\"", name!(), "\":"),
        ".rept {lanes}",
        ".quad {nobody}, {nowhere}",
        ".endr",
        ".popsection",
        lanes = const LANES,
        size = const size_of::<Lane>(),
        nobody = const NOBODY_ADDRESS,
        nowhere = const align_of::<Cache>(),
    );

    const _: () =
        assert!(offset_of!(Lane, zone) == 0 && offset_of!(Lane, cache) == 8 && size_of::<Lane>() == 16);

    /// Calls `f` with this thread's lanes.
    #[inline(always)]
    pub(crate) fn with<R>(f: impl FnOnce(&[Lane; LANES]) -> R) -> R {
        let lanes: *const [Lane; LANES];
        // SAFETY: the x86-64 ABI for thread-locals: the word at `fs:0` is the thread's pointer, and the table has the
        // offset of the place above from there. Neither changes while the thread runs. The linker knows these two
        // instructions, and writes the offset into the second one if it can.
        unsafe {
            asm!(
                "mov {lanes}, qword ptr fs:[0]",
                concat!("add {lanes}, qword ptr [rip + \"", name!(), "\"@GOTTPOFF]"),
                lanes = out(reg) lanes,
                options(pure, nomem, nostack)
            );
        }
        // SAFETY: a place of that type, made as each thread is with lanes that are nobody's, and there until it is gone: no
        // reference outlives the call. No other thread has its address.
        f(unsafe { &*lanes })
    }
}

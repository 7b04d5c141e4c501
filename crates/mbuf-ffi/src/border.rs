//! The way in and out: chains are looked at, and failures become what C understands.

use std::ffi::c_int;
use std::fmt;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU8, Ordering};

use mbuf_core::ffi::{CMbuf, Error, Loose, View, Wrong};
use mbuf_core::{OpError, Wait};

use crate::free::free_chain;
use crate::pool::{M_NOWAIT, pool, wait};
use crate::sites::{caller, who_freed};

/// `struct mbuf *`.
pub(crate) type M = *mut CMbuf;

/// `struct ifnet`, of which we know nothing.
pub enum Ifnet {}

/// What happens when C gives us something that is wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum OnError {
    Unknown,
    /// The process is stopped with a message.
    Abort,
    /// The function says that it failed.
    Report,
}

static ON_ERROR: AtomicU8 = AtomicU8::new(OnError::Unknown as u8);

pub(crate) fn set_on_error(on_error: OnError) {
    // Relaxed: a number of its own.
    ON_ERROR.store(on_error as u8, Ordering::Relaxed);
}

fn aborts() -> bool {
    let mut on_error = ON_ERROR.load(Ordering::Relaxed);
    if on_error == OnError::Unknown as u8 {
        let report = std::env::var_os("MBUF_ON_ERROR").is_some_and(|value| value == "error");
        on_error = if report { OnError::Report } else { OnError::Abort } as u8;
        ON_ERROR.store(on_error, Ordering::Relaxed);
    }
    on_error == OnError::Abort as u8
}

pub(crate) fn set_errno(errno: c_int) {
    // SAFETY: the thread's own.
    unsafe {
        #[cfg(any(target_os = "linux", target_os = "emscripten"))]
        let place = libc::__errno_location();
        #[cfg(any(target_os = "macos", target_os = "ios", target_os = "freebsd"))]
        let place = libc::__error();
        #[cfg(any(target_os = "openbsd", target_os = "netbsd", target_os = "android"))]
        let place = libc::__errno();
        #[cfg(target_os = "dragonfly")]
        let place = libc::__errno_location();
        *place = errno;
    }
}

/// What C did is wrong: stops the process, or sets `errno`.
#[cold]
pub(crate) fn wrong(function: &str, what: impl fmt::Display) {
    if aborts() {
        match caller(function) {
            Some(caller) => eprintln!("libmbuf: {function}: {what}\n  called by {caller}"),
            None => eprintln!("libmbuf: {function}: {what}"),
        }
        std::process::abort();
    }
    set_errno(libc::EFAULT);
}

/// Tells C of an error: what it did wrong loudly, all else by `errno`.
#[cold]
pub(crate) fn report(function: &str, error: &Error) {
    let errno = match error {
        Error::Fault(fault) => {
            return match who_freed(fault.mbuf).filter(|_| fault.wrong == Wrong::Freed) {
                Some(who) => wrong(function, format_args!("{fault}\n  freed by {who}")),
                None => wrong(function, fault),
            };
        }
        Error::Op(error) => errno_of(error),
        Error::NoHeader => libc::EINVAL,
        Error::Nothing => return,
    };
    set_errno(errno);
}

pub(crate) fn errno_of(error: &OpError) -> c_int {
    match error {
        OpError::Bounds(_) | OpError::TooManySegments { .. } => libc::EINVAL,
        OpError::TooLong { .. } => libc::EMSGSIZE,
        OpError::Tag => libc::ENOMEM,
        _ => libc::ENOBUFS,
    }
}

/// The same, where the function cannot tell of it: then arguments that are wrong are as loud.
#[cold]
pub(crate) fn report_void(function: &str, error: &Error) {
    match error {
        Error::Op(error @ (OpError::Bounds(_) | OpError::TooLong { .. })) => wrong(function, error),
        Error::NoHeader => wrong(function, "the mbuf has no packet header, or no room for one"),
        other => report(function, other),
    }
}

/// Takes a chain over. What was attached by hand takes memory to be had: `how` says whether to wait for it.
///
/// # Safety
/// As for [`Loose::import`].
#[inline(always)]
unsafe fn import(m: M, how: c_int) -> Result<Loose, Error> {
    // SAFETY: by this function's contract.
    match unsafe { Loose::import(pool(), m) } {
        Ok(list) => Ok(list),
        // SAFETY: as above.
        Err(error) => unsafe { import_later(m, how, error) },
    }
}

/// # Safety
/// As for [`import`].
#[cold]
#[inline(never)]
unsafe fn import_later(m: M, how: c_int, error: Error) -> Result<Loose, Error> {
    match wait(how) {
        Wait::No => Err(error),
        // SAFETY: by this function's contract.
        how => pool().wait(how, || unsafe { Loose::import(pool(), m) }),
    }
}

/// Changes a chain where it is.
///
/// # Safety
/// As for [`Loose::import`].
#[inline]
pub(crate) unsafe fn edit<T>(m: M, f: impl FnOnce(&mut Loose) -> Result<T, Error>) -> Result<T, Error> {
    // SAFETY: by this function's contract.
    unsafe { edit_waiting(m, M_NOWAIT, f) }
}

/// The same, for who may wait.
///
/// # Safety
/// As for [`Loose::import`].
#[inline]
pub(crate) unsafe fn edit_waiting<T>(
    m: M,
    how: c_int,
    f: impl FnOnce(&mut Loose) -> Result<T, Error>,
) -> Result<T, Error> {
    // SAFETY: by this function's contract.
    let mut list = unsafe { import(m, how) }?;
    let done = f(&mut list);
    let _same = list.export();
    done
}

/// Changes one mbuf where it is, whatever follows.
///
/// # Safety
/// As for [`Loose::import_first`].
#[inline]
pub(crate) unsafe fn edit_one<T>(m: M, f: impl FnOnce(&mut Loose) -> Result<T, Error>) -> Result<T, Error> {
    // SAFETY: by this function's contract.
    let (mut list, next) = unsafe { Loose::import_first(pool(), m) }?;
    let done = f(&mut list);
    list.export_before(next);
    done
}

/// Makes something else of a chain, which is freed if there is no memory for it or it cannot be. What is wrong stays C's.
///
/// # Safety
/// As for [`Loose::import`].
#[inline]
pub(crate) unsafe fn remake(
    function: &str,
    m: M,
    how: c_int,
    f: impl FnOnce(&mut Loose) -> Result<(), Error>,
) -> M {
    // SAFETY: by this function's contract.
    match unsafe { import(m, how) } {
        Ok(mut list) => match f(&mut list) {
            Ok(()) => list.export(),
            Err(error) => {
                drop(list);
                failed(function, error)
            }
        },
        Err(error) => {
            // What was attached by hand takes no memory to be let go.
            if !matches!(error, Error::Fault(_))
                && let Some(m) = NonNull::new(m)
            {
                // SAFETY: a chain of C's, which gives it up.
                unsafe { free_chain(function, m) };
            }
            failed(function, error)
        }
    }
}

/// Reads a chain.
///
/// # Safety
/// As for [`View::of`].
#[inline]
pub(crate) unsafe fn read<T>(m: M, f: impl FnOnce(&View<'_>) -> Result<T, Error>) -> Result<T, Error> {
    // SAFETY: by this function's contract.
    f(&unsafe { View::of(pool(), m) }?)
}

/// A null pointer, and why.
#[cold]
pub(crate) fn failed(function: &str, error: Error) -> M {
    report(function, &error);
    ptr::null_mut()
}

/// The chain, or a null pointer and why.
#[inline]
pub(crate) fn given(function: &str, made: Result<Loose, Error>) -> M {
    match made {
        Ok(list) => list.export(),
        Err(error) => failed(function, error),
    }
}

/// A length or an offset of C's.
pub(crate) fn size(n: c_int) -> Result<usize, Error> {
    usize::try_from(n).map_err(|_| {
        let (start, end) = (0, 0);
        Error::Op(OpError::Bounds(mbuf_core::BoundsError { start, end, available: 0 }))
    })
}

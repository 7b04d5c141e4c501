//! Functions that the systems call by one name and in different ways: `include/mbuf/*.h` name them as each system does.

use std::ffi::{c_char, c_int, c_uint, c_void};
use std::ptr;

use mbuf_core::ffi::{Lent, Release};

use crate::border::{Ifnet, M, set_errno};
use crate::make::{lend, received};

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_extadd_freebsd(
    m: M,
    buf: *mut c_char,
    size: c_uint,
    free: Option<unsafe extern "C" fn(*mut c_void, *mut c_void)>,
    arg1: *mut c_void,
    arg2: *mut c_void,
    flags: c_int,
    ty: c_int,
) {
    let release = free.map_or(Release::Never, Release::Args);
    let lent = Lent { buf: buf.cast(), size, kind: ty as u32 & 0xff, release, arg1, arg2 };
    // SAFETY: by this function's contract.
    unsafe { lend("m_extadd", m, lent, flags) };
}

unsafe extern "C" fn free_malloced(buf: *mut u8, _size: c_uint, _arg: *mut c_void) {
    // SAFETY: NetBSD's way of saying that the memory is from malloc().
    unsafe { libc::free(buf.cast()) };
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_extadd_netbsd(
    m: M,
    buf: *mut c_char,
    size: c_uint,
    ty: c_int,
    free: Option<unsafe extern "C" fn(*mut c_char, c_uint, *mut c_void)>,
    arg: *mut c_void,
) {
    let release = match free {
        None => Release::Buffer(free_malloced),
        // SAFETY: one type of pointer is as good as another.
        Some(free) => Release::Buffer(unsafe {
            std::mem::transmute::<
                unsafe extern "C" fn(*mut c_char, c_uint, *mut c_void),
                unsafe extern "C" fn(*mut u8, c_uint, *mut c_void),
            >(free)
        }),
    };
    let (kind, arg2) = (ty as u32 & 0xff, ptr::null_mut());
    let lent = Lent { buf: buf.cast(), size, kind, release, arg1: arg, arg2 };
    // SAFETY: by this function's contract.
    unsafe { lend("MEXTADD", m, lent, 0) };
}

/// Bytes that a `copy` of NetBSD's and DragonFly's kind brings, or ours.
unsafe fn fetch(
    copy: Option<unsafe extern "C" fn(*const c_void, *mut c_void, usize)>,
    from: *const c_char,
    place: &mut [u8],
) {
    let (to, n) = (place.as_mut_ptr(), place.len());
    // SAFETY: so many bytes are there, for C's own routine or for ours.
    unsafe {
        match copy {
            Some(copy) => copy(from.cast(), to.cast(), n),
            None => ptr::copy_nonoverlapping(from.cast::<u8>(), to, n),
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_devget_dragonfly(
    buf: *mut c_char,
    len: c_int,
    _off: c_int,
    ifp: *mut Ifnet,
    copy: Option<unsafe extern "C" fn(*const c_void, *mut c_void, usize)>,
) -> M {
    if len <= 0 {
        return ptr::null_mut();
    }
    received("m_devget", len as usize, 0, ifp, &mut |at, place| {
        // SAFETY: `len` bytes are there.
        unsafe { fetch(copy, buf.add(at), place) }
    })
}

/// Two fields of a trailer, in bytes.
const TRAILER: usize = 4;

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_devget_netbsd(
    buf: *mut c_char,
    total: c_int,
    off: c_int,
    ifp: *mut Ifnet,
    copy: Option<unsafe extern "C" fn(*const c_void, *mut c_void, usize)>,
) -> M {
    if off == 0 {
        // SAFETY: by this function's contract.
        return unsafe { m_devget_dragonfly(buf, total, 0, ifp, copy) };
    }
    let (Ok(total), Ok(off)) = (usize::try_from(total), usize::try_from(off)) else {
        set_errno(libc::EINVAL);
        return ptr::null_mut();
    };
    // What lies behind the trailer comes first, then what is in front of it.
    let Some(first) = total.checked_sub(off + TRAILER) else {
        set_errno(libc::EINVAL);
        return ptr::null_mut();
    };
    received("m_devget", total - TRAILER, 0, ifp, &mut |at, place| {
        let (behind, in_front) = place.split_at_mut(first.saturating_sub(at).min(place.len()));
        // SAFETY: `total` bytes are there.
        unsafe {
            if !behind.is_empty() {
                fetch(copy, buf.add(off + TRAILER + at), behind);
            }
            if !in_front.is_empty() {
                fetch(copy, buf.add((at + behind.len()) - first), in_front);
            }
        }
    })
}

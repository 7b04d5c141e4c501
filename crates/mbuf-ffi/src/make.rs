//! New mbufs.

use std::ffi::{c_char, c_int, c_uint, c_void};
use std::ptr;

use mbuf_core::ffi::{CMbuf, Error, Kind, Lent, Loose, Release, get_or, get_pair_or};
use mbuf_core::{Class, MHLEN, OpError};

use crate::border::{Ifnet, M, edit, edit_one, failed, given, report_void, size};
use crate::pool::{NAMES, pool, wait};
use crate::room::link_header;

pub(crate) const M_PKTHDR: c_int = 2;
const M_EOR: c_int = 4;
const M_RDONLY: c_int = 0x40000;

#[inline(always)]
fn bits(kind: c_int) -> u8 {
    (kind & 0xf) as u8
}

pub(crate) fn kind(kind: c_int, flags: c_int) -> Kind {
    Kind { header: flags & M_PKTHDR != 0, bits: bits(kind) }
}

const MT_DATA: c_int = 1;

// The short ways do not panic, and are spared the landing pads that an `extern "C"` function has: they hand over to one.

/// Without the short way: that is for data from this thread's caches.
#[cold]
#[inline(never)]
extern "C" fn get_slowly(how: c_int, ty: c_int, flags: c_int) -> M {
    let function = if flags & M_PKTHDR == 0 { "m_get" } else { "m_gethdr" };
    make(function, how, || Loose::plain(pool(), kind(ty, flags)))
}

#[unsafe(no_mangle)]
pub extern "C-unwind" fn m_get(how: c_int, kind: c_int) -> M {
    if kind == MT_DATA {
        get_or::<false>(&NAMES, move || get_slowly(how, MT_DATA, 0))
    } else {
        get_slowly(how, kind, 0)
    }
}

#[unsafe(no_mangle)]
pub extern "C-unwind" fn m_gethdr(how: c_int, kind: c_int) -> M {
    if kind == MT_DATA {
        get_or::<true>(&NAMES, move || get_slowly(how, MT_DATA, M_PKTHDR))
    } else {
        get_slowly(how, kind, M_PKTHDR)
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn m_getclr(how: c_int, kind: c_int) -> M {
    let m = m_get(how, kind);
    if !m.is_null() {
        // SAFETY: an mbuf just made, whose inline area this is.
        unsafe { CMbuf::clear(m) };
    }
    m
}

#[cold]
#[inline(never)]
extern "C" fn getcl_slowly(how: c_int, kind: c_int, flags: c_int) -> M {
    m_getjcl(how, kind, flags, Class::Cluster.size() as c_int)
}

#[unsafe(no_mangle)]
pub extern "C-unwind" fn m_getcl(how: c_int, kind: c_int, flags: c_int) -> M {
    if kind == MT_DATA && flags & M_PKTHDR != 0 {
        // Of the flags, no other means anything here.
        get_pair_or(&NAMES, move || getcl_slowly(how, MT_DATA, M_PKTHDR))
    } else {
        getcl_slowly(how, kind, flags)
    }
}

fn class_of(size: c_int) -> Option<Class> {
    Class::ALL.into_iter().find(|class| class.size() as c_int == size)
}

fn make(function: &str, how: c_int, mut f: impl FnMut() -> Result<Loose, Error>) -> M {
    given(function, pool().wait(wait(how), &mut f))
}

#[unsafe(no_mangle)]
pub extern "C" fn m_getjcl(how: c_int, ty: c_int, flags: c_int, size: c_int) -> M {
    let Some(class) = class_of(size) else {
        let len = size.max(0) as usize;
        return failed("m_getjcl", Error::Op(OpError::TooLong { len, max: Class::Jumbo16.size() }));
    };
    make("m_getjcl", how, || Loose::with_class(pool(), kind(ty, flags), class))
}

fn get_up_to(function: &str, most: Class, len: c_int, how: c_int, kind: Kind) -> M {
    match size(len) {
        Err(error) => failed(function, error),
        Ok(len) if len > most.size() => {
            failed(function, Error::Op(OpError::TooLong { len, max: most.size() }))
        }
        Ok(len) => make(function, how, || Loose::with_capacity(pool(), kind, len)),
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn m_get2(len: c_int, how: c_int, ty: c_int, flags: c_int) -> M {
    get_up_to("m_get2", Class::Page, len, how, kind(ty, flags))
}

#[unsafe(no_mangle)]
pub extern "C" fn m_get3(len: c_int, how: c_int, ty: c_int, flags: c_int) -> M {
    get_up_to("m_get3", Class::Jumbo16, len, how, kind(ty, flags))
}

#[unsafe(no_mangle)]
pub extern "C" fn m_getc(len: c_int, how: c_int, ty: c_int) -> M {
    if len <= 0 {
        return ptr::null_mut();
    }
    make("m_getc", how, || Loose::with_room(pool(), kind(ty, 0), len as usize))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_getm2(m: M, len: c_int, how: c_int, ty: c_int, flags: c_int) -> M {
    let flags = if m.is_null() { flags } else { flags & !M_PKTHDR };
    let made =
        size(len).and_then(|len| pool().wait(wait(how), || Loose::with_room(pool(), kind(ty, flags), len)));
    let mut more = match made {
        Ok(more) => more,
        Err(error) => return failed("m_getm2", error),
    };
    if flags & M_EOR != 0 {
        more.end_record();
    }
    if m.is_null() {
        return more.export();
    }
    // SAFETY: a chain of C's.
    let linked = unsafe {
        edit(m, |list| {
            list.link(more);
            Ok(())
        })
    };
    match linked {
        Ok(()) => m,
        Err(error) => failed("m_getm2", error),
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_cljget(m: M, how: c_int, size: c_int) -> *mut c_void {
    let attach = |class| {
        // SAFETY: an mbuf of C's.
        unsafe { pool().wait(wait(how), || edit_one(m, |list| list.attach_cluster(pool(), class))) }
    };
    match class_of(size)
        .ok_or(Error::Op(OpError::TooLong { len: size.max(0) as usize, max: 0 }))
        .and_then(attach)
    {
        // SAFETY: an mbuf that was just looked at.
        Ok(()) => unsafe { CMbuf::data(m).cast() },
        Err(error) => failed("m_cljget", error).cast(),
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_clget(m: M, how: c_int) -> c_int {
    // SAFETY: by this function's contract.
    c_int::from(!unsafe { m_cljget(m, how, Class::Cluster.size() as c_int) }.is_null())
}

/// Attaches memory, or says why not; then the callback is not called.
pub(crate) unsafe fn lend(function: &str, m: M, lent: Lent, flags: c_int) {
    // SAFETY: an mbuf of C's, and memory that it lends.
    let done = unsafe {
        edit_one(m, |list| {
            list.lend(pool(), lent, flags & M_RDONLY != 0).map_err(|(error, lent)| {
                std::mem::forget(lent);
                error
            })
        })
    };
    if let Err(error) = done {
        report_void(function, &error);
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_extadd(
    m: M,
    buf: *mut c_char,
    size: c_uint,
    free: Option<unsafe extern "C" fn(M)>,
    arg1: *mut c_void,
    arg2: *mut c_void,
    flags: c_int,
    ty: c_int,
) {
    let release = free.map_or(Release::Never, Release::Mbuf);
    let lent = Lent { buf: buf.cast(), size, kind: ty as u32 & 0xff, release, arg1, arg2 };
    // SAFETY: by this function's contract.
    unsafe { lend("m_extadd", m, lent, flags) };
}

/// Bytes of a device as a packet from an interface, behind room for a link-level header and `room` more: `copy` fills a
/// piece, from so many bytes on.
pub(crate) fn received(
    function: &str,
    len: usize,
    room: usize,
    ifp: *mut Ifnet,
    copy: &mut dyn FnMut(usize, &mut [u8]),
) -> M {
    let pool = pool();
    let room = link_header().saturating_add(room);
    match Loose::filled(pool, kind(1, M_PKTHDR), len, room, &mut |at, place| copy(at, place)) {
        Ok(mut list) => {
            list.set_interface(ifp.cast());
            list.export()
        }
        Err(error) => failed(function, error),
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_devget(
    buf: *mut c_char,
    len: c_int,
    off: c_int,
    ifp: *mut Ifnet,
    copy: Option<unsafe extern "C" fn(*mut c_char, *mut c_char, c_uint)>,
) -> M {
    if len <= 0 {
        return ptr::null_mut();
    }
    let off = match size(off) {
        Ok(off) if off <= MHLEN => off,
        Ok(len) => return failed("m_devget", Error::Op(OpError::TooLong { len, max: MHLEN })),
        Err(error) => return failed("m_devget", error),
    };
    received("m_devget", len as usize, off, ifp, &mut |at, place| {
        // SAFETY: `len` bytes are there, for C's own routine or for ours.
        unsafe {
            let (from, to, n) = (buf.add(at), place.as_mut_ptr(), place.len());
            match copy {
                Some(copy) => copy(from, to.cast(), n as c_uint),
                None => ptr::copy_nonoverlapping(from.cast::<u8>(), to, n),
            }
        }
    })
}

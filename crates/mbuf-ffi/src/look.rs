//! Looking at chains.

use std::ffi::{c_int, c_uint, c_void};
use std::io::Write;
use std::ptr;

use mbuf_core::ffi::{Error, Loose, Sanity, View};

use crate::border::{M, edit, read, report, report_void, size, wrong};
use crate::pool::pool;

unsafe fn room(function: &str, m: M) -> (usize, usize, bool) {
    // SAFETY: an mbuf of C's.
    unsafe { View::first_room(pool(), m) }.unwrap_or_else(|error| {
        report(function, &error);
        (0, 0, false)
    })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_leadingspace(m: M) -> c_int {
    // SAFETY: by this function's contract.
    unsafe { room("m_leadingspace", m) }.0 as c_int
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_trailingspace(m: M) -> c_int {
    // SAFETY: by this function's contract.
    unsafe { room("m_trailingspace", m) }.1 as c_int
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_writable(m: M) -> c_int {
    // SAFETY: by this function's contract.
    c_int::from(unsafe { room("m_writable", m) }.2)
}

fn told<T>(function: &str, result: Result<T, Error>) -> Option<T> {
    result.map_err(|error| report(function, &error)).ok()
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_sharecount(m: M) -> c_uint {
    // SAFETY: by this function's contract.
    told("m_sharecount", unsafe { read(m, |view| Ok(view.sharers())) }).unwrap_or(0)
}

unsafe fn length(function: &str, m: M, last: *mut M) -> Option<(usize, usize)> {
    // SAFETY: a chain of C's.
    let told = told(function, unsafe { read(m, |view| Ok((view.len(), view.charge(), view.last_mbuf()))) });
    let end = told.map_or(ptr::null_mut(), |(_, _, end)| end);
    if !last.is_null() {
        // SAFETY: C wants it there.
        unsafe { *last = end };
    }
    told.map(|(len, charge, _)| (len, charge))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_length(m: M, last: *mut M) -> c_uint {
    // SAFETY: by this function's contract.
    unsafe { length("m_length", m, last) }.map_or(0, |(len, _)| len as c_uint)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_lengthm(m: M, last: *mut M) -> c_uint {
    // SAFETY: by this function's contract.
    unsafe { length("m_lengthm", m, last) }.map_or(0, |(len, _)| len as c_uint)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_countm(m: M, last: *mut M, charge: *mut c_uint) -> c_uint {
    // SAFETY: by this function's contract.
    let (len, bytes) = unsafe { length("m_countm", m, last) }.unwrap_or((0, 0));
    if !charge.is_null() {
        // SAFETY: C wants it there.
        unsafe { *charge = bytes as c_uint };
    }
    len as c_uint
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_last(m: M) -> M {
    let mut last = ptr::null_mut();
    // SAFETY: by this function's contract.
    unsafe { length("m_last", m, &mut last) };
    last
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_getptr(m: M, loc: c_int, off: *mut c_int) -> M {
    // SAFETY: a chain of C's.
    let found = size(loc).and_then(|loc| unsafe { read(m, |view| view.find(loc).ok_or(Error::Nothing)) });
    match told("m_getptr", found) {
        None => ptr::null_mut(),
        Some((place, within)) => {
            // SAFETY: C wants it there.
            unsafe { *off = within as c_int };
            place
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_apply(
    m: M,
    off: c_int,
    len: c_int,
    f: Option<unsafe extern "C" fn(*mut c_void, *mut c_void, c_uint) -> c_int>,
    arg: *mut c_void,
) -> c_int {
    let Some(f) = f else { return libc::EINVAL };
    let visit = |bytes: &[u8]| {
        // SAFETY: C's own function. It may write what it may write, so it is not given a pointer made of the reference.
        unsafe { f(arg, bytes.as_ptr().cast_mut().cast(), bytes.len() as c_uint) }
    };
    let (off, len) = match (size(off), size(len)) {
        (Ok(off), Ok(len)) => (off, len),
        _ => {
            wrong("m_apply", "a negative offset or length");
            return libc::EINVAL;
        }
    };
    // SAFETY: a chain of C's.
    match unsafe { read(m, |view| view.apply(off, len, visit)) } {
        Ok(result) => result,
        Err(error) => {
            report_void("m_apply", &error);
            libc::EINVAL
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_copydata(m: M, off: c_int, len: c_int, buf: *mut c_void) {
    if len == 0 {
        return;
    }
    let copied = size(off).and_then(|off| {
        let len = size(len)?;
        // SAFETY: an mbuf of C's.
        let first = unsafe { View::first_bytes(pool(), m) };
        if let Some(bytes) = first.and_then(|first| first.get(off..)?.get(..len)) {
            // SAFETY: so much room, which may be that of these bytes.
            unsafe { ptr::copy(bytes.as_ptr(), buf.cast(), len) };
            return Ok(());
        }
        // SAFETY: a chain of C's, and so much room, which need not be initialised to be written as bytes.
        unsafe {
            read(m, |view| {
                mbuf_core::ffi::in_range(off, len, view.len())?;
                Ok(view.copy_out(off, std::slice::from_raw_parts_mut(buf.cast(), len))?)
            })
        }
    });
    if let Err(error) = copied {
        report_void("m_copydata", &error);
    }
}

/// What is left of `m_copydata` where the header has the rest.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_priv_copydata(m: M, off: c_int, len: c_int, buf: *mut c_void) {
    // SAFETY: by this function's contract.
    unsafe { m_copydata(m, off, len, buf) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn in_cksum_skip(m: M, len: c_int, skip: c_int) -> u16 {
    let sum = size(skip).and_then(|skip| {
        let len = size(len)?;
        // SAFETY: a chain of C's.
        unsafe { read(m, |view| Ok(view.sum(skip..len)?)) }
    });
    match sum {
        Ok(sum) => u16::from_ne_bytes(sum.finish().to_be_bytes()),
        Err(error) => {
            report_void("in_cksum", &error);
            0
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn in_cksum(m: M, len: c_int) -> u16 {
    // SAFETY: by this function's contract.
    unsafe { in_cksum_skip(m, len, 0) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_sanity(m: M, sanitize: c_int) -> c_int {
    let insane = |why: std::fmt::Arguments<'_>| {
        eprintln!("libmbuf: m_sanity: {why}");
        0
    };
    // SAFETY: a chain of C's.
    let found = match unsafe { read(m, |view| Ok(view.sanity())) } {
        Ok(Sanity::Sane) => return 1,
        Ok(found) => found,
        Err(Error::Fault(fault)) => return insane(format_args!("{fault}")),
        Err(error) => return told::<c_int>("m_sanity", Err(error)).unwrap_or(0),
    };
    if sanitize != 0 {
        // SAFETY: as above.
        let done = unsafe {
            edit(m, |list: &mut Loose| {
                list.sanitize();
                Ok(1)
            })
        };
        return told("m_sanity", done).unwrap_or(0);
    }
    match found {
        Sanity::Sane => 1,
        Sanity::Header(mbuf) => {
            insane(format_args!("mbuf {mbuf:p}: m_flags: M_PKTHDR behind the first mbuf"))
        }
        Sanity::Linked(mbuf) => insane(format_args!("mbuf {mbuf:p}: m_nextpkt: behind the first mbuf")),
        Sanity::Length(said, len) => {
            insane(format_args!("mbuf {m:p}: m_pkthdr.len: {said}, but the mbufs have {len}"))
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn m_print(m: M, maxlen: c_int) {
    let print = |view: &View<'_>| {
        let mut left = usize::try_from(maxlen).unwrap_or(usize::MAX);
        let mut out = std::io::stdout().lock();
        let bytes = view.slices(..)?.flat_map(|slice| slice.iter());
        let line = |out: &mut dyn Write| -> std::io::Result<()> {
            for byte in bytes {
                if left == 0 {
                    break;
                }
                left -= 1;
                write!(out, "{byte:02x} ")?;
            }
            writeln!(out)
        };
        // A closed output is not the caller's fault.
        let _ = line(&mut out);
        Ok(())
    };
    // SAFETY: a chain of C's.
    told("m_print", unsafe { read(m, print) });
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn mbuftrackid(m: M, id: c_int) {
    let mut next = m;
    // As `m_next` is watched for coming back.
    let (mut mark, mut left, mut stride) = (ptr::null_mut(), 1u64, 1);
    while !next.is_null() && next != mark {
        left -= 1;
        if left == 0 {
            (mark, stride) = (next, stride * 2);
            left = stride;
        }
        let claim = |view: &View<'_>| {
            view.claim("mbuftrackid", id as u32);
            Ok(view.next_packet())
        };
        // SAFETY: a queue of C's.
        next = told("mbuftrackid", unsafe { read(next, claim) }).unwrap_or(ptr::null_mut());
    }
}

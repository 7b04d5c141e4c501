//! Packets and pools behind handles (`mbuf/packet.h`): the Rust operations, with their promises.

use std::ffi::{c_char, c_int, c_void};
use std::ptr;
use std::slice;

use mbuf_core::ffi::Loose;
use mbuf_core::{Flags, Meta, OpError, Packet, Pool, Refused, Tunables};

use crate::border::M;
use crate::pool::pool;
use crate::system::{text, write};

const OK: c_int = 0;

/// Why something failed, as a number.
#[derive(Clone, Copy)]
#[repr(i32)]
enum Error {
    Handle = 1,
    NoBuffers = 2,
    Range = 3,
    TooLong = 4,
    Argument = 5,
    Name = 6,
    Other = 7,
}

impl<E: Into<OpError>> From<E> for Error {
    fn from(error: E) -> Self {
        match error.into() {
            OpError::Alloc(_) => Error::NoBuffers,
            OpError::Bounds(_) => Error::Range,
            OpError::TooLong { .. } => Error::TooLong,
            _ => Error::Other,
        }
    }
}

fn code(done: Result<(), Error>) -> c_int {
    done.map_or_else(|error| error as c_int, |()| OK)
}

/// What a handle points to. The first word says what it is, as long as it is that.
#[repr(C)]
pub struct Handle<T> {
    is: usize,
    value: T,
}

const PACKET: usize = 0x7061_636b;
const POOL: usize = 0x706f_6f6c;

trait Kind {
    const IS: usize;
}

impl Kind for Packet {
    const IS: usize = PACKET;
}

impl Kind for Pool {
    const IS: usize = POOL;
}

pub type PacketHandle = Handle<Packet>;
pub type PoolHandle = Handle<Pool>;

/// Puts a value behind a handle, for C.
unsafe fn give<T: Kind>(value: T, out: *mut *mut Handle<T>) -> Result<(), Error> {
    if out.is_null() {
        return Err(Error::Argument);
    }
    // SAFETY: C wants it there.
    unsafe { out.write(Box::into_raw(Box::new(Handle { is: T::IS, value }))) };
    Ok(())
}

/// # Safety
/// Null, or memory that may be read; if it is a handle, nobody else uses it meanwhile.
unsafe fn at<'a, T: Kind>(handle: *mut Handle<T>) -> Result<&'a mut T, Error> {
    if handle.is_null() || !handle.is_aligned() {
        return Err(Error::Handle);
    }
    // SAFETY: by this function's contract.
    unsafe { if (*handle).is == T::IS { Ok(&mut (*handle).value) } else { Err(Error::Handle) } }
}

/// The same, to be read.
unsafe fn see<'a, T: Kind>(handle: *const Handle<T>) -> Result<&'a T, Error> {
    // SAFETY: by this function's contract; only read.
    unsafe { at(handle.cast_mut()) }.map(|value| &*value)
}

/// Takes the value away from its handle, which is none any more.
unsafe fn take<T: Kind>(handle: *mut Handle<T>) -> Result<T, Error> {
    // SAFETY: as for `at`; a handle was made by `give`.
    unsafe {
        at(handle)?;
        (*handle).is = 0;
        Ok(Box::from_raw(handle).value)
    }
}

unsafe fn bytes<'a>(from: *const c_void, len: usize) -> Result<&'a [u8], Error> {
    match (len, from.is_null()) {
        (0, _) => Ok(&[]),
        (_, true) => Err(Error::Argument),
        // SAFETY: C says that so many are there.
        _ if isize::try_from(len).is_ok() => Ok(unsafe { slice::from_raw_parts(from.cast(), len) }),
        _ => Err(Error::TooLong),
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn mbuf_error_text(error: c_int) -> *const c_char {
    match error {
        0 => c"no error",
        1 => c"no handle, or that of something freed",
        2 => c"no buffers",
        3 => c"beyond the end",
        4 => c"more bytes than are possible",
        5 => c"a null pointer, or a number that means nothing",
        6 => c"no setting of that name, or no such value",
        _ => c"not possible",
    }
    .as_ptr()
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn mbuf_pool_create(
    name: *const c_char,
    names: *const *const c_char,
    values: *const *const c_char,
    count: usize,
    out: *mut *mut PoolHandle,
) -> c_int {
    let make = || {
        let mut tunables = Tunables::new();
        for i in 0..count {
            // SAFETY: so many names and values.
            let pair = unsafe { text(*names.add(i)).zip(text(*values.add(i))) };
            let (name, value) = pair.ok_or(Error::Argument)?;
            tunables.set_text(name, value).map_err(|_| Error::Name)?;
        }
        let mut builder = Pool::builder().tunables(&tunables).map_err(|_| Error::Name)?;
        // SAFETY: a string of C's.
        if let Some(name) = unsafe { text(name) } {
            builder = builder.name(name);
        }
        let made = builder.build().map_err(|_| Error::Name)?;
        // SAFETY: by this function's contract.
        unsafe { give(made, out) }
    };
    code(make())
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn mbuf_pool_default(out: *mut *mut PoolHandle) -> c_int {
    // SAFETY: by this function's contract.
    code(unsafe { give(pool().clone(), out) })
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn mbuf_pool_free(pool: *mut PoolHandle) {
    // SAFETY: by this function's contract.
    drop(unsafe { take(pool) });
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn mbuf_pool_get(
    pool: *mut PoolHandle,
    name: *const c_char,
    out: *mut c_char,
    size: usize,
) -> isize {
    // SAFETY: a handle, a string and room of C's.
    unsafe {
        let value = see(pool).ok().zip(text(name)).and_then(|(pool, name)| pool.sysctl().read(name).ok());
        value.map_or(-1, |value| write(&value.to_string(), out, size) as isize)
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn mbuf_pool_set(
    pool: *mut PoolHandle,
    name: *const c_char,
    value: *const c_char,
) -> c_int {
    // SAFETY: a handle and strings of C's.
    code(unsafe { see(pool) }.and_then(|pool| {
        // SAFETY: as above.
        let (name, value) = unsafe { text(name).zip(text(value)) }.ok_or(Error::Argument)?;
        pool.sysctl().set(name, value).map(|_| ()).map_err(|_| Error::Name)
    }))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn mbuf_pool_netstat(pool: *mut PoolHandle, out: *mut c_char, size: usize) -> isize {
    // SAFETY: a handle and room of C's.
    unsafe { see(pool).map_or(-1, |pool| write(&pool.stats().to_string(), out, size) as isize) }
}

unsafe fn make(
    pool: *mut PoolHandle,
    out: *mut *mut PacketHandle,
    f: impl FnOnce(&Pool) -> Result<Packet, Error>,
) -> c_int {
    // SAFETY: a handle, and a place for another.
    unsafe {
        if out.is_null() {
            return Error::Argument as c_int;
        }
        code(see(pool).and_then(f).and_then(|packet| give(packet, out)))
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn mbuf_packet_create(
    pool: *mut PoolHandle,
    room: usize,
    out: *mut *mut PacketHandle,
) -> c_int {
    // SAFETY: by this function's contract.
    unsafe { make(pool, out, |pool| Ok(Packet::with_capacity(pool, room)?)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn mbuf_packet_copy_of(
    pool: *mut PoolHandle,
    from: *const c_void,
    len: usize,
    out: *mut *mut PacketHandle,
) -> c_int {
    // SAFETY: by this function's contract.
    unsafe { make(pool, out, |pool| Ok(Packet::from_slice(pool, bytes(from, len)?)?)) }
}

/// Memory that C lends.
struct Lent {
    bytes: *mut u8,
    len: usize,
    release: Option<unsafe extern "C" fn(*mut c_void)>,
    arg: *mut c_void,
}

// SAFETY: C takes its memory back on whatever thread lets go of it last.
unsafe impl Send for Lent {}

impl AsMut<[u8]> for Lent {
    fn as_mut(&mut self) -> &mut [u8] {
        // SAFETY: C lends so many bytes until the callback is called.
        unsafe { slice::from_raw_parts_mut(self.bytes, self.len) }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(release) = self.release {
            // SAFETY: C's own function and argument, once.
            unsafe { release(self.arg) };
        }
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn mbuf_packet_over(
    pool: *mut PoolHandle,
    from: *mut c_void,
    len: usize,
    release: Option<unsafe extern "C" fn(*mut c_void)>,
    arg: *mut c_void,
    out: *mut *mut PacketHandle,
) -> c_int {
    let lend = |pool: &Pool| {
        if from.is_null() || isize::try_from(len).is_err() {
            return Err(Error::Argument);
        }
        Packet::from_owner_mut(pool, Lent { bytes: from.cast(), len, release, arg }).map_err(
            |Refused { error, input }| {
                // Still C's: the callback is not called.
                std::mem::forget(input);
                error.into()
            },
        )
    };
    // SAFETY: by this function's contract.
    unsafe { make(pool, out, lend) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn mbuf_packet_free(packet: *mut PacketHandle) {
    // SAFETY: by this function's contract.
    drop(unsafe { take(packet) });
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn mbuf_packet_len(packet: *const PacketHandle) -> usize {
    // SAFETY: by this function's contract.
    unsafe { see(packet) }.map_or(0, |packet| packet.len())
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn mbuf_packet_pieces(packet: *const PacketHandle) -> usize {
    // SAFETY: by this function's contract.
    unsafe { see(packet) }.map_or(0, |packet| packet.segment_count())
}

/// Tells C where bytes are.
unsafe fn show(found: &[u8], out: *mut *const c_void) -> Result<(), Error> {
    if out.is_null() {
        return Err(Error::Argument);
    }
    // SAFETY: C wants it there.
    unsafe { out.write(found.as_ptr().cast()) };
    Ok(())
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn mbuf_packet_piece(
    packet: *const PacketHandle,
    index: usize,
    out: *mut *const c_void,
    len: *mut usize,
) -> c_int {
    // SAFETY: a handle, and places of C's.
    code(unsafe { see(packet) }.and_then(|packet| {
        if len.is_null() {
            return Err(Error::Argument);
        }
        let segment = packet.segments().nth(index).ok_or(Error::Range)?;
        // SAFETY: as above.
        unsafe {
            show(segment.bytes(), out)?;
            len.write(segment.bytes().len());
        }
        Ok(())
    }))
}

/// Does something with a packet.
unsafe fn with(packet: *mut PacketHandle, f: impl FnOnce(&mut Packet) -> Result<(), Error>) -> c_int {
    // SAFETY: a handle of C's.
    code(unsafe { at(packet) }.and_then(f))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn mbuf_packet_contiguous(
    packet: *mut PacketHandle,
    offset: usize,
    len: usize,
    out: *mut *const c_void,
) -> c_int {
    // SAFETY: by this function's contract.
    unsafe {
        with(packet, |packet| {
            if out.is_null() {
                return Err(Error::Argument);
            }
            let end = offset.checked_add(len).ok_or(Error::Range)?;
            show(packet.make_contiguous_at(offset..end)?, out)
        })
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn mbuf_packet_read(
    packet: *const PacketHandle,
    offset: usize,
    to: *mut c_void,
    len: usize,
) -> c_int {
    // SAFETY: a handle of C's, and room for so many bytes, which are written as bytes.
    code(unsafe { see(packet) }.and_then(|packet| {
        let end = offset.checked_add(len).filter(|&end| end <= packet.len()).ok_or(Error::Range)?;
        if len == 0 {
            return Ok(());
        }
        if to.is_null() {
            return Err(Error::Argument);
        }
        let mut done = 0;
        for slice in packet.slices(offset..end)? {
            // SAFETY: as above.
            unsafe { ptr::copy_nonoverlapping(slice.as_ptr(), to.cast::<u8>().add(done), slice.len()) };
            done += slice.len();
        }
        Ok(())
    }))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn mbuf_packet_write(
    packet: *mut PacketHandle,
    offset: usize,
    from: *const c_void,
    len: usize,
) -> c_int {
    // SAFETY: by this function's contract.
    unsafe {
        with(packet, |packet| {
            if offset > packet.len() {
                return Err(Error::Range);
            }
            Ok(packet.write_at(offset, bytes(from, len)?)?)
        })
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn mbuf_packet_append(
    packet: *mut PacketHandle,
    from: *const c_void,
    len: usize,
) -> c_int {
    // SAFETY: by this function's contract.
    unsafe { with(packet, |packet| Ok(packet.extend_from_slice(bytes(from, len)?)?)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn mbuf_packet_prepend(
    packet: *mut PacketHandle,
    from: *const c_void,
    len: usize,
) -> c_int {
    // SAFETY: by this function's contract.
    unsafe {
        with(packet, |packet| {
            packet.prepend_slice(bytes(from, len)?)?;
            Ok(())
        })
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn mbuf_packet_trim_front(packet: *mut PacketHandle, len: usize) -> c_int {
    // SAFETY: by this function's contract.
    unsafe { with(packet, |packet| Ok(packet.trim_front(len)?)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn mbuf_packet_trim_back(packet: *mut PacketHandle, len: usize) -> c_int {
    // SAFETY: by this function's contract.
    unsafe { with(packet, |packet| Ok(packet.trim_back(len)?)) }
}

/// Makes another packet of one.
unsafe fn another(out: *mut *mut PacketHandle, made: impl FnOnce() -> Result<Packet, Error>) -> c_int {
    if out.is_null() {
        return Error::Argument as c_int;
    }
    // SAFETY: C wants it there.
    code(made().and_then(|packet| unsafe { give(packet, out) }))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn mbuf_packet_share(
    packet: *const PacketHandle,
    offset: usize,
    len: usize,
    out: *mut *mut PacketHandle,
) -> c_int {
    // SAFETY: by this function's contract.
    unsafe {
        another(out, || {
            let end = offset.checked_add(len).ok_or(Error::Range)?;
            Ok(see(packet)?.share_range(offset..end)?)
        })
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn mbuf_packet_duplicate(
    packet: *const PacketHandle,
    out: *mut *mut PacketHandle,
) -> c_int {
    // SAFETY: by this function's contract.
    unsafe { another(out, || Ok(see(packet)?.duplicate()?)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn mbuf_packet_split(
    packet: *mut PacketHandle,
    offset: usize,
    out: *mut *mut PacketHandle,
) -> c_int {
    // SAFETY: by this function's contract.
    unsafe { another(out, || Ok(at(packet)?.split_off(offset)?)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn mbuf_packet_join(packet: *mut PacketHandle, behind: *mut PacketHandle) -> c_int {
    if ptr::eq(packet, behind) {
        return Error::Argument as c_int;
    }
    // SAFETY: two handles of C's.
    unsafe {
        with(packet, |packet| {
            let behind_len = see(behind)?.len();
            if packet.len().checked_add(behind_len).is_none_or(|len| len > u32::MAX as usize) {
                return Err(Error::TooLong);
            }
            packet.append(take(behind)?).map_err(|refused| refused.error.into())
        })
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn mbuf_packet_defragment(packet: *mut PacketHandle) -> c_int {
    // SAFETY: by this function's contract.
    unsafe { with(packet, |packet| Ok(packet.defragment()?)) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn mbuf_packet_checksum(
    packet: *const PacketHandle,
    offset: usize,
    len: usize,
    out: *mut u16,
) -> c_int {
    // SAFETY: a handle, and a place of C's.
    code(unsafe { see(packet) }.and_then(|packet| {
        if out.is_null() {
            return Err(Error::Argument);
        }
        let end = offset.checked_add(len).ok_or(Error::Range)?;
        let sum = packet.sum(offset..end)?.finish();
        // SAFETY: as above.
        unsafe { out.write(u16::from_ne_bytes(sum.to_be_bytes())) };
        Ok(())
    }))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn mbuf_packet_meta(packet: *const PacketHandle, which: c_int, out: *mut u64) -> c_int {
    // SAFETY: a handle, and a place of C's.
    code(unsafe { see(packet) }.and_then(|packet| {
        let meta = packet.meta();
        let value = match which {
            0 => u64::from(meta.interface),
            1 => u64::from(meta.checksum_flags),
            2 => u64::from(meta.checksum_data),
            3 => u64::from(meta.tso_segment),
            4 => u64::from(meta.vlan_tag),
            5 => u64::from(meta.flow_id),
            6 => u64::from(meta.hash_type),
            7 => meta.timestamp,
            8 => u64::from(packet.flags().0),
            _ => return Err(Error::Argument),
        };
        if out.is_null() {
            return Err(Error::Argument);
        }
        // SAFETY: as above.
        unsafe { out.write(value) };
        Ok(())
    }))
}

/// A number that has to fit.
fn fit<T: TryFrom<u64>>(value: u64) -> Result<T, Error> {
    T::try_from(value).map_err(|_| Error::Argument)
}

fn set_meta(meta: &mut Meta, which: c_int, value: u64) -> Result<(), Error> {
    match which {
        0 => meta.interface = fit(value)?,
        1 => meta.checksum_flags = fit(value)?,
        2 => meta.checksum_data = fit(value)?,
        3 => meta.tso_segment = fit(value)?,
        4 => meta.vlan_tag = fit(value)?,
        5 => meta.flow_id = fit(value)?,
        6 => meta.hash_type = fit(value)?,
        7 => meta.timestamp = value,
        _ => return Err(Error::Argument),
    }
    Ok(())
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn mbuf_packet_set_meta(packet: *mut PacketHandle, which: c_int, value: u64) -> c_int {
    // SAFETY: by this function's contract.
    unsafe {
        with(packet, |packet| {
            if which == 8 {
                packet.set_flags(Flags(fit(value)?));
                return Ok(());
            }
            set_meta(packet.meta_mut(), which, value)
        })
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn mbuf_packet_into_mbuf(packet: *mut PacketHandle, out: *mut M) -> c_int {
    // SAFETY: a handle, and a place of C's.
    code(unsafe { see(packet) }.and_then(|seen| {
        if out.is_null() || !mbuf_core::ffi::is_of(pool(), seen) || !mbuf_core::ffi::fits(seen) {
            return Err(Error::Argument);
        }
        // SAFETY: as above.
        unsafe { out.write(Loose::from(take(packet)?).export()) };
        Ok(())
    }))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn mbuf_packet_from_mbuf(m: M, out: *mut *mut PacketHandle) -> c_int {
    // SAFETY: a chain of C's, and a place for a handle.
    unsafe {
        another(out, || {
            let list = Loose::import(pool(), m).map_err(|_| Error::Argument)?;
            list.into_packet().map_err(|list| {
                list.export();
                Error::Argument
            })
        })
    }
}

//! Memory of C's, and what it hears of it.

use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::ptr;
use std::rc::Rc;
use std::sync::atomic::{AtomicI32, Ordering};

use mbuf::ffi::{CMbuf, Lent, Release};

use super::place::{COUNTED, EXT, EXT_ARG1, EXT_BUF, EXT_FREE, EXT_REF, EXT_SIZE, EXT_TYPE, FLAGS, Place};
use crate::pattern;

/// Bytes of each piece.
pub(super) const SIZE: usize = 300;

/// A piece of memory, with how many hold it.
struct Piece {
    bytes: UnsafeCell<[u8; SIZE]>,
    holders: AtomicI32,
}

#[repr(align(64))]
struct Zeros(UnsafeCell<[u8; 256]>);

/// All that was lent.
pub(super) struct Memory {
    pieces: Vec<Rc<Piece>>,
    zeros: Box<Zeros>,
}

impl Default for Memory {
    fn default() -> Self {
        Memory { pieces: Vec::new(), zeros: Box::new(Zeros(UnsafeCell::new([0; 256]))) }
    }
}

unsafe extern "C" fn on_mbuf(stand_in: *mut CMbuf) {
    // SAFETY: what looks like an mbuf as far as `m_ext` goes.
    unsafe { on_free(Place::new(stand_in).get(EXT_ARG1)) };
}

unsafe extern "C" fn on_args(holders: *mut c_void, _: *mut c_void) {
    // SAFETY: as given.
    unsafe { on_free(holders) };
}

unsafe extern "C" fn on_buffer(_: *mut u8, size: u32, holders: *mut c_void) {
    assert_eq!(size as usize, SIZE);
    // SAFETY: as given.
    unsafe { on_free(holders) };
}

unsafe extern "C" fn on_free(holders: *mut c_void) {
    // SAFETY: a count of ours, which lives as long as the pool.
    unsafe { &*holders.cast::<AtomicI32>() }.fetch_sub(1, Ordering::Relaxed);
}

unsafe extern "C" fn on_reference(holders: *mut c_void) {
    // SAFETY: as above.
    unsafe { &*holders.cast::<AtomicI32>() }.fetch_add(1, Ordering::Relaxed);
}

impl Memory {
    /// What is no mbuf.
    pub(super) fn zeros(&self) -> *mut CMbuf {
        self.zeros.0.get().cast()
    }

    fn piece(&mut self) -> (*mut u8, *mut c_void) {
        let bytes = UnsafeCell::new(std::array::from_fn(pattern));
        self.pieces.push(Rc::new(Piece { bytes, holders: AtomicI32::new(1) }));
        let piece = &self.pieces[self.pieces.len() - 1];
        (piece.bytes.get().cast(), (&raw const piece.holders).cast_mut().cast())
    }

    /// Memory to be attached with `m_extadd`.
    pub(super) fn lend(&mut self, how: u8) -> Lent {
        let (buf, arg1) = self.piece();
        let release = match how % 3 {
            0 => Release::Mbuf(on_mbuf),
            1 => Release::Args(on_args),
            _ => Release::Buffer(on_buffer),
        };
        Lent { buf, size: SIZE as u32, kind: 100, release, arg1, arg2: ptr::null_mut() }
    }

    /// Writes into `m_ext` of an mbuf, and sets the flags, that memory is attached to it; wrongly, often.
    pub(super) fn attach(&mut self, mbuf: Place, how: u8) {
        mbuf.clear_ext();
        let mut flags = mbuf.flags() & !COUNTED | EXT;
        match how % 8 {
            0 => {}
            1 => mbuf.set(EXT_SIZE, 100u32),
            2 => {
                mbuf.set(EXT_BUF, self.zeros().cast::<u8>());
                mbuf.set(EXT_SIZE, u32::MAX - u32::from(how));
            }
            3 => {
                // As if copied from another mbuf.
                mbuf.set(EXT_BUF, self.zeros().cast::<u8>());
                mbuf.set(EXT_SIZE, 256u32);
                mbuf.set(EXT_TYPE, [1u8, 3, 4, 5, 255][usize::from(how / 8 % 5)]);
            }
            _ => {
                let (buf, arg1) = self.piece();
                mbuf.set(EXT_BUF, buf);
                mbuf.set(EXT_SIZE, SIZE as u32);
                mbuf.set(EXT_TYPE, 100u8);
                mbuf.set(EXT_ARG1, arg1);
                if how & 8 == 0 {
                    mbuf.set(EXT_FREE, (on_mbuf as *const ()).cast_mut());
                } else {
                    flags |= COUNTED;
                    mbuf.set(EXT_FREE, (on_free as *const ()).cast_mut());
                    mbuf.set(EXT_REF, (on_reference as *const ()).cast_mut());
                }
            }
        }
        mbuf.set(FLAGS, flags);
    }

    /// C takes back what is attached to an mbuf, and was not used.
    pub(super) fn take_back(&self, mbuf: Place) {
        let held = mbuf.get::<*mut AtomicI32>(EXT_ARG1);
        if let Some(piece) = self.pieces.iter().find(|piece| ptr::eq(&piece.holders, held)) {
            piece.holders.fetch_sub(1, Ordering::Relaxed);
        }
    }

    pub(super) fn assert_back(&self) {
        for piece in &self.pieces {
            assert_eq!(piece.holders.load(Ordering::Relaxed), 0, "memory of C's is back, once");
        }
    }
}

//! The columns that are C libraries, our own among them: their rows are in `c/`, compiled with the libraries' headers.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::marker::PhantomData;

use crate::column::{Cell, Column};
use crate::worker;

/// `struct cell` of `c/bench.h`.
#[repr(C)]
pub struct CCell {
    row: *const c_char,
    run: Option<unsafe extern "C" fn(u64)>,
    see: Option<unsafe extern "C" fn(*mut c_void)>,
    second: Option<unsafe extern "C" fn(u64)>,
}

/// What each file in `c/` exports.
///
/// # Safety
/// `open` is safe to call once on each of two threads, and gives null or a string; `cells` is an array as `c/bench.h`
/// says, of functions that may be called on a thread where `open` gave null; `note` gives a string.
pub unsafe trait Library: 'static {
    fn open(thread: c_int, core: c_int) -> *const c_char;
    fn cells() -> *const CCell;
    fn note() -> *const c_char;
}

macro_rules! library {
    ($(#[$doc:meta])* $name:ident, $cfg:ident, $open:ident, $cells:ident, $note:ident) => {
        $(#[$doc])*
        #[cfg($cfg)]
        pub struct $name;

        #[cfg($cfg)]
        const _: () = {
            unsafe extern "C" {
                fn $open(thread: c_int, core: c_int) -> *const c_char;
                fn $note() -> *const c_char;
                static $cells: CCell;
            }

            // SAFETY: the file was written so.
            unsafe impl Library for $name {
                fn open(thread: c_int, core: c_int) -> *const c_char {
                    // SAFETY: as promised by the file.
                    unsafe { $open(thread, core) }
                }

                fn cells() -> *const CCell {
                    &raw const $cells
                }

                fn note() -> *const c_char {
                    // SAFETY: as promised by the file.
                    unsafe { $note() }
                }
            }
        };
    };
}

library!(Dpdk, peer_dpdk, dpdk_open, dpdk_cells, dpdk_note);
library!(Usrsctp, peer_usrsctp, usrsctp_mbuf_open, usrsctp_mbuf_cells, usrsctp_mbuf_note);
library!(Libmbuf, with_libmbuf, libmbuf_open, libmbuf_cells, libmbuf_note);
library!(Lwip, peer_lwip, lwip_pbuf_open, lwip_pbuf_cells, lwip_pbuf_note);

pub struct Peer<L>(PhantomData<L>);

impl<L: Library> Column for Peer<L> {
    fn open(thread: usize) -> Result<Self, String> {
        let why = L::open(thread as c_int, worker::own_cores()[thread] as c_int);
        match why.is_null() {
            true => Ok(Peer(PhantomData)),
            false => Err(text(why)),
        }
    }

    fn note() -> String {
        text(L::note())
    }

    fn cells() -> Vec<Cell<Self>> {
        // SAFETY: an array whose last cell has no row.
        let cells = (0..).map(|i| unsafe { &*L::cells().add(i) }).take_while(|cell| !cell.row.is_null());
        cells.map(Self::cell).collect()
    }
}

impl<L: Library> Peer<L> {
    fn cell(cell: &'static CCell) -> Cell<Self> {
        let (run, see) = (cell.run.expect("a row that runs"), cell.see.expect("a row that shows"));
        let batch = |run: unsafe extern "C" fn(u64)| -> crate::column::Batch<Self> {
            // SAFETY: there is a `Peer` on this thread, so `open` gave null here.
            Box::new(move |_, n| unsafe { run(n) })
        };
        Cell {
            row: text(cell.row).leak(),
            run: batch(run),
            second: cell.second.map(batch),
            // SAFETY: as above; C uses the pointer for calls with it only.
            see: Box::new(move |_, seen| unsafe { see((&raw mut *seen).cast()) }),
        }
    }
}

fn text(string: *const c_char) -> String {
    // SAFETY: a string of the file's.
    unsafe { CStr::from_ptr(string) }.to_string_lossy().into_owned()
}

//! The short ways of C: what it asks for most often, done at once where everything is as it is most often, by functions that are
//! to be short. Else nothing is done, and the usual way is taken.
#![allow(unsafe_code)]

use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, Ordering};

use mbuf_zone::raw::{Home, Object};

use super::lane;
use super::mbuf::foreign::CMbuf;
use super::mbuf::{Mbuf, short};
use crate::config::Class;
use crate::pool::Pool;

pub use super::mbuf::short::Share;

/// The lane of packets with a 2 KiB cluster.
const PAIRS: usize = lane::PACKETS[Class::Cluster.index()];

/// Names the zones that the short ways know: null, or a pool's.
pub struct Names {
    mbufs: AtomicPtr<()>,
    /// By class.
    packets: [AtomicPtr<()>; Class::ALL.len()],
}

impl Names {
    /// Of no pool.
    pub const fn new() -> Self {
        const fn none() -> AtomicPtr<()> {
            AtomicPtr::new(ptr::null_mut())
        }
        Names { mbufs: none(), packets: [const { none() }; Class::ALL.len()] }
    }

    /// Of this pool.
    pub fn set(&self, pool: &Pool) {
        // Relaxed: only compared.
        self.mbufs.store(pool.shared().mbufs.name().cast_mut(), Ordering::Relaxed);
        for (name, zone) in self.packets.iter().zip(&pool.shared().packets) {
            name.store(zone.name().cast_mut(), Ordering::Relaxed);
        }
    }

    #[inline(always)]
    pub(super) fn mbufs(&self) -> *const () {
        self.mbufs.load(Ordering::Relaxed)
    }

    #[inline(always)]
    fn packets(&self, class: Class) -> *const () {
        self.packets[class.index()].load(Ordering::Relaxed)
    }

    /// Whether that is the home of the pool's mbufs, marked or not.
    #[inline(always)]
    pub(super) fn know(&self, home: Home) -> bool {
        // Most are one of these.
        home.is_zone(self.packets(Class::Cluster)) || home.is_zone(self.mbufs()) || self.know_jumbo(home)
    }

    #[inline(always)]
    fn know_jumbo(&self, home: Home) -> bool {
        [Class::Page, Class::Jumbo9, Class::Jumbo16]
            .into_iter()
            .any(|class| home.is_zone(self.packets(class)))
    }
}

impl Default for Names {
    fn default() -> Self {
        Self::new()
    }
}

/// An mbuf for C, if this thread's caches have one at hand: `m_get`, `m_gethdr`. Its type is data.
#[inline(always)]
pub fn get_or<const HEADER: bool>(names: &Names, otherwise: impl FnOnce() -> *mut CMbuf) -> *mut CMbuf {
    let make = |object| {
        // SAFETY: an object of the mbuf zone, at rest, just handed out.
        short::show(unsafe { Mbuf::plain(object, HEADER, 0) }).as_ptr().cast()
    };
    get_name_or::<{ lane::MBUF }>(names.mbufs(), make, otherwise)
}

/// The same with a packet header and a 2 KiB cluster: `m_getcl`.
#[inline(always)]
pub fn get_pair_or(names: &Names, otherwise: impl FnOnce() -> *mut CMbuf) -> *mut CMbuf {
    let make = |object| {
        // SAFETY: an object of the packet zone, at rest, just handed out.
        short::show(unsafe { Mbuf::paired(object, Class::Cluster, true, 0) }).as_ptr().cast()
    };
    get_name_or::<PAIRS>(names.packets(Class::Cluster), make, otherwise)
}

#[inline(always)]
fn get_name_or<const LANE: usize>(
    name: *const (),
    make: impl Fn(Object) -> *mut CMbuf + Copy,
    otherwise: impl FnOnce() -> *mut CMbuf,
) -> *mut CMbuf {
    let rest = move |object: Option<Object>| object.map_or_else(otherwise, make);
    // SAFETY: null, or what `Names::set` put there: the name of a pool's zone.
    unsafe { mbuf_zone::raw::take_or::<LANE, _>(name, make, rest) }
}

/// Another mbuf that shares the cluster of one that C has, for a part of its bytes, if there is nothing odd about that one, none
/// behind it, and this thread's caches have an mbuf at hand: `m_copym`, `m_copypacket`. Else, and where the part is empty or not
/// within the bytes, it is what the wish says.
///
/// # Safety
/// As for [`View::of`](super::foreign::View::of), of the first mbuf.
#[inline(always)]
pub unsafe fn share_or(names: &Names, wish: impl Share) -> *mut CMbuf {
    // SAFETY: by this function's contract.
    unsafe { short::share_or(names, wish) }
}

/// Frees one mbuf that C had, if it is a simple one that this thread's caches take: `done` is what comes next, with what was behind
/// it. Else it is `otherwise`, with nothing changed; so it is, too, if there is another one behind it, unless those may be `LINKED`.
///
/// For functions that are to be short: both are called last, and what they need is not kept for them.
///
/// # Safety
/// As for [`Loose::import_first`](super::foreign::Loose::import_first).
#[inline(always)]
pub unsafe fn free_or<const LINKED: bool, R>(
    mbuf: NonNull<CMbuf>,
    done: impl FnOnce(*mut CMbuf) -> R + Copy,
    otherwise: impl FnOnce() -> R,
) -> R {
    // SAFETY: by this function's contract.
    unsafe { short::free_or::<LINKED, R>(mbuf.cast(), move |next| done(next.cast()), otherwise) }
}

/// The same for one with storage of any class, and also if it shared a cluster or still does.
///
/// # Safety
/// As for [`Loose::import_first`](super::foreign::Loose::import_first).
#[inline(always)]
pub unsafe fn leave_or<const LINKED: bool, R>(
    mbuf: NonNull<CMbuf>,
    done: impl FnOnce(*mut CMbuf) -> R + Copy,
    otherwise: impl FnOnce() -> R + Copy,
) -> R {
    // SAFETY: by this function's contract.
    unsafe { short::leave_or::<LINKED, R>(mbuf.cast(), move |next| done(next.cast()), otherwise) }
}

/// Whether there is another mbuf behind one of C's.
///
/// # Safety
/// As for [`Loose::import_first`](super::foreign::Loose::import_first).
#[inline]
pub unsafe fn is_linked(mbuf: NonNull<CMbuf>) -> bool {
    // SAFETY: by this function's contract.
    mbuf.is_aligned() && !unsafe { short::next_of(mbuf.cast()) }.is_null()
}

//! The BSD functions, as they are in C: on chains in which mbufs may be empty, headers may be anywhere, and the length
//! in a header is what C says it is.
//!
//! Here they are safe code on [`Loose`] and [`View`]; the crate `mbuf-ffi` puts C's names and C's ways of failing on
//! them. As everywhere, what fails has changed nothing. Where C keeps a pointer to the first mbuf, it stays the first.

mod contiguous;
mod copy;
mod header;
mod join;
mod make;
mod split;
mod tags;
mod trim;
mod walk;
mod write;

pub use make::{Kind, Source};
pub use walk::Sanity;

use crate::raw::foreign::{Error, Loose};
use crate::raw::{Mbuf, Trash};

/// The first mbuf, taken out.
fn first(list: &mut Loose) -> Result<Mbuf, Error> {
    list.run.pop_front().ok_or(Error::Nothing)
}

/// Moves the header, and the link to the next packet, of a first mbuf to the one that is put in front of it.
fn succeed(new: &mut Mbuf, old: &mut Mbuf) {
    new.edit().set_type(old.type_bits());
    new.next_packet.set(old.next_packet.replace(core::ptr::null_mut()));
    if old.has_header() {
        new.add_header();
        new.set_header(old.take_header());
    }
}

/// Moves `n` bytes from the front of what follows into an mbuf that has room for them.
fn absorb(into: &mut Mbuf, list: &mut Loose, n: usize) {
    let mut trash = Trash::default();
    crate::blank::absorb(into, &mut list.run, &mut trash, n);
}

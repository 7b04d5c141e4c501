//! `libmbuf`: the BSD functions on network memory buffers, for C. What they do is described in `include/mbuf.h` and the
//! manual page; here each is a few lines that put C's name and C's way of failing on what the crate `mbuf` does.
//!
//! Unsafe code is all over this crate, of one kind: a function of C's is called with pointers that are what its
//! declaration says. What they point to is not believed ([`border`]).
#![allow(unsafe_code, unreachable_pub, missing_docs, clippy::missing_safety_doc)]

mod border;
mod change;
mod copy;
mod dialect;
mod free;
mod header;
mod look;
mod make;
mod packet;
mod pool;
mod room;
mod sites;
mod system;
mod tags;
mod uio;

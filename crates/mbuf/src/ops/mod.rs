//! The algebra: one family of operations per file, all for chains and packets alike.
//!
//! Each plans, takes all the memory it needs ([`blank`](crate::blank)), and then changes the chain with code that
//! cannot fail ([`Chain::edit`](crate::Chain)).

mod bytes;
mod compact;
mod contiguous;
mod join;
mod share;
mod split;
mod sum;
mod trim;
pub(crate) mod walk;
mod write;

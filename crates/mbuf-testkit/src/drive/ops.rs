//! Operations on packets that share storage.

use mbuf::Fault;

use super::Words;
use crate::{Op, World};

/// Three bytes that say which allocations fail, then eight an operation, on a [`World`] that compares all of it with
/// plain vectors after each.
pub fn ops(bytes: &[u8]) {
    let mut words = Words(bytes);
    let (how, n) = (words.byte(), words.word());
    let mut world = match how % 4 {
        0 => World::with_fault(Fault::nth(n.into())),
        1 => World::with_fault(Fault::one_in(u32::from(n % 64), n.into())),
        _ => World::new(),
    };
    world.play(Op::from_bytes(words.0));
}

//! Operations on packets that share storage.

use crate::{Op, World};

/// Eight bytes an operation, on a [`World`] that compares all of it with plain vectors after each.
pub fn ops(bytes: &[u8]) {
    let mut world = World::new();
    Op::from_bytes(bytes).for_each(|op| world.apply(op));
}

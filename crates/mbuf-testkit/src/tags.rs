//! Tags of every temper.

use mbuf::{Tag, TagCopy};

use crate::Drops;

/// Goes with every copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label(pub u32);

impl Tag for Label {
    fn copy(&self) -> TagCopy {
        TagCopy::With(Box::new(self.clone()))
    }
}

/// Stays with the packet it is on.
#[derive(Debug, PartialEq, Eq)]
pub struct Private(pub u32);

impl Tag for Private {}

/// Does not let the packet be copied.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusing;

impl Tag for Refusing {
    fn copy(&self) -> TagCopy {
        TagCopy::Refuse
    }
}

/// Persistent, goes with copies, and counts its drops.
#[derive(Debug, Clone)]
pub struct Sticky(pub Drops);

impl Drop for Sticky {
    fn drop(&mut self) {
        self.0.add();
    }
}

impl Tag for Sticky {
    fn copy(&self) -> TagCopy {
        TagCopy::With(Box::new(self.clone()))
    }

    fn is_persistent(&self) -> bool {
        true
    }
}

/// Panics when dropped.
#[derive(Debug)]
pub struct PanicTag;

impl Drop for PanicTag {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("a tag that panics");
        }
    }
}

impl Tag for PanicTag {}

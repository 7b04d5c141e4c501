//! Owners of external storage that tell what becomes of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A count of drops, shared by clones.
#[derive(Debug, Clone, Default)]
pub struct Drops(Arc<AtomicUsize>);

impl Drops {
    /// No drops yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Drops so far.
    pub fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Bytes that count when they are dropped. Small enough (four words) not to be boxed by the library.
#[derive(Debug)]
pub struct Counted {
    bytes: Vec<u8>,
    drops: Drops,
}

impl Counted {
    /// An owner of these bytes.
    pub fn new(bytes: Vec<u8>, drops: &Drops) -> Self {
        Counted { bytes, drops: drops.clone() }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.drops.add();
    }
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl AsMut<[u8]> for Counted {
    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

/// Bytes whose destructor counts, then panics.
#[derive(Debug)]
pub struct PanicOnDrop(pub Counted);

impl AsRef<[u8]> for PanicOnDrop {
    fn as_ref(&self) -> &[u8] {
        self.0.as_ref()
    }
}

impl Drop for PanicOnDrop {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("a destructor that panics");
        }
    }
}

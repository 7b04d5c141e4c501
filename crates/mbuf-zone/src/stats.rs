//! What a zone counts.

/// A snapshot of a zone. Exact when no thread is in the middle of an operation on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ZoneStats {
    /// Objects with users.
    pub in_use: usize,
    /// Free objects in caches and in the depot.
    pub cached: usize,
    /// Objects that the slabs have room for. Zones over one keg share this figure.
    pub total: usize,
    /// Objects that may be out of the keg at once, in use or cached.
    pub limit: Option<usize>,
    /// Objects that the zone keeps out of the keg for itself.
    pub reserve: usize,
    /// Slots among the cached ones that hold no object, for want of a part.
    pub bare: usize,
    /// Most objects that were out of the keg at once, in use or cached.
    pub peak: usize,
    /// Objects handed out since the zone was made (wraps).
    pub gets: usize,
    /// Allocations that failed.
    pub denied: usize,
    /// Allocations that did not fail only because the caches of other threads were collected, or free objects of other
    /// zones taken apart.
    pub rescued: usize,
    /// Bytes of one object, slot and block.
    pub object_bytes: usize,
}

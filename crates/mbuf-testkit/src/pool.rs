//! Pools that have to be empty, and pools that are nearly so.

use mbuf::{Class, Packet, Pool, Resource};

/// Buffers in use, by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InUse {
    /// Mbufs, with or without storage.
    pub mbufs: usize,
    /// Buffers of each class, smallest first.
    pub clusters: [usize; 4],
    /// Records of external storage.
    pub external: usize,
}

/// What of a pool is in use.
pub fn in_use(pool: &Pool) -> InUse {
    let stats = pool.stats();
    InUse {
        mbufs: stats.mbufs.current,
        clusters: Class::ALL.map(|class| stats.class(class).current),
        external: stats.external.current,
    }
}

/// Fails unless everything is back in the pool. Every test ends with this: a leak is a failure, whatever else passed.
/// Whether its zones are sound is asked, too, but not under Miri, where that takes half of the time of all tests.
#[track_caller]
pub fn assert_empty(pool: &Pool) {
    assert_eq!(in_use(pool), InUse::default(), "the pool {} is not empty:\n{}", pool.name(), pool.stats());
    if !cfg!(miri) {
        assert_eq!(pool.check(), Ok(()), "of the pool {}", pool.name());
    }
}

/// Buffers held so that others do not get them.
#[derive(Debug, Default)]
pub struct Hold(Vec<Packet>);

impl Hold {
    /// Takes all that a pool has of something, but for `left` of them.
    ///
    /// # Panics
    /// If the pool has no limit on it within reach, or fewer than `left`.
    pub fn all_but(pool: &Pool, resource: Resource, left: usize) -> Self {
        let mut held = Vec::new();
        while let Ok(packet) = take(pool, resource) {
            held.push(packet);
            assert!(held.len() < 100_000, "there is no end of {resource}");
        }
        let keep = held.len().checked_sub(left).expect("the pool has as many");
        held.truncate(keep);
        Hold(held)
    }

    /// Adds what another holds.
    pub fn and(mut self, other: Hold) -> Self {
        self.0.extend(other.0);
        self
    }

    /// Lets one go; false if there is none.
    pub fn relieve(&mut self) -> bool {
        self.0.pop().is_some()
    }

    /// Buffers held.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn take(pool: &Pool, resource: Resource) -> Result<Packet, ()> {
    match resource {
        Resource::Mbuf => Packet::new(pool).map_err(drop),
        Resource::Storage(class) => Packet::with_class(pool, class).map_err(drop),
        _ => Packet::from_owner(pool, [0u8; 1]).map_err(drop),
    }
}

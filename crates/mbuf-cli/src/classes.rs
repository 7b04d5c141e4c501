//! The classes of buffers, and what they are called.

use mbuf::{AllocCause, AllocError, ClassStats, PoolStats, Resource};

/// How many classes there are.
pub(crate) const COUNT: usize = 5;

/// A class of buffers.
pub(crate) struct Class {
    /// What reports call it.
    pub(crate) name: &'static str,
    /// The option that limits it.
    pub(crate) option: &'static str,
    /// The FreeBSD setting that limits it.
    pub(crate) sysctl: &'static str,
    /// What the pool counts of it.
    pub(crate) stats: fn(&PoolStats) -> &ClassStats,
    /// What an error calls it.
    resource: Resource,
}

/// All classes, the smallest first.
pub(crate) const CLASSES: [Class; COUNT] = [
    Class {
        name: "mbufs",
        option: "--mbufs",
        sysctl: "kern.ipc.nmbufs",
        stats: |stats| &stats.mbufs,
        resource: Resource::Mbuf,
    },
    Class {
        name: "clusters",
        option: "--clusters",
        sysctl: "kern.ipc.nmbclusters",
        stats: |stats| &stats.clusters,
        resource: Resource::Storage(mbuf::Class::Cluster),
    },
    Class {
        name: "jumbo pages",
        option: "--jumbo-pages",
        sysctl: "kern.ipc.nmbjumbop",
        stats: |stats| &stats.jumbo_page,
        resource: Resource::Storage(mbuf::Class::Page),
    },
    Class {
        name: "9k jumbo",
        option: "--jumbo-9k",
        sysctl: "kern.ipc.nmbjumbo9",
        stats: |stats| &stats.jumbo_9k,
        resource: Resource::Storage(mbuf::Class::Jumbo9),
    },
    Class {
        name: "16k jumbo",
        option: "--jumbo-16k",
        sysctl: "kern.ipc.nmbjumbo16",
        stats: |stats| &stats.jumbo_16k,
        resource: Resource::Storage(mbuf::Class::Jumbo16),
    },
];

/// Says which limit an allocation met and how to raise it, or that there was no memory.
pub(crate) fn explain(error: &AllocError) -> String {
    let class = CLASSES.iter().find(|class| class.resource == error.resource);
    match (error.cause, class) {
        (AllocCause::Limit(limit), Some(Class { option, .. })) => {
            format!("limit {option} {limit} reached, raise it")
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_told_from_want_of_memory() {
        let get = |pool: mbuf::Pool| mbuf::Packet::with_class(&pool, mbuf::Class::Jumbo9).unwrap_err();
        let limited = get(mbuf::Pool::builder().jumbo_9k(0).build().unwrap());
        assert_eq!(explain(&limited), "limit --jumbo-9k 0 reached, raise it");
        let no_memory = mbuf::Arena::new(Box::leak(Box::default()));
        let dry = get(mbuf::Pool::builder().pages(no_memory).build().unwrap());
        assert_eq!(explain(&dry), "no memory for mbufs");
    }
}

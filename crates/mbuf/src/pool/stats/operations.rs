//! The slow paths that are counted, listed once: from the list come the snapshot, the live counters, and their names.

use super::PoolStats;
use super::counters::{Counter, Counters, sum};

type Node = (&'static str, &'static str, fn(&PoolStats) -> u64);

macro_rules! operations {
    (
        $(#[$type_meta:meta])*
        pub struct OpStats {
            $(#[doc = $doc:literal] pub $name:ident: u64,)+
        }
    ) => {
        $(#[$type_meta])*
        pub struct OpStats {
            $(#[doc = $doc] pub $name: u64,)+
        }

        /// The live counters behind [`OpStats`].
        #[derive(Default)]
        pub(crate) struct OpCounters {
            $(pub(crate) $name: Counter,)+
        }

        impl OpStats {
            /// Name in a sysctl, what it counts, and where that is in a snapshot.
            pub(crate) const NODES: &[Node] = &[
                $((concat!("kern.ipc.mbuf.ops.", stringify!($name)), $doc, |stats| stats.ops.$name),)+
            ];

            pub(super) fn of(counters: &[&Counters]) -> Self {
                OpStats { $($name: sum(counters, |set| Some(&set.$name)) as u64,)+ }
            }

            /// What was counted since an earlier snapshot of the same pool.
            pub fn since(&self, earlier: &OpStats) -> OpStats {
                OpStats { $($name: self.$name.saturating_sub(earlier.$name),)+ }
            }

            /// All counters: name, what it counts, how often.
            pub fn iter(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
                [$((stringify!($name), $doc.trim_ascii(), self.$name),)+].into_iter()
            }
        }
    };
}

operations! {
    /// How often operations took a slow path, and failed. Not a count of all copies: constructors, duplicates,
    /// `shatter`, `collapse` and short appends are not in it.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    #[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
    #[non_exhaustive]
    pub struct OpStats {
        /// Copies that share storage and failed (`m_mcfail`).
        pub copy_failures: u64,
        /// Deep copies that failed.
        pub duplicate_failures: u64,
        /// Ranges that were made contiguous in a fresh segment (`m_pullup`, `m_pulldown`).
        pub pullups: u64,
        /// Ranges that could not be made contiguous (`m_mpfail`).
        pub pullup_failures: u64,
        /// Prepends that found no headroom and allocated.
        pub prepends: u64,
        /// Prepends that failed.
        pub prepend_failures: u64,
        /// Packets defragmented (`m_defragpackets`).
        pub defrag_packets: u64,
        /// Bytes copied to defragment (`m_defragbytes`).
        pub defrag_bytes: u64,
        /// Defragmentations that had nothing to do (`m_defraguseless`).
        pub defrag_useless: u64,
        /// Defragmentations that failed (`m_defragfailure`).
        pub defrag_failures: u64,
        /// Segments copied because they had to be written and were shared or read-only.
        pub copies_on_write: u64,
    }
}

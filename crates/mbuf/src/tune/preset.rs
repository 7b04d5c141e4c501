//! What the BSDs make of a machine's size: formulas, and rules between limits.

use core::fmt;

use crate::config::{Class, MHLEN};
use crate::raw::zones::Limits;

/// A system whose formulas give the limits that are not set, and whose rules hold between them.
///
/// With `u` for `kern.maxusers` ([`DEFAULT_USERS`](Self::DEFAULT_USERS) if that is not set) and `c` for the limit on
/// clusters, set or not:
///
/// | | `unlimited` | `dragonfly` | `freebsd` | `netbsd` |
/// | --- | --- | --- | --- | --- |
/// | clusters | no limit | 512 + 16 `u` | 1024 + 64 `u` | 1024 |
/// | 4, 9, 16 KiB | no limit | `c`/2, `c`/4, `c`/8 | the same | the same |
/// | mbufs | no limit | the larger of 2 `c` and all buffers together | the same | the same |
/// | mbufs, at least | – | the same | all buffers together | the same |
/// | headroom | 16 + 48 | 16 + 60 | 16 + 60 | 16 + 60 |
/// | limits in use | `free` | `fixed` | `grow-only` | `grow-only` |
///
/// Jumbo clusters are FreeBSD's; the other two presets take its shares of them. Limits that are `unlimited` are left
/// out of sums. What the BSDs do not limit, or derive from a value that is replaced later, is limited here, and
/// derived from the value in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Preset {
    /// No limit but those that are set, no rules between them.
    #[default]
    Unlimited,
    /// DragonFly BSD of 2008.
    DragonFly,
    /// FreeBSD with jumbo clusters.
    FreeBsd,
    /// NetBSD of 1999.
    NetBsd,
}

/// How the limits of a pool may change while it is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum LimitPolicy {
    /// Up and down.
    #[default]
    Free,
    /// To a larger one only, as in FreeBSD: the same once more is an error, too.
    GrowOnly,
    /// Not at all, as in DragonFly.
    Fixed,
}

impl Preset {
    /// All of them.
    pub const ALL: [Preset; 4] = [Preset::Unlimited, Preset::DragonFly, Preset::FreeBsd, Preset::NetBsd];

    /// `kern.maxusers` when it is not set: the most that FreeBSD makes of a machine's memory by itself.
    pub const DEFAULT_USERS: u64 = 384;

    /// Its name: `unlimited`, `dragonfly`, `freebsd` or `netbsd`.
    pub fn name(self) -> &'static str {
        match self {
            Preset::Unlimited => "unlimited",
            Preset::DragonFly => "dragonfly",
            Preset::FreeBsd => "freebsd",
            Preset::NetBsd => "netbsd",
        }
    }

    /// The preset of that name.
    pub fn named(name: &str) -> Option<Preset> {
        Preset::ALL.into_iter().find(|preset| preset.name() == name)
    }

    /// How limits may change, unless that is set.
    pub fn policy(self) -> LimitPolicy {
        match self {
            Preset::Unlimited => LimitPolicy::Free,
            Preset::DragonFly => LimitPolicy::Fixed,
            Preset::FreeBsd | Preset::NetBsd => LimitPolicy::GrowOnly,
        }
    }

    /// Whether `kern.maxusers` has a say.
    pub(super) fn counts_users(self) -> bool {
        matches!(self, Preset::DragonFly | Preset::FreeBsd)
    }

    /// Clusters. `None` is no limit. `users` is one that [`Tunable::check`](super::Tunable::check) lets pass.
    pub(super) fn clusters(self, users: u64) -> Option<u64> {
        match self {
            Preset::Unlimited => None,
            Preset::DragonFly => Some(512 + 16 * users),
            Preset::FreeBsd => Some(1024 + 64 * users),
            Preset::NetBsd => Some(1024),
        }
    }

    /// Buffers of a class, from the limit on clusters in force. Never none at all.
    pub(super) fn share(self, class: Class, clusters: Option<u64>) -> Option<u64> {
        let clusters = clusters.filter(|_| self != Preset::Unlimited)?;
        let part = match class {
            Class::Cluster => 1,
            Class::Page => 2,
            Class::Jumbo9 => 4,
            Class::Jumbo16 => 8,
        };
        Some((clusters / part).max(1))
    }

    /// Mbufs, from the limits on buffers in force.
    pub(super) fn mbufs(self, clusters: [Option<u64>; 4]) -> Option<u64> {
        let first = clusters[Class::Cluster.index()].filter(|_| self != Preset::Unlimited)?;
        Some(first.saturating_mul(2).max(sum(clusters)))
    }

    /// Fewest mbufs that the rules allow beside these limits on buffers.
    pub(crate) fn least_mbufs(self, clusters: [Option<u64>; 4]) -> u64 {
        match self {
            Preset::Unlimited => 0,
            Preset::DragonFly => self.mbufs(clusters).unwrap_or_else(|| sum(clusters)),
            Preset::FreeBsd | Preset::NetBsd => sum(clusters),
        }
    }

    /// The rule behind [`least_mbufs`](Self::least_mbufs), as a clause.
    pub(crate) fn least_mbufs_rule(self) -> &'static str {
        match self {
            Preset::DragonFly => "two mbufs for each cluster, and one for each buffer of any size",
            _ => "an mbuf for each buffer of any size",
        }
    }

    /// Bytes for protocol headers, unless they are set.
    pub(super) fn protocol_header(self) -> u64 {
        match self {
            Preset::Unlimited => 48,
            // IPv6 and TCP.
            _ => 60,
        }
    }
}

fn sum(clusters: [Option<u64>; 4]) -> u64 {
    clusters.into_iter().flatten().fold(0, u64::saturating_add)
}

/// The fewest mbufs that a preset's rules allow beside these limits.
pub(crate) fn least_mbufs(preset: Preset, limits: &Limits) -> u64 {
    preset.least_mbufs(limits.clusters.map(|limit| limit.map(|n| n as u64)))
}

impl LimitPolicy {
    /// All of them.
    pub const ALL: [LimitPolicy; 3] = [LimitPolicy::Free, LimitPolicy::GrowOnly, LimitPolicy::Fixed];

    /// Its name: `free`, `grow-only` or `fixed`.
    pub fn name(self) -> &'static str {
        match self {
            LimitPolicy::Free => "free",
            LimitPolicy::GrowOnly => "grow-only",
            LimitPolicy::Fixed => "fixed",
        }
    }

    /// The policy of that name.
    pub fn named(name: &str) -> Option<LimitPolicy> {
        LimitPolicy::ALL.into_iter().find(|policy| policy.name() == name)
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl fmt::Display for LimitPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

const _: () = assert!(MHLEN >= 76, "every preset's headers fit into a header mbuf");

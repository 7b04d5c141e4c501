//! The tunables there are, and what each may be.

use core::fmt;

use super::error::Rule;
use super::preset::{LimitPolicy, Preset};
use crate::config::{Class, MCLBYTES, MHLEN, MSIZE};
use crate::error::Resource;
use crate::fault::{Fault, FaultError};

/// A setting of a pool that has a name.
///
/// | tunable | name | a value is |
/// | --- | --- | --- |
/// | `Preset` | `kern.ipc.mbuf.preset` | `unlimited`, `dragonfly`, `freebsd`, `netbsd` |
/// | `Policy` | `kern.ipc.mbuf.policy` | `free`, `grow-only`, `fixed` |
/// | `MaxUsers` | `kern.maxusers` | at least 1 |
/// | `Clusters` | `kern.ipc.nmbclusters`, `kern.mbuf.nmbclusters` | at least 1, or `unlimited` |
/// | `JumboPages`, `Jumbo9k`, `Jumbo16k` | `kern.ipc.nmbjumbop`, `…nmbjumbo9`, `…nmbjumbo16` | the same |
/// | `Mbufs` | `kern.ipc.nmbufs` | the same |
/// | `Memory` | `kern.ipc.maxmbufmem` | bytes of all buffers together, or `unlimited` |
/// | `LinkHeader` | `kern.ipc.max_linkhdr` | bytes |
/// | `ProtocolHeader` | `kern.ipc.max_protohdr` | bytes |
/// | `Header` | `kern.ipc.max_hdr` | bytes, the sum of these two |
/// | `DataLen` | `kern.ipc.max_datalen` | bytes |
/// | `Wait` | `kern.ipc.mbuf_wait` | milliseconds, or `unlimited` |
/// | `DefragFailures` | `kern.ipc.m_defragrandomfailures` | 0 for never, or *n* for one in *n* |
/// | `Fault` | `kern.ipc.mbuf.fault` | `none`, or a [`Fault`] as text |
/// | `Audit` | `kern.ipc.mbuf.audit` | 0 for none, or *n* to record one allocation in *n* |
///
/// [`about`](Self::about) says what each is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[allow(missing_docs)] // the table above, and `about`
pub enum Tunable {
    Preset,
    Policy,
    MaxUsers,
    Clusters,
    JumboPages,
    Jumbo9k,
    Jumbo16k,
    Mbufs,
    Memory,
    LinkHeader,
    ProtocolHeader,
    Header,
    DataLen,
    Wait,
    DefragFailures,
    Fault,
    Audit,
}

struct Info {
    name: &'static str,
    alias: Option<&'static str>,
    variable: &'static str,
    kind: Kind,
    about: &'static str,
}

/// What a value may be.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Preset,
    Policy,
    Users,
    Limit(Resource),
    /// A limit on the bytes of them all.
    Budget,
    /// Bytes, up to a number of them.
    Bytes(usize),
    Milliseconds,
    OneIn,
    Fault,
}

impl Kind {
    pub(super) fn may_be_unlimited(self) -> bool {
        matches!(self, Kind::Limit(_) | Kind::Budget | Kind::Milliseconds)
    }
}

/// Headroom that leaves room for data in a cluster.
pub(crate) const MAX_HEADROOM: usize = MCLBYTES / 2;

static TABLE: [Info; Tunable::ALL.len()] = {
    const fn info(name: &'static str, variable: &'static str, kind: Kind, about: &'static str) -> Info {
        Info { name, alias: None, variable, kind, about }
    }
    const fn clusters(name: &'static str, variable: &'static str, class: Class, about: &'static str) -> Info {
        info(name, variable, Kind::Limit(Resource::Storage(class)), about)
    }
    [
        info(
            "kern.ipc.mbuf.preset",
            "MBUF_PRESET",
            Kind::Preset,
            "the system whose formulas and rules give the limits",
        ),
        info(
            "kern.ipc.mbuf.policy",
            "MBUF_POLICY",
            Kind::Policy,
            "how limits may change while the pool is in use",
        ),
        info(
            "kern.maxusers",
            "MBUF_MAXUSERS",
            Kind::Users,
            "size of the machine, from which a preset computes limits",
        ),
        Info {
            alias: Some("kern.mbuf.nmbclusters"),
            ..clusters(
                "kern.ipc.nmbclusters",
                "MBUF_NMBCLUSTERS",
                Class::Cluster,
                "2 KiB clusters that may be in use",
            )
        },
        clusters("kern.ipc.nmbjumbop", "MBUF_NMBJUMBOP", Class::Page, "4 KiB clusters that may be in use"),
        clusters("kern.ipc.nmbjumbo9", "MBUF_NMBJUMBO9", Class::Jumbo9, "9 KiB clusters that may be in use"),
        clusters(
            "kern.ipc.nmbjumbo16",
            "MBUF_NMBJUMBO16",
            Class::Jumbo16,
            "16 KiB clusters that may be in use",
        ),
        info(
            "kern.ipc.nmbufs",
            "MBUF_NMBUFS",
            Kind::Limit(Resource::Mbuf),
            "mbufs that may be in use, with or without storage",
        ),
        info(
            "kern.ipc.maxmbufmem",
            "MBUF_MAXMBUFMEM",
            Kind::Budget,
            "bytes that all mbufs and clusters may take together",
        ),
        info(
            "kern.ipc.max_linkhdr",
            "MBUF_MAX_LINKHDR",
            Kind::Bytes(MHLEN),
            "headroom of packets without storage: a link header",
        ),
        info(
            "kern.ipc.max_protohdr",
            "MBUF_MAX_PROTOHDR",
            Kind::Bytes(MAX_HEADROOM),
            "further headroom of packets with storage: protocol headers",
        ),
        info(
            "kern.ipc.max_hdr",
            "MBUF_MAX_HDR",
            Kind::Bytes(MAX_HEADROOM),
            "headroom of packets with storage: max_linkhdr + max_protohdr",
        ),
        info(
            "kern.ipc.max_datalen",
            "MBUF_MAX_DATALEN",
            Kind::Bytes(MHLEN),
            "most bytes of a packet that are kept in its mbuf, behind max_linkhdr; more get storage",
        ),
        info(
            "kern.ipc.mbuf_wait",
            "MBUF_MBUF_WAIT",
            Kind::Milliseconds,
            "milliseconds to wait for buffers where the program waits by default",
        ),
        info(
            "kern.ipc.m_defragrandomfailures",
            "MBUF_M_DEFRAGRANDOMFAILURES",
            Kind::OneIn,
            "one in so many defragmentations fails as if memory had run out; 0: none does",
        ),
        info(
            "kern.ipc.mbuf.fault",
            "MBUF_FAULT",
            Kind::Fault,
            "allocations that fail as if memory had run out, to test what the program does then",
        ),
        info(
            "kern.ipc.mbuf.audit",
            "MBUF_AUDIT",
            Kind::OneIn,
            "about one in so many allocations is recorded, from 128 on of those that add up: who, when, what happens; 0: none is",
        ),
    ]
};

impl Tunable {
    /// All of them.
    pub const ALL: [Tunable; 17] = [
        Tunable::Preset,
        Tunable::Policy,
        Tunable::MaxUsers,
        Tunable::Clusters,
        Tunable::JumboPages,
        Tunable::Jumbo9k,
        Tunable::Jumbo16k,
        Tunable::Mbufs,
        Tunable::Memory,
        Tunable::LinkHeader,
        Tunable::ProtocolHeader,
        Tunable::Header,
        Tunable::DataLen,
        Tunable::Wait,
        Tunable::DefragFailures,
        Tunable::Fault,
        Tunable::Audit,
    ];

    fn info(self) -> &'static Info {
        &TABLE[self as usize]
    }

    /// Its name, such as `kern.ipc.nmbclusters`.
    pub fn name(self) -> &'static str {
        self.info().name
    }

    /// Another name by which it is known.
    pub fn alias(self) -> Option<&'static str> {
        self.info().alias
    }

    /// Its short environment variable, such as `MBUF_NMBCLUSTERS`.
    pub fn variable(self) -> &'static str {
        self.info().variable
    }

    /// What it is for, in a line.
    pub fn about(self) -> &'static str {
        self.info().about
    }

    /// What it limits, if it is a limit.
    pub fn resource(self) -> Option<Resource> {
        match self.kind() {
            Kind::Limit(resource) => Some(resource),
            _ => None,
        }
    }

    /// Whether it is a limit, or the budget.
    pub(crate) fn is_limit(self) -> bool {
        matches!(self.kind(), Kind::Limit(_) | Kind::Budget)
    }

    /// The limit on something, if that has a name.
    pub fn of(resource: Resource) -> Option<Tunable> {
        Tunable::ALL.into_iter().find(|tunable| tunable.resource() == Some(resource))
    }

    /// The tunable of that name or alias.
    pub fn named(name: &str) -> Option<Tunable> {
        Tunable::ALL.into_iter().find(|tunable| tunable.names().any(|known| known == name))
    }

    pub(crate) fn names(self) -> impl Iterator<Item = &'static str> + Clone {
        [Some(self.name()), self.alias()].into_iter().flatten()
    }

    pub(super) fn kind(self) -> Kind {
        self.info().kind
    }

    /// Whether a value is one that this may have, whatever the others are.
    pub(crate) fn check(self, value: Value) -> Result<(), Rule> {
        let number = match (self.kind(), value) {
            (Kind::Preset, Value::Preset(_)) | (Kind::Policy, Value::Policy(_)) => return Ok(()),
            (Kind::Fault, Value::Fault(_)) => return Ok(()),
            (kind, Value::Unlimited) if kind.may_be_unlimited() => return Ok(()),
            (Kind::Preset | Kind::Policy | Kind::Fault, _) => return Err(Rule::Expected(self.expected())),
            (_, Value::Number(number)) => number,
            _ => return Err(Rule::Expected(self.expected())),
        };
        let (min, max) = match self.kind() {
            Kind::Limit(resource) => (1, isize::MAX as usize / size(resource)),
            // The largest formula is 64 per user.
            Kind::Budget => (1, isize::MAX as usize),
            Kind::Users => (1, isize::MAX as usize / MCLBYTES / 128),
            Kind::Bytes(max) => (0, max),
            _ => (0, u32::MAX as usize),
        };
        match number {
            0 if min > 0 && self.kind().may_be_unlimited() => Err(Rule::ZeroLimit),
            0 if min > 0 => Err(Rule::Zero),
            n if n > max as u64 => Err(Rule::TooLarge { max: max as u64 }),
            _ => Ok(()),
        }
    }

    /// What a value looks like.
    pub(super) fn expected(self) -> &'static str {
        match self.kind() {
            Kind::Preset => "`unlimited`, `dragonfly`, `freebsd` or `netbsd`",
            Kind::Policy => "`free`, `grow-only` or `fixed`",
            Kind::Limit(_) => "a whole number or `unlimited`",
            Kind::Budget => "a whole number of bytes or `unlimited`",
            Kind::Bytes(_) => "a whole number of bytes",
            Kind::Milliseconds => "a whole number of milliseconds or `unlimited`",
            Kind::Users | Kind::OneIn => "a whole number",
            Kind::Fault => FaultError::EXPECTED,
        }
    }
}

/// Bytes of one.
pub(super) fn size(resource: Resource) -> usize {
    match resource {
        Resource::Storage(class) => class.size(),
        Resource::Mbuf | Resource::External => MSIZE,
    }
}

impl fmt::Display for Tunable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The value of a [`Tunable`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Value {
    /// A number of buffers, bytes, or what it may be.
    Number(u64),
    /// No limit.
    Unlimited,
    /// Of [`Tunable::Preset`].
    Preset(Preset),
    /// Of [`Tunable::Policy`].
    Policy(LimitPolicy),
    /// Of [`Tunable::Fault`].
    Fault(Option<Fault>),
}

impl Value {
    /// The number, if it is one that this machine can count.
    pub(crate) fn number(self) -> Option<usize> {
        match self {
            Value::Number(n) => usize::try_from(n).ok(),
            _ => None,
        }
    }

    pub(crate) fn fault(self) -> Option<Fault> {
        match self {
            Value::Fault(fault) => fault,
            _ => None,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Number(n) => n.fmt(f),
            Value::Unlimited => f.pad("unlimited"),
            Value::Preset(preset) => preset.fmt(f),
            Value::Policy(policy) => policy.fmt(f),
            Value::Fault(None) => f.pad("none"),
            Value::Fault(Some(fault)) => fault.fmt(f),
        }
    }
}

impl From<u64> for Value {
    fn from(n: u64) -> Self {
        Value::Number(n)
    }
}

impl From<usize> for Value {
    fn from(n: usize) -> Self {
        Value::Number(n as u64)
    }
}

/// `None` is [`Value::Unlimited`].
impl From<Option<usize>> for Value {
    fn from(limit: Option<usize>) -> Self {
        limit.map_or(Value::Unlimited, Value::from)
    }
}

impl From<Preset> for Value {
    fn from(preset: Preset) -> Self {
        Value::Preset(preset)
    }
}

impl From<Option<Fault>> for Value {
    fn from(fault: Option<Fault>) -> Self {
        Value::Fault(fault)
    }
}

impl From<LimitPolicy> for Value {
    fn from(policy: LimitPolicy) -> Self {
        Value::Policy(policy)
    }
}

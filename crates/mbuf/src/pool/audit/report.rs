//! What an audit says.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use mbuf_zone::raw::Site;

use super::Audit;
use crate::config::{Class, MSIZE};

/// What is allocated at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Buffer {
    /// An mbuf.
    Mbuf,
    /// An mbuf with a cluster.
    Pair(Class),
    /// A cluster for an mbuf that is allocated apart.
    Cluster(Class),
    /// The record of external storage.
    External,
}

impl Buffer {
    /// Whether an mbuf is a part of it.
    pub(crate) fn is_mbuf(self) -> bool {
        matches!(self, Buffer::Mbuf | Buffer::Pair(_))
    }

    /// Bytes of the pool's memory, without descriptors.
    pub fn bytes(self) -> usize {
        match self {
            Buffer::Mbuf => MSIZE,
            Buffer::Pair(class) => MSIZE + class.size(),
            Buffer::Cluster(class) => class.size(),
            Buffer::External => 0,
        }
    }
}

impl fmt::Display for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Buffer::Mbuf => f.write_str("mbuf"),
            Buffer::Pair(class) => write!(f, "mbuf with a {} KiB cluster", class.size() / 1024),
            Buffer::Cluster(class) => write!(f, "{} KiB cluster", class.size() / 1024),
            Buffer::External => f.write_str("record of external storage"),
        }
    }
}

/// Something that happens to a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[repr(u8)]
pub enum LifeEvent {
    /// It was handed out.
    Allocated = 1,
    /// Another mbuf was to show what it shows.
    Shared = 2,
    /// It was cut, and another mbuf shows the rest.
    Split = 3,
    /// Bytes of it were copied, because they were shared and had to be written.
    Copied = 4,
    /// Somebody [claimed](crate::MbufChain::claim) it.
    Claimed = 5,
    /// It came back.
    Freed = 6,
    /// There was no mbuf for what was to be done last.
    Refused = 7,
}

impl LifeEvent {
    const ALL: [LifeEvent; 7] = [
        LifeEvent::Allocated,
        LifeEvent::Shared,
        LifeEvent::Split,
        LifeEvent::Copied,
        LifeEvent::Claimed,
        LifeEvent::Freed,
        LifeEvent::Refused,
    ];
}

impl fmt::Display for LifeEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LifeEvent::Allocated => "allocated",
            LifeEvent::Shared => "shared",
            LifeEvent::Split => "split",
            LifeEvent::Copied => "copied",
            LifeEvent::Claimed => "claimed",
            LifeEvent::Freed => "freed",
            LifeEvent::Refused => "refused",
        })
    }
}

/// The last sixteen events of a buffer, in this life and those before.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct History(u64);

impl History {
    pub(super) fn push(&mut self, event: LifeEvent) {
        self.0 = self.0 << 4 | event as u64;
    }

    /// What happened since it was handed out the last time, as far as that is known.
    pub fn last_life(self) -> Self {
        let mut life = History::default();
        for event in self.events() {
            if event == LifeEvent::Allocated {
                life = History::default();
            }
            life.push(event);
        }
        life
    }

    /// The events, the latest last.
    pub fn events(self) -> impl Iterator<Item = LifeEvent> {
        let places = (0..64).step_by(4).rev();
        places.filter_map(move |shift| {
            let bits = (self.0 >> shift & 0xf) as usize;
            LifeEvent::ALL.get(bits.wrapping_sub(1)).copied()
        })
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, event) in self.events().enumerate() {
            write!(f, "{}{event}", if i > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.events()).finish()
    }
}

/// A buffer in use.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LiveBuffer {
    /// Counts the records of the pool's audit.
    pub serial: u64,
    /// What it is.
    pub what: Buffer,
    /// The line of the program that asked for it.
    pub site: Site,
    /// The thread that did: its name, or number.
    pub thread: Arc<str>,
    /// For how long it has been in use. Nobody knows without `std`.
    pub age: Option<Duration>,
    /// Who [claimed](crate::MbufChain::claim) it last.
    pub owner: Option<&'static str>,
    /// With which number; zero if nobody did.
    pub id: u32,
    /// What happened to it.
    pub history: History,
}

/// Buffers in use that the same line asked for.
#[derive(Debug)]
#[non_exhaustive]
pub struct LiveGroup<'a> {
    /// The line.
    pub site: Site,
    /// How many there are of each kind.
    pub counts: Vec<(Buffer, usize)>,
    /// Bytes of all of them.
    pub bytes: usize,
    /// The one that was asked for first.
    pub oldest: &'a LiveBuffer,
}

impl LiveGroup<'_> {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.counts.iter().map(|(_, count)| count).sum()
    }
}

/// What was done to memory that nobody has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Damage {
    /// A free buffer was written.
    WrittenAfterFree,
    /// What is behind a cluster was written.
    Overrun,
}

/// Memory that was written though nobody has it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Finding {
    /// What it is part of.
    pub what: Buffer,
    /// What was done.
    pub damage: Damage,
    /// The first byte that is not as it should be: of the cluster, or of the mbuf's data area.
    pub offset: usize,
    /// What is there.
    pub found: u8,
    /// What should be.
    pub expected: u8,
    /// The line that asked for the buffer when it was last in use, if that is known.
    pub site: Option<Site>,
    /// The thread that gave it back then.
    pub thread: Arc<str>,
    /// What had happened to it.
    pub history: History,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Finding { what, offset, found, expected, thread, history, .. } = self;
        let when = match self.damage {
            Damage::WrittenAfterFree => "was written after it was freed",
            Damage::Overrun => "was written beyond its end",
        };
        write!(f, "{what} {when}: byte {offset} is {found:#04x} and was {expected:#04x}; ")?;
        if let Some(site) = self.site {
            write!(f, "allocated at {site}, ")?;
        }
        write!(f, "freed by thread {thread}")?;
        if *history != History::default() {
            write!(f, " ({history})")?;
        }
        Ok(())
    }
}

/// What an audit knows: see [`Pool::audit_report`](crate::Pool::audit_report).
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct AuditReport {
    /// The pool's name.
    pub pool: String,
    /// How it is audited; `None` if it is not.
    pub audit: Option<Audit>,
    /// Buffers in use that were recorded, in the order in which they were asked for.
    pub live: Vec<LiveBuffer>,
    /// Memory that was found written though nobody has it; the first 64.
    pub findings: Vec<Finding>,
    /// How many more there were.
    pub more_findings: usize,
}

impl AuditReport {
    /// The buffers by the line that asked for them; those with most bytes first.
    pub fn groups(&self) -> Vec<LiveGroup<'_>> {
        let mut groups: Vec<LiveGroup<'_>> = Vec::new();
        for live in &self.live {
            let place = groups.iter().position(|group| group.site == live.site).unwrap_or_else(|| {
                groups.push(LiveGroup { site: live.site, counts: Vec::new(), bytes: 0, oldest: live });
                groups.len() - 1
            });
            let group = &mut groups[place];
            group.bytes += live.what.bytes();
            match group.counts.iter_mut().find(|(what, _)| *what == live.what) {
                Some((_, count)) => *count += 1,
                None => group.counts.push((live.what, 1)),
            }
        }
        groups.sort_by(|a, b| b.bytes.cmp(&a.bytes).then(b.count().cmp(&a.count())));
        groups
    }
}

impl fmt::Display for AuditReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AuditReport { pool, live, findings, more_findings, .. } = self;
        let Some(audit) = self.audit else { return write!(f, "pool {pool}: not audited") };
        let bytes: usize = live.iter().map(|live| live.what.bytes()).sum();
        write!(f, "pool {pool}: in use: {}, {bytes} bytes", live.len())?;
        if audit.one_in > 1 {
            write!(f, ", of one allocation in {} that is recorded", audit.one_in)?;
        }
        for group in self.groups() {
            write!(f, "\n  {} bytes from {}: ", group.bytes, group.site)?;
            for (i, (what, count)) in group.counts.iter().enumerate() {
                write!(f, "{}{count} × {what}", if i > 0 { ", " } else { "" })?;
            }
            let LiveBuffer { thread, age, owner, id, history, .. } = group.oldest;
            write!(f, "\n    oldest: thread {thread}")?;
            if let Some(age) = age {
                write!(f, ", {age:.1?} ago")?;
            }
            if let Some(owner) = owner {
                write!(f, ", claimed by {owner} with {id}")?;
            }
            write!(f, " ({})", history.last_life())?;
        }
        for finding in findings {
            write!(f, "\n  {finding}")?;
        }
        if *more_findings > 0 {
            write!(f, "\n  and {more_findings} more of the kind")?;
        }
        Ok(())
    }
}

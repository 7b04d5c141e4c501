//! Where stages hand in their results.

use std::borrow::Cow;

use mbuf::{OpError, Packet, PacketQueue};
use mbuf_io::{Interface, LinkType, MAX_INTERFACES};

use crate::classes;

/// What this program keeps in the `user` field of a packet header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Which frame of the run it came from.
    pub(crate) frame: u32,
    /// Bytes that the capture did not keep.
    pub(crate) missing: u32,
}

impl Mark {
    /// Reads the mark of a packet.
    pub(crate) fn of(packet: &Packet) -> Self {
        let [a, b, c, d, e, f, g, h] = packet.meta().user;
        Self { frame: u32::from_ne_bytes([a, b, c, d]), missing: u32::from_ne_bytes([e, f, g, h]) }
    }

    /// Writes it to a packet.
    pub(crate) fn put(self, packet: &mut Packet) {
        let user = &mut packet.meta_mut().user;
        user[..4].copy_from_slice(&self.frame.to_ne_bytes());
        user[4..].copy_from_slice(&self.missing.to_ne_bytes());
    }
}

/// The interfaces of a run: those of the capture and those that stages bring.
#[derive(Debug, Default)]
pub(crate) struct Interfaces {
    list: Vec<Interface>,
}

impl Interfaces {
    /// Adds an interface and returns its number; `None` when there are too many.
    pub(crate) fn add(&mut self, interface: Interface) -> Option<u32> {
        // Twice as many as a capture can have: a tunnel brings one per network.
        if self.list.len() >= MAX_INTERFACES * 2 {
            return None;
        }
        self.list.push(interface);
        u32::try_from(self.list.len() - 1).ok()
    }

    /// Finds an interface by link type and name, or adds it.
    pub(crate) fn find_or_add(&mut self, link: LinkType, name: &str) -> Option<u32> {
        let same = |interface: &Interface| interface.link == link && interface.name.as_deref() == Some(name);
        match self.list.iter().position(same) {
            Some(index) => u32::try_from(index).ok(),
            None => self.add(Interface::new(link).named(name)),
        }
    }

    /// Returns interface number `index`.
    pub(crate) fn get(&self, index: u32) -> Option<&Interface> {
        self.list.get(usize::try_from(index).ok()?)
    }

    /// Returns the link type of a packet.
    pub(crate) fn link_of(&self, packet: &Packet) -> LinkType {
        // A packet's interface was added before it; the default link type is one that nobody looks into.
        self.get(packet.meta().interface).map_or(LinkType(u16::MAX), |interface| interface.link)
    }
}

/// Counts by group and label, in the order of first use.
#[derive(Debug, Default)]
pub(crate) struct Counts(Vec<(&'static str, Cow<'static, str>, u64)>);

impl Counts {
    /// Adds one.
    pub(crate) fn add(&mut self, group: &'static str, label: impl Into<Cow<'static, str>>) {
        let label = label.into();
        match self.0.iter_mut().find(|entry| entry.0 == group && entry.1 == label) {
            Some(entry) => entry.2 += 1,
            None => self.0.push((group, label, 1)),
        }
    }

    /// Returns the labels of a group.
    pub(crate) fn labels(&self, group: &str) -> impl Iterator<Item = &str> {
        self.iter().filter(move |entry| entry.0 == group).map(|(_, label, _)| label)
    }

    /// Returns each group, label and count.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, &str, u64)> {
        self.0.iter().map(|(group, label, count)| (*group, label.as_ref(), *count))
    }
}

/// What one stage did.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Packets and bytes that went in.
    pub(crate) packets_in: u64,
    pub(crate) bytes_in: u64,
    /// Packets and bytes that came out.
    pub(crate) packets_out: u64,
    pub(crate) bytes_out: u64,
    /// Time spent, in nanoseconds.
    pub(crate) nanos: u64,
    /// Packets that were dropped, by reason; those that a larger pool would have kept are in the group [`STARVED`].
    pub(crate) dropped: Counts,
    /// What else is worth counting.
    pub(crate) notes: Counts,
    /// Things that must not happen, whatever the input.
    pub(crate) violations: Counts,
}

impl Tally {
    /// Counts a packet that was dropped.
    pub(crate) fn drop(&mut self, reason: impl Into<Reason>) {
        let Reason { group, text } = reason.into();
        self.dropped.add(group, text);
    }
}

/// The group of drop reasons that a larger pool would have spared.
pub(crate) const STARVED: &str = "starved";

/// Why a packet was dropped.
pub(crate) struct Reason {
    group: &'static str,
    text: Cow<'static, str>,
}

impl From<&'static str> for Reason {
    fn from(text: &'static str) -> Self {
        Self { group: "", text: text.into() }
    }
}

impl From<&OpError> for Reason {
    fn from(error: &OpError) -> Self {
        match error {
            OpError::Alloc(error) => Self { group: STARVED, text: classes::explain(error).into() },
            other => Self { group: "", text: other.to_string().into() },
        }
    }
}

/// Where a stage hands in what became of its packets.
pub(crate) struct Desk<'a> {
    /// Packets for the next stage.
    pub(crate) out: PacketQueue,
    /// This stage's account.
    pub(crate) tally: &'a mut Tally,
    /// Its interfaces.
    pub(crate) interfaces: &'a mut Interfaces,
    /// Frames of which at least one packet was dropped.
    pub(crate) lost: &'a mut Vec<u32>,
}

impl Desk<'_> {
    /// Passes a packet to the next stage.
    pub(crate) fn pass(&mut self, packet: Packet) {
        self.out.extend([packet]);
    }

    /// Passes a packet on as it is, and counts why nothing was done to it.
    pub(crate) fn pass_untouched(&mut self, packet: Packet, why: &'static str) {
        self.note("untouched", why);
        self.pass(packet);
    }

    /// Counts something.
    pub(crate) fn note(&mut self, group: &'static str, label: &'static str) {
        self.tally.notes.add(group, label);
    }

    /// Drops a packet for a reason.
    pub(crate) fn drop(&mut self, packet: Packet, reason: impl Into<Reason>) {
        self.lose(Mark::of(&packet), reason);
    }

    /// Counts a packet that is gone already, for a reason.
    pub(crate) fn lose(&mut self, mark: Mark, reason: impl Into<Reason>) {
        self.tally.drop(reason);
        self.lost.push(mark.frame);
    }

    /// Counts something that must not happen.
    pub(crate) fn violation(&mut self, what: impl Into<Cow<'static, str>>) {
        self.tally.violations.add("", what);
    }
}

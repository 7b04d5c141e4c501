//! What happens to packets on their way.
//!
//! ```text
//!   window of packets ─▶ process(packet, desk) …  ─▶ end_of_window(desk) ─▶ next stage
//!                           │         └ pass │ drop │ note
//!                           └ may keep packets over windows; finish(desk) gives them up
//! ```
//!
//! Stages use public operations of `mbuf` only. Each packet that goes in comes out, is kept, or is dropped with a
//! reason.

mod coalesce;
mod defrag;
mod desk;
mod fragment;
mod mirror;
mod pieces;
mod random;
mod reassemble;
mod segment;
mod shatter;
mod shuffle;
mod spec;
mod verify;
mod vlan;
mod vxlan;

pub(crate) use desk::{Counts, Desk, Interfaces, Mark, STARVED, Tally};
pub(crate) use spec::{StageList, StageSpec, help, round_trip};

use mbuf::Packet;

/// One thing that is done to packets.
pub(crate) trait Stage {
    /// Takes a packet and hands it, or what became of it, to the desk.
    fn process(&mut self, packet: Packet, desk: &mut Desk<'_>);

    /// Called when all packets of a window went in.
    fn end_of_window(&mut self, _desk: &mut Desk<'_>) {}

    /// Called when no packet follows: what is still kept is dropped.
    fn finish(&mut self, _desk: &mut Desk<'_>) {}

    /// The most bytes it puts in front of a packet.
    fn headroom(&self) -> usize {
        0
    }
}

/// Makes the stage that a specification describes.
pub(crate) fn build(spec: &StageSpec) -> Box<dyn Stage> {
    match *spec {
        StageSpec::Verify => Box::new(verify::Verify),
        StageSpec::Vlan { id } => Box::new(vlan::Push::new(id)),
        StageSpec::VlanPop => Box::new(vlan::Pop),
        StageSpec::Vxlan { version } => Box::new(vxlan::Encapsulate::new(version)),
        StageSpec::Decapsulate => Box::new(vxlan::Decapsulate::default()),
        StageSpec::Fragment { mtu, force } => Box::new(fragment::FragmentStage::new(mtu, force)),
        StageSpec::Reassemble => Box::new(reassemble::Reassemble::default()),
        StageSpec::Segment { size } => Box::new(segment::Segment::new(size)),
        StageSpec::Coalesce { own } => Box::new(coalesce::Coalesce::new(own)),
        StageSpec::Mirror => Box::new(mirror::Mirror::default()),
        StageSpec::Shatter { seed } => Box::new(shatter::Shatter::new(seed)),
        StageSpec::Shuffle { seed } => Box::new(shuffle::Shuffle::new(seed)),
        StageSpec::Defrag => Box::new(defrag::Defrag),
    }
}

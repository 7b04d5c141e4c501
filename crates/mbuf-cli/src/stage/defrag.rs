//! `defrag`: as few buffers as possible.

use mbuf::Packet;

use super::{Desk, Stage};

/// Copies each packet of more than one segment into the fewest buffers that hold it.
pub(crate) struct Defrag;

impl Stage for Defrag {
    fn process(&mut self, mut packet: Packet, desk: &mut Desk<'_>) {
        if packet.segment_count() == 1 {
            return desk.pass_untouched(packet, "one segment");
        }
        match packet.defragment() {
            Ok(()) => desk.pass(packet),
            Err(error) => desk.drop(packet, &error),
        }
    }
}

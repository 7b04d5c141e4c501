//! `shuffle`: a network that does not keep the order.

use mbuf::Packet;

use super::random::Random;
use super::{Desk, Stage};

/// Changes the order of packets within a window.
pub(crate) struct Shuffle {
    random: Random,
    held: Vec<Packet>,
}

impl Shuffle {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { random: Random::new(seed), held: Vec::new() }
    }
}

impl Stage for Shuffle {
    fn process(&mut self, packet: Packet, _: &mut Desk<'_>) {
        self.held.push(packet);
    }

    fn end_of_window(&mut self, desk: &mut Desk<'_>) {
        while !self.held.is_empty() {
            let index = self.random.below(self.held.len());
            desk.pass(self.held.swap_remove(index));
        }
    }
}

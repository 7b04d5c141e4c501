//! `shatter`: the same bytes in segments of random sizes.

use core::iter;

use mbuf::Packet;

use super::random::Random;
use super::{Desk, Mark, Stage};

/// The longest piece, in bytes; small ones are the more likely.
const LONGEST: usize = 512;

/// Cuts each packet into segments whose sizes depend on the seed and the frame's number only.
pub(crate) struct Shatter {
    seed: u64,
}

impl Shatter {
    pub(crate) const fn new(seed: u64) -> Self {
        Self { seed }
    }
}

impl Stage for Shatter {
    fn process(&mut self, mut packet: Packet, desk: &mut Desk<'_>) {
        let mut random = Random::new(self.seed ^ u64::from(Mark::of(&packet).frame) << 32);
        let sizes = iter::from_fn(|| {
            let limit = 1 + random.below(LONGEST);
            Some(1 + random.below(limit))
        });
        match packet.shatter(sizes) {
            Ok(()) => {
                desk.pass(packet);
            }
            Err(error) => desk.drop(packet, &error),
        }
    }
}

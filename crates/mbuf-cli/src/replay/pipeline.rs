//! Windows of packets through the stages.

use std::time::Instant;

use mbuf::{PacketQueue, Pool};

use super::elapsed;
use super::plot::Samples;
use crate::stage::{self, Desk, Interfaces, Stage, StageSpec, Tally};

/// The stages of a run, with their accounts.
pub(super) struct Pipeline {
    stages: Vec<Slot>,
    interfaces: Interfaces,
    lost: Vec<u32>,
    check: bool,
    frames: u64,
}

/// A stage and its account.
pub(super) struct Slot {
    pub(super) name: String,
    pub(super) tally: Tally,
    stage: Box<dyn Stage>,
}

impl Pipeline {
    /// Makes the stages; `check` looks at the invariants of every packet after each.
    pub(super) fn new(specs: &[StageSpec], check: bool) -> Self {
        let slot = |spec: &StageSpec| Slot {
            name: spec.to_string(),
            tally: Tally::default(),
            stage: stage::build(spec),
        };
        let stages = specs.iter().map(slot).collect();
        Self { stages, interfaces: Interfaces::default(), lost: Vec::new(), check, frames: 0 }
    }

    /// The most bytes that all stages together put in front of a packet.
    pub(super) fn headroom(&self) -> usize {
        self.stages.iter().map(|slot| slot.stage.headroom()).sum()
    }

    pub(super) fn interfaces(&mut self) -> &mut Interfaces {
        &mut self.interfaces
    }

    pub(super) fn stages(&self) -> &[Slot] {
        &self.stages
    }

    /// Frames of which a stage dropped a packet since the last call.
    pub(super) fn take_lost(&mut self) -> Vec<u32> {
        core::mem::take(&mut self.lost)
    }

    /// Runs a window through all stages.
    pub(super) fn run(&mut self, packets: PacketQueue, pool: &Pool, samples: &mut Samples) -> PacketQueue {
        self.frames += packets.len() as u64;
        self.run_from(0, packets, pool, samples)
    }

    /// Gets the last packets out of each stage, and through those behind it.
    pub(super) fn finish(&mut self, pool: &Pool, samples: &mut Samples) -> PacketQueue {
        let mut all = PacketQueue::new();
        for index in 0..self.stages.len() {
            let packets = self.step(index, |stage, desk| stage.finish(desk));
            if !packets.is_empty() {
                all.append(&mut self.run_from(index + 1, packets, pool, samples));
            }
        }
        all
    }

    fn run_from(
        &mut self,
        first: usize,
        mut packets: PacketQueue,
        pool: &Pool,
        samples: &mut Samples,
    ) -> PacketQueue {
        for index in first..self.stages.len() {
            packets = self.step(index, |stage, desk| {
                desk.tally.packets_in += packets.len() as u64;
                desk.tally.bytes_in += packets.bytes();
                packets.into_iter().for_each(|packet| stage.process(packet, desk));
                stage.end_of_window(desk);
            });
            samples.take(self.frames, pool);
        }
        packets
    }

    /// Runs one stage, timed, and returns what it passed on.
    fn step(&mut self, index: usize, work: impl FnOnce(&mut dyn Stage, &mut Desk<'_>)) -> PacketQueue {
        let Some(Slot { stage, tally, .. }) = self.stages.get_mut(index) else { return PacketQueue::new() };
        let mut desk =
            Desk { out: PacketQueue::new(), tally, interfaces: &mut self.interfaces, lost: &mut self.lost };
        let start = Instant::now();
        work(stage.as_mut(), &mut desk);
        let nanos = elapsed(start);
        desk.tally.nanos += nanos;
        desk.tally.packets_out += desk.out.len() as u64;
        desk.tally.bytes_out += desk.out.bytes();
        if self.check
            && let Err(corruption) = desk.out.check()
        {
            desk.violation(format!("corrupt packet: {corruption}"));
        }
        desk.out
    }
}

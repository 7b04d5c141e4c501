//! `mbufctl replay`: a capture through a pool and stages.
//!
//! ```text
//!   Input ─▶ window of frames ─▶ intake ─▶ Pipeline: stage, stage, … ─▶ Output, Proof ─▶ release
//!                                   └───────── memory samples ──────────────────┘
//! ```

mod input;
mod output;
mod pipeline;
mod plot;
mod proof;
mod report;

use std::time::Instant;

use mbuf::{PacketQueue, Pool};

use crate::args::ReplayArgs;
use crate::stage::{self, Tally};
use input::{Input, Window};
use output::Output;
use pipeline::Pipeline;
use plot::Samples;
use proof::Proof;

/// What is left of a run: a report and messages.
pub(crate) struct Outcome {
    /// For standard output.
    pub(crate) text: String,
    /// For standard error.
    pub(crate) messages: Vec<String>,
    /// Nothing was damaged, and every proof held.
    pub(crate) success: bool,
}

/// Runs a replay.
///
/// # Errors
/// A message, when there is nothing to report: an input, output or chart that cannot be opened or written.
pub(crate) fn run(args: &ReplayArgs) -> Result<Outcome, String> {
    let mut run = Run::new(args)?;
    run.replay(args)?;
    run.close(args)
}

/// Everything that lives as long as the run.
struct Run {
    input: Input,
    output: Option<Output>,
    pool: Pool,
    pipeline: Pipeline,
    proof: Option<Proof>,
    samples: Samples,
    intake: Tally,
    release: Tally,
}

impl Run {
    fn new(args: &ReplayArgs) -> Result<Self, String> {
        let named = args.stages();
        let proved = args.prove || named.is_empty();
        let specs = if named.is_empty() { stage::round_trip() } else { named };
        let input = Input::open(args.capture.as_deref())?;
        if args.repeat > 1 && !input.can_repeat() {
            return Err("standard input can be read only once: --repeat needs a file".into());
        }
        for path in [&args.out, &args.plot].into_iter().flatten() {
            output::refuse_same(path, args.capture.as_deref())?;
        }
        let output = args.out.as_deref().map(Output::create).transpose()?;
        if let Some(path) = &args.plot {
            output::refuse_same(path, args.out.as_deref())?;
        }
        let pipeline = Pipeline::new(&specs, args.check);
        let pool = build_pool(args, pipeline.headroom())?;
        Ok(Self {
            input,
            output,
            pool,
            pipeline,
            proof: proved.then(Proof::default),
            samples: Samples::default(),
            intake: Tally::default(),
            release: Tally::default(),
        })
    }

    /// Runs all windows of all laps; stops at damage.
    fn replay(&mut self, args: &ReplayArgs) -> Result<(), String> {
        let mut window = Window::default();
        for lap in 0..args.repeat {
            if lap > 0 {
                self.input.rewind(lap)?;
            }
            while self.input.fill(&mut window, args.window, self.pipeline.interfaces())? {
                let packets = self.take_in(&window);
                let packets = self.pipeline.run(packets, &self.pool, &mut self.samples);
                self.deliver(packets)?;
            }
            let packets = self.pipeline.finish(&self.pool, &mut self.samples);
            self.deliver(packets)?;
            if self.input.damage().is_some() {
                break;
            }
        }
        Ok(())
    }

    /// Copies a window of frames into the pool.
    fn take_in(&mut self, window: &Window) -> PacketQueue {
        let mut packets = PacketQueue::new();
        if let Some(proof) = &mut self.proof {
            window.frames().for_each(|(frame, mark)| proof.expect(&frame, mark));
        }
        let start = Instant::now();
        for (frame, mark) in window.frames() {
            self.intake.packets_in += 1;
            self.intake.bytes_in += frame.data.len() as u64;
            match frame.into_packet(&self.pool) {
                Ok(mut packet) => {
                    mark.put(&mut packet);
                    packets.extend([packet]);
                }
                Err(error) => {
                    self.intake.dropped.add("", stage::reason(&error));
                    if let Some(proof) = &mut self.proof {
                        proof.lost(mark.frame);
                    }
                }
            }
        }
        self.intake.nanos += elapsed(start);
        self.intake.packets_out += packets.len() as u64;
        self.intake.bytes_out += packets.bytes();
        self.samples.take(self.intake.packets_in, &self.pool);
        packets
    }

    /// Writes, compares and frees what came out of the last stage.
    fn deliver(&mut self, packets: PacketQueue) -> Result<(), String> {
        for packet in packets.iter() {
            if let Some(output) = &mut self.output {
                output.write(packet, self.pipeline.interfaces())?;
            }
        }
        if let Some(proof) = &mut self.proof {
            self.pipeline.take_lost().into_iter().for_each(|frame| proof.lost(frame));
            packets.iter().for_each(|packet| proof.compare(packet));
        }
        self.pipeline.take_lost();
        self.release.packets_in += packets.len() as u64;
        self.release.bytes_in += packets.bytes();
        let start = Instant::now();
        drop(packets);
        self.release.nanos += elapsed(start);
        self.samples.take(self.intake.packets_in, &self.pool);
        Ok(())
    }

    /// Closes the files and writes the report.
    fn close(mut self, args: &ReplayArgs) -> Result<Outcome, String> {
        self.input.hide_progress();
        let written = self.output.take().map(Output::finish).transpose()?;
        if let Some(path) = &args.plot {
            self.samples.draw(path).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        }
        let report = report::Report::new(args, self, written);
        let text = if args.json { report.to_json() } else { report.to_string() };
        Ok(Outcome { text, messages: report.messages(), success: report.success() })
    }
}

/// Makes the pool, with room in front of each frame for what the stages prepend.
fn build_pool(args: &ReplayArgs, headroom: usize) -> Result<Pool, String> {
    const LEAST_HEADROOM: usize = 64;
    let mut builder = Pool::builder().name("replay").headroom(headroom.max(LEAST_HEADROOM));
    if let Some(limit) = args.mbufs {
        builder = builder.mbufs(limit);
    }
    if let Some(limit) = args.clusters {
        builder = builder.clusters(limit);
    }
    if let Some(limit) = args.jumbo_pages {
        builder = builder.jumbo_pages(limit);
    }
    if let Some(limit) = args.jumbo_9k {
        builder = builder.jumbo_9k(limit);
    }
    if let Some(limit) = args.jumbo_16k {
        builder = builder.jumbo_16k(limit);
    }
    builder.build().map_err(|error| format!("cannot make the pool: {error}"))
}

/// Nanoseconds since `start`.
fn elapsed(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

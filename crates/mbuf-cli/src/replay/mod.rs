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
mod system;
mod target;

use std::io::{IsTerminal, stdout};
use std::path::PathBuf;
use std::time::Instant;

use mbuf::{PacketQueue, Pool, PoolBuilder};

use crate::args::ReplayArgs;
use crate::stage::{self, Tally};
use input::{Input, Source, Window};
use output::Output;
use pipeline::Pipeline;
use plot::Samples;
use proof::Proof;
use report::Report;
use target::{Sink, Target};

/// What is left of a run: a report and messages.
pub(crate) struct Outcome {
    /// The report.
    pub(crate) text: String,
    /// Standard output is taken: the report goes to standard error.
    pub(crate) to_stderr: bool,
    /// For standard error.
    pub(crate) messages: Vec<String>,
    /// The exit status.
    pub(crate) status: u8,
}

/// Runs a replay.
pub(crate) fn run(args: &ReplayArgs) -> Outcome {
    let (text, mut messages, status) = match Run::new(args) {
        Ok(mut run) => {
            run.replay(args);
            run.close(args)
        }
        // Nothing could be done: there is a report only for those who must have JSON.
        Err(message) => {
            let name = Source::new(args.capture.as_deref()).name();
            let text = if args.json { report::refusal(&name, &message) } else { String::new() };
            (text, vec![message], 1)
        }
    };
    let to_stderr = takes_stdout(args);
    if args.json && to_stderr {
        messages.clear(); // JSON has them in it, and nobody could read both from one stream
    }
    Outcome { text, to_stderr, messages, status }
}

/// Whether an output goes to standard output.
fn takes_stdout(args: &ReplayArgs) -> bool {
    let is_stdout = |path: &PathBuf| Target::new(path).is_ok_and(|target| target.is_stdout());
    [&args.out, &args.plot].into_iter().flatten().any(is_stdout)
}

/// Everything that lives as long as the run.
struct Run {
    input: Input,
    output: Option<Output>,
    plot: Option<Sink>,
    pool: Pool,
    pipeline: Pipeline,
    proof: Option<Proof>,
    samples: Samples,
    intake: Tally,
    release: Tally,
    /// Outputs that could not be written, and what else ended the run early.
    failures: Vec<String>,
}

impl Run {
    fn new(args: &ReplayArgs) -> Result<Self, String> {
        let named = args.stages();
        let proved = args.prove || named.is_empty();
        let specs = if named.is_empty() { stage::round_trip() } else { named };
        let source = Source::new(args.capture.as_deref());
        let out = args.out.as_deref().map(Target::new).transpose()?;
        let plot = args.plot.as_deref().map(Target::new).transpose()?;
        let mut uses = vec![("the capture", source.name(), source.identity())];
        for (option, target) in [("--out", &out), ("--plot", &plot)] {
            uses.extend(target.as_ref().map(|target| (option, target.name().to_owned(), target.identity())));
        }
        target::refuse_shared(&uses)?;
        if takes_stdout(args) && stdout().is_terminal() {
            return Err("standard output is a terminal: redirect it, or name a file".into());
        }

        // Nothing is opened for writing before the input is known to be a capture.
        let input = Input::open(source, args.laps())?;
        input.catch_signals()?;
        let output = out.as_ref().map(Output::create).transpose()?;
        let plot = plot.as_ref().map(Sink::open).transpose()?;
        let pipeline = Pipeline::new(&specs, args.check);
        let pool = build_pool(args, pipeline.headroom())?;
        Ok(Self {
            input,
            output,
            plot,
            pool,
            pipeline,
            proof: proved.then(Proof::default),
            samples: Samples::default(),
            intake: Tally::default(),
            release: Tally::default(),
            failures: Vec::new(),
        })
    }

    /// Runs all windows of all laps, up to what ends them early.
    fn replay(&mut self, args: &ReplayArgs) {
        if let Err(message) = self.laps(args) {
            self.failures.push(message);
        }
    }

    fn laps(&mut self, args: &ReplayArgs) -> Result<(), String> {
        let mut window = Window::default();
        let laps = args.laps();
        for lap in (0u64..).take_while(|&lap| laps.is_none_or(|laps| lap < laps.into())) {
            if lap > 0 {
                self.input.rewind()?;
            }
            while self.failures.is_empty()
                && self.input.fill(&mut window, args.window, self.pipeline.interfaces())?
            {
                let packets = self.take_in(&window);
                let packets = self.pipeline.run(packets, &self.pool, &mut self.samples);
                self.deliver(packets);
            }
            let packets = self.pipeline.finish(&self.pool, &mut self.samples);
            self.deliver(packets);
            if self.input.is_broken_off() || !self.failures.is_empty() {
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
                    self.intake.drop(&error);
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
    fn deliver(&mut self, packets: PacketQueue) {
        for packet in packets.iter() {
            if let Some(output) = &mut self.output
                && let Err(message) = output.write(packet, self.pipeline.interfaces())
            {
                self.failures.push(message);
                self.output = None; // with its temporary file
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
    }

    /// Finishes the files; returns the report, messages and the exit status.
    fn close(mut self, args: &ReplayArgs) -> (String, Vec<String>, u8) {
        self.input.hide_progress();
        let written = self.output.take().map(|output| output.finish(self.pipeline.interfaces()));
        let written = self.or_failure(written);
        let plotted = self.plot.take().map(|sink| self.samples.draw(sink));
        let plotted = self.or_failure(plotted);
        let interrupted = self.input.interrupted();
        let report = Report::new(args, self, written, plotted);
        let text = if args.json { report.to_json() } else { report.to_string() };
        let status = match interrupted {
            Some((_, signal)) => 128 + signal,
            None => u8::from(!report.success()),
        };
        (text, report.messages(), status)
    }

    fn or_failure<T>(&mut self, result: Option<Result<T, String>>) -> Option<T> {
        result?.map_err(|message| self.failures.push(message)).ok()
    }
}

/// Makes the pool, with room in front of each frame for what the stages prepend.
fn build_pool(args: &ReplayArgs, headroom: usize) -> Result<Pool, String> {
    const LEAST_HEADROOM: usize = 64;
    let mut builder = Pool::builder().name("replay").headroom(headroom.max(LEAST_HEADROOM));
    type Set = fn(PoolBuilder, usize) -> PoolBuilder;
    let limits: [(_, Set); 5] = [
        (args.mbufs, PoolBuilder::mbufs),
        (args.clusters, PoolBuilder::clusters),
        (args.jumbo_pages, PoolBuilder::jumbo_pages),
        (args.jumbo_9k, PoolBuilder::jumbo_9k),
        (args.jumbo_16k, PoolBuilder::jumbo_16k),
    ];
    for (limit, set) in limits {
        if let Some(limit) = limit {
            builder = set(builder, usize::try_from(limit).unwrap_or(usize::MAX));
        }
    }
    builder.build().map_err(|error| format!("cannot make the pool: {error}"))
}

/// Nanoseconds since `start`.
fn elapsed(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

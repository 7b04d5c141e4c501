//! What is said at the end, for people and as JSON.

use core::fmt;
use std::collections::{BTreeMap, BTreeSet};

use mbuf::PoolStats;
use serde::Serialize;

use super::output::Written;
use super::plot;
use super::{Run, proof::Proof};
use crate::args::ReplayArgs;
use crate::classes::{CLASSES, COUNT, Class};
use crate::stage::{Counts, STARVED, Tally};

/// The whole report. Its JSON form is this structure, field for field.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    version: &'static str,
    capture: CaptureReport,
    window: u32,
    /// None: until it was ended.
    repeat: Option<u32>,
    stages: Vec<StageReport>,
    total: Total,
    proof: ProofReport,
    peak_means: &'static str,
    enough_means: &'static str,
    memory: Vec<ClassReport>,
    out: Option<OutReport>,
    plot: Option<String>,
    /// The signal that ended the run early.
    interrupted: Option<&'static str>,
    warnings: Vec<String>,
    failures: Vec<String>,
    netstat: String,
}

#[derive(Debug, Serialize)]
struct CaptureReport {
    name: String,
    frames: u64,
    bytes: u64,
    damage: Option<DamageReport>,
}

#[derive(Debug, Serialize)]
struct DamageReport {
    file: String,
    frame: Option<u64>,
    offset: u64,
    message: String,
}

#[derive(Debug, Serialize)]
struct StageReport {
    name: String,
    packets_in: u64,
    bytes_in: u64,
    packets_out: u64,
    bytes_out: u64,
    nanoseconds: u64,
    nanoseconds_per_packet: f64,
    dropped: BTreeMap<String, u64>,
    /// The drop reasons that a larger pool would have spared.
    #[serde(skip)]
    starved: BTreeSet<String>,
    notes: BTreeMap<String, BTreeMap<String, u64>>,
    violations: BTreeMap<String, u64>,
}

#[derive(Debug, Serialize)]
struct Total {
    frames: u64,
    dropped: u64,
    nanoseconds: u64,
    nanoseconds_per_frame: f64,
    frames_per_second: f64,
}

#[derive(Debug, Serialize)]
struct ProofReport {
    /// Whether the frames that came out are those that went in. `None` when they were not compared.
    holds: Option<bool>,
    /// Why they were not.
    unchecked: Option<&'static str>,
    identical: u64,
    different: u64,
    absent: u64,
    unexpected: u64,
    dropped: u64,
    first_difference: Option<String>,
}

#[derive(Debug, Serialize)]
struct ClassReport {
    class: &'static str,
    size: usize,
    /// What [`plot::PEAK`] says.
    peak: usize,
    peak_bytes: usize,
    in_use: usize,
    cached: usize,
    total: usize,
    limit: Option<usize>,
    denied: u64,
    allocations: u64,
    /// The option and the FreeBSD setting that limit this class, and a value that is enough for this traffic.
    option: &'static str,
    sysctl: &'static str,
    enough: usize,
}

#[derive(Debug, Serialize)]
struct OutReport {
    file: String,
    packets: u64,
    bytes: u64,
}

impl Report {
    /// Gathers the report. Everything that holds packets is gone afterwards, so that a leak shows.
    pub(super) fn new(
        args: &ReplayArgs,
        mut run: Run,
        written: Option<Written>,
        plotted: Option<String>,
    ) -> Self {
        let capture = CaptureReport {
            name: run.input.name(),
            frames: run.intake.packets_in,
            bytes: run.intake.bytes_in,
            damage: run.input.damage().map(|error| DamageReport {
                file: error.file.clone(),
                frame: error.frame,
                offset: error.offset,
                message: error.to_string(),
            }),
        };
        let mut stages = vec![StageReport::new("intake", &run.intake)];
        stages.extend(run.pipeline.stages().iter().map(|slot| StageReport::new(&slot.name, &slot.tally)));
        stages.push(StageReport::new("release", &run.release));
        let proof = ProofReport::new(run.proof.as_ref(), capture.frames);
        let interrupted = run.input.interrupted().map(|(name, _)| name);
        let failures = core::mem::take(&mut run.failures);
        let peaks = run.samples.peaks();
        let pool = run.pool.clone();
        drop(run);
        let stats = pool.stats();
        let mut report = Self {
            version: env!("CARGO_PKG_VERSION"),
            total: Total::new(capture.frames, &stages),
            capture,
            window: args.window,
            repeat: args.laps(),
            stages,
            proof,
            peak_means: plot::PEAK,
            enough_means: ENOUGH,
            memory: classes(&stats, peaks),
            out: written.map(|written| OutReport {
                file: written.file,
                packets: written.packets,
                bytes: written.bytes,
            }),
            plot: plotted,
            interrupted,
            warnings: Vec::new(),
            failures,
            netstat: stats.to_string(),
        };
        report.judge();
        report
    }

    /// Whether the exit status is 0.
    pub(super) fn success(&self) -> bool {
        self.failures.is_empty()
    }

    /// What goes to standard error.
    pub(super) fn messages(&self) -> Vec<String> {
        let warnings = self.warnings.iter().map(|warning| format!("warning: {warning}"));
        self.failures.iter().cloned().chain(warnings).collect()
    }

    pub(super) fn to_json(&self) -> String {
        to_json(self)
    }

    /// Finds what makes the run fail, and what is worth a warning.
    fn judge(&mut self) {
        if let Some(signal) = self.interrupted {
            let frames = self.capture.frames;
            self.failures.push(format!("ended early by {signal}, after {frames} frames"));
        }
        if let Some(damage) = &self.capture.damage {
            self.failures.push(damage.message.clone());
        }
        if let Some(proof) = Some(&self.proof).filter(|proof| proof.holds == Some(false)) {
            let first = proof.first_difference.as_deref().unwrap_or("none differs in content");
            self.failures.push(format!(
                "the frames that came out are not those that went in: {} different, {} absent, {} unexpected ({first})",
                proof.different, proof.absent, proof.unexpected
            ));
        }
        // What a pool that is too small dropped may leave others incomplete; without that, a drop is a loss.
        let starved = self.stages.iter().any(|stage| !stage.starved.is_empty());
        for stage in &self.stages {
            for (reason, count) in &stage.dropped {
                let message = format!("{count} packets dropped in {}: {reason}", stage.name);
                if stage.starved.contains(reason) {
                    self.warnings.push(format!("the pool is too small: {message}"));
                } else if self.proof.holds.is_some() && !starved {
                    self.failures.push(message);
                } else {
                    self.warnings.push(message);
                }
            }
            for (what, count) in &stage.violations {
                self.failures.push(format!("stage {}: {what}: {count} times", stage.name));
            }
        }
        for class in self.memory.iter().filter(|class| class.in_use > 0) {
            self.failures.push(format!("leak: {} {} still in use", class.in_use, class.class));
        }
    }
}

/// What `enough` of a class is.
const ENOUGH: &str =
    "the most out of the pool's slabs at once, in use or cached: with this limit nothing is denied";

/// The JSON form of a run that did not happen.
pub(super) fn refusal(name: &str, message: &str) -> String {
    to_json(&serde_json::json!({
        "version": env!("CARGO_PKG_VERSION"),
        "capture": { "name": name, "frames": 0, "bytes": 0 },
        "proof": { "holds": null, "unchecked": NO_FRAME },
        "failures": [message],
    }))
}

fn to_json(report: &impl Serialize) -> String {
    match serde_json::to_string_pretty(report) {
        Ok(text) => text + "\n",
        Err(error) => format!("{{\"failures\": [\"{error}\"]}}\n"), // strings and numbers always serialize
    }
}

impl StageReport {
    fn new(name: &str, tally: &Tally) -> Self {
        let mut notes: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
        for (group, label, count) in tally.notes.iter() {
            *notes.entry(group.into()).or_default().entry(label.into()).or_default() += count;
        }
        Self {
            name: name.into(),
            packets_in: tally.packets_in,
            bytes_in: tally.bytes_in,
            packets_out: tally.packets_out,
            bytes_out: tally.bytes_out,
            nanoseconds: tally.nanos,
            nanoseconds_per_packet: ratio(tally.nanos, tally.packets_in),
            dropped: by_label(&tally.dropped),
            starved: tally.dropped.labels(STARVED).map(str::to_owned).collect(),
            notes,
            violations: by_label(&tally.violations),
        }
    }

    fn dropped_packets(&self) -> u64 {
        self.dropped.values().sum()
    }
}

impl Total {
    fn new(frames: u64, stages: &[StageReport]) -> Self {
        let nanoseconds = stages.iter().map(|stage| stage.nanoseconds).sum();
        Self {
            frames,
            dropped: stages.iter().map(StageReport::dropped_packets).sum(),
            nanoseconds,
            nanoseconds_per_frame: ratio(nanoseconds, frames),
            frames_per_second: ratio(frames, nanoseconds) * 1e9,
        }
    }
}

/// Why nothing was compared when nothing was there.
const NO_FRAME: &str = "no frame could be read";

impl ProofReport {
    fn new(proof: Option<&Proof>, frames: u64) -> Self {
        let unchecked = match proof {
            None => Some("stages were named without --prove"),
            Some(_) if frames == 0 => Some(NO_FRAME),
            Some(_) => None,
        };
        Self {
            holds: proof.filter(|_| unchecked.is_none()).map(Proof::holds),
            unchecked,
            identical: proof.map_or(0, |proof| proof.identical),
            different: proof.map_or(0, |proof| proof.different),
            absent: proof.map_or(0, Proof::absent),
            unexpected: proof.map_or(0, |proof| proof.unexpected),
            dropped: proof.map_or(0, |proof| proof.lost),
            first_difference: proof.and_then(|proof| proof.first_difference.clone()),
        }
    }
}

/// The classes of a pool, with the most that were seen in use.
fn classes(stats: &PoolStats, peaks: [usize; COUNT]) -> Vec<ClassReport> {
    let class = |(class, peak): (&Class, usize)| {
        let stats = (class.stats)(stats);
        ClassReport {
            class: class.name,
            size: stats.size,
            peak,
            peak_bytes: peak.saturating_mul(stats.size),
            in_use: stats.current,
            cached: stats.cached,
            total: stats.total,
            limit: stats.limit,
            denied: stats.denied,
            allocations: stats.allocations,
            option: class.option,
            sysctl: class.sysctl,
            // Never less than what was in use, at any instant.
            enough: stats.peak.unwrap_or(stats.total),
        }
    };
    CLASSES.iter().zip(peaks).map(class).collect()
}

fn by_label(counts: &Counts) -> BTreeMap<String, u64> {
    let mut map = BTreeMap::new();
    for (_, label, count) in counts.iter() {
        *map.entry(label.to_owned()).or_default() += count;
    }
    map
}

fn ratio(value: u64, by: u64) -> f64 {
    if by == 0 { 0.0 } else { value as f64 / by as f64 }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CaptureReport { name, frames, bytes, .. } = &self.capture;
        writeln!(f, "{name}: {frames} frames, {bytes} bytes, in windows of {}", self.window)?;
        if *frames == 0 {
            return self.fmt_written(f);
        }
        writeln!(f)?;
        self.fmt_stages(f)?;
        self.fmt_notes(f)?;
        if self.proof.holds.is_some() {
            self.proof.fmt(f)?;
        }
        self.fmt_written(f)?;
        if self.proof.holds.is_some() || self.out.is_some() || self.plot.is_some() {
            writeln!(f)?;
        }
        self.fmt_memory(f)?;
        write!(f, "\n{}", self.netstat)?;
        if self.netstat.ends_with('\n') { Ok(()) } else { writeln!(f) }
    }
}

impl Report {
    fn fmt_written(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(out) = &self.out {
            writeln!(f, "wrote {}: {} packets, {} bytes", out.file, out.packets, out.bytes)?;
        }
        if let Some(plot) = &self.plot {
            writeln!(f, "wrote {plot}")?;
        }
        Ok(())
    }

    fn fmt_stages(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.stages.iter().map(|stage| stage.name.len()).max().unwrap_or(0).max(12);
        writeln!(
            f,
            "{:width$} {:>11} {:>11} {:>13} {:>9} {:>11}",
            "stage", "packets in", "out", "bytes out", "dropped", "ns/packet"
        )?;
        for stage in &self.stages {
            writeln!(
                f,
                "{:width$} {:>11} {:>11} {:>13} {:>9} {:>11.0}",
                stage.name,
                stage.packets_in,
                stage.packets_out,
                stage.bytes_out,
                stage.dropped_packets(),
                stage.nanoseconds_per_packet
            )?;
        }
        let Total { nanoseconds_per_frame, frames_per_second, .. } = self.total;
        writeln!(
            f,
            "\n{frames_per_second:.0} frames/s, {nanoseconds_per_frame:.0} ns/frame, file reading not counted\n"
        )
    }

    /// Prints what stages counted and why they dropped, one line per group.
    fn fmt_notes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut any = false;
        for stage in &self.stages {
            let mut title = stage.name.as_str();
            let mut line = |group: &str, counts: &BTreeMap<String, u64>| {
                any = true;
                let list: Vec<String> =
                    counts.iter().map(|(label, count)| format!("{count} {label}")).collect();
                let title = core::mem::take(&mut title);
                writeln!(f, "{title:16} {group}: {}", list.join(", "))
            };
            for (group, counts) in &stage.notes {
                line(group, counts)?;
            }
            if !stage.dropped.is_empty() {
                line("dropped", &stage.dropped)?;
            }
            if !stage.violations.is_empty() {
                line("WRONG", &stage.violations)?;
            }
        }
        if any { writeln!(f) } else { Ok(()) }
    }

    fn fmt_memory(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:12} {:>11} {:>12}   enough for this traffic", "class", "peak in use", "bytes")?;
        for class in &self.memory {
            write!(f, "{:12} {:>11} {:>12}   ", class.class, class.peak, class.peak_bytes)?;
            match (class.enough, class.denied) {
                (0, 0) => writeln!(f, "none")?,
                (enough, 0) => writeln!(f, "{} >= {enough}", class.sysctl)?,
                (enough, denied) => {
                    writeln!(f, "{} > {enough}, which denied {denied} requests", class.sysctl)?
                }
            }
        }
        writeln!(f, "peak in use: {}\nenough: {}", self.peak_means, self.enough_means)
    }
}

impl fmt::Display for ProofReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { identical, dropped, different, absent, unexpected, .. } = self;
        write!(f, "proof: {identical} frames came out byte-identical")?;
        if *dropped > 0 {
            write!(f, ", {dropped} were dropped")?;
        }
        if self.holds == Some(false) {
            write!(f, "; FAILED: {different} different, {absent} absent, {unexpected} unexpected")?;
        }
        writeln!(f)
    }
}

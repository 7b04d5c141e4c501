//! The command: has all workers run in turn, and writes one table.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};

use clap::Parser;

use crate::trip::{Stage, WINDOW};
use crate::worker::COLUMNS;
use crate::{capture, mbufctl};

/// About how long a sample takes, in nanoseconds.
const SAMPLE: u64 = 15_000_000;

/// Takes the capture through `mbufctl replay` and through the same stages with mbufs, `Vec<u8>` and `BytesMut`, and
/// prints a table of nanoseconds per frame.
#[derive(Parser)]
struct Options {
    /// Samples of each column.
    #[arg(long, default_value_t = 51)]
    rounds: usize,
    /// The core that all of them are pinned to.
    #[arg(long, default_value_t = 0)]
    core: usize,
    /// Only columns whose names contain this.
    #[arg(long, default_value = "")]
    columns: String,
    /// A worker: this column, told on standard input how many laps to do.
    #[arg(long, hide = true)]
    serve: Option<String>,
}

pub fn main() -> ExitCode {
    let options = Options::parse();
    match options.serve.as_ref().map_or_else(|| report(&options), |column| serve(column)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("end-to-end: {message}");
            ExitCode::FAILURE
        }
    }
}

fn serve(column: &str) -> Result<(), String> {
    let found = COLUMNS.iter().find(|(name, _)| *name == column).ok_or("no such column")?;
    found.1();
    Ok(())
}

/// Nanoseconds per stage; `None` where a column does not have it.
type Times = [Option<u64>; Stage::ALL.len()];

/// A column of the table.
struct Column {
    name: String,
    who: Who,
    laps: u32,
    /// KiB that the first lap took.
    memory: Option<u64>,
    samples: Vec<Times>,
}

enum Who {
    Worker(Worker),
    Mbufctl(PathBuf),
}

struct Worker {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Worker {
    fn start(program: &Path, column: &str) -> Result<Self, String> {
        let mut child = Command::new(program)
            .args(["--serve", column])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        let input = child.stdin.take().expect("piped");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        Ok(Worker { child, input, output })
    }

    fn numbers(&mut self) -> Result<Vec<u64>, String> {
        let mut line = String::new();
        self.output.read_line(&mut line).map_err(|error| error.to_string())?;
        let numbers: Result<Vec<u64>, _> = line.split_whitespace().map(str::parse).collect();
        numbers.ok().filter(|numbers| !numbers.is_empty()).ok_or_else(|| "a worker has gone".into())
    }

    fn time(&mut self, laps: u32) -> Result<Times, String> {
        writeln!(self.input, "{laps}").map_err(|error| error.to_string())?;
        let mut numbers = self.numbers()?.into_iter();
        Ok(Stage::ALL.map(|_| numbers.next()))
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Column {
    fn worker(program: &Path, column: &str, allocator: &str) -> Result<Self, String> {
        let mut worker = Worker::start(program, column)?;
        let memory = worker.numbers()?.first().copied();
        let name = format!("{column}{allocator}");
        Ok(Column { name, who: Who::Worker(worker), laps: 1, memory, samples: Vec::new() })
    }

    fn time(&mut self, laps: u32) -> Result<Times, String> {
        match &mut self.who {
            Who::Worker(worker) => worker.time(laps),
            Who::Mbufctl(program) => mbufctl::time(program, laps),
        }
    }

    /// As many laps as make a sample.
    fn calibrate(&mut self) -> Result<(), String> {
        let mut least = u64::MAX;
        for _ in 0..3 {
            least = least.min(self.time(4)?.iter().flatten().sum::<u64>() / 4);
        }
        // A new process has its first laps to warm up.
        let more = if matches!(self.who, Who::Mbufctl(_)) { 4 } else { 1 };
        self.laps = u32::try_from(SAMPLE * more / least.max(1)).unwrap_or(u32::MAX).max(1);
        Ok(())
    }

    /// The best and the median, in nanoseconds per frame of the capture.
    fn figures(&self, frames: usize, of: impl Fn(&Times) -> Option<u64>) -> Option<(f64, f64)> {
        let mut samples = self.samples.iter().map(of).collect::<Option<Vec<_>>>()?;
        samples.sort_unstable();
        let per_frame = |nanos: u64| nanos as f64 / f64::from(self.laps) / frames as f64;
        Some((per_frame(*samples.first()?), per_frame(*samples.get(samples.len() / 2)?)))
    }
}

fn report(options: &Options) -> Result<(), String> {
    if !core_affinity::set_for_current(core_affinity::CoreId { id: options.core }) {
        return Err(format!("there is no core {}", options.core));
    }
    let (mut columns, left_out) = columns(options)?;
    if columns.is_empty() {
        return Err("no such column".into());
    }
    columns.iter_mut().try_for_each(Column::calibrate)?;
    for _ in 0..options.rounds {
        for column in &mut columns {
            let laps = column.laps;
            if let Who::Worker(_) = column.who {
                // Another one was in this core's caches just now.
                column.time(1)?;
            }
            let times = column.time(laps)?;
            column.samples.push(times);
        }
    }
    print!("{}", table(options, &columns, &left_out));
    Ok(())
}

/// All columns that can be had, and what is to be said about the others.
fn columns(options: &Options) -> Result<(Vec<Column>, Vec<String>), String> {
    let wanted = |name: &str| name.contains(&options.columns);
    let (mut columns, mut left_out) = (Vec::new(), Vec::new());
    if wanted("mbufctl") {
        match mbufctl::build() {
            Ok(program) => columns.push(Column {
                name: "mbufctl".into(),
                who: Who::Mbufctl(program),
                laps: 1,
                memory: None,
                samples: Vec::new(),
            }),
            Err(why) => left_out.push(why),
        }
    }
    let own = std::env::current_exe().map_err(|error| error.to_string())?;
    for (column, _) in COLUMNS.into_iter().filter(|(name, _)| wanted(name)) {
        columns.push(Column::worker(&own, column, "")?);
    }
    let others = COLUMNS.into_iter().skip(2).filter(|(name, _)| wanted(&format!("{name}, jemalloc")));
    let others: Vec<_> = others.collect();
    if !others.is_empty() {
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let arguments = ["--features", "jemalloc", "--bin", "with-jemalloc"];
        match mbufctl::cargo(manifest, &arguments, "with-jemalloc") {
            Ok(program) => {
                for (column, _) in others {
                    columns.push(Column::worker(&program, column, ", jemalloc")?);
                }
            }
            Err(why) => left_out.push(format!("jemalloc: needs a C compiler and make; {why}")),
        }
    }
    Ok((columns, left_out))
}

fn table(options: &Options, columns: &[Column], left_out: &[String]) -> String {
    let frames = capture::frames().len();
    let mut text = format!(
        "{frames} frames in windows of {WINDOW}; {}, built for {}; pinned to core {}; {} samples of each column, \
         some {} ms long, in turn; load {}\n\nBest nanoseconds per frame of the capture (median), and million frames \
         per second at the best:\n\n",
        cpu(),
        if cfg!(target_feature = "avx2") { "a CPU with AVX2" } else { "any x86-64" },
        options.core,
        options.rounds,
        SAMPLE / 1_000_000,
        std::fs::read_to_string("/proc/loadavg").unwrap_or_default().split(' ').next().unwrap_or_default(),
    );
    let names: Vec<_> = columns.iter().map(|column| column.name.as_str()).collect();
    line(&mut text, "stage", names.into_iter().map(str::to_owned));
    line(&mut text, "---", columns.iter().map(|_| "---".to_owned()));
    let cell = |figures: Option<(f64, f64)>| match figures {
        Some((best, median)) => format!("{best:.0} ({median:.0}), {:.1}", 1e3 / best),
        None => "–".into(),
    };
    for stage in Stage::ALL {
        let times = columns.iter().map(|column| column.figures(frames, |times| times[stage as usize]));
        line(&mut text, stage.name(), times.map(cell));
    }
    let without_mirror = |times: &Times| {
        let both = [Stage::Mirror, Stage::Transmit];
        let rest = Stage::ALL.iter().filter(|stage| !both.contains(stage));
        rest.map(|stage| times[*stage as usize]).sum::<Option<u64>>()
    };
    let sums = columns.iter().map(|column| cell(column.figures(frames, without_mirror)));
    line(&mut text, "**receive to vlan-pop**", sums);
    let sums = columns.iter().map(|column| cell(column.figures(frames, |times| times.iter().copied().sum())));
    line(&mut text, "**round trip**", sums);
    let memory = columns.iter().map(|column| column.memory.map_or("–".into(), |kib| format!("{kib} KiB")));
    line(&mut text, "memory", memory);
    left_out.iter().for_each(|why| writeln!(text, "\nleft out: {why}").expect("a string"));
    text
}

fn line(text: &mut String, name: &str, cells: impl Iterator<Item = String>) {
    writeln!(text, "| {name} | {} |", cells.collect::<Vec<_>>().join(" | ")).expect("a string");
}

fn cpu() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find(|line| line.starts_with("model name"));
    model.and_then(|line| line.split_once(": ")).map_or("unknown CPU".into(), |(_, name)| name.to_owned())
}

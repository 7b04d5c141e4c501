//! Time: workers for all columns, asked in turn for one sample of each row, round after round, so that drift hits all.
//! Rows of two threads come last, one after the other, each time with a look at how far apart the cores are.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::build::Contestant;
use super::distance::{
    self,
    Distance::{Far, Near},
};
use crate::rows::Row;
use crate::worker::Hello;

/// About how long a sample takes, in nanoseconds. With one thread: long enough for the clock, short enough that most are
/// not interrupted. With two, of which what is typical counts: long enough that it does not matter how they begin.
fn sample_ns(row: &Row) -> f64 {
    if row.threads == 1 { 400_000.0 } else { 4_000_000.0 }
}

/// A worker that waits to be told what to do.
pub struct Worker {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    hello: Hello,
}

impl Worker {
    pub fn start(contestant: &Contestant, cores: &str) -> Result<Self, String> {
        let mut child = Command::new(&contestant.program)
            .args(["serve", contestant.column])
            .env("BENCH_CORES", cores)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?;
        let input = child.stdin.take().expect("piped");
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        output.read_line(&mut line).map_err(|error| error.to_string())?;
        let Ok(hello) = serde_json::from_str(&line) else {
            let said = child.wait_with_output().map_err(|error| error.to_string())?.stderr;
            return Err(String::from_utf8_lossy(&said).trim().replace('\n', "; "));
        };
        Ok(Worker { child, input, output, hello })
    }

    pub fn note(&self) -> &str {
        &self.hello.note
    }

    pub fn has(&self, row: &Row) -> bool {
        self.hello.rows.iter().any(|name| name == row.name)
    }

    /// Nanoseconds per unit of count.
    fn time(&mut self, row: &Row, n: u64) -> Result<f64, String> {
        let mut line = String::new();
        writeln!(self.input, "{n} {}", row.name)
            .and_then(|()| self.output.read_line(&mut line))
            .map_err(|error| format!("{}: {error}", row.name))?;
        let total: f64 = line.trim().parse().map_err(|_| format!("{}: the worker has gone", row.name))?;
        Ok(total / n as f64)
    }

    /// So many rounds that a sample takes as long as it should.
    fn calibrate(&mut self, row: &Row) -> Result<u64, String> {
        let mut n = row.unit;
        loop {
            // The least of some: one that was interrupted says nothing.
            let mut took = f64::INFINITY;
            for _ in 0..4 {
                took = took.min(self.time(row, n)? * n as f64);
            }
            if took > sample_ns(row) / 4.0 {
                let units = sample_ns(row) / took * (n / row.unit) as f64;
                return Ok(units.ceil() as u64 * row.unit);
            }
            n *= 4;
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The samples of one row of one column, in nanoseconds per operation, in the order they were taken.
pub struct Samples {
    pub column: usize,
    pub row: &'static Row,
    pub samples: Vec<f64>,
    /// Those of two threads whose cores were far apart.
    pub far: Vec<f64>,
}

/// How much longer the rows of two threads may take if the cores are far apart: the machine may move them.
const PATIENCE: usize = 4;

/// One run: `rounds` samples of each of `rows` of each worker that there is.
pub fn run(
    workers: &mut [Option<Worker>],
    rows: &[&'static Row],
    rounds: usize,
    cores: [usize; 2],
) -> Result<Vec<Samples>, String> {
    let mut cells = Vec::new();
    for row in rows {
        for (column, worker) in workers.iter_mut().enumerate() {
            if let Some(worker) = worker.as_mut().filter(|worker| worker.has(row)) {
                let samples = Samples { column, row, samples: Vec::new(), far: Vec::new() };
                cells.push((samples, worker.calibrate(row)?));
            }
        }
    }
    let mut sample = |cell: &Samples, n: u64| {
        let worker = workers[cell.column].as_mut().expect("asked before");
        // Another column was in this core's caches just now.
        worker.time(cell.row, (n / 8).next_multiple_of(cell.row.unit))?;
        worker.time(cell.row, n)
    };
    for _ in 0..rounds {
        for (cell, n) in cells.iter_mut().filter(|(cell, _)| cell.row.threads == 1) {
            cell.samples.push(sample(cell, *n)?);
        }
    }
    for row in rows.iter().filter(|row| row.threads == 2) {
        let mut cells: Vec<_> = cells.iter_mut().filter(|(cell, _)| cell.row.name == row.name).collect();
        let (mut near, mut taken) = (0, 0);
        while near < rounds && taken < PATIENCE * rounds {
            let before = distance::of(cores);
            let figures: Vec<_> = cells.iter().map(|(cell, n)| sample(cell, *n)).collect::<Result<_, _>>()?;
            let after = distance::of(cores);
            taken += 1;
            near += usize::from((before, after) == (Near, Near));
            for ((cell, _), figure) in cells.iter_mut().zip(figures) {
                match (before, after) {
                    (Near, Near) => cell.samples.push(figure),
                    (Far, Far) => cell.far.push(figure),
                    // They were moved meanwhile.
                    _ => {}
                }
            }
        }
    }
    Ok(cells.into_iter().map(|(cell, _)| cell).collect())
}

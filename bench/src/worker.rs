//! A process that has one column, and runs its rows when it is told to: `mbuf-bench serve COLUMN`.
//!
//! It answers each line of its input with a line: first, unasked, what it is; then, to `N ROW`, the nanoseconds that N
//! rounds took.

use std::io::{BufRead, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::column::{Cell, Column};
use crate::columns::{COLUMNS, why_not};
use crate::rows::Row;
use crate::seen::Seen;

/// What a worker says first.
#[derive(Debug, Serialize, Deserialize)]
pub struct Hello {
    /// The rows it has, each looked at.
    pub rows: Vec<String>,
    pub note: String,
}

/// Which CPU cores the threads are pinned to, first and second: two numbers and a comma.
pub fn cores(text: &str) -> Result<[usize; 2], String> {
    let numbers: Option<Vec<usize>> = text.split(',').map(|core| core.trim().parse().ok()).collect();
    let two = numbers.and_then(|numbers| numbers.try_into().ok());
    two.ok_or_else(|| format!("{text}: two cores are two numbers and a comma"))
}

/// Those of this process.
pub fn own_cores() -> [usize; 2] {
    static CORES: OnceLock<[usize; 2]> = OnceLock::new();
    *CORES.get_or_init(|| {
        cores(&std::env::var("BENCH_CORES").unwrap_or_else(|_| "0,1".into())).expect("BENCH_CORES")
    })
}

pub fn pin(core: usize) {
    core_affinity::set_for_current(core_affinity::CoreId { id: core });
}

/// A column, whatever its state is.
pub trait Runs {
    fn rows(&self) -> Vec<&'static str>;
    fn note(&self) -> String;
    fn see(&mut self, row: &str, seen: &mut Seen);
    /// Nanoseconds.
    fn time(&mut self, row: &str, n: u64) -> u64;
}

/// A column, its state on this thread, and the second thread once there is one.
pub struct Bench<C: Column> {
    cells: &'static [Cell<C>],
    state: C,
    second: Option<Second<C>>,
}

struct Second<C: Column> {
    todo: Sender<(&'static Cell<C>, u64, Arc<Signals>)>,
}

/// Both are ready; the second is done. Spun on: waking up a thread takes longer than a short batch.
#[derive(Default)]
struct Signals {
    ready: AtomicBool,
    go: AtomicBool,
    done: AtomicBool,
}

impl Signals {
    fn wait(flag: &AtomicBool) {
        // Pairs with the release of whoever sets it.
        while !flag.load(Ordering::Acquire) {
            std::hint::spin_loop();
        }
    }
}

impl<C: Column> Bench<C> {
    pub fn open() -> Result<Box<dyn Runs>, String> {
        pin(own_cores()[0]);
        let state = C::open(0)?;
        Ok(Box::new(Bench { cells: C::cells().leak(), state, second: None }))
    }

    fn cell(&self, row: &str) -> &'static Cell<C> {
        self.cells.iter().find(|cell| cell.row == row).expect("a row that the column has")
    }

    fn second(&mut self) -> &Second<C> {
        self.second.get_or_insert_with(|| {
            let (todo, queue) = channel::<(&'static Cell<C>, u64, Arc<Signals>)>();
            std::thread::spawn(move || {
                pin(own_cores()[1]);
                let mut state = C::open(1).expect("the second thread opens as the first did");
                for (cell, n, signals) in queue {
                    signals.ready.store(true, Ordering::Release);
                    Signals::wait(&signals.go);
                    cell.second.as_ref().expect("a row of two threads")(&mut state, n);
                    signals.done.store(true, Ordering::Release);
                }
            });
            Second { todo }
        })
    }
}

impl<C: Column> Runs for Bench<C> {
    fn rows(&self) -> Vec<&'static str> {
        self.cells.iter().map(|cell| cell.row).collect()
    }

    fn note(&self) -> String {
        C::note()
    }

    fn see(&mut self, row: &str, seen: &mut Seen) {
        (self.cell(row).see)(&mut self.state, seen);
    }

    fn time(&mut self, row: &str, n: u64) -> u64 {
        let cell = self.cell(row);
        if cell.second.is_none() {
            let start = Instant::now();
            (cell.run)(&mut self.state, n);
            return start.elapsed().as_nanos() as u64;
        }
        let signals = Arc::new(Signals::default());
        self.second().todo.send((cell, n, signals.clone())).expect("the second thread lives");
        Signals::wait(&signals.ready);
        signals.go.store(true, Ordering::Release);
        let start = Instant::now();
        (cell.run)(&mut self.state, n);
        Signals::wait(&signals.done);
        start.elapsed().as_nanos() as u64
    }
}

/// Opens a column, and looks at what each of its rows gives.
pub fn open(column: &str) -> Result<Box<dyn Runs>, String> {
    let (_, open) = COLUMNS.iter().find(|(name, _)| *name == column).ok_or_else(|| why_not(column))?;
    let mut runs = open()?;
    for name in runs.rows() {
        let row = Row::find(name).ok_or_else(|| format!("a row that is not one: {name}"))?;
        let mut seen = Seen::default();
        runs.see(name, &mut seen);
        seen.verify(&(row.expected)()).map_err(|why| format!("{name}: {why}"))?;
    }
    Ok(runs)
}

/// Does what the driver says, until it closes the pipe.
pub fn serve(column: &str) -> Result<(), String> {
    let mut runs = open(column)?;
    let rows = runs.rows().iter().map(|row| row.to_string()).collect();
    let mut out = std::io::stdout();
    let hello = serde_json::to_string(&Hello { rows, note: runs.note() }).expect("strings");
    writeln!(out, "{hello}").map_err(|error| error.to_string())?;
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|error| error.to_string())?;
        let (n, row) = line.split_once(' ').ok_or("a line that is not `N ROW`")?;
        let n = n.parse().map_err(|error| format!("{n}: {error}"))?;
        writeln!(out, "{}", runs.time(row, n)).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// For callgrind: what is between entering and leaving this function is counted.
// SAFETY: no other symbol has this name.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn bench_measured(runs: &mut Box<dyn Runs>, row: &Row, n: u64) -> u64 {
    runs.time(row.name, n)
}

/// Runs the rows of one thread for callgrind: each once to fill the caches, then N and 2N rounds. Prints the rows.
pub fn count(column: &str, n: u64, wanted: &dyn Fn(&Row) -> bool) -> Result<(), String> {
    let mut runs = open(column)?;
    for row in runs.rows() {
        let row = Row::find(row).expect("looked at");
        if row.threads == 1 && wanted(row) {
            runs.time(row.name, n);
            bench_measured(&mut runs, row, n);
            bench_measured(&mut runs, row, 2 * n);
            println!("{}", row.name);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::goals::{Against, GOALS};

    #[test]
    fn every_column_gives_what_the_rows_say_and_runs_them() {
        for (column, _) in COLUMNS {
            let mut runs = open(column).unwrap_or_else(|why| panic!("{column}: {why}"));
            for row in runs.rows() {
                let row = Row::find(row).unwrap();
                if row.threads == 1 {
                    runs.time(row.name, row.unit);
                }
            }
        }
    }

    #[test]
    fn goals_are_about_rows_that_we_have() {
        let ours = open("ours").unwrap().rows();
        for goal in GOALS {
            assert!(ours.contains(&goal.row), "{}", goal.row);
            if let Against::OwnRow(row) = goal.against {
                assert!(ours.contains(&row), "{row}");
            }
        }
    }
}

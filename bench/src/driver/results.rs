//! What was measured: built, run and counted.

use serde::Serialize;

use super::Report;
use super::build::{self, Contestant, Cpu};
use super::count::{count, valgrind_is_there};
use super::measure::{self, Worker};
use crate::rows::{ROWS, Row};
use crate::worker;

/// What was measured of one row of one column.
#[derive(Serialize)]
pub struct Measured {
    pub row: &'static str,
    pub column: &'static str,
    /// Nanoseconds per operation, by run.
    pub native: Vec<Vec<f64>>,
    pub plain: Vec<Vec<f64>>,
    /// Native, of two threads on cores far apart.
    pub far: Vec<Vec<f64>>,
    pub instructions: Option<f64>,
}

#[derive(Default, Serialize)]
pub struct Results {
    pub measured: Vec<Measured>,
    pub notes: Vec<String>,
    pub left_out: Vec<String>,
}

impl Results {
    pub fn measure(options: &Report) -> Result<Results, String> {
        let mut results = Results::default();
        build::NOT_RACED.iter().for_each(|line| results.leave_out((*line).to_owned()));
        let native = results.build(options, Cpu::Native)?;
        let plain = if options.no_plain { Vec::new() } else { results.build(options, Cpu::Plain)? };
        let counted = if options.no_count { Vec::new() } else { results.build(options, Cpu::V3)? };
        for i in 0..options.runs {
            eprintln!("run {} of {}", i + 1, options.runs);
            results.time(options, i, &native, &plain)?;
        }
        results.count(options, &counted);
        Ok(results)
    }

    fn build(&mut self, options: &Report, cpu: Cpu) -> Result<Vec<Contestant>, String> {
        let (contestants, left_out) = build::build(cpu, |name| options.wants_column(name))?;
        left_out.into_iter().for_each(|line| self.leave_out(line));
        Ok(contestants)
    }

    fn leave_out(&mut self, line: String) {
        if !self.left_out.contains(&line) {
            self.left_out.push(line);
        }
    }

    /// One run, of both builds by turns.
    fn time(
        &mut self,
        options: &Report,
        run: usize,
        native: &[Contestant],
        plain: &[Contestant],
    ) -> Result<(), String> {
        let all: Vec<_> = native
            .iter()
            .map(|it| (it, Cpu::Native))
            .chain(plain.iter().map(|it| (it, Cpu::Plain)))
            .collect();
        let mut workers = Vec::new();
        for (contestant, _) in &all {
            let worker = Worker::start(contestant, &options.cores);
            match &worker {
                Ok(worker) if worker.note().is_empty() => (),
                Ok(worker) => {
                    let note = format!("{}: {}", contestant.name, worker.note());
                    if !self.notes.contains(&note) {
                        self.notes.push(note);
                    }
                }
                Err(why) => self.leave_out(format!("{}: {why}. {}", contestant.name, contestant.how_to_get)),
            }
            workers.push(worker.ok());
        }
        let rows: Vec<_> = ROWS.iter().filter(|row| options.wants_row(row)).collect();
        for cell in measure::run(&mut workers, &rows, options.rounds, worker::cores(&options.cores)?)? {
            let (contestant, cpu) = all[cell.column];
            let measured = self.measured(cell.row.name, contestant.name);
            let runs = if cpu == Cpu::Native { &mut measured.native } else { &mut measured.plain };
            put(runs, run, cell.samples);
            if cpu == Cpu::Native {
                put(&mut measured.far, run, cell.far);
            }
        }
        Ok(())
    }

    fn count(&mut self, options: &Report, contestants: &[Contestant]) {
        if contestants.is_empty() {
            return;
        }
        if !valgrind_is_there() {
            return self.leave_out("instructions: apt-get install valgrind".into());
        }
        for contestant in contestants {
            eprintln!("counting {}", contestant.name);
            match count(&contestant.program, contestant.column, &options.rows) {
                Ok(rows) => {
                    for (row, each) in rows {
                        let row = Row::find(&row).expect("a worker's row").name;
                        self.measured(row, contestant.name).instructions = Some(each);
                    }
                }
                Err(why) => self.leave_out(format!("instructions of {}: {why}", contestant.name)),
            }
        }
    }

    fn measured(&mut self, row: &'static str, column: &'static str) -> &mut Measured {
        let found = self.measured.iter().position(|it| it.row == row && it.column == column);
        let i = found.unwrap_or_else(|| {
            self.measured.push(Measured {
                row,
                column,
                native: Vec::new(),
                plain: Vec::new(),
                far: Vec::new(),
                instructions: None,
            });
            self.measured.len() - 1
        });
        &mut self.measured[i]
    }

    pub fn find(&self, row: &str, column: &str) -> Option<&Measured> {
        self.measured.iter().find(|it| it.row == row && it.column == column)
    }
}

/// The samples of a run in their place.
fn put(runs: &mut Vec<Vec<f64>>, run: usize, samples: Vec<f64>) {
    runs.resize_with(run + 1, Vec::new);
    runs[run] = samples;
}

/// The least of all samples.
pub fn best(runs: &[Vec<f64>]) -> Option<f64> {
    runs.iter().flatten().copied().min_by(f64::total_cmp)
}

/// The mean of the runs' medians.
pub fn typical(runs: &[Vec<f64>]) -> Option<f64> {
    let median = |samples: &Vec<f64>| {
        let mut samples = samples.clone();
        samples.sort_by(f64::total_cmp);
        samples.get(samples.len() / 2).copied()
    };
    let medians: Vec<_> = runs.iter().filter_map(median).collect();
    (!medians.is_empty()).then(|| medians.iter().sum::<f64>() / medians.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_is_of_all_runs_and_the_median_of_each() {
        let runs = [vec![5.0, 3.0, 4.0], vec![6.0, 100.0, 2.0]];
        assert_eq!((best(&runs), typical(&runs)), (Some(2.0), Some(5.0)));
        assert_eq!((best(&[]), typical(&[])), (None, None));
    }
}

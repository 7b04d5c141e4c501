//! The report.

use std::fmt::Write;

use serde::Serialize;

use super::Report;
use super::build::{self, Contestant, Cpu};
use super::count::{count, valgrind_is_there};
use super::machine;
use super::measure::{self, Worker};
use crate::goals::{Against, GOALS, Goal};
use crate::rows::{ROWS, Row};

/// What was measured of one row of one column.
#[derive(Serialize)]
struct Measured {
    row: &'static str,
    column: &'static str,
    /// Nanoseconds per operation, by run.
    native: Vec<Vec<f64>>,
    plain: Vec<Vec<f64>>,
    instructions: Option<f64>,
}

#[derive(Default, Serialize)]
struct Results {
    measured: Vec<Measured>,
    notes: Vec<String>,
    left_out: Vec<String>,
}

pub fn run(options: &Report) -> Result<(), String> {
    let mut results = Results::default();
    let native = results.build(options, Cpu::Native)?;
    let plain = if options.no_plain { Vec::new() } else { results.build(options, Cpu::Plain)? };
    let counted = if options.no_count { Vec::new() } else { results.build(options, Cpu::V3)? };
    for i in 0..options.runs {
        eprintln!("run {} of {}", i + 1, options.runs);
        results.time(options, i, &native, &plain)?;
    }
    results.count(options, &counted);
    let text = results.write(options);
    if let Some(path) = &options.json {
        let json = serde_json::to_string(&results).expect("numbers and strings");
        std::fs::write(path, json).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    match &options.out {
        Some(path) => std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display())),
        None => {
            print!("{text}");
            Ok(())
        }
    }
}

impl Results {
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
        for cell in measure::run(&mut workers, &rows, options.rounds)? {
            let (contestant, cpu) = all[cell.column];
            let measured = self.measured(cell.row.name, contestant.name);
            let runs = if cpu == Cpu::Native { &mut measured.native } else { &mut measured.plain };
            runs.resize_with(run + 1, Vec::new);
            runs[run] = cell.samples;
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
                instructions: None,
            });
            self.measured.len() - 1
        });
        &mut self.measured[i]
    }

    fn find(&self, row: &str, column: &str) -> Option<&Measured> {
        self.measured.iter().find(|it| it.row == row && it.column == column)
    }

    fn write(&self, options: &Report) -> String {
        let mut text = String::from("# The race\n\n");
        writeln!(text, "Written by `bench/`; its README says what each row is.\n").unwrap();
        machine::describe(&options.cores).iter().for_each(|line| writeln!(text, "- {line}").unwrap());
        self.notes.iter().for_each(|note| writeln!(text, "- {note}").unwrap());
        writeln!(
            text,
            "- {} runs of {} samples of about 0.4 ms for each row and column, one after the other; workers are started \
             anew for each run",
            options.runs, options.rounds
        )
        .unwrap();
        for line in &self.left_out {
            writeln!(text, "- left out: {line}").unwrap();
        }
        self.verdicts(&mut text, options);
        let time = |runs: &[Vec<f64>]| Some(format!("{} ({})", number(best(runs)?), number(typical(runs)?)));
        self.table(&mut text, "Nanoseconds, built for the native CPU: best (median)", |it| time(&it.native));
        self.table(&mut text, "Nanoseconds, built for plain x86-64: best (median)", |it| time(&it.plain));
        self.table(&mut text, "Instructions, built for x86-64-v3", |it| Some(number(it.instructions?)));
        text
    }

    fn verdicts(&self, text: &mut String, options: &Report) {
        writeln!(text, "\n## Goals: ours divided by theirs\n").unwrap();
        writeln!(text, "| operation | against | ours | theirs | ratio | at most | | runs |\n| --- | --- | --- | --- | --- | --- | --- | --- |")
            .unwrap();
        let (mut met, mut looked_at) = (0, 0);
        for goal in GOALS {
            let against = match goal.against {
                Against::Time(column) => column.to_owned(),
                Against::Instructions(column) => format!("{column}, instructions"),
                Against::OwnRow(row) => format!("our own: {row}"),
            };
            let Some((ours, theirs)) = self.compared(goal, None) else { continue };
            looked_at += 1;
            let ratio = ours / theirs;
            met += usize::from(ratio <= goal.most);
            let verdict = |ratio: f64| if ratio <= goal.most { "met" } else { "**not met**" };
            let by_run = (0..options.runs).filter_map(|run| self.compared(goal, Some(run)));
            let by_run: Vec<_> = by_run.map(|(ours, theirs)| ours / theirs).collect();
            let agree = by_run.iter().all(|it| verdict(*it) == verdict(ratio));
            let by_run: Vec<_> = by_run.iter().map(|ratio| format!("{ratio:.2}")).collect();
            writeln!(
                text,
                "| {} | {against} | {} | {} | {ratio:.2} | {} | {} | {}{} |",
                goal.row,
                number(ours),
                number(theirs),
                goal.most,
                verdict(ratio),
                by_run.join(" "),
                if agree { "" } else { " disagree" },
            )
            .unwrap();
        }
        writeln!(text, "\n{met} of {looked_at} met.").unwrap();
    }

    /// Our figure and theirs, of one run or of all.
    fn compared(&self, goal: &Goal, run: Option<usize>) -> Option<(f64, f64)> {
        let row = Row::find(goal.row).expect("a goal's row");
        let time = |row: &str, column: &str, of: fn(&[Vec<f64>]) -> Option<f64>| {
            let runs = &self.find(row, column)?.native;
            match run {
                Some(run) => of(runs.get(run..=run)?),
                None => of(runs),
            }
        };
        // Two threads are never best at the same time: what is typical of them is compared.
        let of = if row.threads == 1 { best } else { typical };
        match goal.against {
            Against::Time(column) => Some((time(goal.row, "ours", of)?, time(goal.row, column, of)?)),
            Against::OwnRow(other) => Some((time(goal.row, "ours", of)?, time(other, "ours", of)?)),
            Against::Instructions(_) if run.is_some() => None,
            Against::Instructions(column) => {
                Some((self.find(goal.row, "ours")?.instructions?, self.find(goal.row, column)?.instructions?))
            }
        }
    }

    /// Rows, and the columns that have anything to say.
    fn table(&self, text: &mut String, title: &str, cell: impl Fn(&Measured) -> Option<String>) {
        let columns: Vec<_> = build::names()
            .filter(|name| self.measured.iter().any(|it| it.column == *name && cell(it).is_some()))
            .collect();
        if columns.is_empty() {
            return;
        }
        writeln!(text, "\n## {title}\n\n| operation | {} |", columns.join(" | ")).unwrap();
        writeln!(text, "| --- |{}", " --- |".repeat(columns.len())).unwrap();
        for row in
            ROWS.iter().filter(|row| self.measured.iter().any(|it| it.row == row.name && cell(it).is_some()))
        {
            let cells =
                columns.iter().map(|column| self.find(row.name, column).and_then(&cell).unwrap_or_default());
            writeln!(text, "| {} | {} |", row.name, cells.collect::<Vec<_>>().join(" | ")).unwrap();
        }
    }
}

/// The least of all samples.
fn best(runs: &[Vec<f64>]) -> Option<f64> {
    runs.iter().flatten().copied().min_by(f64::total_cmp)
}

/// The mean of the runs' medians.
fn typical(runs: &[Vec<f64>]) -> Option<f64> {
    let median = |samples: &Vec<f64>| {
        let mut samples = samples.clone();
        samples.sort_by(f64::total_cmp);
        samples.get(samples.len() / 2).copied()
    };
    let medians: Vec<_> = runs.iter().filter_map(median).collect();
    (!medians.is_empty()).then(|| medians.iter().sum::<f64>() / medians.len() as f64)
}

/// With as many digits as mean something.
fn number(value: f64) -> String {
    match value {
        ..10.0 => format!("{value:.2}"),
        ..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

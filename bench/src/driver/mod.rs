//! The command: builds the workers, has them run in turn, and writes the report.

mod build;
mod count;
mod distance;
mod guard;
mod machine;
mod measure;
mod plot;
mod report;
mod results;
mod verdict;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::rows::{ROWS, Row};
use crate::worker;

/// Races mbuf against what one would use instead.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Builds everything, runs it, and writes the report.
    Report(Report),
    /// Compares our counts of instructions with the committed ones.
    Guard {
        /// Writes the counts there are into the file.
        #[arg(long)]
        update: bool,
        /// Fails when valgrind is not there, instead of doing nothing.
        #[arg(long)]
        require_valgrind: bool,
    },
    /// Prints the names of the rows.
    Names,
    /// Runs a row of a column so many times, for a profiler.
    Run { column: String, row: String, n: u64 },
    /// A worker of `report`.
    #[command(hide = true)]
    Serve { column: String },
    /// A worker of `report` and `guard` under callgrind.
    #[command(hide = true)]
    Count {
        column: String,
        n: u64,
        #[arg(default_value = "")]
        rows: String,
    },
}

#[derive(Args)]
struct Report {
    /// Where the report goes: standard output if it is not said.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Where the samples go, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Where the picture goes, as SVG.
    #[arg(long)]
    plot: Option<PathBuf>,
    /// Only rows whose names contain one of these, separated by semicolons.
    #[arg(long, default_value = "")]
    rows: String,
    /// Only these columns, separated by semicolons.
    #[arg(long, value_delimiter = ';')]
    columns: Vec<String>,
    /// Samples of each row and column in each run.
    #[arg(long, default_value_t = 25)]
    rounds: usize,
    /// Runs: each starts the workers anew.
    #[arg(long, default_value_t = 2)]
    runs: usize,
    /// No build for plain x86-64.
    #[arg(long)]
    no_plain: bool,
    /// No counting of instructions.
    #[arg(long)]
    no_count: bool,
    /// The cores of the first and the second thread.
    #[arg(long, default_value = "0,1")]
    cores: String,
}

impl Report {
    fn wants_row(&self, row: &Row) -> bool {
        has_part_of(&self.rows, row)
    }

    fn wants_column(&self, column: &str) -> bool {
        self.columns.is_empty() || self.columns.iter().any(|wanted| wanted == column)
    }
}

/// Whether a row's name contains one of the parts, which semicolons separate.
fn has_part_of(parts: &str, row: &Row) -> bool {
    parts.split(';').any(|part| row.name.contains(part))
}

/// Runs the program.
pub fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Report(options) => report::run(&options),
        Command::Guard { update, require_valgrind } => guard::run(update, require_valgrind),
        Command::Names => {
            ROWS.iter().for_each(|row| println!("{}", row.name));
            Ok(())
        }
        Command::Run { column, row, n } => run_one(&column, &row, n),
        Command::Serve { column } => worker::serve(&column),
        Command::Count { column, n, rows } => worker::count(&column, n, &|row| has_part_of(&rows, row)),
    };
    if let Err(why) = &done {
        eprintln!("{why}");
    }
    ExitCode::from(done.is_err() as u8)
}

fn run_one(column: &str, row: &str, n: u64) -> Result<(), String> {
    let mut runs = worker::open(column)?;
    if !runs.rows().contains(&row) {
        return Err(format!("{column} has no row {row:?}"));
    }
    println!("{} ns", runs.time(row, n));
    Ok(())
}

//! The report.

use std::fmt::Write;

use super::results::{Measured, Results, best, typical};
use super::verdict::{Ratio, Verdict};
use super::{Report, build, machine, plot};
use crate::goals::{Against, GOALS};
use crate::rows::ROWS;

pub fn run(options: &Report) -> Result<(), String> {
    let results = Results::measure(options)?;
    if let Some(path) = &options.json {
        let json = serde_json::to_string(&results).expect("numbers and strings");
        std::fs::write(path, json).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    if let Some(path) = &options.plot {
        plot::draw(&results, path)?;
    }
    let text = written(&results, options);
    match &options.out {
        Some(path) => std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display())),
        None => {
            print!("{text}");
            Ok(())
        }
    }
}

fn written(results: &Results, options: &Report) -> String {
    let mut text = String::from("# The race\n\nWritten by `bench/`; its README says what each row is.\n\n");
    let mut line = |line: &str| writeln!(text, "- {line}").expect("a string");
    machine::describe(&options.cores).iter().for_each(|it| line(it));
    results.notes.iter().for_each(|it| line(it));
    line(&format!(
        "{} runs of {} samples of about 0.4 ms for each row and column (of two threads: 4 ms), by turns; the workers are \
         started anew for each run",
        options.runs, options.rounds
    ));
    line("two threads: while their cores are near each other, where it does not say otherwise");
    results.left_out.iter().for_each(|it| line(&format!("left out: {it}")));
    text += &goals(results);
    let time = |runs: &[Vec<f64>]| Some(format!("{} ({})", number(best(runs)?), number(typical(runs)?)));
    text += &table(results, "Nanoseconds, built for the native CPU: best (median)", |it| time(&it.native));
    text += &table(
        results,
        "Nanoseconds, built for the native CPU, two threads on cores far apart: best (median)",
        |it| time(&it.far),
    );
    text += &table(results, "Nanoseconds, built for plain x86-64: best (median)", |it| time(&it.plain));
    text += &table(results, "Instructions, built for x86-64-v3", |it| Some(number(it.instructions?)));
    text
}

/// The goals that can be judged by what was measured.
fn goals(results: &Results) -> String {
    let mut text = String::from("\n## Goals: ours divided by theirs\n\n");
    text += &markdown([
        "operation",
        "against",
        "ours",
        "theirs",
        "ratio",
        "at most",
        "",
        "each run",
        "plain x86-64",
        "cores far apart",
    ]);
    text += &markdown(["---"; 10]);
    let (mut met, mut judged) = (0, 0);
    for goal in GOALS {
        let Some(verdict) = Verdict::of(goal, results) else { continue };
        judged += 1;
        met += usize::from(verdict.met());
        let against = match goal.against {
            Against::Time(column) => column.to_owned(),
            Against::Instructions(column) => format!("{column}, instructions"),
            Against::OwnRow(row) => format!("our own: {row}"),
        };
        let ratio = |it: &Ratio| format!("{:.2}", it.value());
        let by_run = verdict.by_run.iter().map(ratio).collect::<Vec<_>>().join(", ");
        text += &markdown([
            goal.row,
            &against,
            &number(verdict.all.ours),
            &number(verdict.all.theirs),
            &ratio(&verdict.all),
            &goal.most.to_string(),
            if verdict.met() { "met" } else { "**not met**" },
            &format!("{by_run}{}", if verdict.certain() { "" } else { ": they disagree" }),
            &verdict.plain.as_ref().map(ratio).unwrap_or_default(),
            &verdict.far.as_ref().map(ratio).unwrap_or_default(),
        ]);
    }
    text + &format!("\n{met} of {judged} met.\n")
}

/// Rows and columns that have anything to say.
fn table(results: &Results, title: &str, cell: impl Fn(&Measured) -> Option<String>) -> String {
    let said: Vec<_> =
        results.measured.iter().filter_map(|it| Some((it.row, it.column, cell(it)?))).collect();
    let columns: Vec<_> =
        build::names().filter(|name| said.iter().any(|(_, column, _)| column == name)).collect();
    if columns.is_empty() {
        return String::new();
    }
    let mut text = format!("\n## {title}\n\n");
    text += &markdown(["operation"].iter().chain(&columns));
    text += &markdown(vec!["---"; columns.len() + 1]);
    for row in ROWS.iter().filter(|row| said.iter().any(|(name, _, _)| *name == row.name)) {
        let find =
            |wanted: &&str| said.iter().find(|(name, column, _)| *name == row.name && column == wanted);
        let cells = columns.iter().map(|column| find(column).map_or("", |(_, _, text)| text));
        text += &markdown([row.name].into_iter().chain(cells));
    }
    text
}

/// A line of a table.
fn markdown(cells: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let cells = cells.into_iter().map(|cell| format!("| {} ", cell.as_ref()));
    cells.collect::<String>() + "|\n"
}

/// With as many digits as mean something.
fn number(value: f64) -> String {
    match value {
        ..10.0 => format!("{value:.2}"),
        ..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

//! The counts of instructions that are committed, and whether they are still true.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::count::{count, valgrind_is_there};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.txt");
/// By how much a count may grow. What shrinks by more is to be written down.
const SLACK: f64 = 0.02;
const COLUMNS: [&str; 3] = ["ours", "ours, cache", "ours, C"];

pub fn run(update: bool, require_valgrind: bool) -> Result<(), String> {
    if env!("BENCH_CPU") != "x86-64-v3" {
        return Err("the guard counts itself, and has to be built for x86-64-v3: use bench/guard.sh".into());
    }
    if !valgrind_is_there() {
        if require_valgrind {
            return Err("valgrind is not installed".into());
        }
        eprintln!("valgrind is not installed: instructions are not counted");
        return Ok(());
    }
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut now = BTreeMap::new();
    for column in COLUMNS {
        let rows = count(&program, column, "")?;
        now.extend(rows.into_iter().map(|(row, each)| (format!("{column}: {row}"), each)));
    }
    if update {
        return std::fs::write(FILE, written(&now)).map_err(|error| format!("{FILE}: {error}"));
    }
    let committed = std::fs::read_to_string(FILE).map_err(|error| format!("{FILE}: {error}"))?;
    compare(&read(&committed)?, &now)
}

fn compare(before: &BTreeMap<String, f64>, now: &BTreeMap<String, f64>) -> Result<(), String> {
    let mut wrong = String::new();
    for (row, each) in now {
        let Some(was) = before.get(row) else {
            writeln!(wrong, "{row}: {each:.1} instructions, not written down").unwrap();
            continue;
        };
        // The file has one decimal.
        let slack = SLACK * was + 0.05;
        if each - was > slack {
            let growth = 100.0 * (each / was - 1.0);
            writeln!(wrong, "{row}: {each:.1} instructions, {was:.1} before (+{growth:.1} %)").unwrap();
        } else if was - each > slack {
            eprintln!(
                "{row}: {each:.1} instructions, {was:.1} before: `bench/guard.sh --update` writes it down"
            );
        }
    }
    for row in before.keys().filter(|row| !now.contains_key(*row)) {
        writeln!(wrong, "{row}: written down, but not there").unwrap();
    }
    if wrong.is_empty() {
        eprintln!("{} counts of instructions are as they were", now.len());
        return Ok(());
    }
    Err(format!("{wrong}If this is meant: `bench/guard.sh --update`, and commit bench/instructions.txt."))
}

fn written(counts: &BTreeMap<String, f64>) -> String {
    counts.iter().map(|(row, each)| format!("{each:8.1}  {row}\n")).collect()
}

fn read(text: &str) -> Result<BTreeMap<String, f64>, String> {
    let line = |line: &str| {
        let (each, row) = line.trim().split_once("  ")?;
        Some((row.to_owned(), each.parse().ok()?))
    };
    text.lines().map(|it| line(it).ok_or_else(|| format!("{FILE}: not a count and a row: {it}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(each: f64) -> BTreeMap<String, f64> {
        BTreeMap::from([("ours: a row".to_owned(), each)])
    }

    #[test]
    fn what_is_written_is_read_again() {
        assert_eq!(read(&written(&counts(48.3))), Ok(counts(48.3)));
        assert!(read("48 a row").is_err());
    }

    #[test]
    fn growth_over_two_per_cent_fails_and_shrinking_does_not() {
        assert_eq!(compare(&counts(100.0), &counts(102.0)), Ok(()));
        assert_eq!(compare(&counts(100.0), &counts(50.0)), Ok(()));
        let why = compare(&counts(100.0), &counts(102.2)).unwrap_err();
        assert!(why.contains("ours: a row: 102.2 instructions, 100.0 before (+2.2 %)"), "{why}");
    }

    #[test]
    fn rows_that_come_or_go_have_to_be_written_down() {
        assert!(compare(&BTreeMap::new(), &counts(1.0)).is_err());
        assert!(compare(&counts(1.0), &BTreeMap::new()).is_err());
    }
}

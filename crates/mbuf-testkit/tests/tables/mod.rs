//! Tables of Markdown that name tests, and the sources that should have them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A line of a table, without the lines above it that name the columns.
pub(crate) struct Row<'a> {
    pub(crate) line: usize,
    pub(crate) table: &'a str,
    pub(crate) cells: Vec<&'a str>,
}

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, {} ({})", self.line, self.cells[0], self.table)
    }
}

/// All rows of all tables. A table's name is the heading that it stands under.
pub(crate) fn rows(text: &str) -> Vec<Row<'_>> {
    let mut rows = Vec::new();
    let mut table = "";
    let mut above = 0;
    for (index, line) in text.lines().enumerate() {
        if let Some(heading) = line.strip_prefix("## ") {
            table = heading.trim();
        }
        let Some(cells) = line.strip_prefix('|') else {
            above = 0;
            continue;
        };
        above += 1;
        // The first two lines of a table name its columns and draw a line.
        if above > 2 {
            let cells = cells.trim_end().strip_suffix('|').unwrap_or(cells);
            rows.push(Row { line: index + 1, table, cells: cells.split('|').map(str::trim).collect() });
        }
    }
    rows
}

/// What is between a pair of backticks that make up the whole cell.
pub(crate) fn code(cell: &str) -> Option<&str> {
    cell.strip_prefix('`')?.strip_suffix('`').filter(|inner| !inner.is_empty() && !inner.contains('`'))
}

/// The files of the repository, each read once.
#[derive(Default)]
pub(crate) struct Sources(BTreeMap<String, Option<String>>);

impl Sources {
    pub(crate) fn read(&mut self, file: &str) -> Option<&str> {
        let read = |file: &String| {
            // A row names files of this repository and no others.
            let inside = !file.starts_with('/') && !file.split('/').any(|part| part == "..");
            inside.then(|| fs::read_to_string(root().join(file)).ok()).flatten()
        };
        let file = file.to_owned();
        let text = read(&file);
        self.0.entry(file).or_insert(text).as_deref()
    }

    /// What keeps a cell from naming a test that exists.
    pub(crate) fn lack_of(&mut self, test: &str) -> Option<String> {
        let Some((file, function)) = code(test).and_then(|test| test.rsplit_once("::")) else {
            return Some("does not name a test as `path::function`".into());
        };
        match self.read(file) {
            None => Some(format!("names a test in `{file}`, which does not exist")),
            Some(source) if !tests(source).contains(function) => {
                Some(format!("names the test `{function}`, which `{file}` does not have"))
            }
            Some(_) => None,
        }
    }
}

/// A line without visibility and what may stand in front of `fn`.
pub(crate) fn without_qualifiers(line: &str) -> &str {
    let mut line = line.trim();
    if let Some(rest) = line.strip_prefix("pub(")
        && let Some((_, rest)) = rest.split_once(") ")
    {
        line = rest;
    }
    loop {
        let rest = ["pub ", "unsafe ", "async ", "default ", "extern \"C\" "]
            .iter()
            .find_map(|qualifier| line.strip_prefix(qualifier))
            .or_else(|| {
                line.strip_prefix("const ")
                    .filter(|rest| rest.starts_with("fn ") || rest.starts_with("unsafe "))
            });
        match rest {
            Some(rest) => line = rest,
            None => return line,
        }
    }
}

pub(crate) fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// The functions of a file that are tests: marked as such, in `proptest!` too, or given to a macro that marks them.
pub(crate) fn tests(source: &str) -> BTreeSet<&str> {
    let mut tests = BTreeSet::new();
    let mut marked = false;
    let mut in_macro = false;
    for line in source.lines() {
        match line {
            "both_kinds! {" => in_macro = true,
            "}" => in_macro = false,
            _ if line.trim() == "#[test]" => marked = true,
            _ => {
                let Some(rest) = without_qualifiers(line).strip_prefix("fn ") else { continue };
                // The macro takes its functions one step indented; what is deeper is within them.
                if rest.starts_with(char::is_alphabetic)
                    && (marked || in_macro && line.starts_with("    fn "))
                {
                    tests.extend(words(rest).next());
                }
                marked = false;
            }
        }
    }
    tests
}

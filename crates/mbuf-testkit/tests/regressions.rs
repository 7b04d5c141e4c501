//! Holds `docs/regressions.md` to what it says: each row names a test that exists, or says why there is none.

mod tables;

use std::collections::BTreeMap;
use std::fs;

use tables::{Row, Sources, root, rows};

/// What is wrong with a row: what it is about, its test, and a remark, behind whose it is, if it is somebody's.
fn fault(row: &Row<'_>, sources: &mut Sources) -> Option<String> {
    let ([what, test, remark] | [_, what, test, remark]) = row.cells[..] else {
        return Some(format!("has {} cells instead of 3 or 4", row.cells.len()));
    };
    match () {
        () if what.is_empty() => Some("is about nothing".into()),
        () if test != "—" => sources.lack_of(test),
        () => remark.is_empty().then(|| "has no test and does not say why".into()),
    }
}

#[test]
fn every_row_names_a_test_that_exists() {
    let text =
        fs::read_to_string(root().join("docs/regressions.md")).expect("docs/regressions.md can be read");
    let rows = rows(&text);
    assert!(rows.len() > 80, "the tables were not found");
    let (mut sources, mut seen, mut found) = (Sources::default(), BTreeMap::new(), Vec::new());
    for row in &rows {
        found.extend(fault(row, &mut sources).map(|fault| format!("{row}: {fault}")));
        if let Some(line) = seen.insert((row.table, row.cells[..row.cells.len() - 2].to_vec()), row.line) {
            found.push(format!("{row}: stands in line {line} already"));
        }
    }
    assert!(
        found.is_empty(),
        "docs/regressions.md is wrong in {} places:\n{}",
        found.len(),
        found.join("\n")
    );
}

/// The reader itself.
#[test]
fn a_row_that_is_not_true_is_found() {
    let file = "crates/mbuf-testkit/tests/regressions.rs";
    let cases = [
        (format!("| a | `{file}::a_row_that_is_not_true_is_found` | |"), None),
        (format!("| X | a | `{file}::a_row_that_is_not_true_is_found` | |"), None),
        ("| a | — | because |".into(), None),
        ("| a | — | |".into(), Some("does not say why")),
        ("| | — | because |".into(), Some("about nothing")),
        ("| a | b |".into(), Some("2 cells")),
        (format!("| a | `{file}::fault` | |"), Some("does not have")),
        ("| a | `crates/nowhere.rs::fault` | |".into(), Some("does not exist")),
    ];
    for (line, expected) in cases {
        let text = format!("| a | b | c |\n| - | - | - |\n{line}\n");
        let found = fault(&rows(&text)[0], &mut Sources::default());
        match expected {
            None => assert_eq!(found, None, "{line}"),
            Some(part) => {
                assert!(found.as_ref().is_some_and(|found| found.contains(part)), "{line}: {found:?}")
            }
        }
    }
}

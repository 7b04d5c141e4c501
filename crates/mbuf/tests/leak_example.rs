//! The example `leak` prints what `docs/debugging.md` says. It is a process of its own, which Miri does not start.
#![cfg(not(miri))]

use std::process::Command;

#[path = "../examples/leak.rs"]
#[allow(dead_code, unreachable_pub, missing_docs)]
mod leak;

const CHILD: &str = "MBUF_TEST_LEAK_CHILD";

/// Text without what differs from run to run: how long ago something was.
fn stable(text: &str) -> String {
    let line = |line: &str| match (line.find(", "), line.find(" ago")) {
        (Some(start), Some(end)) if start < end => format!("{}, …{}", &line[..start], &line[end..]),
        _ => line.to_string(),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_example_finds_its_leak_and_the_documentation_shows_how() {
    if std::env::var_os(CHILD).is_some() {
        return leak::main();
    }
    let this = std::env::current_exe().unwrap();
    let mut child = Command::new(this);
    child.args(["--nocapture", "--test-threads=1", "the_example"]).env(CHILD, "1");
    let output = child.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let printed = stable(&String::from_utf8(output.stdout).unwrap());
    let docs = include_str!("../../../docs/debugging.md");
    let (_, rest) = docs.split_once("```text\n90 datagrams").expect("the output is in the documentation");
    let (shown, _) = rest.split_once("\n```").expect("it has an end");
    let shown = stable(&format!("90 datagrams{shown}"));
    // The test includes it by another path.
    let printed = printed.replace("tests/../", "");
    // And the thread is the main one, or the test's.
    let printed =
        printed.replace("thread the_example_finds_its_leak_and_the_documentation_shows_how", "thread main");
    assert!(printed.contains(&shown), "printed:\n{printed}\n\nin docs/debugging.md:\n{shown}");
    let line =
        include_str!("../examples/leak.rs").lines().position(|line| line.contains("from_slice")).unwrap() + 1;
    assert!(shown.contains(&format!("examples/leak.rs:{line}:")), "line {line} is the one that leaks");
}

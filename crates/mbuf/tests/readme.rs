//! The README shows what the repository has.

use std::fs;
use std::path::Path;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_tour_of_the_readme_is_the_example() {
    let (readme, example) = (read("README.md"), read("crates/mbuf/examples/tour.rs"));
    let block =
        readme.split("```rust\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a block of Rust");
    let code = example.split_once("\n\n").expect("a first line of documentation").1;
    assert_eq!(block, code);
}

#[test]
fn what_the_readme_links_to_exists() {
    for target in read("README.md").split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
        if !target.contains("://") {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(target);
            assert!(path.exists(), "README.md links to {target}");
        }
    }
}

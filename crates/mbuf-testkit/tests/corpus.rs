//! Replays what fuzzers found: every file of `fuzz/corpus` through its driver.

use std::fs;
use std::path::Path;

use mbuf_testkit::drive::DRIVERS;

#[test]
fn nothing_that_was_found_panics() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    for &(name, drive) in DRIVERS {
        let folder = corpus.join(name);
        let mut files: Vec<_> = fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
            .map(|entry| entry.expect("a readable folder").path())
            .collect();
        files.sort();
        assert!(!files.is_empty(), "{} is empty", folder.display());
        let few = if cfg!(miri) { 3 } else { files.len() };
        for file in files.iter().take(few) {
            println!("{}", file.display());
            drive(&fs::read(file).expect("a readable file"));
        }
    }
}

/// What nobody chose, either.
#[test]
fn noise_does_not_panic() {
    let mut rng = mbuf_testkit::Rng::new(7);
    for &(name, drive) in DRIVERS {
        for len in [0, 1, 7, 100, 800] {
            for _ in 0..mbuf_testkit::scaled(20, 1) {
                let bytes: Vec<u8> = (0..len).map(|_| rng.word() as u8).collect();
                println!("{name}: {bytes:02x?}");
                drive(&bytes);
            }
        }
    }
}

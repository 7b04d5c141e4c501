//! Instructions, by callgrind: of a batch of 2N less those of a batch of N, so that what is done once does not count.

use std::path::Path;
use std::process::Command;

/// A multiple of the longest burst, and of what a slow path is amortised over.
const N: u64 = 3 * crate::rows::BURST;

pub fn valgrind_is_there() -> bool {
    Command::new("valgrind").arg("--version").output().is_ok_and(|output| output.status.success())
}

/// The rows of a column, and the instructions of each.
pub fn count(program: &Path, column: &str, rows: &str) -> Result<Vec<(String, f64)>, String> {
    let directory = std::env::temp_dir().join(format!("mbuf-bench-{}", std::process::id()));
    std::fs::create_dir_all(&directory).map_err(|error| error.to_string())?;
    let counted = in_directory(&directory, program, column, rows);
    // What is left there does not matter to anyone.
    let _ = std::fs::remove_dir_all(&directory);
    counted
}

fn in_directory(
    directory: &Path,
    program: &Path,
    column: &str,
    rows: &str,
) -> Result<Vec<(String, f64)>, String> {
    let dumps = directory.join("dump");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--collect-atstart=no"])
        .args(["--toggle-collect=bench_measured", "--dump-after=bench_measured"])
        .arg(format!("--callgrind-out-file={}", dumps.display()))
        .arg(program)
        .args(["count", column, &N.to_string(), rows])
        .env("BENCH_NO_HUGE", "1")
        // One instruction that copies it all counts once a byte, and from which length it is used is the CPU's matter.
        .env(
            "GLIBC_TUNABLES",
            "glibc.cpu.x86_rep_movsb_threshold=0x1000000:glibc.cpu.x86_rep_stosb_threshold=0x1000000",
        )
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        // valgrind's own lines are marked.
        let mut said = said.lines().filter(|line| !line.starts_with("==") && !line.trim().is_empty());
        return Err(said.next_back().unwrap_or("the worker failed under valgrind").to_owned());
    }
    let said = String::from_utf8_lossy(&output.stdout);
    said.lines()
        .enumerate()
        .map(|(i, row)| {
            let (once, twice) = (total(&dumps, 2 * i + 1)?, total(&dumps, 2 * i + 2)?);
            Ok((row.to_owned(), (twice - once) / N as f64))
        })
        .collect()
}

/// The instructions of the `i`-th dump.
fn total(dumps: &Path, i: usize) -> Result<f64, String> {
    let path = dumps.with_extension(i.to_string());
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let total =
        text.lines().find_map(|line| line.strip_prefix("totals: ").or(line.strip_prefix("summary: ")));
    total.and_then(|total| total.trim().parse().ok()).ok_or_else(|| format!("{}: no total", path.display()))
}

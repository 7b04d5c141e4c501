//! `mbufctl replay` with the same stages, on the same capture.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::trip::{MTU, Stage};

/// What it calls a stage; `None`: it has none that does this and nothing else.
pub fn stage_name(stage: Stage) -> Option<String> {
    Some(match stage {
        Stage::Receive => "intake".into(),
        Stage::Transmit => "release".into(),
        // Its stage `mirror` is a proof, which copies and compares.
        Stage::Mirror => return None,
        Stage::Vlan => "vlan:100".into(),
        Stage::Fragment => format!("fragment:{MTU}"),
        other => other.name().into(),
    })
}

/// Builds the program.
pub fn build() -> Result<PathBuf, String> {
    cargo(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml"), &["-p", "mbuf-cli"], "mbufctl")
}

/// Builds a program as it is built by whoever follows the README, and says where it is.
pub fn cargo(manifest: &str, arguments: &[&str], program: &str) -> Result<PathBuf, String> {
    eprintln!("building {program}");
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--release", "--message-format", "json", "--manifest-path", manifest])
        .args(arguments)
        .output()
        .map_err(|error| format!("cargo: {error}"))?;
    let said = String::from_utf8_lossy(&output.stdout);
    let programs = said.lines().filter_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        Some(PathBuf::from(message.get("executable")?.as_str()?))
    });
    let mut programs = programs.filter(|path| path.file_stem().is_some_and(|stem| stem == program));
    match programs.next() {
        Some(path) if output.status.success() => Ok(path),
        _ => Err(format!("{program} did not build; cargo says why")),
    }
}

/// A command for the stages up to `last`.
pub fn replay(program: &Path, last: Stage) -> Command {
    let stages = Stage::ALL.iter().take_while(|stage| **stage as usize <= last as usize);
    let inner = stages.filter(|stage| !matches!(stage, Stage::Receive | Stage::Transmit));
    let names: Vec<_> = inner.filter_map(|stage| stage_name(*stage)).collect();
    let mut command = Command::new(program);
    command.args(["replay", "--stage", &names.join(",")]);
    command
}

/// Nanoseconds of all stages, in so many laps.
pub fn time(program: &Path, laps: u32) -> Result<[Option<u64>; Stage::ALL.len()], String> {
    let output = replay(program, Stage::Transmit).args(["--json", "--repeat", &laps.to_string()]).output();
    let output = output.map_err(|error| format!("mbufctl: {error}"))?;
    let report: Value =
        serde_json::from_slice(&output.stdout).map_err(|error| format!("mbufctl: {error}"))?;
    let stages = report["stages"].as_array().ok_or("mbufctl reports no stages")?;
    Ok(Stage::ALL.map(|stage| {
        let name = stage_name(stage)?;
        stages.iter().find(|it| it["name"] == name.as_str())?["nanoseconds"].as_u64()
    }))
}

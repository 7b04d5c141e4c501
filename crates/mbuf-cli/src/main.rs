//! `mbufctl`: pushes captures through mbufs and shows what happened.
//!
//! ```text
//!   args ─▶ replay: capture ─▶ pool ─▶ stages ─▶ proof, output ─▶ report, chart
//!                                       └ wire: headers across segments
//! ```
//!
//! Exit status: 0 when all went well (frames dropped by a small pool are a warning), 1 when the capture is damaged,
//! a file cannot be read or written, or a proof failed, 2 when the arguments make no sense.

#![forbid(unsafe_code)]

mod args;
mod embedded;
mod replay;
mod stage;
mod wire;

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};

fn main() -> ExitCode {
    let Args { command: Command::Replay(args) } = Args::parse();
    let outcome = match replay::run(&args) {
        Ok(outcome) => outcome,
        Err(message) => {
            complain(&message);
            return ExitCode::FAILURE;
        }
    };
    for message in &outcome.messages {
        complain(message);
    }
    match std::io::stdout().lock().write_all(outcome.text.as_bytes()) {
        // Whoever reads has read enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        Err(error) => {
            complain(&format!("cannot write the report: {error}"));
            return ExitCode::FAILURE;
        }
        Ok(()) => {}
    }
    if outcome.success { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Writes a message to standard error, if there is one.
fn complain(message: &str) {
    let _ = writeln!(std::io::stderr(), "mbufctl: {message}");
}

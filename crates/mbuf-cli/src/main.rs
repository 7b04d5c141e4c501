//! `mbufctl`: pushes captures through mbufs and shows what happened, and shows the settings of pools.
//!
//! ```text
//!   args ─▶ replay: capture ─▶ pool ─▶ stages ─▶ proof, output ─▶ report, chart
//!      │                                └ wire: headers across segments
//!      ├──▶ sysctl: preset, files, environment, arguments ─▶ tunables ─▶ pool ─▶ names and values
//!      └──▶ live: pages of running processes ─▶ text, JSON, Prometheus, screen
//! ```
//!
//! Exit status: 0 when all went well (frames dropped by a small pool are a warning), 1 when the capture is damaged,
//! a file cannot be read or written, or a proof failed, 2 when the arguments make no sense, 128 and the number of the
//! signal when SIGINT or SIGTERM ended the run early.

#![forbid(unsafe_code)]

mod args;
mod classes;
mod embedded;
#[cfg(unix)]
mod live;
mod replay;
mod stage;
mod sysctl;
mod wire;

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};

fn main() -> ExitCode {
    match Args::parse().command {
        Command::Replay(args) => report(&replay::run(&args)),
        Command::Sysctl(args) => report(&sysctl::run(&args)),
        #[cfg(unix)]
        Command::Stat(args) => live::stat::run(&args),
        #[cfg(unix)]
        Command::Top(args) => live::top::run(&args),
    }
}

/// Writes what a command left.
fn report(outcome: &replay::Outcome) -> ExitCode {
    for message in &outcome.messages {
        complain(message);
    }
    let written = if outcome.to_stderr {
        io::stderr().write_all(outcome.text.as_bytes())
    } else {
        let mut stdout = io::stdout().lock();
        stdout.write_all(outcome.text.as_bytes()).and_then(|()| stdout.flush())
    };
    match written {
        // Whoever reads has read enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
        Err(error) => {
            complain(&format!("cannot write the report: {error}"));
            return ExitCode::FAILURE;
        }
        Ok(()) => {}
    }
    ExitCode::from(outcome.status)
}

/// Writes a message to standard error, if there is one.
fn complain(message: &str) {
    let _ = writeln!(io::stderr(), "mbufctl: {message}");
}

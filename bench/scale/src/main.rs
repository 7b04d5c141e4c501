//! How the library scales: with threads, with waiters, with the size of the pool, with the size of pages.
//!
//! - [`threads`]: alloc and free on 1 to 16 threads, with packets that another thread frees.
//! - [`waiters`]: who waits at a limit, how long, and in which order.
//! - [`size`]: pools of 2^10 to 2^22 buffers; what a collection costs.
//! - [`pages`]: 4 KiB pages and huge ones.
//! - [`bursts`]: how much a thread can hold back before the depot is in its way.
//! - [`model`]: more cores than there are here, from the costs that [`costs`] measures.
//!
//! Beside them: [`sample`] (what was measured), [`system`] (what the kernel says), [`report`] and [`plot`].
#![deny(unsafe_code)]

mod bursts;
mod costs;
mod model;
mod pages;
mod plot;
mod report;
mod sample;
mod size;
mod system;
mod threads;
mod waiters;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

use report::Section;

/// Measures how mbuf scales, and prints a report in Markdown.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    /// Puts the tables between their marks in this file instead, and the plots beside it.
    #[arg(long, value_name = "FILE")]
    into: Option<PathBuf>,
    /// Only these sections: machine, threads, waiters, size, pages, bursts, model.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Rounds of each measurement.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Buffers of the largest pool, as a power of two.
    #[arg(long, default_value_t = 22, value_parser = clap::value_parser!(u32).range(10..=22))]
    largest: u32,
}

/// What the measurements are told.
pub struct Settings {
    rounds: usize,
    largest: u32,
}

type Measure = fn(&Settings) -> Section;

const SECTIONS: &[(&str, Measure)] = &[
    ("machine", system::machine),
    ("threads", threads::measure),
    ("waiters", waiters::measure),
    ("size", size::measure),
    ("pages", pages::measure),
    ("bursts", bursts::measure),
    ("model", model::measure),
];

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(name) = arguments.only.iter().find(|name| SECTIONS.iter().all(|(it, _)| it != name)) {
        eprintln!("there is no section {name}");
        return ExitCode::FAILURE;
    }
    let settings = Settings { rounds: arguments.rounds.max(1), largest: arguments.largest };
    for (name, measure) in SECTIONS {
        if !arguments.only.is_empty() && !arguments.only.iter().any(|only| only == name) {
            continue;
        }
        eprintln!("{name} ...");
        let section = measure(&settings);
        let done = match &arguments.into {
            Some(file) => section.put_into(name, file),
            None => {
                println!("## {name}\n\n{}", section.text);
                Ok(())
            }
        };
        if let Err(why) = done {
            eprintln!("{name}: {why}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

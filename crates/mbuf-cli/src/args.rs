//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::stage::{self, StageList, StageSpec};

/// Push captures through mbufs and show what happened.
#[derive(Debug, Parser)]
#[command(name = "mbufctl", version, about)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a capture through a pool and stages, and report packets, time and memory.
    #[command(after_help = stage::help() + ENDING, allow_negative_numbers = true)]
    Replay(ReplayArgs),
}

/// What `mbufctl replay` is told.
#[derive(Debug, clap::Args)]
pub(crate) struct ReplayArgs {
    /// A pcap or pcapng file, `-` for standard input; without it, the capture inside the program.
    pub(crate) capture: Option<PathBuf>,

    /// Stages, in order; may be given more than once, or separated by commas.
    #[arg(long = "stage", value_name = "STAGE")]
    stages: Vec<StageList>,

    /// Write what comes out of the last stage as pcapng; `-` is standard output, and the report goes to standard
    /// error. A file is replaced when all is written.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,

    /// Draw memory in use by class over the run.
    #[arg(long, value_name = "FILE.svg")]
    pub(crate) plot: Option<PathBuf>,

    /// Write the report as JSON.
    #[arg(long)]
    pub(crate) json: bool,

    /// Compare each frame that comes out with what came in. On when no stage is named.
    #[arg(long)]
    pub(crate) prove: bool,

    /// Check the invariants of every packet after every stage.
    #[arg(long)]
    pub(crate) check: bool,

    /// Run the capture this many times.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) repeat: u32,

    /// Frames that go through the stages together.
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=32768))]
    pub(crate) window: u32,

    /// Limit on mbufs, as all limits in buffers.
    #[arg(long, value_name = "N", help_heading = "Pool limits")]
    pub(crate) mbufs: Option<u32>,

    /// Limit on clusters of 2 KiB.
    #[arg(long, value_name = "N", help_heading = "Pool limits")]
    pub(crate) clusters: Option<u32>,

    /// Limit on page-size clusters of 4 KiB.
    #[arg(long, value_name = "N", help_heading = "Pool limits")]
    pub(crate) jumbo_pages: Option<u32>,

    /// Limit on clusters of 9 KiB.
    #[arg(long, value_name = "N", help_heading = "Pool limits")]
    pub(crate) jumbo_9k: Option<u32>,

    /// Limit on clusters of 16 KiB.
    #[arg(long, value_name = "N", help_heading = "Pool limits")]
    pub(crate) jumbo_16k: Option<u32>,
}

impl ReplayArgs {
    /// The stages that are named, in order.
    pub(crate) fn stages(&self) -> Vec<StageSpec> {
        self.stages.iter().flat_map(|list| list.0.clone()).collect()
    }
}

/// How `--help` ends.
const ENDING: &str = "
Examples:
  mbufctl replay                                         the capture inside the program, there and back
  mbufctl replay a.pcapng --stage vxlan,fragment:1280 --out b.pcapng
  mbufctl replay b.pcapng --stage reassemble,decapsulate --json
  mbufctl replay a.pcapng --repeat 100 --clusters 200 --plot memory.svg
  tcpdump -w - | mbufctl replay - --stage verify
  mbufctl replay a.pcap --stage vlan:7 --out - | tshark -r -

Exit status:
  0  all went well; packets dropped for want of buffers are a warning
  1  the capture is damaged, a file cannot be read or written, or a proof failed
  2  the arguments make no sense
  130, 143  ended early by SIGINT or SIGTERM; what was done until then is written and reported
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }

    #[test]
    fn stages_keep_their_order() {
        let line = ["mbufctl", "replay", "--stage", "vxlan,fragment:1280", "--stage", "reassemble", "file"];
        let Command::Replay(args) = Args::try_parse_from(line).unwrap().command;
        let stages: Vec<String> = args.stages().iter().map(ToString::to_string).collect();
        assert_eq!(stages, ["vxlan", "fragment:1280", "reassemble"]);
    }
}

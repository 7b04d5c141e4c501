//! The command line.

use std::path::PathBuf;
#[cfg(unix)]
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Parser, Subcommand};
use mbuf::Preset;

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
    /// Print the settings and counters of a pool by name, or check a configuration and print what it would give.
    #[command(after_help = SYSCTL_ENDING)]
    Sysctl(SysctlArgs),

    /// Show the pools that running processes publish: all processes, or the pools of one as `netstat -m` does.
    #[cfg(unix)]
    #[command(after_help = STAT_ENDING)]
    Stat(StatArgs),

    /// Show the pools of running processes on the whole screen.
    #[cfg(unix)]
    #[command(after_help = TOP_ENDING)]
    Top(TopArgs),
}

/// What `mbufctl stat` is told.
#[cfg(unix)]
#[derive(Debug, clap::Args)]
pub(crate) struct StatArgs {
    /// The process whose pools are shown; without it, a list of processes.
    pub(crate) pid: Option<u32>,

    /// Again and again, every so many seconds; every second if it is not said.
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "1", value_parser = seconds)]
    pub(crate) watch: Option<Duration>,

    /// Write JSON: all that is published; with --watch one line each time.
    #[arg(long, conflicts_with = "prometheus")]
    pub(crate) json: bool,

    /// Write Prometheus text.
    #[arg(long)]
    pub(crate) prometheus: bool,

    /// Look there instead of in the user's runtime directory.
    #[arg(long, value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
}

/// What `mbufctl top` is told.
#[cfg(unix)]
#[derive(Debug, clap::Args)]
pub(crate) struct TopArgs {
    /// Seconds between two looks.
    #[arg(long, value_name = "SECONDS", default_value = "0.5", value_parser = seconds)]
    pub(crate) interval: Duration,

    /// Look there instead of in the user's runtime directory.
    #[arg(long, value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
}

/// A time in seconds, between a hundredth and a day.
#[cfg(unix)]
fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.01..=86_400.0).contains(&seconds) => Ok(Duration::from_secs_f64(seconds)),
        _ => Err("it takes seconds, between 0.01 and 86400".into()),
    }
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
    repeat: u32,

    /// Run it again and again, until a signal ends that or it was run N times.
    #[arg(long = "loop", value_name = "N", num_args = 0..=1, require_equals = true, value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "repeat")]
    again: Option<Option<u32>>,

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

/// What `mbufctl sysctl` is told.
#[derive(Debug, clap::Args)]
pub(crate) struct SysctlArgs {
    /// Names to print, with those under them; or settings to make.
    #[arg(value_name = "NAME|NAME=VALUE")]
    pub(crate) names: Vec<String>,

    /// Print everything, counters as they are in a new pool. On when nothing else is asked for.
    #[arg(short, long)]
    pub(crate) all: bool,

    /// Print descriptions instead of values.
    #[arg(short, long)]
    pub(crate) describe: bool,

    /// Read settings from a file like loader.conf(5), or `-` for standard input, check them, and print the limits they
    /// give.
    #[arg(short, long = "file", value_name = "CONFIG")]
    pub(crate) files: Vec<PathBuf>,

    /// Read settings from the environment (MBUF_NMBCLUSTERS and so on).
    #[arg(short, long)]
    pub(crate) env: bool,

    /// Begin with the formulas and rules of a system.
    #[arg(short, long, value_name = "SYSTEM", value_parser = preset())]
    pub(crate) preset: Option<Preset>,

    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// The presets by name; help and errors list them.
fn preset() -> impl TypedValueParser<Value = Preset> {
    PossibleValuesParser::new(Preset::ALL.map(Preset::name))
        .try_map(|name| Preset::named(&name).ok_or("there is no such system"))
}

impl ReplayArgs {
    /// How often the capture is run; `None` is without end.
    pub(crate) fn laps(&self) -> Option<u32> {
        self.again.unwrap_or(Some(self.repeat))
    }

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
  MBUF_PUBLISH=1 mbufctl replay --loop                   while `mbufctl top` shows its pool

Exit status:
  0  all went well; packets dropped for want of buffers are a warning
  1  the capture is damaged, a file cannot be read or written, or a proof failed
  2  the arguments make no sense
  130, 143  ended early by SIGINT or SIGTERM; what was done until then is written and reported
";

const SYSCTL_ENDING: &str = "
The values are those of a new pool with these settings, which nothing uses; `mbufctl stat` shows the pools of running
processes. Settings are made in this order: preset, files, environment, NAME=VALUE; the last one counts. What is not set
follows what is.

Examples:
  mbufctl sysctl -d                                      all names, with descriptions
  mbufctl sysctl -f pool.conf                            what is wrong with a configuration, or what it gives
  mbufctl sysctl --preset freebsd kern.maxusers=64 -f pool.conf --json
  mbufctl sysctl --preset netbsd kern.ipc.nmbufs kern.ipc.mbstat

Exit status:
  0  all went well
  1  a setting is refused, or a name is unknown or cannot be read
  2  the arguments make no sense
";

#[cfg(unix)]
const STAT_ENDING: &str = "
A program publishes its pools when it is built with the feature `publish` of mbuf and MBUF_PUBLISH=1 is in its
environment, or when it says so itself.

Examples:
  MBUF_PUBLISH=1 mbufctl replay --loop 2>/dev/null &     a process to look at
  mbufctl stat                                           the processes that publish
  mbufctl stat 4711                                      the pools of one
  mbufctl stat 4711 --watch=5                            the same every five seconds, with rates
  mbufctl stat --json | jq '.[].pools[].clusters'
  mbufctl stat --prometheus > mbuf.prom

Exit status:
  0  all went well, also when nobody publishes
  1  the process that is named publishes nothing, or a page or the directory cannot be read
  2  the arguments make no sense
";

#[cfg(unix)]
const TOP_ENDING: &str = "
Keys: the arrows select a pool, s orders by process, memory, speed or failures, q ends.

Examples:
  MBUF_PUBLISH=1 mbufctl replay --loop                   in another terminal: a process to look at
  mbufctl top
  mbufctl top --interval 2

Exit status:
  0  it was ended by a key
  1  there is no terminal, or the directory cannot be read
  2  the arguments make no sense
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
    fn a_loop_has_an_end_or_none() {
        let laps = |line: &[&str]| {
            let line = ["mbufctl", "replay"].iter().chain(line);
            let Command::Replay(args) = Args::try_parse_from(line).map_err(|error| error.kind())?.command
            else {
                panic!()
            };
            Ok::<_, clap::error::ErrorKind>(args.laps())
        };
        assert_eq!(laps(&[]), Ok(Some(1)));
        assert_eq!(laps(&["--repeat", "3"]), Ok(Some(3)));
        assert_eq!(laps(&["--loop"]), Ok(None));
        assert_eq!(laps(&["--loop=7", "file"]), Ok(Some(7)));
        assert_eq!(laps(&["--loop", "file"]), Ok(None));
        assert_eq!(laps(&["--loop=0"]), Err(clap::error::ErrorKind::ValueValidation));
        assert!(laps(&["--loop=x"]).is_err() && laps(&["--loop", "--repeat", "2"]).is_err());
    }

    /// Fails if a line has a command in it that is refused.
    fn can_be_given(line: &str) {
        let Some((_, example)) = line.split_once("mbufctl ") else { return };
        let words = example.split("  ").next().unwrap().split_whitespace();
        // `$!` is the process started last.
        let words = words.map(|word| if word == "$!" { "4711" } else { word });
        let words = words.take_while(|word| !word.contains(['|', '>', '&']));
        Args::try_parse_from(["mbufctl"].into_iter().chain(words))
            .unwrap_or_else(|error| panic!("{line}: {error}"));
    }

    #[test]
    fn the_manuals_say_how_the_program_is_installed_and_what_it_can_do() {
        use clap::CommandFactory;
        let readme = include_str!("../../../README.md");
        for manual in [readme, include_str!("../../../docs/operations.md")] {
            let commands: Vec<&str> = manual.lines().filter_map(|line| line.strip_prefix("    ")).collect();
            let install = commands.iter().position(|&line| line == "cargo install --path crates/mbuf-cli");
            let first = commands.iter().position(|line| line.contains("mbufctl "));
            assert!(install.is_some() && install < first, "{commands:?}");
            commands.into_iter().for_each(can_be_given);
        }
        for command in Args::command().get_subcommands() {
            let line = format!("mbufctl {}", command.get_name());
            assert!(readme.contains(&line), "README.md does not show `{line}`");
        }
        assert!(readme.contains("MBUF_PUBLISH=1"));
    }

    #[test]
    fn the_help_of_every_command_has_examples_that_can_be_given() {
        use clap::CommandFactory;
        for command in Args::command().get_subcommands_mut() {
            let help = command.render_long_help().to_string();
            let (_, examples) = help.split_once("Examples:\n").expect("there are examples");
            let (examples, statuses) = examples.split_once("\n\n").expect("they end");
            assert!(statuses.starts_with("Exit status:\n  0  "), "{help}");
            examples.lines().for_each(can_be_given);
        }
        let help = Args::command().find_subcommand_mut("stat").unwrap().render_long_help().to_string();
        assert!(help.contains("every second if it is not said"), "{help}");
    }

    #[test]
    fn stages_keep_their_order() {
        let line = ["mbufctl", "replay", "--stage", "vxlan,fragment:1280", "--stage", "reassemble", "file"];
        let Command::Replay(args) = Args::try_parse_from(line).unwrap().command else { panic!("{line:?}") };
        let stages: Vec<String> = args.stages().iter().map(ToString::to_string).collect();
        assert_eq!(stages, ["vxlan", "fragment:1280", "reassemble"]);
    }
}

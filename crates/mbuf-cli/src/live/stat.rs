//! `mbufctl stat`: what processes publish, once or again and again.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::process::ExitCode;
use std::thread;

use mbuf::publish::{Directory, ProcessStats, PublishError};
use mbuf::{Exposition, PoolStats};

use super::{Look, Rates, bytes, directory, look, now_ms};
use crate::args::StatArgs;
use crate::complain;

pub(crate) fn run(args: &StatArgs) -> ExitCode {
    match repeat(args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Prints what there is, until there is no more to print. Whether all of it could be read.
fn repeat(args: &StatArgs) -> Result<bool, PublishError> {
    let mut before = BTreeMap::new();
    loop {
        let look = take(args)?;
        for error in look.ended.iter().chain(&look.damaged) {
            complain(&error.to_string());
        }
        let text = text(args, &look, &before);
        let clear = if args.watch.is_some() && io::stdout().is_terminal() { "\x1b[H\x1b[2J" } else { "" };
        let mut out = io::stdout().lock();
        match out.write_all(format!("{clear}{text}").as_bytes()).and_then(|()| out.flush()) {
            // Whoever reads has read enough.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(true),
            Err(error) => {
                complain(&format!("cannot write: {error}"));
                return Ok(false);
            }
            Ok(()) => {}
        }
        let Some(interval) = args.watch else { return Ok(look.damaged.is_empty()) };
        before = look.processes.into_iter().map(|process| (process.pid, process)).collect();
        drop(out);
        thread::sleep(interval);
    }
}

/// One process, which has to be there, or all.
fn take(args: &StatArgs) -> Result<Look, PublishError> {
    let path = args.directory.as_deref();
    let Some(pid) = args.pid else { return look(path) };
    let process = directory(path)?.ok_or(PublishError::Absent { pid })?.read(pid)?;
    Ok(Look { processes: vec![process], at_ms: now_ms(), ..Look::default() })
}

fn text(args: &StatArgs, look: &Look, before: &BTreeMap<u32, ProcessStats>) -> String {
    let processes = &look.processes;
    if args.json {
        // One line each time when there are many.
        let text = match (args.pid, args.watch) {
            (Some(_), None) => serde_json::to_string_pretty(&processes.first()),
            (Some(_), Some(_)) => serde_json::to_string(&processes.first()),
            (None, None) => serde_json::to_string_pretty(processes),
            (None, Some(_)) => serde_json::to_string(processes),
        };
        return text.unwrap_or_default() + "\n";
    }
    if args.prometheus {
        let mut page = Exposition::new();
        for process in processes {
            for pool in &process.pools {
                let labels = [("pid", &*process.pid.to_string()), ("program", &process.program)];
                page.add_with(&labels, pool);
            }
        }
        return page.to_string();
    }
    let mut text = String::new();
    if args.pid.is_some() {
        processes.iter().for_each(|process| tables(&mut text, look, process, before.get(&process.pid)));
    } else if processes.is_empty() {
        let place = args.directory.clone().unwrap_or_else(Directory::path_of_user);
        let _ = writeln!(text, "no process publishes pools in {}", place.display());
    } else {
        list(&mut text, look);
    }
    text
}

fn list(text: &mut String, look: &Look) {
    let _ = writeln!(text, "{:>8} {:>6} {:>9} {:>9}  program", "pid", "pools", "in use", "memory");
    for process in &look.processes {
        let sum = |of: fn(&PoolStats) -> usize| process.pools.iter().map(of).fold(0, usize::saturating_add);
        let (in_use, memory) = (sum(PoolStats::bytes_in_use), sum(PoolStats::bytes_total));
        let (pid, pools, program) = (process.pid, process.pools.len(), printable(&process.program));
        let stale = look.stale(process).map_or_else(String::new, |stale| format!(" ({stale})"));
        let _ =
            writeln!(text, "{pid:>8} {pools:>6} {:>9} {:>9}  {program}{stale}", bytes(in_use), bytes(memory));
    }
}

/// Each pool as `netstat -m` shows it, and more.
fn tables(text: &mut String, look: &Look, process: &ProcessStats, before: Option<&ProcessStats>) {
    if let Some(stale) = look.stale(process) {
        let _ = writeln!(text, "{stale}: the process lives, and writes nothing\n");
    }
    for (at, pool) in process.pools.iter().enumerate() {
        let mut named = pool.clone();
        named.name = printable(&pool.name);
        let _ = writeln!(text, "{}{named:#}", if at > 0 { "\n" } else { "" });
        let Some(before) = before else { continue };
        if let Some(old) = before.pools.get(at).filter(|old| old.name == pool.name) {
            let seconds = process.written_ms.saturating_sub(before.written_ms) as f64 / 1000.0;
            let Rates { allocations, denied } = Rates::between(old, pool, seconds);
            let _ = writeln!(text, "{allocations:.0} mbufs/s handed out, {denied:.0} requests/s denied");
        }
    }
    if process.omitted > 0 {
        let _ = writeln!(text, "\n{} more pools found no room", process.omitted);
    }
}

/// A name from another process, without what a terminal would obey.
pub(super) fn printable(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

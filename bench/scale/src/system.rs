//! What the kernel says, and is told.
#![allow(unsafe_code)]

use std::fs;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use core_affinity::CoreId;

use crate::Settings;
use crate::report::Section;

/// Cores that this process may use: before it puts its threads on them.
fn cores() -> &'static [CoreId] {
    static CORES: OnceLock<Vec<CoreId>> = OnceLock::new();
    CORES.get_or_init(|| core_affinity::get_core_ids().unwrap_or_default())
}

/// Puts this thread on a core: the first ones again when there are no more.
pub fn pin(thread: usize) {
    if let Some(core) = thread.checked_rem(cores().len()).and_then(|i| cores().get(i)) {
        core_affinity::set_for_current(*core);
    }
}

/// Time that this thread ran.
pub fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a `timespec` of ours.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Runs a fence on every core that runs a thread of this process; false if the kernel cannot.
pub fn membarrier() -> bool {
    // SAFETY: takes no pointers.
    let call = |command: libc::c_int| unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) };
    call(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0
        || call(libc::MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED) == 0
            && call(libc::MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0
}

/// Page faults of this process that needed no disk.
pub fn faults() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // Behind the name, which may contain anything: the tenth field of all.
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    rest.split_whitespace().nth(7).and_then(|it| it.parse().ok()).unwrap_or(0)
}

/// Bytes of this process in memory, and those of them in huge pages.
pub fn resident() -> (usize, usize) {
    let rollup = fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    let field = |name: &str| {
        let line = rollup.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse::<usize>().ok().map(|kb| kb << 10)
    };
    (field("Rss:").unwrap_or(0), field("AnonHugePages:").unwrap_or(0))
}

/// Nanoseconds that it takes.
pub fn time(f: impl FnOnce()) -> f64 {
    let start = Instant::now();
    f();
    start.elapsed().as_nanos() as f64
}

pub fn machine(settings: &Settings) -> Section {
    let mut section = Section::default();
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let field = |name: &str| {
        let line = cpuinfo.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_once(':')).map_or("?", |(_, value)| value.trim()).to_owned()
    };
    let caches = (0..4)
        .map(|i| read(&format!("/sys/devices/system/cpu/cpu0/cache/index{i}/size")).trim().to_owned())
        .filter(|size| !size.is_empty())
        .collect::<Vec<_>>()
        .join(", ");
    let chosen = |text: &str| {
        text.split_once('[').and_then(|(_, it)| it.split_once(']')).map_or("?", |(it, _)| it).to_owned()
    };
    let thp = "/sys/kernel/mm/transparent_hugepage";
    let memory = read("/proc/meminfo").lines().next().unwrap_or_default().to_owned();
    let memory = memory.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).unwrap_or(0);
    section.say(format!(
        "{}, family {} model {}, {} cores{}, caches {caches}; {} GiB; Linux {}, transparent huge pages: {}, defrag: {}. \
         {} rounds.",
        field("model name"),
        field("cpu family"),
        field("model\t"),
        cores().len(),
        if cpuinfo.contains(" hypervisor") { ", virtual" } else { "" },
        (memory + (1 << 19)) >> 20,
        read("/proc/sys/kernel/osrelease").trim(),
        chosen(&read(&format!("{thp}/enabled"))),
        chosen(&read(&format!("{thp}/defrag"))),
        settings.rounds,
    ));
    section
}

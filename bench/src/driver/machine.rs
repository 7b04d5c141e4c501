//! The machine and the tools, as far as they make a difference.

use std::process::Command;

/// Lines of Markdown.
pub fn describe(cores: &str) -> Vec<String> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let field = |name: &str| {
        let line = cpuinfo.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let number = |name: &str| field(name).unwrap_or_else(|| "?".into());
    let flags = field("flags").unwrap_or_default();
    let wide = ["avx2", "avx512f", "avx512bw", "avx512_vnni", "erms", "fsrm", "hypervisor"];
    let wide: Vec<_> = wide.into_iter().filter(|flag| flags.split(' ').any(|it| it == *flag)).collect();
    let huge = read("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages");
    let memory = read("/proc/meminfo");
    let memory =
        memory.lines().next().and_then(|line| line.split_whitespace().nth(1)).and_then(|kb| kb.parse().ok());
    let memory = memory.map_or("?".into(), |kb: u64| format!("{} GiB", (kb + (1 << 19)) >> 20));
    vec![
        format!(
            "CPU: {}, family {} model {} stepping {}, {} cores ({}); pinned to {cores}",
            number("model name"),
            number("cpu family"),
            number("model\t"),
            number("stepping"),
            std::thread::available_parallelism().map_or(0, usize::from),
            wide.join(", "),
        ),
        format!(
            "memory: {memory}, {} huge pages of 2 MiB reserved",
            if huge.trim().is_empty() { "no" } else { huge.trim() }
        ),
        format!("kernel: {}", read("/proc/sys/kernel/osrelease").trim()),
        format!("compilers: {}; {}", first_line("rustc", "--version"), first_line("cc", "--version")),
        format!("valgrind: {}", first_line("valgrind", "--version")),
        format!("crates: {}", crates().join(", ")),
        format!("C libraries: {}", c_libraries().join(", ")),
    ]
}

fn first_line(program: &str, argument: &str) -> String {
    let output = Command::new(program).arg(argument).output().ok();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().next().map_or_else(|| format!("no {program}"), str::to_owned)
}

/// The peers' versions, as they are locked.
fn crates() -> Vec<String> {
    let lock = include_str!("../../Cargo.lock");
    let field = |package: &str, name: &str| {
        let line = package.lines().find(|line| line.starts_with(name))?;
        line.split('"').nth(1).map(str::to_owned)
    };
    let packages =
        lock.split("[[package]]").filter_map(|it| Some((field(it, "name")?, field(it, "version")?)));
    let peers = ["bytes", "mimalloc", "tikv-jemallocator", "snmalloc-rs", "arc-slice"];
    packages
        .filter(|(name, _)| peers.contains(&name.as_str()))
        .map(|(name, version)| format!("{name} {version}"))
        .collect()
}

fn c_libraries() -> Vec<String> {
    let libraries = [("DPDK", "libdpdk"), ("usrsctp", "usrsctp"), ("lwIP", "lwip")];
    let version = |library: &str| {
        let output = Command::new("pkg-config").args(["--modversion", library]).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    libraries
        .into_iter()
        .filter_map(|(name, library)| Some(format!("{name} {}", version(library)?)))
        .collect()
}

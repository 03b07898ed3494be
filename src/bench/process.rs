//! What the kernel counts of processes.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// The proportional set size of a process, in KiB; none if it ended.
pub(crate) fn pss_kib(pid: u32) -> Option<u64> {
    kib(&format!("/proc/{pid}/smaps_rollup"), "Pss:")
}

/// The resident set size of a process, in KiB; none if it ended.
pub(crate) fn rss_kib(pid: u32) -> Option<u64> {
    kib(&format!("/proc/{pid}/smaps_rollup"), "Rss:")
}

/// The memory that the machine has available, in KiB.
pub(crate) fn available_kib() -> Result<u64> {
    kib("/proc/meminfo", "MemAvailable:").context("the kernel does not say what is available")
}

fn kib(path: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

/// The time that a process, all threads of it, has been on a processor.
pub(crate) fn cpu(pid: u32) -> Result<Duration> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).context("the server ended")?;
    // The name is in parentheses and may contain anything; user and system time are fields 14 and 15.
    let rest = text.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default();
    let ticks: u64 = rest.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok(Duration::from_micros(ticks * 1_000_000 / rustix::param::clock_ticks_per_second()))
}

/// The processes whose command line contains a text.
pub(crate) fn with_command(text: &str) -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let matches = |pid: &u32| {
        let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        memchr::memmem::find(&command, text.as_bytes()).is_some()
    };
    pids.filter(matches).collect()
}

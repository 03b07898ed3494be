//! What the kernel counts for a container, out of the files of its cgroups.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base::Timestamp;
use node::{BlockIo, ContainerStats};

use crate::hierarchy::Hierarchy;

/// The machine's own counters.
const MACHINE: &str = "/proc/stat";
/// The length of a tick in which the machine counts, in nanoseconds: the kernel shows 100 a second, whatever its own.
const TICK_NS: u64 = 10_000_000;
/// The counters of a processor that add up to its time; those that follow are parts of them.
const TICKS_COUNTED: usize = 8;
/// What a limit is that is none, in version 1: the most that fits, in whole pages.
const UNLIMITED_V1: u64 = 0x7fff_ffff_ffff_f000;
const NS_PER_US: u64 = 1_000;

/// Reads the counters of a container's cgroups.
///
/// # Errors
///
/// They are not there, or not any more.
pub(crate) fn read<'a>(
    places: impl Iterator<Item = (&'a Hierarchy, PathBuf)>,
    at: Timestamp,
) -> io::Result<ContainerStats> {
    let mut stats = machine(&fs::read_to_string(MACHINE)?, at);
    for (hierarchy, path) in places {
        if hierarchy.is_unified {
            read_v2(&path, &mut stats)?;
        } else {
            read_v1(hierarchy, &path, &mut stats)?;
        }
    }
    Ok(stats)
}

/// Reads the machine's counters: the time of all processors, and how many there are.
fn machine(text: &str, at: Timestamp) -> ContainerStats {
    let total = text.lines().next().unwrap_or_default().split_whitespace().skip(1).take(TICKS_COUNTED);
    let ticks = total.filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>();
    let processors = text.lines().skip(1).take_while(|line| line.starts_with("cpu")).count();
    ContainerStats {
        at,
        cpu_total_ns: 0,
        cpu_user_ns: 0,
        cpu_system_ns: 0,
        cpu_by_processor_ns: Vec::new(),
        machine_cpu_ns: ticks.saturating_mul(TICK_NS),
        processors: u32::try_from(processors).unwrap_or(u32::MAX),
        periods: 0,
        throttled_periods: 0,
        throttled_ns: 0,
        memory_bytes: 0,
        memory_max_bytes: 0,
        memory_limit_bytes: None,
        memory: BTreeMap::new(),
        pids: 0,
        block_io: Vec::new(),
    }
}

fn read_v1(hierarchy: &Hierarchy, path: &Path, stats: &mut ContainerStats) -> io::Result<()> {
    if hierarchy.has("cpuacct") {
        stats.cpu_total_ns = number(path, "cpuacct.usage")?;
        // Not every kernel tells them apart.
        stats.cpu_user_ns = number(path, "cpuacct.usage_user").unwrap_or_default();
        stats.cpu_system_ns = number(path, "cpuacct.usage_sys").unwrap_or_default();
        let each = text(path, "cpuacct.usage_percpu").unwrap_or_default();
        stats.cpu_by_processor_ns = each.split_whitespace().filter_map(|time| time.parse().ok()).collect();
    }
    if hierarchy.has("cpu") {
        let counters = table(path, "cpu.stat")?;
        let counter = |name: &str| counters.get(name).copied().unwrap_or_default();
        (stats.periods, stats.throttled_periods) = (counter("nr_periods"), counter("nr_throttled"));
        stats.throttled_ns = counter("throttled_time");
    }
    if hierarchy.has("memory") {
        stats.memory_bytes = number(path, "memory.usage_in_bytes")?;
        stats.memory_max_bytes = number(path, "memory.max_usage_in_bytes")?;
        stats.memory_limit_bytes = Some(number(path, "memory.limit_in_bytes")?).filter(|limit| *limit < UNLIMITED_V1);
        stats.memory = table(path, "memory.stat")?;
    }
    if hierarchy.has("pids") {
        stats.pids = number(path, "pids.current")?;
    }
    if hierarchy.has("blkio") {
        let bytes = text(path, "blkio.throttle.io_service_bytes_recursive").unwrap_or_default();
        let operations = text(path, "blkio.throttle.io_serviced_recursive").unwrap_or_default();
        stats.block_io = block_io_v1(&bytes, &operations);
    }
    Ok(())
}

fn read_v2(path: &Path, stats: &mut ContainerStats) -> io::Result<()> {
    let counters = table(path, "cpu.stat")?;
    let counter = |name: &str| counters.get(name).copied().unwrap_or_default();
    stats.cpu_total_ns = counter("usage_usec") * NS_PER_US;
    stats.cpu_user_ns = counter("user_usec") * NS_PER_US;
    stats.cpu_system_ns = counter("system_usec") * NS_PER_US;
    (stats.periods, stats.throttled_periods) = (counter("nr_periods"), counter("nr_throttled"));
    stats.throttled_ns = counter("throttled_usec") * NS_PER_US;
    stats.memory_bytes = number(path, "memory.current")?;
    // Older kernels do not remember it.
    stats.memory_max_bytes = number(path, "memory.peak").unwrap_or(stats.memory_bytes);
    // `max` is no number, and no limit.
    stats.memory_limit_bytes = text(path, "memory.max")?.trim().parse().ok();
    stats.memory = table(path, "memory.stat")?;
    stats.pids = number(path, "pids.current")?;
    stats.block_io = block_io_v2(&text(path, "io.stat").unwrap_or_default());
    Ok(())
}

/// Reads lines of the form `254:0 Read 4096`; those without a device are sums.
fn block_io_v1(bytes: &str, operations: &str) -> Vec<BlockIo> {
    let mut devices = BTreeMap::<(u32, u32), BlockIo>::new();
    for (text, is_bytes) in [(bytes, true), (operations, false)] {
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let Some(device) = words.next().and_then(parse_device) else { continue };
            let (Some(operation), Some(Ok(count))) = (words.next(), words.next().map(str::parse)) else { continue };
            let (major, minor) = device;
            let entry = devices.entry(device).or_insert_with(|| BlockIo { major, minor, ..BlockIo::default() });
            match (operation, is_bytes) {
                ("Read", true) => entry.read_bytes = count,
                ("Write", true) => entry.written_bytes = count,
                ("Read", false) => entry.reads = count,
                ("Write", false) => entry.writes = count,
                _ => {}
            }
        }
    }
    devices.into_values().collect()
}

/// Reads lines of the form `254:0 rbytes=4096 wbytes=0 rios=1 wios=0 …`.
fn block_io_v2(text: &str) -> Vec<BlockIo> {
    let devices = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (major, minor) = parse_device(words.next()?)?;
        let mut entry = BlockIo { major, minor, ..BlockIo::default() };
        for (name, count) in words.filter_map(|word| word.split_once('=')) {
            let Ok(count) = count.parse() else { continue };
            match name {
                "rbytes" => entry.read_bytes = count,
                "wbytes" => entry.written_bytes = count,
                "rios" => entry.reads = count,
                "wios" => entry.writes = count,
                _ => {}
            }
        }
        Some(entry)
    });
    devices.collect()
}

fn parse_device(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// Reads lines of a name and a number.
fn table(path: &Path, file: &str) -> io::Result<BTreeMap<String, u64>> {
    let text = text(path, file)?;
    let rows = text.lines().filter_map(|line| line.split_once(' '));
    Ok(rows.filter_map(|(name, count)| Some((name.to_owned(), count.trim().parse().ok()?))).collect())
}

fn number(path: &Path, file: &str) -> io::Result<u64> {
    text(path, file)?.trim().parse().map_err(io::Error::other)
}

fn text(path: &Path, file: &str) -> io::Result<String> {
    fs::read_to_string(path.join(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp::from_millis(5);

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    fn read_from(folder: &tempfile::TempDir, controllers: &[&'static str], is_unified: bool) -> ContainerStats {
        let mount = folder.path().to_owned();
        let hierarchy = Hierarchy { mount: mount.clone(), controllers: controllers.to_vec(), is_unified };
        read(std::iter::once((&hierarchy, mount)), AT).unwrap()
    }

    #[test]
    fn the_machine_counts_in_ticks_and_names_its_processors() {
        let stats = machine("cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1 0\ncpu1 0 2\nintr 5 cpu\n", AT);
        assert_eq!((stats.machine_cpu_ns, stats.processors, stats.at), (360_000_000, 2, AT));
    }

    #[test]
    fn version_1_counts_in_a_file_for_each_number() {
        let folder = folder(&[
            ("cpuacct.usage", "300\n"),
            ("cpuacct.usage_user", "200\n"),
            ("cpuacct.usage_sys", "100\n"),
            ("cpuacct.usage_percpu", "100 200 \n"),
            ("cpu.stat", "nr_periods 10\nnr_throttled 2\nthrottled_time 50\n"),
            ("memory.usage_in_bytes", "1000\n"),
            ("memory.max_usage_in_bytes", "2000\n"),
            ("memory.limit_in_bytes", "9223372036854771712\n"),
            ("memory.stat", "cache 7\nrss 9\n"),
            ("pids.current", "3\n"),
            (
                "blkio.throttle.io_service_bytes_recursive",
                "254:1 Read 4096\n254:1 Write 512\n254:1 Total 4608\nTotal 4608\n",
            ),
            ("blkio.throttle.io_serviced_recursive", "254:1 Read 1\n254:1 Write 2\n7:0 Read 5\nTotal 8\n"),
        ]);
        let stats = read_from(&folder, &["cpu", "cpuacct", "memory", "pids", "blkio"], false);
        assert_eq!((stats.cpu_total_ns, stats.cpu_user_ns, stats.cpu_system_ns), (300, 200, 100));
        assert_eq!(stats.cpu_by_processor_ns, [100, 200]);
        assert_eq!((stats.periods, stats.throttled_periods, stats.throttled_ns), (10, 2, 50));
        assert_eq!((stats.memory_bytes, stats.memory_max_bytes, stats.memory_limit_bytes), (1000, 2000, None));
        assert_eq!((stats.memory["cache"], stats.memory["rss"], stats.pids), (7, 9, 3));
        let loop_device = BlockIo { major: 7, reads: 5, ..BlockIo::default() };
        let disk = BlockIo { major: 254, minor: 1, read_bytes: 4096, written_bytes: 512, reads: 1, writes: 2 };
        assert_eq!(stats.block_io, [loop_device, disk]);
    }

    #[test]
    fn version_2_counts_in_microseconds_and_in_tables() {
        let folder = folder(&[
            ("cpu.stat", "usage_usec 3\nuser_usec 2\nsystem_usec 1\nnr_periods 10\nnr_throttled 2\nthrottled_usec 5\n"),
            ("memory.current", "1000\n"),
            ("memory.peak", "2000\n"),
            ("memory.max", "4096\n"),
            ("memory.stat", "anon 7\nfile 9\n"),
            ("pids.current", "3\n"),
            ("io.stat", "254:1 rbytes=4096 wbytes=512 rios=1 wios=2 dbytes=0 dios=0\n7:0 \n"),
        ]);
        let stats = read_from(&folder, &["cpu", "memory", "pids", "io"], true);
        assert_eq!((stats.cpu_total_ns, stats.cpu_user_ns, stats.cpu_system_ns), (3_000, 2_000, 1_000));
        assert_eq!((stats.periods, stats.throttled_periods, stats.throttled_ns), (10, 2, 5_000));
        assert_eq!((stats.memory_bytes, stats.memory_max_bytes, stats.memory_limit_bytes), (1000, 2000, Some(4096)));
        assert_eq!((stats.memory["anon"], stats.pids), (7, 3));
        let disk = BlockIo { major: 254, minor: 1, read_bytes: 4096, written_bytes: 512, reads: 1, writes: 2 };
        assert_eq!(stats.block_io, [disk, BlockIo { major: 7, ..BlockIo::default() }]);
        fs::write(folder.path().join("memory.max"), "max\n").unwrap();
        fs::remove_file(folder.path().join("memory.peak")).unwrap();
        let stats = read_from(&folder, &["cpu", "memory", "pids", "io"], true);
        assert_eq!((stats.memory_max_bytes, stats.memory_limit_bytes), (1000, None));
    }

    #[test]
    fn a_cgroup_that_is_gone_has_no_stats() {
        let mount = PathBuf::from("/sys/fs/cgroup/neargate-no-such-cgroup");
        let hierarchy = Hierarchy { mount: mount.clone(), controllers: vec!["memory"], is_unified: false };
        assert!(read(std::iter::once((&hierarchy, mount)), AT).is_err());
    }
}

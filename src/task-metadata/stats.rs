//! What a container uses, in the shape of Docker's stats.

use std::collections::BTreeMap;

use base::ContainerId;
use node::{BlockIo, ContainerStats, InterfaceStats};
use serde::Serialize;

use crate::go_json::{self, Float};
use crate::samples::Sample;

/// What a limit is shown as that there is not: the most that a cgroup takes.
const UNLIMITED_BYTES: u64 = 9_223_372_036_854_771_712;
/// The time of what never was.
const NEVER: &str = "0001-01-01T00:00:00Z";
/// The interface of the task.
const INTERFACE: &str = "eth1";
const BYTES_PER_MIB: u64 = 1024 * 1024;

/// What is shown, in Docker's shape.
#[derive(Debug, Serialize)]
pub(crate) struct StatsView {
    read: String,
    preread: String,
    num_procs: u64,
    pids_stats: PidsView,
    blkio_stats: BlockIoView,
    cpu_stats: CpuView,
    precpu_stats: CpuView,
    memory_stats: MemoryView,
    name: String,
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    networks: Option<BTreeMap<&'static str, InterfaceView>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    network_rate_stats: Option<RateView>,
}

#[derive(Debug, Serialize)]
struct PidsView {
    current: u64,
}

#[derive(Debug, Default, Serialize)]
struct BlockIoView {
    io_service_bytes_recursive: Vec<BlockIoEntry>,
    io_serviced_recursive: Vec<BlockIoEntry>,
    io_queue_recursive: Vec<BlockIoEntry>,
    io_service_time_recursive: Vec<BlockIoEntry>,
    io_wait_time_recursive: Vec<BlockIoEntry>,
    io_merged_recursive: Vec<BlockIoEntry>,
    io_time_recursive: Vec<BlockIoEntry>,
    sectors_recursive: Vec<BlockIoEntry>,
}

#[derive(Debug, Serialize)]
struct BlockIoEntry {
    major: u32,
    minor: u32,
    op: &'static str,
    value: u64,
}

#[derive(Debug, Default, Serialize)]
struct CpuView {
    cpu_usage: CpuUsageView,
    #[serde(skip_serializing_if = "Option::is_none")]
    system_cpu_usage: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    online_cpus: Option<u32>,
    throttling_data: ThrottlingView,
}

#[derive(Debug, Default, Serialize)]
struct CpuUsageView {
    total_usage: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    percpu_usage: Vec<u64>,
    usage_in_kernelmode: u64,
    usage_in_usermode: u64,
}

#[derive(Debug, Default, Serialize)]
struct ThrottlingView {
    periods: u64,
    throttled_periods: u64,
    throttled_time: u64,
}

#[derive(Debug, Serialize)]
struct MemoryView {
    usage: u64,
    max_usage: u64,
    stats: BTreeMap<String, u64>,
    limit: u64,
}

#[derive(Debug, Serialize)]
struct InterfaceView {
    rx_bytes: u64,
    rx_packets: u64,
    rx_errors: u64,
    rx_dropped: u64,
    tx_bytes: u64,
    tx_packets: u64,
    tx_errors: u64,
    tx_dropped: u64,
}

#[derive(Debug, Serialize)]
struct RateView {
    rx_bytes_per_sec: Float,
    tx_bytes_per_sec: Float,
}

/// Shapes a look at a container, beside the one before.
pub(crate) fn view(
    id: &ContainerId,
    name: &str,
    task_memory_mib: Option<u32>,
    now: &Sample,
    before: Option<&Sample>,
) -> StatsView {
    let container = &now.container;
    StatsView {
        read: go_json::time(container.at),
        preread: before.map_or_else(|| NEVER.to_owned(), |before| go_json::time(before.container.at)),
        num_procs: 0,
        pids_stats: PidsView { current: container.pids },
        blkio_stats: block_io(&container.block_io),
        cpu_stats: cpu(container),
        precpu_stats: before.map(|before| cpu(&before.container)).unwrap_or_default(),
        memory_stats: memory(container, task_memory_mib),
        name: name.to_owned(),
        id: id.to_string(),
        networks: now.interface.map(|interface| BTreeMap::from([(INTERFACE, counters(&interface))])),
        network_rate_stats: before.and_then(|before| rate(now, before)),
    }
}

fn cpu(stats: &ContainerStats) -> CpuView {
    CpuView {
        cpu_usage: CpuUsageView {
            total_usage: stats.cpu_total_ns,
            percpu_usage: stats.cpu_by_processor_ns.clone(),
            usage_in_kernelmode: stats.cpu_system_ns,
            usage_in_usermode: stats.cpu_user_ns,
        },
        system_cpu_usage: Some(stats.machine_cpu_ns),
        online_cpus: Some(stats.processors),
        throttling_data: ThrottlingView {
            periods: stats.periods,
            throttled_periods: stats.throttled_periods,
            throttled_time: stats.throttled_ns,
        },
    }
}

/// The limit of the task stands among the container's counters, as version 1 of cgroups has it.
fn memory(stats: &ContainerStats, task_memory_mib: Option<u32>) -> MemoryView {
    let mut counters = stats.memory.clone();
    if let Some(limit) = task_memory_mib {
        counters.insert("hierarchical_memory_limit".to_owned(), u64::from(limit) * BYTES_PER_MIB);
    }
    MemoryView {
        usage: stats.memory_bytes,
        max_usage: stats.memory_max_bytes,
        stats: counters,
        limit: stats.memory_limit_bytes.unwrap_or(UNLIMITED_BYTES),
    }
}

fn block_io(devices: &[BlockIo]) -> BlockIoView {
    let entries = |read: fn(&BlockIo) -> u64, write: fn(&BlockIo) -> u64| {
        let of_device = |device: &BlockIo| {
            let BlockIo { major, minor, .. } = *device;
            let (read, write) = (read(device), write(device));
            let entry = move |(op, value)| BlockIoEntry { major, minor, op, value };
            [("Read", read), ("Write", write), ("Total", read + write)].map(entry)
        };
        devices.iter().flat_map(of_device).collect()
    };
    BlockIoView {
        io_service_bytes_recursive: entries(|device| device.read_bytes, |device| device.written_bytes),
        io_serviced_recursive: entries(|device| device.reads, |device| device.writes),
        ..BlockIoView::default()
    }
}

fn counters(stats: &InterfaceStats) -> InterfaceView {
    InterfaceView {
        rx_bytes: stats.rx_bytes,
        rx_packets: stats.rx_packets,
        rx_errors: stats.rx_errors,
        rx_dropped: stats.rx_dropped,
        tx_bytes: stats.tx_bytes,
        tx_packets: stats.tx_packets,
        tx_errors: stats.tx_errors,
        tx_dropped: stats.tx_dropped,
    }
}

fn rate(now: &Sample, before: &Sample) -> Option<RateView> {
    let (interface, earlier) = (now.interface?, before.interface?);
    let seconds = now.container.at.since(before.container.at).as_secs_f64();
    #[allow(clippy::cast_precision_loss, reason = "a rate is not exact")]
    let per_second = |now: u64, before: u64| Float(now.saturating_sub(before) as f64 / seconds);
    (seconds > 0.0).then(|| RateView {
        rx_bytes_per_sec: per_second(interface.rx_bytes, earlier.rx_bytes),
        tx_bytes_per_sec: per_second(interface.tx_bytes, earlier.tx_bytes),
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use base::Timestamp;
    use expect_test::expect;

    use super::*;

    pub(crate) fn stats_at(at: Timestamp) -> ContainerStats {
        ContainerStats {
            at,
            cpu_total_ns: 300,
            cpu_user_ns: 200,
            cpu_system_ns: 100,
            cpu_by_processor_ns: vec![100, 200],
            machine_cpu_ns: 9_000,
            processors: 2,
            periods: 10,
            throttled_periods: 2,
            throttled_ns: 50,
            memory_bytes: 1_000_000,
            memory_max_bytes: 2_000_000,
            memory_limit_bytes: None,
            memory: BTreeMap::from([("cache".to_owned(), 7)]),
            pids: 3,
            block_io: vec![BlockIo { major: 254, minor: 1, read_bytes: 4096, written_bytes: 512, reads: 1, writes: 2 }],
        }
    }

    #[test]
    fn stats_have_dockers_shape_and_a_rate_from_two_looks() {
        let interface = InterfaceStats { rx_bytes: 100, tx_bytes: 1, ..InterfaceStats::default() };
        let before = Sample { container: stats_at(Timestamp::from_millis(0)), interface: Some(interface) };
        let later = InterfaceStats { rx_bytes: 600, tx_bytes: 6, rx_packets: 5, ..InterfaceStats::default() };
        let now = Sample { container: stats_at(Timestamp::from_millis(10_000)), interface: Some(later) };
        let shown = view(&ContainerId::new("t-1"), "app", Some(512), &now, Some(&before));
        expect![[r#"{"read":"1970-01-01T00:00:10Z","preread":"1970-01-01T00:00:00Z","num_procs":0,"pids_stats":{"current":3},"blkio_stats":{"io_service_bytes_recursive":[{"major":254,"minor":1,"op":"Read","value":4096},{"major":254,"minor":1,"op":"Write","value":512},{"major":254,"minor":1,"op":"Total","value":4608}],"io_serviced_recursive":[{"major":254,"minor":1,"op":"Read","value":1},{"major":254,"minor":1,"op":"Write","value":2},{"major":254,"minor":1,"op":"Total","value":3}],"io_queue_recursive":[],"io_service_time_recursive":[],"io_wait_time_recursive":[],"io_merged_recursive":[],"io_time_recursive":[],"sectors_recursive":[]},"cpu_stats":{"cpu_usage":{"total_usage":300,"percpu_usage":[100,200],"usage_in_kernelmode":100,"usage_in_usermode":200},"system_cpu_usage":9000,"online_cpus":2,"throttling_data":{"periods":10,"throttled_periods":2,"throttled_time":50}},"precpu_stats":{"cpu_usage":{"total_usage":300,"percpu_usage":[100,200],"usage_in_kernelmode":100,"usage_in_usermode":200},"system_cpu_usage":9000,"online_cpus":2,"throttling_data":{"periods":10,"throttled_periods":2,"throttled_time":50}},"memory_stats":{"usage":1000000,"max_usage":2000000,"stats":{"cache":7,"hierarchical_memory_limit":536870912},"limit":9223372036854771712},"name":"app","id":"t-1","networks":{"eth1":{"rx_bytes":600,"rx_packets":5,"rx_errors":0,"rx_dropped":0,"tx_bytes":6,"tx_packets":0,"tx_errors":0,"tx_dropped":0}},"network_rate_stats":{"rx_bytes_per_sec":50,"tx_bytes_per_sec":0.5}}"#]].assert_eq(&go_json::write(&shown));
    }

    #[test]
    fn a_first_look_has_nothing_before_it() {
        let now = Sample { container: stats_at(Timestamp::from_millis(10_000)), interface: None };
        let shown = go_json::write(&view(&ContainerId::new("t-1"), "app", None, &now, None));
        assert!(shown.contains(r#""preread":"0001-01-01T00:00:00Z""#), "{shown}");
        assert!(shown.contains(r#""precpu_stats":{"cpu_usage":{"total_usage":0,"#), "{shown}");
        assert!(!shown.contains("network"), "{shown}");
    }
}

//! What the kernel counts for a container and for the interface of a sandbox.

use std::collections::BTreeMap;

use base::Timestamp;

/// The counters of a container's cgroup at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerStats {
    /// When they were read.
    pub at: Timestamp,
    /// Processor time of all its processes so far, in nanoseconds.
    pub cpu_total_ns: u64,
    /// The part of it in user mode.
    pub cpu_user_ns: u64,
    /// The part of it in the kernel.
    pub cpu_system_ns: u64,
    /// Processor time by processor; empty where the kernel does not count it.
    pub cpu_by_processor_ns: Vec<u64>,
    /// Processor time that the whole machine has used so far, in nanoseconds.
    pub machine_cpu_ns: u64,
    /// How many processors the machine has online.
    pub processors: u32,
    /// How many periods of its limit have passed.
    pub periods: u64,
    /// In how many of them it was held back.
    pub throttled_periods: u64,
    /// For how long it was held back, in nanoseconds.
    pub throttled_ns: u64,
    /// Memory in use, page cache included, in bytes.
    pub memory_bytes: u64,
    /// The most memory that was in use.
    pub memory_max_bytes: u64,
    /// Its own memory limit in bytes; none means that of the sandbox.
    pub memory_limit_bytes: Option<u64>,
    /// The kernel's `memory.stat`, by name.
    pub memory: BTreeMap<String, u64>,
    /// How many processes and threads it has.
    pub pids: u64,
    /// What it has read and written, by block device.
    pub block_io: Vec<BlockIo>,
}

/// What was read from and written to one block device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlockIo {
    /// The device's major number.
    pub major: u32,
    /// The device's minor number.
    pub minor: u32,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub written_bytes: u64,
    /// Reads.
    pub reads: u64,
    /// Writes.
    pub writes: u64,
}

/// The counters of a sandbox's interface `eth1`, as the sandbox sees them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InterfaceStats {
    /// Bytes received.
    pub rx_bytes: u64,
    /// Packets received.
    pub rx_packets: u64,
    /// Broken packets received.
    pub rx_errors: u64,
    /// Packets received and dropped.
    pub rx_dropped: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Packets sent.
    pub tx_packets: u64,
    /// Packets that could not be sent.
    pub tx_errors: u64,
    /// Packets to be sent and dropped.
    pub tx_dropped: u64,
}

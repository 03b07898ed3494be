//! What a shim is asked to run.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One container, in no AWS words and none of OCI's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The container's id.
    pub id: String,
    /// Program and arguments.
    pub args: Vec<String>,
    /// `NAME=value` pairs.
    pub env: Vec<String>,
    /// The working directory.
    pub working_dir: String,
    /// `user[:group]`, names or numbers.
    pub user: String,
    /// The host name inside.
    pub hostname: String,
    /// The image's layers, the uppermost first.
    pub layers: Vec<PathBuf>,
    /// Whether `/` may not be written to.
    pub is_read_only: bool,
    /// The network namespace to join; none means one with nothing but loopback.
    pub network_namespace: Option<PathBuf>,
    /// Files of the sandbox that are bound over the image's.
    pub files: Vec<FileMount>,
    /// The cgroups in which the container is born.
    pub cgroups: Vec<CgroupPlace>,
    /// What the runtime limits it to in there; a restart does so again.
    #[serde(default)]
    pub limits: Limits,
    /// The file that has a line `oom_kill <count>`.
    pub oom_counter: Option<PathBuf>,
    /// Disks that are mounted, where only the container's maker sees it, before anything else is looked for.
    #[serde(default)]
    pub disks: Vec<Disk>,
    /// The folder for the writable layer; made if it is missing. None means the container's own folder.
    #[serde(default)]
    pub writable: Option<PathBuf>,
    /// What is mounted in it.
    #[serde(default)]
    pub mounts: Vec<Mount>,
    /// File systems in memory.
    #[serde(default)]
    pub tmpfs: Vec<Tmpfs>,
    /// Capabilities beyond the default ones.
    #[serde(default)]
    pub capabilities_added: Vec<String>,
    /// Default capabilities that it has not; `ALL` means every one.
    #[serde(default)]
    pub capabilities_dropped: Vec<String>,
    /// Limits of its processes.
    #[serde(default)]
    pub ulimits: Vec<Ulimit>,
    /// Kernel parameters of its namespaces, by their dotted names.
    #[serde(default)]
    pub sysctls: Vec<(String, String)>,
    /// The process namespace to join; none means one of its own.
    #[serde(default)]
    pub pid_namespace: Option<PathBuf>,
    /// What process 1 is, or the first process in a namespace that it joins.
    #[serde(default)]
    pub first_process: FirstProcess,
}

/// A container's share of its sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Relative weight in CPU units.
    pub cpu_units: u32,
    /// The hard memory limit in MiB.
    pub memory_mib: Option<u64>,
    /// The soft memory limit in MiB.
    pub memory_reservation_mib: Option<u64>,
    /// How far output may run ahead of its release before lines are dropped, in bytes; none means that the container waits.
    #[serde(default)]
    pub output_buffer_bytes: Option<u64>,
}

/// What a container's first process is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FirstProcess {
    /// The program.
    #[default]
    Program,
    /// An init that forwards signals and reaps children; the program is its child.
    Init,
    /// Nothing but an init, without a program: it holds namespaces for others.
    Holder,
}

/// A disk and where it is mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// The block device.
    pub device: PathBuf,
    /// The folder that it is mounted over.
    pub mount_point: PathBuf,
}

/// A folder that a container sees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// What it sees.
    pub source: MountSource,
    /// Where it sees it; made if it is missing.
    pub destination: PathBuf,
    /// Whether it cannot write there.
    pub is_read_only: bool,
}

/// What is behind a mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MountSource {
    /// A folder that is made if it is missing, and filled with what the image has at the destination while it is empty.
    Volume {
        /// The folder.
        folder: PathBuf,
    },
    /// A folder of the host, made if it is missing.
    Directory {
        /// The folder that holds it.
        path: PathBuf,
        /// Where in there it is; no symbolic link leads out.
        below: PathBuf,
        /// User id, group id and mode when it is made.
        owner: Option<(u32, u32, u32)>,
        /// As whose files the container's user's are stored: user and group id.
        squash: Option<(u32, u32)>,
    },
}

/// A file system in memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tmpfs {
    /// Where it is.
    pub destination: PathBuf,
    /// Its size in MiB.
    pub size_mib: u64,
    /// Options of mount(8).
    pub options: Vec<String>,
}

/// A limit of processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// The lower-case name without `RLIMIT_`.
    pub name: String,
    /// What is in effect; none means without limit.
    pub soft: Option<u64>,
    /// How far a process may raise it; none means without limit.
    pub hard: Option<u64>,
}

/// A file bound over one of the image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileMount {
    /// The file of the host.
    pub source: PathBuf,
    /// Its path inside.
    pub destination: PathBuf,
}

/// A cgroup, and how a process gets into it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CgroupPlace {
    /// The cgroup's folder.
    pub directory: PathBuf,
    /// Whether it is a cgroup of version 2, which a process can be cloned into.
    pub is_unified: bool,
    /// Where the container sees it, read-only; not at all if there is no path.
    pub seen_at: Option<PathBuf>,
}

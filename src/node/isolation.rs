//! What a container may do and what it sees, beyond its image and its share of the sandbox.

use std::path::PathBuf;

/// How a container differs from one that has the defaults of Fargate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Isolation {
    /// What is mounted in it, in order.
    pub mounts: Vec<Mount>,
    /// File systems in memory, in order; after the mounts.
    pub tmpfs: Vec<Tmpfs>,
    /// Capabilities that it has beyond the default ones, `CAP_SYS_PTRACE`.
    pub capabilities_added: Vec<String>,
    /// Default capabilities that it has not; `ALL` means every one.
    pub capabilities_dropped: Vec<String>,
    /// Limits of its processes. Where the host forbids one, the nearest that it allows is set, and a warning logged.
    pub ulimits: Vec<Ulimit>,
    /// Kernel parameters of the container's own namespaces, by their dotted names. Those of the network namespace, which
    /// the containers of a sandbox share, are in effect for all of them.
    pub sysctls: Vec<(String, String)>,
    /// Whether process 1 is an init that forwards signals and reaps children, and the program is its child.
    pub has_init: bool,
    /// Files that it sees in place of its image's.
    pub files: Vec<ContainerFile>,
}

/// A file that a container is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerFile {
    /// Where it sees the file; made if it is missing.
    pub destination: PathBuf,
    /// What is in there.
    pub content: Vec<u8>,
}

/// A folder that a container sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// What it sees.
    pub source: MountSource,
    /// Where it sees it; made if it is missing.
    pub destination: PathBuf,
    /// Whether it cannot write there.
    pub is_read_only: bool,
}

/// What is behind a mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountSource {
    /// A volume of the sandbox, by its name: a folder that is made empty for the first container that mounts it, and goes
    /// with the sandbox. What the image has at the destination is copied into it while it is empty, owners and modes too.
    Volume {
        /// The name, unique in the sandbox.
        name: String,
        /// The most that can be written to it, in bytes; none means as much as the sandbox has.
        size_bytes: Option<u64>,
    },
    /// A folder of the host, which outlives the sandbox; made if it is missing. Removing the sandbox leaves it as it is.
    Directory {
        /// The folder that holds it, such as a file system's; trusted, and made if it is missing.
        path: PathBuf,
        /// Where in there it is; empty for `path` itself. Looked up as if `path` were the root of everything, so that no
        /// symbolic link that a container has left leads out of it.
        below: PathBuf,
        /// Whose it is when it is made: user id, group id and mode. None means root's, and 0755.
        owner: Option<DirectoryOwner>,
        /// As whom the container's user reads and writes through the mount: user and group id. None leaves everybody
        /// themselves. Other users of the container, that it has switched to, stay themselves in any case; and where the
        /// file system below cannot map ids, nobody is mapped and a warning is logged.
        squash: Option<(u32, u32)>,
    },
}

/// Whose a folder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectoryOwner {
    /// The user id.
    pub uid: u32,
    /// The group id.
    pub gid: u32,
    /// The permission bits.
    pub mode: u32,
}

/// A file system in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tmpfs {
    /// Where it is.
    pub destination: PathBuf,
    /// Its size in MiB.
    pub size_mib: u64,
    /// Options of mount(8), such as `noexec`.
    pub options: Vec<String>,
}

/// A limit of processes, as setrlimit(2) has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ulimit {
    /// The lower-case name without `RLIMIT_`: `nofile`.
    pub name: String,
    /// What is in effect; none means without limit.
    pub soft: Option<u64>,
    /// How far a process may raise it; none means without limit.
    pub hard: Option<u64>,
}

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
    /// The file that has a line `oom_kill <count>`.
    pub oom_counter: Option<PathBuf>,
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

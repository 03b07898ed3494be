//! What an operator has said of how tasks run.

use std::path::PathBuf;

use node::PullBehavior;
use state::ecs::ServiceKey;

use crate::{HostFolder, Pace, Paces};

/// What an operator has said of how tasks run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How much every task may write, in MiB, whatever its ephemeral storage is; none leaves that to the task.
    pub ephemeral_storage_mib: Option<u64>,
    /// The folder that holds a folder for each EFS file system.
    pub efs_dir: PathBuf,
    /// The folders of this machine that tasks on instances may mount.
    pub host_folders: Vec<HostFolder>,
    /// When registries are asked for images.
    pub pull_behavior: PullBehavior,
    /// Whether the node has files; a simulated one has not.
    pub node_has_files: bool,
    /// How fast the waits of services pass.
    pub paces: Paces,
    /// Where functions of Lambda are called, `http://host:port`: those of lifecycle hooks, which are skipped without it, and
    /// those that are targets of rules and schedules, whose invocations fail without it.
    pub lambda_endpoint: Option<String>,
}

impl Settings {
    /// Where EFS file systems lie in a data directory.
    pub const EFS_FOLDER: &'static str = "efs";

    /// Returns what holds unless something was said, for a server that keeps its data in `data_dir`.
    pub fn new(data_dir: &std::path::Path) -> Self {
        Self {
            ephemeral_storage_mib: None,
            efs_dir: data_dir.join(Self::EFS_FOLDER),
            host_folders: Vec::new(),
            pull_behavior: PullBehavior::default(),
            node_has_files: true,
            paces: Paces::default(),
            lambda_endpoint: None,
        }
    }

    /// Returns how fast the waits of a service pass.
    pub fn pace_of(&self, service: &ServiceKey) -> Pace {
        self.paces.of(service)
    }
}

impl Default for Settings {
    /// Returns what holds for a node without files.
    fn default() -> Self {
        Self { node_has_files: false, ..Self::new(std::path::Path::new("")) }
    }
}

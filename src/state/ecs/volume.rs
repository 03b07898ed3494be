//! Volumes: what a definition declares, what its containers mount, and what a task was given.

use serde::{Deserialize, Serialize};

/// A volume of a task definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Its name, unique in the definition.
    pub name: String,
    /// What is behind it.
    pub source: VolumeSource,
}

/// What is behind a volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VolumeSource {
    /// A folder of the task's own, empty at first.
    Empty,
    /// A folder of the machine.
    Host {
        /// The folder.
        path: String,
    },
    /// A file system of Amazon EFS.
    Efs(EfsVolume),
    /// A volume of Amazon EBS that each task gets when it is started.
    AtLaunch,
    /// Something that does not run here.
    Other {
        /// What, as the member of the API is called.
        kind: String,
    },
}

/// A part of an EFS file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EfsVolume {
    /// The file system, `fs-…`.
    pub file_system: String,
    /// The folder in it that is the volume's root, unless an access point says.
    pub root_directory: String,
    /// The access point, `fsap-…`.
    pub access_point: Option<String>,
}

/// A volume as a container sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountPoint {
    /// The volume's name.
    pub volume: String,
    /// Where it is seen.
    pub path: String,
    /// Whether it cannot be written there.
    pub is_read_only: bool,
}

/// All that another container mounts, mounted here too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumesFrom {
    /// The other container's name.
    pub container: String,
    /// Whether it cannot be written here.
    pub is_read_only: bool,
}

/// A file system in memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TmpfsMount {
    /// Where it is seen.
    pub path: String,
    /// Its size in MiB.
    pub size_mib: u32,
    /// Options of mount(8).
    pub options: Vec<String>,
}

/// A volume of Amazon EBS that a task was started with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskVolume {
    /// The name of the definition's volume that it is behind.
    pub name: String,
    /// Its size in GiB.
    pub size_gib: u32,
    /// The role with which ECS makes it.
    #[serde(default)]
    pub role: Option<String>,
    /// Whether the request wants it kept when the task ends. That is told, and nothing more: it goes with the task.
    #[serde(default)]
    pub outlives_task: bool,
}

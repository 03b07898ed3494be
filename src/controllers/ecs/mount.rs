//! What a container sees of the task's volumes: a pure function.

use std::path::PathBuf;

use node::{DirectoryOwner, Mount, MountSource};
use state::ecs::{ContainerDefinition, EfsVolume, Launch, Task, TaskDefinition, VolumeSource};

use super::reason;
use crate::HostFolder;

const GIB: u64 = 1024 * 1024 * 1024;

/// A folder of the host that stands for a part of an EFS file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EfsFolder {
    /// The folder of the whole file system.
    pub(super) path: PathBuf,
    /// Where in there the part is.
    pub(super) below: PathBuf,
    /// Whose it is when it is made.
    pub(super) owner: Option<DirectoryOwner>,
    /// Who acts in it, whoever it is in the container.
    pub(super) squash: Option<(u32, u32)>,
}

/// The folders of the host that volumes may be.
pub(super) struct Folders<'a> {
    /// Finds that of an EFS volume, or says in AWS's words why there is none.
    pub(super) efs: &'a dyn Fn(&EfsVolume) -> Result<EfsFolder, String>,
    /// Those in which tasks on instances may mount what they name.
    pub(super) host: &'a [HostFolder],
}

/// Returns what a container mounts: its own mount points first, then those of the containers whose volumes it shares.
/// Where two meet, its own stands. Fails, in AWS's words, if there is no such volume.
pub(super) fn mounts(
    task: &Task,
    definition: &TaskDefinition,
    container: &ContainerDefinition,
    folders: &Folders<'_>,
) -> Result<Vec<Mount>, String> {
    let mut mounts = Vec::new();
    let mut seen = Vec::new();
    collect(task, definition, container, false, folders, &mut seen, &mut mounts)?;
    Ok(mounts)
}

fn collect<'a>(
    task: &Task,
    definition: &'a TaskDefinition,
    container: &'a ContainerDefinition,
    is_read_only: bool,
    folders: &Folders<'_>,
    seen: &mut Vec<&'a str>,
    mounts: &mut Vec<Mount>,
) -> Result<(), String> {
    // Containers may share each other's volumes.
    if seen.contains(&container.name.as_str()) {
        return Ok(());
    }
    seen.push(&container.name);
    for point in &container.mount_points {
        let destination = PathBuf::from(&point.path);
        if mounts.iter().any(|known| known.destination == destination) {
            continue;
        }
        let source = source(task, definition, &point.volume, folders)?;
        mounts.push(Mount { source, destination, is_read_only: is_read_only || point.is_read_only });
    }
    for from in &container.volumes_from {
        let Some(other) = definition.containers.iter().find(|other| other.name == from.container) else { continue };
        collect(task, definition, other, is_read_only || from.is_read_only, folders, seen, mounts)?;
    }
    Ok(())
}

fn source(task: &Task, definition: &TaskDefinition, name: &str, folders: &Folders<'_>) -> Result<MountSource, String> {
    let volume = definition.volumes.iter().find(|volume| volume.name == name);
    let volume = volume.ok_or_else(|| reason::no_volume(name, "it is not defined"))?;
    match &volume.source {
        VolumeSource::Empty => Ok(MountSource::Volume { name: name.to_owned(), size_bytes: None }),
        VolumeSource::AtLaunch => {
            let given = task.volumes.iter().find(|given| given.name == name);
            let given = given.ok_or_else(|| reason::no_volume(name, "it was not configured at launch"))?;
            Ok(MountSource::Volume { name: name.to_owned(), size_bytes: Some(u64::from(given.size_gib) * GIB) })
        }
        VolumeSource::Efs(volume) => {
            let EfsFolder { path, below, owner, squash } = (folders.efs)(volume)?;
            Ok(MountSource::Directory { path, below, owner, squash })
        }
        VolumeSource::Host { path } => match &task.launch {
            Launch::Fargate { .. } => Err(reason::no_volume(name, "sourcePath is not supported on Fargate")),
            Launch::Ec2 { .. } | Launch::External { .. } => of_host(name, path, folders.host),
        },
        VolumeSource::Other { kind } => Err(reason::no_volume(name, &format!("{kind} is not supported"))),
    }
}

/// Returns the folder of the host at a path. A path that does not exist is made, as Docker does.
fn of_host(name: &str, path: &str, allowed: &[HostFolder]) -> Result<MountSource, String> {
    let place = allowed.iter().find_map(|folder| folder.place(path));
    let (path, below) = place.ok_or_else(|| {
        let why = format!("sourcePath {path} is in no folder that the server was told of by --allow-host-path");
        reason::no_volume(name, &why)
    })?;
    Ok(MountSource::Directory { path, below, owner: None, squash: None })
}

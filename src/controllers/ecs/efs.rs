//! EFS volumes: where the folder of a file system lies, and whose it is.

use std::path::{Path, PathBuf};

use base::{Scope, SubnetId};
use node::DirectoryOwner;
use state::State;
use state::ecs::EfsVolume;
use state::efs::{AccessPoint, Creation, PosixUser};

use super::mount::EfsFolder;
use super::reason;
use crate::Settings;

/// Finds the folder that stands for a volume of a task in a subnet, or gives AWS's words for why there is none.
pub(super) fn folder(
    state: &State,
    settings: &Settings,
    scope: &Scope,
    volume: &EfsVolume,
    subnet: Option<&SubnetId>,
) -> Result<EfsFolder, String> {
    let file_system = state.efs.file_systems.get(scope, &volume.file_system);
    if file_system.is_none() || !has_mount_target(state, scope, &volume.file_system, subnet) {
        return Err(reason::no_file_system(&volume.file_system, &scope.region));
    }
    let root = settings.efs_dir.join(&volume.file_system);
    let access_point = volume.access_point.as_ref().map(|id| {
        let found = state.efs.access_points.get(scope, id);
        found.filter(|found| found.file_system == volume.file_system).ok_or_else(reason::no_access_point)
    });
    let access_point = access_point.transpose()?;
    let directory = access_point.as_ref().map_or(&volume.root_directory, |point| &point.root_directory.path);
    let below = PathBuf::from(directory.trim_start_matches('/'));
    let creation = access_point.as_ref().and_then(|point| point.root_directory.creation.as_ref());
    // Only an access point that says whose it is has its folder made.
    if creation.is_none() && settings.node_has_files && !is_folder(&root, &below) {
        return Err(reason::no_folder(&volume.file_system, &scope.region, directory));
    }
    Ok(EfsFolder { path: root, below, owner: creation.map(owner), squash: access_point.as_deref().and_then(user) })
}

/// Returns whether the name of a file system resolves in a subnet: where its availability zone has a mount target.
fn has_mount_target(state: &State, scope: &Scope, file_system: &str, subnet: Option<&SubnetId>) -> bool {
    let Some(subnet) = subnet.and_then(|id| state.ec2.subnets.get(scope, id)) else { return false };
    let mut targets = state.efs.mount_targets.walk(scope, None).map(|(_, target)| target);
    targets.any(|target| {
        target.file_system == file_system
            && target.vpc == subnet.vpc
            && target.availability_zone == subnet.availability_zone
    })
}

/// Looks only; what is mounted in the end is looked up by the node, which follows no link out of the file system.
fn is_folder(root: &Path, below: &Path) -> bool {
    below.as_os_str().is_empty() || root.join(below).is_dir()
}

fn owner(creation: &Creation) -> DirectoryOwner {
    /// What a folder is made with whose permissions cannot be read.
    const MODE_DEFAULT: u32 = 0o755;
    let mode = creation.mode().unwrap_or(MODE_DEFAULT);
    DirectoryOwner { uid: creation.owner_uid, gid: creation.owner_gid, mode }
}

fn user(access_point: &AccessPoint) -> Option<(u32, u32)> {
    access_point.posix_user.as_ref().map(PosixUser::owner)
}

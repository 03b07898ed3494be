//! EFS volumes: where the folder of a file system lies, and whose it is.

use std::path::PathBuf;

use base::Scope;
use state::ecs::EfsVolume;

use super::mount::EfsFolder;
use super::reason;
use crate::World;

/// Finds the folder that stands for a volume, or gives AWS's words for why there is none.
pub(super) fn folder(world: &World, scope: &Scope, volume: &EfsVolume) -> Result<EfsFolder, String> {
    // An id is all that a folder is named after here.
    let is_id = volume.file_system.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if !is_id || volume.file_system.is_empty() {
        return Err(reason::no_file_system(&volume.file_system, &scope.region));
    }
    Ok(EfsFolder {
        path: world.settings.efs_dir.join(&volume.file_system),
        below: PathBuf::from(volume.root_directory.trim_start_matches('/')),
        owner: None,
        squash: None,
    })
}

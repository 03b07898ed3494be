//! Volumes of a definition, and the parts of containers that name them.

use api::ecs as api;
use state::ecs::{EfsVolume, MountPoint, Volume, VolumeSource, VolumesFrom};

/// Reads the volumes of a definition.
pub(super) fn volumes(volumes: Option<&[api::Volume]>) -> Vec<Volume> {
    let read = |volume: &api::Volume| Volume { name: volume.name.clone().unwrap_or_default(), source: source(volume) };
    volumes.unwrap_or_default().iter().map(read).collect()
}

/// Reads what a container mounts.
pub(super) fn mount_points(container: &api::ContainerDefinition) -> Vec<MountPoint> {
    let read = |mount: &api::MountPoint| {
        Some(MountPoint {
            volume: mount.source_volume.clone()?,
            path: mount.container_path.clone()?,
            is_read_only: mount.read_only.unwrap_or(false),
        })
    };
    container.mount_points.iter().flatten().filter_map(read).collect()
}

/// Reads whose volumes a container mounts.
pub(super) fn volumes_from(container: &api::ContainerDefinition) -> Vec<VolumesFrom> {
    let read = |from: &api::VolumeFrom| {
        Some(VolumesFrom { container: from.source_container.clone()?, is_read_only: from.read_only.unwrap_or(false) })
    };
    container.volumes_from.iter().flatten().filter_map(read).collect()
}

fn source(volume: &api::Volume) -> VolumeSource {
    if volume.configured_at_launch == Some(true) {
        return VolumeSource::AtLaunch;
    }
    if let Some(efs) = &volume.efs_volume_configuration {
        let authorization = efs.authorization_config.as_ref();
        return VolumeSource::Efs(EfsVolume {
            file_system: efs.file_system_id.clone().unwrap_or_default(),
            root_directory: efs.root_directory.clone().unwrap_or_else(|| "/".to_owned()),
            access_point: authorization.and_then(|config| config.access_point_id.clone()),
        });
    }
    let others = [
        (volume.docker_volume_configuration.is_some(), "dockerVolumeConfiguration"),
        (volume.fsx_windows_file_server_volume_configuration.is_some(), "fsxWindowsFileServerVolumeConfiguration"),
        (volume.s3files_volume_configuration.is_some(), "s3filesVolumeConfiguration"),
    ];
    if let Some((_, kind)) = others.into_iter().find(|(is_set, _)| *is_set) {
        return VolumeSource::Other { kind: kind.to_owned() };
    }
    match volume.host.as_ref().and_then(|host| host.source_path.clone()) {
        Some(path) => VolumeSource::Host { path },
        None => VolumeSource::Empty,
    }
}

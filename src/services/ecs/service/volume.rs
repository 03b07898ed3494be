//! EBS volumes that are made for tasks, each its own.

use api::ecs as api;

use state::ecs::TaskVolume;

use crate::{Result, invalid};

/// How many volumes a service may configure: one a task.
const VOLUMES_MAX: usize = 1;

/// The size of a volume that is to be made from a snapshot and says none, in GiB. There are no snapshots here to ask.
const SNAPSHOT_SIZE_GIB: u32 = 8;

/// Checks volume configurations against the task definition.
pub(crate) fn check(shown: &api::TaskDefinition, volumes: &[api::ServiceVolumeConfiguration]) -> Result<()> {
    if volumes.len() > VOLUMES_MAX {
        // Text unverified.
        return Err(invalid(format!("volumeConfigurations can have at most {VOLUMES_MAX} items")));
    }
    for volume in volumes {
        let name = volume.name.as_deref().unwrap_or_default();
        let mut defined = shown.volumes.iter().flatten();
        let is_defined = defined.any(|known| known.name.as_deref() == Some(name) && is_at_launch(known));
        if !is_defined {
            return Err(invalid(format!(
                "The volume name '{name}' in your request does not have a matching volume in your Task Definition."
            )));
        }
        let Some(ebs) = &volume.managed_ebs_volume else {
            return Err(invalid("ECS managed EBS volume configuration was invalid. managedEBSVolume is required."));
        };
        if ebs.size_in_gi_b.is_none() && ebs.snapshot_id.is_none() {
            return Err(invalid(
                "ECS managed EBS volume configuration was invalid. Either sizeInGiB or snapshotId is required.",
            ));
        }
        if ebs.volume_initialization_rate.is_some() && ebs.snapshot_id.is_none() {
            return Err(invalid(
                "ECS managed EBS volume configuration was invalid. volumeInitializationRate requires snapshotId.",
            ));
        }
        if matches!(ebs.volume_type.as_deref(), Some("io1" | "io2")) && ebs.iops.is_none() {
            return Err(invalid(
                "ECS managed EBS volume configuration was invalid. iops is required for io1 and io2 volumes.",
            ));
        }
        if ebs.throughput.is_some() && ebs.volume_type.as_deref().is_some_and(|kind| kind != "gp3") {
            return Err(invalid(
                "ECS managed EBS volume configuration was invalid. throughput is only supported for gp3 volumes.",
            ));
        }
    }
    Ok(())
}

/// Reads the volumes that each task gets.
pub(crate) fn of_tasks(volumes: &[api::ServiceVolumeConfiguration]) -> Vec<TaskVolume> {
    let read = |volume: &api::ServiceVolumeConfiguration| {
        let ebs = volume.managed_ebs_volume.clone().unwrap_or_default();
        let size_gib = ebs.size_in_gi_b.and_then(|gib| u32::try_from(gib).ok()).unwrap_or(SNAPSHOT_SIZE_GIB);
        let name = volume.name.clone().unwrap_or_default();
        // That of a service's task always goes with the task.
        TaskVolume { name, size_gib, role: ebs.role_arn, outlives_task: false }
    };
    volumes.iter().map(read).collect()
}

/// Shapes the configuration of a task's volume as that of a service's: they say the same of its size and kind.
pub(crate) fn of_service(volume: api::TaskVolumeConfiguration) -> api::ServiceVolumeConfiguration {
    let ebs = volume.managed_ebs_volume.map(|ebs| api::ServiceManagedEBSVolumeConfiguration {
        volume_type: ebs.volume_type,
        size_in_gi_b: ebs.size_in_gi_b,
        snapshot_id: ebs.snapshot_id,
        volume_initialization_rate: ebs.volume_initialization_rate,
        iops: ebs.iops,
        throughput: ebs.throughput,
        role_arn: ebs.role_arn,
        ..Default::default()
    });
    api::ServiceVolumeConfiguration { name: volume.name, managed_ebs_volume: ebs }
}

fn is_at_launch(volume: &api::Volume) -> bool {
    volume.configured_at_launch == Some(true)
}

//! EBS volumes that a service has made for each of its tasks.

use api::ecs as api;

use crate::{Result, invalid};

/// How many volumes a service may configure: one a task.
const VOLUMES_MAX: usize = 1;

/// Checks volume configurations against the task definition.
pub(super) fn check(shown: &api::TaskDefinition, volumes: &[api::ServiceVolumeConfiguration]) -> Result<()> {
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

fn is_at_launch(volume: &api::Volume) -> bool {
    volume.configured_at_launch == Some(true)
}

//! UpdateContainerInstancesState.

use api::ecs as api;
use state::Cx;
use state::ecs::InstanceStatus;

use super::reference;
use super::view::{self, Include};
use crate::{Result, client, cluster, invalid};

/// How many instances one call may name.
const UPDATE_MAX: usize = 10;

/// Lets tasks be placed on instances, or no more. Unknown and deregistered ones are failures, not errors.
pub(crate) async fn update_container_instances_state(
    cx: &Cx,
    input: api::UpdateContainerInstancesStateRequest,
) -> Result<api::UpdateContainerInstancesStateResponse> {
    let status = match input.status {
        Some(api::ContainerInstanceStatus::Active) => InstanceStatus::Active,
        Some(api::ContainerInstanceStatus::Draining) => InstanceStatus::Draining,
        // Text unverified.
        _ => return Err(invalid("Container instance status should be one of [ACTIVE,DRAINING]")),
    };
    let wanted = input.container_instances.unwrap_or_default();
    if wanted.is_empty() {
        return Err(client("Container Instances cannot be empty."));
    }
    if wanted.len() > UPDATE_MAX {
        return Err(invalid(format!("Container Instances cannot have more than {UPDATE_MAX} elements.")));
    }
    let cluster = cluster::find(cx, input.cluster.as_deref())?;
    let keys = wanted.iter().map(|named| Ok((named, reference::parse(cx, &cluster, named)?)));
    let keys = keys.collect::<Result<Vec<_>>>()?;
    let (mut instances, mut failures) = (Vec::new(), Vec::new());
    for (named, key) in keys {
        let updated = cx.state.ecs.update_container_instance(cx.scope(), &key, |instance| {
            if instance.status != InstanceStatus::Inactive {
                instance.status = status;
            }
        });
        let reason = match &updated {
            None => "MISSING",
            Some(instance) if instance.status == InstanceStatus::Inactive => "INACTIVE",
            Some(instance) => {
                instances.push(view::container_instance(cx, instance, Include::NONE));
                continue;
            }
        };
        failures.push(api::Failure {
            arn: Some(reference::arn_of(cx, &cluster, named)),
            reason: Some(reason.to_owned()),
            detail: None,
        });
    }
    Ok(api::UpdateContainerInstancesStateResponse { container_instances: Some(instances), failures: Some(failures) })
}

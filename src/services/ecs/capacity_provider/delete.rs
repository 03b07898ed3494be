//! DeleteCapacityProvider.

use api::ecs as api;
use state::Cx;
use state::ecs::{CapacityProvider, CapacityProviderStatus, CapacityProviderUpdate, CapacitySource, ClusterStatus};

use super::view::{self, Moment};
use super::{find_made, not_found};
use crate::{Result, client, daemon, required};

/// Deletes a capacity provider. One that a cluster is associated with stays: the answer says DELETE_FAILED, and why.
pub(crate) async fn delete_capacity_provider(
    cx: &Cx,
    input: api::DeleteCapacityProviderRequest,
) -> Result<api::DeleteCapacityProviderResponse> {
    let reference = required(input.capacity_provider, "capacityProvider")?;
    let provider = find_made(cx, &reference, input.cluster.as_deref(), "deleted")?;
    if let CapacitySource::ManagedInstances { cluster, .. } = &provider.source
        && daemon::uses_provider(cx, cluster, provider.name.as_str())
    {
        // Seen: aws-nuke#990.
        return Err(client(
            "Cannot delete capacity provider. Daemon services are still associated with this capacity provider.",
        ));
    }
    let failure = refusal(cx, &provider);
    let is_refused = failure.is_some();
    let change = |row: &mut CapacityProvider| match failure {
        Some(reason) => row.update = Some(CapacityProviderUpdate::DeleteFailed { reason }),
        None => {
            row.status = CapacityProviderStatus::Inactive;
            row.update = Some(CapacityProviderUpdate::Deleted);
        }
    };
    let changed = cx.state.ecs.capacity_providers.update(cx.scope(), &provider.name, change).ok_or_else(not_found)?;
    if !is_refused && let CapacitySource::ManagedInstances { cluster, .. } = &changed.source {
        let name = changed.name.as_str();
        cx.state.ecs.clusters.update(cx.scope(), cluster, |row| row.capacity_providers.retain(|known| known != name));
    }
    let moment = if is_refused { Moment::AtRest } else { Moment::Deleted };
    Ok(api::DeleteCapacityProviderResponse { capacity_provider: Some(view::made(&changed, true, moment)) })
}

/// Says why a provider cannot be deleted. The text was seen: terraform-provider-aws#48156; for one with managed instances
/// that tasks use it is the same by analogy.
fn refusal(cx: &Cx, provider: &CapacityProvider) -> Option<String> {
    let name = provider.name.as_str();
    let mut clusters = cx.state.ecs.clusters.walk(cx.scope(), None).map(|(_, cluster)| cluster);
    let holder = clusters.find(|cluster| {
        let is_associated =
            cluster.status == ClusterStatus::Active && cluster.capacity_providers.iter().any(|known| known == name);
        is_associated
            && match &provider.source {
                CapacitySource::AutoScalingGroup { .. } => true,
                CapacitySource::ManagedInstances { .. } => super::is_in_use(cx, cluster, name),
            }
    })?;
    Some(format!(
        "The capacity provider cannot be deleted because it is associated with cluster: {}. Remove the capacity provider \
         from the cluster and try again.",
        holder.name
    ))
}

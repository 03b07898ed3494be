//! UpdateCapacityProvider.

use api::ecs as api;
use state::Cx;
use state::ecs::{CapacityProviderStatus, CapacityProviderUpdate, CapacitySource};

use super::view::{self, Moment};
use super::{auto_scaling_group, find_made, managed_instances, not_found};
use crate::{Result, cluster, document, invalid, required};

/// Changes a capacity provider; what the request does not name stays.
pub(crate) async fn update_capacity_provider(
    cx: &Cx,
    input: api::UpdateCapacityProviderRequest,
) -> Result<api::UpdateCapacityProviderResponse> {
    let name = required(input.name, "name")?;
    let provider = find_made(cx, &name, input.cluster.as_deref(), "updated")?;
    let (group, instances) = (input.auto_scaling_group_provider, input.managed_instances_provider);
    let change = |source: &CapacitySource| match (source, group, instances) {
        (CapacitySource::AutoScalingGroup { document, .. }, Some(group), None) => {
            auto_scaling_group::updated(document::read(document), group)
        }
        (CapacitySource::ManagedInstances { cluster, document }, None, Some(instances)) => {
            managed_instances::updated(cluster.clone(), document::read(document), instances)
        }
        // Text unverified.
        _ => Err(invalid("The specified parameters do not match the type of the capacity provider.")),
    };
    let updated = cx.state.ecs.capacity_providers.try_update(cx.scope(), &provider.name, |row| {
        if row.status == CapacityProviderStatus::Inactive {
            return Err(not_found());
        }
        row.source = change(&row.source)?;
        row.update = Some(CapacityProviderUpdate::Updated);
        Ok(())
    });
    let updated = updated.ok_or_else(not_found)??;
    attach(cx, updated.name.as_str());
    let provider = view::made(&updated, true, Moment::Changed);
    Ok(api::UpdateCapacityProviderResponse { capacity_provider: Some(provider) })
}

/// Has the clusters that the provider is associated with follow what it manages now.
fn attach(cx: &Cx, provider: &str) {
    let clusters = cx.state.ecs.clusters.walk(cx.scope(), None).map(|(_, cluster)| cluster);
    for cluster in clusters.filter(|cluster| cluster.capacity_providers.iter().any(|known| known == provider)) {
        // One that was deleted meanwhile has nothing to follow with.
        cx.state.ecs.clusters.update(cx.scope(), &cluster.name, |row| cluster::attach(cx, row));
    }
}

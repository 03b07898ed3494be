//! ListContainerInstances.

use std::ops::Bound;

use api::ecs as api;
use base::{ContainerInstanceId, Page};
use state::Cx;
use state::ecs::{Candidate, ContainerInstance, ContainerInstanceKey, InstanceStatus, Query};

use crate::{Result, cluster, invalid, page};

const LISTING: &str = "ListContainerInstances";

/// Lists the ARNs of a cluster's container instances, sorted by id: of one status, or all but the deregistered ones.
pub(crate) async fn list_container_instances(
    cx: &Cx,
    input: api::ListContainerInstancesRequest,
) -> Result<api::ListContainerInstancesResponse> {
    let cluster = cluster::find(cx, input.cluster.as_deref())?;
    let request = page::request(LISTING, input.max_results, input.next_token.as_deref())?;
    let filter = input.filter.as_deref().filter(|filter| !filter.is_empty()).map(Query::parse).transpose();
    // Text unverified.
    let filter = filter.map_err(|error| invalid(format!("The filter expression is invalid: {error}.")))?;
    let wants = |instance: &ContainerInstance| {
        let is_status = match &input.status {
            None => instance.status != InstanceStatus::Inactive,
            Some(status) => instance.status.as_str() == status.as_str(),
        };
        is_status
            && filter.as_ref().is_none_or(|filter| {
                let running_tasks = cx.state.ecs.count_tasks_on(cx.scope(), instance).running;
                filter.matches(Candidate { instance, running_tasks })
            })
    };
    let after = ContainerInstanceId::new(request.after.unwrap_or_default());
    let after = ContainerInstanceKey { cluster: cluster.name.clone(), id: after };
    let label = match input.status.as_ref().map(|status| status.as_str()) {
        None => InstanceStatus::registered(),
        Some("ACTIVE") => InstanceStatus::Active.label(),
        Some("DRAINING") => InstanceStatus::Draining.label(),
        Some(_) => InstanceStatus::Inactive.label(),
    };
    let rest = (Bound::Excluded(after), Bound::Unbounded);
    let instances = cx.state.ecs.container_instances.walk_between(cx.scope(), Some(label), rest);
    let instances = instances.map(|(_, instance)| instance);
    let instances = instances.take_while(|instance| instance.key.cluster == cluster.name).filter(|i| wants(i));
    let page = Page::cut(LISTING, request.size, instances, |instance| instance.key.id.to_string());
    let arns = page.items.iter().map(|instance| instance.arn.to_string()).collect();
    Ok(api::ListContainerInstancesResponse { container_instance_arns: Some(arns), next_token: page.next })
}

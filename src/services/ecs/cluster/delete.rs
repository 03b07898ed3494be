//! DeleteCluster.

use api::ecs as api;
use state::Cx;
use state::ecs::{Cluster, ClusterAttachment, ClusterStatus, ServiceStatus, Task, TaskStatus};

use super::view::{self, Include, Moment};
use crate::{Error, Result, capacity_provider, required};

/// Deletes a cluster that nothing runs in. It can still be described, as INACTIVE.
pub(crate) async fn delete_cluster(cx: &Cx, input: api::DeleteClusterRequest) -> Result<api::DeleteClusterResponse> {
    let cluster = super::find(cx, Some(&required(input.cluster, "cluster")?))?;
    check_empty(cx, &cluster)?;
    let mut gone = Vec::<ClusterAttachment>::new();
    let deleted = super::change(cx, &cluster.name, |row| {
        row.status = ClusterStatus::Inactive;
        gone = std::mem::take(&mut row.attachments);
        Ok(())
    })?;
    let moment = Moment::Deleted { gone };
    Ok(api::DeleteClusterResponse { cluster: Some(view::cluster(cx, &deleted, Include::UPDATED, moment)) })
}

/// Refuses while something is in the cluster. What else can be in one has its line here.
fn check_empty(cx: &Cx, cluster: &Cluster) -> Result<()> {
    let mut services = cx.state.ecs.services_of(cx.scope(), &cluster.name);
    if services.any(|service| service.status != ServiceStatus::Inactive) {
        let message = "The Cluster cannot be deleted while Services are active.";
        return Err(Error::ClusterContainsServices(message.to_owned()));
    }
    if cx.state.ecs.count_container_instances(cx.scope(), &cluster.name) > 0 {
        let message = "The Cluster cannot be deleted while Container Instances are active or draining.";
        return Err(Error::ClusterContainsContainerInstances(message.to_owned()));
    }
    // DescribeTasks still shows stopped tasks of the cluster; only live ones keep it.
    let is_live = |task: &Task| task.last_status != TaskStatus::Stopped;
    if cx.state.ecs.tasks_of(cx.scope(), &cluster.name).any(|task| is_live(&task)) {
        let message = "The Cluster cannot be deleted while Tasks are active.";
        return Err(Error::ClusterContainsTasks(message.to_owned()));
    }
    if capacity_provider::of_cluster(cx, cluster).next().is_some() {
        // The exception is the one that the model documents for this; the text was seen (terraform-provider-aws#45794,
        // aws-nuke#990), there under ClientException.
        let message =
            "The Cluster cannot be deleted while Cluster Scoped Capacity Providers are attached to the cluster.";
        return Err(Error::ClusterContainsCapacityProvider(message.to_owned()));
    }
    Ok(())
}

//! DeleteService.

use api::ecs as api;
use state::Cx;
use state::ecs::{DeploymentController, SchedulingStrategy, Service, ServiceStatus, TaskSet, TaskSetStatus};

use super::{reference, view};
use crate::{Result, cluster, invalid, required};

/// Deletes a service: it drains, and is inactive when its tasks have stopped. Doing it again changes nothing.
pub(crate) async fn delete_service(cx: &Cx, input: api::DeleteServiceRequest) -> Result<api::DeleteServiceResponse> {
    let cluster = cluster::find(cx, input.cluster.as_deref())?;
    let known = reference::find(cx, &cluster, &required(input.service, "service")?)?;
    let is_forced = input.force == Some(true);
    let ecs = &cx.state.ecs;
    // The primary task set is all that CodeDeploy leaves of a deployment, and goes with the service: Terraform deletes such
    // a service without force. Who deploys by himself deletes his task sets himself.
    let is_in_the_way = |task_set: &TaskSet| {
        known.controller != DeploymentController::CodeDeploy || task_set.status != TaskSetStatus::Primary
    };
    let has_task_sets = ecs.task_sets_of(cx.scope(), &known.key).any(|task_set| is_in_the_way(&task_set));
    let delete = |service: &mut Service| match service.status {
        // That an inactive service is not found any more is unverified.
        ServiceStatus::Inactive => Err(reference::not_found()),
        ServiceStatus::Draining => Ok(()),
        ServiceStatus::Active => {
            let is_replica = service.scheduling == SchedulingStrategy::Replica;
            if is_replica && !is_forced && service.desired_count > 0 {
                return Err(invalid("The service cannot be stopped while it is scaled above 0."));
            }
            if is_replica && !is_forced && (has_task_sets || service.deployments.len() > 1) {
                return Err(invalid("The service cannot be stopped while deployments are active."));
            }
            service.status = ServiceStatus::Draining;
            service.desired_count = 0;
            Ok(())
        }
    };
    let deleted = ecs.services.try_update(cx.scope(), &known.key, delete).ok_or_else(reference::not_found)??;
    let drain = |task_set: &mut TaskSet| task_set.status = TaskSetStatus::Draining;
    for task_set in ecs.task_sets_of(cx.scope(), &known.key) {
        ecs.task_sets.update(cx.scope(), &task_set.key, drain);
    }
    Ok(api::DeleteServiceResponse { service: Some(view::service(cx, &deleted, false)) })
}

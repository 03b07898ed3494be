//! How requests name a task set: its id, with or without `ecs-svc/`, or its ARN.

use std::sync::Arc;

use base::{Arn, ServiceRevisionId};
use state::Cx;
use state::ecs::{DeploymentController, Service, TaskSet, TaskSetKey};

use crate::{Error, Result, cluster, invalid, required, service};

/// Finds the service of a request about task sets: one that is there and that somebody else deploys.
pub(super) fn service_of(cx: &Cx, cluster: Option<String>, service: Option<String>) -> Result<Arc<Service>> {
    let cluster = cluster::find(cx, Some(&required(cluster, "cluster")?))?;
    let found = service::find_active(cx, &cluster, &required(service, "service")?)?;
    match found.controller {
        DeploymentController::External | DeploymentController::CodeDeploy => Ok(found),
        // Seen: terraform-provider-aws#30347.
        DeploymentController::Ecs => Err(invalid(
            "Amazon ECS only supports task set management on services configured to use external deployment \
             controllers.",
        )),
    }
}

/// Finds a task set of a service.
pub(super) fn find(cx: &Cx, service: &Service, reference: &str) -> Result<Arc<TaskSet>> {
    let key = parse(cx, service, reference)?;
    cx.state.ecs.task_sets.get(cx.scope(), &key).ok_or_else(not_found)
}

/// Reads an id or an ARN. A task set of another service is one that is missing: the key then names none.
pub(super) fn parse(cx: &Cx, service: &Service, reference: &str) -> Result<TaskSetKey> {
    let key = |id: &str| TaskSetKey { service: service.key.clone(), id: ServiceRevisionId::new(id) };
    if !reference.starts_with("arn:") {
        return Ok(key(reference.strip_prefix("ecs-svc/").unwrap_or(reference)));
    }
    let arn = Arn::parse(reference).ok_or_else(|| invalid("The ARN provided is invalid."))?;
    if arn.account() != Some(cx.scope().account) {
        return Err(invalid("AccountIDs mismatch"));
    }
    // Seen where the ARN was a task's: boto3#3895.
    let path = arn.resource_of("task-set").ok_or_else(|| invalid("Task Set Identifier is invalid"))?;
    let prefix = format!("{}/{}/ecs-svc/", service.key.cluster, service.key.name);
    let is_here = arn.region().as_ref() == Some(&cx.scope().region);
    Ok(key(path.strip_prefix(&prefix).filter(|_| is_here).unwrap_or_default()))
}

/// Builds the ARN that a failure bears, whichever way the task set was named.
pub(super) fn arn_of(cx: &Cx, service: &Service, reference: &str) -> String {
    if reference.starts_with("arn:") {
        return reference.to_owned();
    }
    let id = reference.strip_prefix("ecs-svc/").unwrap_or(reference);
    new_arn(cx, service, &ServiceRevisionId::new(id)).to_string()
}

/// Builds the ARN of a task set.
pub(super) fn new_arn(cx: &Cx, service: &Service, id: &ServiceRevisionId) -> Arn {
    let path = format!("task-set/{}/{}/ecs-svc/{id}", service.key.cluster, service.key.name);
    Arn::new("ecs", cx.scope(), &path)
}

/// The error of a task set that is not there: moto's words under the model's code.
pub(super) fn not_found() -> Error {
    Error::TaskSetNotFound("The specified task set does not exist.".to_owned())
}

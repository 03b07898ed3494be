//! DeregisterContainerInstance.

use std::sync::Arc;

use api::ecs as api;
use state::Cx;
use state::ecs::{
    ContainerInstance, ContainerInstanceKey, ContainerStatus, InstanceStatus, StopCode, StopRequest, Task, TaskStatus,
};

use super::reference;
use super::view::{self, Include};
use crate::{Result, cluster, invalid, required};

/// The reason of the tasks that were on the instance: seen in responses of AWS.
const FORCED: &str = "Container instance deregistration forced by user";

/// Deregisters an instance. Tasks on it refuse that, unless it is forced: then they are over, whatever their agent does.
pub(crate) async fn deregister_container_instance(
    cx: &Cx,
    input: api::DeregisterContainerInstanceRequest,
) -> Result<api::DeregisterContainerInstanceResponse> {
    let cluster = cluster::find(cx, input.cluster.as_deref())?;
    let named = required(input.container_instance, "containerInstance")?;
    let key = reference::parse(cx, &cluster, &named)?;
    let is_forced = input.force == Some(true);
    let deregistered = cx.state.ecs.try_update_container_instance(cx.scope(), &key, |instance| {
        // A task that is about to be there has its claim already.
        if !is_forced && !instance.claims.is_empty() {
            // moto, and seen in scripts.
            return Err(invalid("Found running tasks on the instance."));
        }
        retire(instance);
        Ok(())
    });
    let instance = deregistered.ok_or_else(|| reference::not_found(&named))??;
    for task in cx.state.ecs.tasks_on(cx.scope(), &instance) {
        cx.state.ecs.update_task(cx.scope(), &task.key, |task| orphan(cx, task));
    }
    let instance = cx.state.ecs.container_instances.get(cx.scope(), &key).unwrap_or(instance);
    let instance = view::container_instance(cx, &instance, Include::TAGS);
    Ok(api::DeregisterContainerInstanceResponse { container_instance: Some(instance) })
}

/// Ends a task that was started on an instance while that was deregistered; none if nothing was to be done.
pub(crate) fn settle(cx: &Cx, task: &Task) -> Option<Arc<Task>> {
    let id = task.launch.container_instance()?.clone();
    let key = ContainerInstanceKey { cluster: task.key.cluster.clone(), id };
    let instance = cx.state.ecs.container_instances.get(cx.scope(), &key)?;
    if instance.status != InstanceStatus::Inactive {
        return None;
    }
    cx.state.ecs.update_task(cx.scope(), &task.key, |task| orphan(cx, task))
}

fn retire(instance: &mut ContainerInstance) {
    instance.status = InstanceStatus::Inactive;
    instance.is_agent_connected = false;
    instance.agent_update = None;
}

/// Ends the record of a task that nobody reports on any more.
fn orphan(cx: &Cx, task: &mut Task) {
    if task.last_status == TaskStatus::Stopped {
        return;
    }
    let now = cx.now();
    task.stop(StopRequest { code: StopCode::InstanceGone, reason: FORCED.to_owned(), at: now });
    task.last_status = TaskStatus::Stopped;
    task.stopped_at = Some(now);
    for container in &mut task.containers {
        container.status = ContainerStatus::Stopped;
    }
}

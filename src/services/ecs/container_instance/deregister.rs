//! DeregisterContainerInstance.

use std::sync::Arc;

use api::ecs as api;
use state::Cx;
use state::ecs::{ContainerInstance, InstanceStatus, Task};

use super::reference;
use super::view::{self, Include};
use crate::{Result, cluster, invalid, required};

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
    let now = cx.now();
    for task in cx.state.ecs.tasks_on(cx.scope(), &instance) {
        cx.state.ecs.update_task(cx.scope(), &task.key, |task| task.lose_instance(now));
    }
    let instance = cx.state.ecs.container_instances.get(cx.scope(), &key).unwrap_or(instance);
    let instance = view::container_instance(cx, &instance, Include::TAGS);
    Ok(api::DeregisterContainerInstanceResponse { container_instance: Some(instance) })
}

/// Ends a task that was started on an instance while that was deregistered; none if nothing was to be done.
pub(crate) fn settle(cx: &Cx, task: &Task) -> Option<Arc<Task>> {
    cx.state.ecs.settle_on_instance(cx.scope(), task, cx.now())
}

fn retire(instance: &mut ContainerInstance) {
    instance.status = InstanceStatus::Inactive;
    instance.is_agent_connected = false;
    instance.agent_update = None;
}

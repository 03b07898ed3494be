//! The controllers of Amazon ECS.

mod awslogs;
#[allow(dead_code, reason = "the start of a task calls it as soon as it reads environment files")]
mod environment_file;
mod launch;
mod network_interface;
mod orphan;
mod plan;
mod reason;
mod sandbox_index;
#[allow(dead_code, reason = "the start of a task calls it as soon as it resolves secrets")]
mod secret;
mod service;
mod service_plan;
mod task;
mod task_definition;

pub(crate) use awslogs::LogReconciler;
pub(crate) use orphan::{OrphanReconciler, remove_orphans};
pub(crate) use sandbox_index::SandboxIndex;
pub(crate) use service::{ServiceReconciler, watch_services};
pub(crate) use task::TaskReconciler;
pub(crate) use task_definition::{TaskDefinitionReconciler, watch_task_definitions};

use base::{Scope, TaskId};
use reconcile::Key;
use state::ecs::{ClusterName, TaskKey};

/// The reconciler of tasks.
pub(crate) const TASKS: &str = "ecs.tasks";
/// The reconciler of services.
pub(crate) const SERVICES: &str = "ecs.services";
/// The reconciler of task definitions that are to be deleted.
pub(crate) const TASK_DEFINITIONS: &str = "ecs.task_definitions";
/// The reconciler of container output.
pub(crate) const LOGS: &str = "ecs.logs";
/// The reconciler of sandboxes without a task.
pub(crate) const ORPHANS: &str = "ecs.orphans";

/// Makes the driver's key of a task: `<cluster>/<id>`.
fn key_of(scope: &Scope, task: &TaskKey) -> Key {
    Key::new(scope.clone(), format!("{}/{}", task.cluster, task.id))
}

/// Reads a task's name back from the driver's key; none if it is no task's.
fn task_of(key: &Key) -> Option<TaskKey> {
    let (cluster, id) = key.name.split_once('/')?;
    Some(TaskKey { cluster: ClusterName::parse(cluster)?, id: TaskId::new(id) })
}

//! The controllers of Amazon ECS.

mod awslogs;
mod circuit_breaker;
mod credentials;
mod daemon_plan;
mod efs;
mod ending;
mod environment;
mod environment_file;
mod errand;
mod event;
mod firelens;
mod health;
mod health_reconciler;
mod hosts;
mod instance;
mod instance_network;
mod instance_watch;
mod launch;
mod lifecycle_hook;
mod log_delivery;
mod mount;
mod network_interface;
mod order;
mod orphan;
mod pace;
mod plan;
mod pull;
mod reason;
mod restart;
#[cfg(test)]
mod samples;
mod sandbox_index;
mod secret;
mod service;
mod service_outcome;
mod service_plan;
mod service_start;
mod shift;
mod shift_plan;
mod splunk;
mod spot;
mod start;
mod task;
mod task_definition;
mod task_set_plan;
pub(crate) mod traffic;

pub(crate) use errand::Errands;
pub(crate) use event::event_of;
pub(crate) use health_reconciler::HealthReconciler;
pub(crate) use instance::{InstanceReconciler, add as add_instance, list as list_instances, remove as remove_instance};
pub use instance::{NewInstance, NotAdded, NotRemoved};
pub(crate) use instance_watch::InstanceWatch;
pub(crate) use log_delivery::LogReconciler;
pub(crate) use orphan::{OrphanReconciler, remove_orphans};
pub use pace::{Pace, Paces, TimeScale};
pub(crate) use pull::{PullReconciler, Pulls};
pub(crate) use sandbox_index::SandboxIndex;
pub(crate) use service::{ServiceReconciler, watch_services};
pub(crate) use spot::interrupt;
pub use spot::{NotInterrupted, SpotInterruption};
pub(crate) use task::TaskReconciler;
pub(crate) use task_definition::{TaskDefinitionReconciler, watch_task_definitions};
pub use traffic::{TrafficError, TrafficOnRecord, TrafficOrder, TrafficProgress, TrafficShift};

use base::{Scope, TaskId};
use reconcile::Key;
use state::ecs::{ClusterName, TaskKey};

/// The reconciler of tasks.
pub(crate) const TASKS: &str = "ecs.tasks";
/// The reconciler of images that tasks wait for.
pub(crate) const PULLS: &str = "ecs.pulls";
/// The reconciler of services.
pub(crate) const SERVICES: &str = "ecs.services";
/// The reconciler of task definitions that are to be deleted.
pub(crate) const TASK_DEFINITIONS: &str = "ecs.task_definitions";
/// The reconciler of container output.
pub(crate) const LOGS: &str = "ecs.logs";
/// The reconciler of containers' health.
pub(crate) const HEALTH: &str = "ecs.health";
/// The reconciler of container instances that this machine plays.
pub(crate) const INSTANCES: &str = "ecs.instances";
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

//! What to do next for a service: a pure function of its record and its tasks.

pub(super) mod event;
mod health;
mod rollout;
mod stopping;
mod throttle;
pub(super) mod zones;

use std::sync::Arc;

use base::{ContainerInstanceId, ServiceRevisionId, TaskId, Timestamp};
use state::ecs::{DeploymentController, Service, ServiceStatus, Tally, Task, TaskSet, TaskStatus};

use super::shift_plan::ShiftStep;
use super::task_set_plan;
use crate::Pace;

pub(super) use event::Obstacle;
pub(super) use health::Health;
pub(super) use rollout::{be_steady, drop_emptied, has_others, watch};
pub(super) use stopping::{stop, stop_first, stop_unhealthy};
pub(super) use throttle::throttle;

/// A task of a service, with the deployment or task set that it belongs to.
#[derive(Clone)]
pub(super) struct Member {
    pub(super) revision: ServiceRevisionId,
    pub(super) task: Arc<Task>,
    /// The availability zone that it runs in, or is to run in.
    pub(super) zone: Option<String>,
    /// Whether it is to be replaced because its container instance is being emptied.
    pub(super) is_leaving: bool,
}

/// One thing to do. All of a plan's are carried out; after them the question is asked anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Start tasks of a deployment or task set.
    Start { revision: ServiceRevisionId, count: usize },
    /// Start one task of a deployment on each of these container instances.
    StartOn { revision: ServiceRevisionId, instances: Vec<ContainerInstanceId> },
    /// Stop tasks of a deployment or task set.
    Stop { revision: ServiceRevisionId, tasks: Vec<TaskId> },
    /// Stop tasks that are not healthy.
    StopUnhealthy { tasks: Vec<TaskId> },
    /// Write how many tasks of the primary deployment have failed, these since the last time.
    Count { tally: Tally, failed: Vec<TaskId> },
    /// Write that the primary deployment has begun, and which alarms do not give it up.
    Begin { ignored_alarms: Vec<String> },
    /// Give the primary deployment up.
    GiveUp(Cause),
    /// Say that the primary deployment's tasks are up, and that its alarms are watched from now on.
    Bake,
    /// Say that the primary deployment is done.
    Complete,
    /// Take a step that only a deployment takes whose traffic is shifted.
    Shift(ShiftStep),
    /// Say that the service has all that it wants.
    Steady,
    /// Say what keeps the service from it.
    Report(Obstacle),
    /// Forget a deployment that nothing is left of.
    DropDeployment { revision: ServiceRevisionId },
    /// Write whether a task set has all that it wants.
    SetSteady { revision: ServiceRevisionId, is_steady: bool },
    /// Remove a task set that nothing is left of.
    RemoveTaskSet { revision: ServiceRevisionId },
    /// Say that nothing is left of a deleted service.
    Inactivate,
    /// Ask again at that time, should nothing happen before.
    LookAgain(Timestamp),
}

/// Why a deployment is given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// Too many of its tasks have failed.
    CircuitBreaker,
    /// These alarms have gone off.
    Alarms(Vec<String>),
}

/// What is known of a service.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) service: &'a Service,
    pub(super) members: &'a [Member],
    pub(super) task_sets: &'a [Arc<TaskSet>],
    /// Those of the service's alarms that are in ALARM.
    pub(super) alarms: &'a [String],
    /// The availability zones that the primary deployment's tasks can be in, each once.
    pub(super) zones: &'a [String],
    /// How fast the service's waits pass.
    pub(super) pace: Pace,
    pub(super) now: Timestamp,
}

impl<'a> Known<'a> {
    pub(super) fn health(&self) -> Health<'a> {
        Health { service: self.service, pace: self.pace, now: self.now }
    }
}

/// Says what to do next for a service.
pub(super) fn plan(known: &Known<'_>) -> Vec<Action> {
    let mut actions = Vec::new();
    match (known.service.status, known.service.controller) {
        (ServiceStatus::Inactive, _) => {}
        (ServiceStatus::Draining, _) => drain(known.members, &mut actions),
        (ServiceStatus::Active, DeploymentController::Ecs) => {
            if let Some(primary) = known.service.primary()
                && let Some(tally) = watch(known, primary, &mut actions)
            {
                rollout::plan(known, primary, &tally, &mut actions);
            }
        }
        (ServiceStatus::Active, DeploymentController::CodeDeploy | DeploymentController::External) => {
            for task_set in known.task_sets {
                task_set_plan::plan(known, task_set, &mut actions);
            }
        }
    }
    actions
}

/// Stops everything; the service is gone when every task is at least stopping.
fn drain(members: &[Member], actions: &mut Vec<Action>) {
    stop(members.iter().filter(|member| is_live(member)).collect(), actions);
    let is_ending = |member: &Member| match member.task.last_status {
        TaskStatus::Stopping | TaskStatus::Deprovisioning | TaskStatus::Stopped => true,
        TaskStatus::Provisioning
        | TaskStatus::Pending
        | TaskStatus::Activating
        | TaskStatus::Running
        | TaskStatus::Deactivating => false,
    };
    if members.iter().all(is_ending) {
        actions.push(Action::Inactivate);
    }
}

/// Whether a task is to go on.
pub(super) fn is_live(member: &Member) -> bool {
    member.task.stop.is_none() && member.task.last_status != TaskStatus::Stopped
}

/// Whether a task is shown as pending or running.
pub(super) fn is_counted(member: &Member) -> bool {
    match member.task.last_status {
        TaskStatus::Provisioning | TaskStatus::Pending | TaskStatus::Activating | TaskStatus::Running => true,
        TaskStatus::Deactivating | TaskStatus::Stopping | TaskStatus::Deprovisioning | TaskStatus::Stopped => false,
    }
}

#[cfg(test)]
#[path = "service_plan_tests/mod.rs"]
pub(super) mod tests;

//! What to do next for a task: a pure function of its record.

use std::time::Duration;

use base::Timestamp;
use state::ecs::{Container, ContainerDefinition, ContainerStatus, Task, TaskStatus};

use super::order::{Obstacle, Order, Readiness};

/// How long a stopped task can still be described. ECS promises at least an hour (DescribeTasks).
pub(crate) const STOPPED_TASK_KEPT: Duration = Duration::from_secs(3600);
/// How long after SIGKILL the signal is sent again, should the container still not have ended.
pub(crate) const KILL_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// One thing to do. After it the record has changed and the question is asked anew. Containers are named by their places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Give the task its network interface.
    Provision,
    /// Find the images of these containers and start them, in that order.
    Launch(Vec<usize>),
    /// Give a container up that can never start.
    Abandon(usize, Obstacle),
    /// Start a container again that has ended.
    Restart(usize),
    /// Give the task new credentials: the ones it has end soon.
    RenewCredentials,
    /// Say that the task has come to a status; nothing else is to be done for it.
    Enter(TaskStatus),
    /// Ask these containers to end.
    Terminate(Vec<usize>),
    /// End these containers, whose time to stop is over.
    Kill(Vec<usize>),
    /// Take everything of the task off the node.
    TearDown,
    /// Remove the record.
    Forget,
    /// Nothing until something happens.
    Wait,
    /// Nothing until something happens or that time has come.
    WaitUntil(Timestamp),
}

/// How far the output of a task's containers has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// All of it is in the task's logs.
    Delivered,
    /// There is some left, and it is waited for until then.
    AwaitedUntil(Timestamp),
}

/// What is known of a task, the ends of its containers already written into its record.
#[derive(Clone, Copy)]
pub(crate) struct Known<'a> {
    pub(crate) task: &'a Task,
    /// The containers of its definition.
    pub(crate) definitions: &'a [ContainerDefinition],
    pub(crate) output: Output,
    /// When its credentials are to be renewed, if it has any.
    pub(crate) renew_at: Option<Timestamp>,
}

/// Says what to do next for a task. A task whose containers have ended is not taken away before its output has come where
/// it can.
pub(crate) fn next(known: Known<'_>, now: Timestamp) -> Action {
    let task = known.task;
    let is_stopping = task.stop.is_some();
    // The rest of its life is its agent's.
    if task.launch.has_agent() && task.last_status != TaskStatus::Stopped {
        return Action::Wait;
    }
    let action = match task.last_status {
        TaskStatus::Provisioning if is_stopping => Action::Enter(TaskStatus::Deprovisioning),
        TaskStatus::Provisioning => Action::Provision,
        TaskStatus::Pending if is_stopping && has_started(task) => Action::Enter(TaskStatus::Stopping),
        TaskStatus::Pending if is_stopping => Action::Enter(TaskStatus::Deprovisioning),
        TaskStatus::Pending => start_containers(known, now),
        TaskStatus::Activating if is_stopping => Action::Enter(TaskStatus::Deactivating),
        TaskStatus::Activating => Action::Enter(TaskStatus::Running),
        TaskStatus::Running if is_stopping => Action::Enter(TaskStatus::Deactivating),
        TaskStatus::Running => restart_containers(task).unwrap_or(Action::Wait),
        TaskStatus::Deactivating => Action::Enter(TaskStatus::Stopping),
        TaskStatus::Stopping => stop_containers(known, now),
        TaskStatus::Deprovisioning => Action::TearDown,
        TaskStatus::Stopped => {
            let kept_until = task.stopped_at.unwrap_or(now).plus(STOPPED_TASK_KEPT);
            if now >= kept_until { Action::Forget } else { Action::WaitUntil(kept_until) }
        }
    };
    let Some(renew_at) = known.renew_at.filter(|_| task.last_status != TaskStatus::Stopped) else { return action };
    match action {
        Action::Wait if now >= renew_at => Action::RenewCredentials,
        Action::WaitUntil(_) if now >= renew_at => Action::RenewCredentials,
        Action::Wait => Action::WaitUntil(renew_at),
        Action::WaitUntil(at) => Action::WaitUntil(at.min(renew_at)),
        action => action,
    }
}

/// Returns when a container that was asked to end has had its time.
pub(crate) fn kill_at(container: &Container) -> Option<Timestamp> {
    Some(container.stop_signalled_at?.plus(Duration::from_secs(u64::from(container.stop_timeout_s))))
}

/// Starts what may start. The task runs when nothing is left to be started.
fn start_containers(known: Known<'_>, now: Timestamp) -> Action {
    let Known { task, definitions, .. } = known;
    let order = Order { task, definitions };
    let (mut ready, mut until, mut is_waiting) = (Vec::new(), None::<Timestamp>, false);
    for place in (0..task.containers.len()).filter(|place| task.containers[*place].status == ContainerStatus::Pending) {
        match order.readiness(place, now) {
            Readiness::Ready => ready.push(place),
            Readiness::Never(obstacle) => return Action::Abandon(place, obstacle),
            Readiness::Waits(at) => {
                is_waiting = true;
                until = until.into_iter().chain(at).min();
            }
        }
    }
    if !ready.is_empty() {
        return Action::Launch(order.sort(ready));
    }
    match (restart_containers(task), is_waiting, until) {
        (Some(restart), ..) => restart,
        (None, true, Some(at)) => Action::WaitUntil(at),
        (None, true, None) => Action::Wait,
        (None, false, _) => Action::Enter(TaskStatus::Running),
    }
}

fn restart_containers(task: &Task) -> Option<Action> {
    task.containers.iter().position(|container| container.restarting_after.is_some()).map(Action::Restart)
}

/// Ends what may end: a container is asked to only when nothing that runs has waited for it at the start.
fn stop_containers(known: Known<'_>, now: Timestamp) -> Action {
    let Known { task, definitions, output, .. } = known;
    let container = |place: &usize| &task.containers[*place];
    let (asked, unasked) = Order { task, definitions }
        .may_end()
        .partition::<Vec<_>, _>(|place| container(place).stop_signalled_at.is_some());
    if !unasked.is_empty() {
        return Action::Terminate(unasked);
    }
    let is_late = |place: &usize| kill_at(container(place)).is_some_and(|at| now >= at);
    let (late, in_time) = asked.into_iter().partition::<Vec<_>, _>(is_late);
    if !late.is_empty() {
        return Action::Kill(late);
    }
    match (in_time.iter().filter_map(|place| kill_at(container(place))).min(), output) {
        (Some(kill_at), _) => Action::WaitUntil(kill_at),
        (None, Output::AwaitedUntil(end)) if now < end => Action::WaitUntil(end),
        (None, Output::AwaitedUntil(_) | Output::Delivered) => Action::Enter(TaskStatus::Deprovisioning),
    }
}

fn has_started(task: &Task) -> bool {
    task.containers.iter().any(|container| container.started_at.is_some())
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;

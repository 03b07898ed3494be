//! What to do next for a service: a pure function of its record and its tasks.

use std::sync::Arc;
use std::time::Duration;

use base::{ContainerInstanceId, ServiceRevisionId, TaskId, Timestamp};
use state::ecs::{
    Deployment, DeploymentController, HealthStatus, RolloutState, Service, ServiceStatus, StopCode, Task, TaskSet,
    TaskStatus,
};

use super::task_set_plan;

/// How long a task without health checks must have run to count as healthy. (Model, minimumHealthyPercent.)
pub(crate) const HEALTHY_AFTER: Duration = Duration::from_secs(40);
/// How long the first wait is after tasks that never ran; it doubles. (AWS documents only that it grows.)
const RETRY_FIRST: Duration = Duration::from_secs(5);
/// The longest wait after tasks that never ran: AWS's.
const RETRY_MAX: Duration = Duration::from_secs(27 * 60);
/// How often at most a task that ends at once is replaced. AWS is slow enough not to need this.
const RESTART_EVERY: Duration = Duration::from_secs(10);

/// A task of a service, with the deployment or task set that it belongs to.
#[derive(Clone)]
pub(crate) struct Member {
    pub(crate) revision: ServiceRevisionId,
    pub(crate) task: Arc<Task>,
    /// Whether it is to be replaced because its container instance is being emptied.
    pub(crate) is_leaving: bool,
}

/// One thing to do. All of a plan's are carried out; after them the question is asked anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Start tasks of a deployment or task set.
    Start { revision: ServiceRevisionId, count: usize },
    /// Start one task of a deployment on each of these container instances.
    StartOn { revision: ServiceRevisionId, instances: Vec<ContainerInstanceId> },
    /// Stop tasks of a deployment or task set.
    Stop { revision: ServiceRevisionId, tasks: Vec<TaskId> },
    /// Stop tasks that are not healthy.
    StopUnhealthy { tasks: Vec<TaskId> },
    /// Say that the primary deployment is done.
    Complete,
    /// Say that the primary deployment has come to where it pauses.
    Pause,
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

/// What keeps a service from having what it wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// Its tasks end before they run.
    KeepsFailing,
    /// Neither may a task be stopped nor one more be started.
    Percentages,
}

/// What the primary deployment may not do until somebody says that it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// Start its tasks.
    ScaleUp,
    /// Take the place of the others.
    Replace,
}

/// Says what to do next for a service.
pub(crate) fn plan(
    service: &Service,
    members: &[Member],
    task_sets: &[Arc<TaskSet>],
    gate: Option<Gate>,
    now: Timestamp,
) -> Vec<Action> {
    let mut actions = Vec::new();
    match (service.status, service.controller) {
        (ServiceStatus::Inactive, _) => {}
        (ServiceStatus::Draining, _) => drain(members, &mut actions),
        (ServiceStatus::Active, DeploymentController::Ecs) => {
            if let Some(primary) = service.primary() {
                Rollout { service, primary, members, gate, now }.plan(&mut actions);
            }
        }
        (ServiceStatus::Active, DeploymentController::CodeDeploy | DeploymentController::External) => {
            for task_set in task_sets {
                task_set_plan::plan(service, task_set, members, now, &mut actions);
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

/// The rollout of the primary deployment in place of the others.
struct Rollout<'a> {
    service: &'a Service,
    primary: &'a Deployment,
    members: &'a [Member],
    gate: Option<Gate>,
    now: Timestamp,
}

impl Rollout<'_> {
    fn plan(&self, actions: &mut Vec<Action>) {
        if matches!(self.primary.rollout, RolloutState::Failed { .. }) {
            return;
        }
        if self.gate == Some(Gate::ScaleUp) {
            actions.push(Action::Pause);
            return;
        }
        let live = self.members.iter().filter(|member| is_live(member));
        let (new, old) =
            live.partition::<Vec<_>, _>(|member| member.revision == self.primary.revision && !member.is_leaving);
        let (unhealthy, fit) = new.iter().copied().partition::<Vec<_>, _>(|member| self.is_unhealthy(member));
        let start = self.start(fit.len(), old.len() + unhealthy.len(), actions);
        let surplus = fit.len().saturating_sub(self.desired());
        stop(stop_first(&fit, surplus, self.now), actions);
        stop_unhealthy(self.replaced(&unhealthy, &fit, old.len(), start), actions);
        let outdated = if self.gate.is_some() { Vec::new() } else { self.outdated(&new, &old) };
        let is_stuck =
            self.gate.is_none() && start == 0 && outdated.is_empty() && !old.is_empty() && new.len() < self.desired();
        let is_waiting = new.iter().any(|member| !self.is_healthy(member)) || self.protected_until(&old).is_some();
        if is_stuck && !is_waiting && self.room(new.len(), old.len()) == 0 {
            actions.push(Action::Report(Obstacle::Percentages));
        }
        stop(outdated, actions);
        self.finish(&new, &old, actions);
    }

    fn desired(&self) -> usize {
        usize::try_from(self.service.desired_count).unwrap_or(usize::MAX)
    }

    /// Returns how many more tasks there may be: the upper bound is rounded down.
    fn room(&self, new: usize, old: usize) -> usize {
        let most = u64::from(self.service.desired_count) * u64::from(self.service.rollout.maximum_percent) / 100;
        usize::try_from(most).unwrap_or(usize::MAX).saturating_sub(new + old)
    }

    /// Returns how many tasks must stay healthy: the lower bound is rounded up.
    fn least(&self) -> usize {
        let percent = u64::from(self.service.rollout.minimum_healthy_percent);
        usize::try_from((u64::from(self.service.desired_count) * percent).div_ceil(100)).unwrap_or(usize::MAX)
    }

    /// Starts what is missing, as far as there may be more tasks and the last ones have not just failed.
    fn start(&self, new: usize, old: usize, actions: &mut Vec<Action>) -> usize {
        let missing = self.desired().saturating_sub(new);
        if missing == 0 {
            return 0;
        }
        let of_primary = self.members.iter().filter(|member| member.revision == self.primary.revision);
        let retry = retry_at(of_primary, self.desired());
        if retry.keeps_failing {
            actions.push(Action::Report(Obstacle::KeepsFailing));
        }
        if let Some(at) = retry.at.filter(|at| self.now < *at) {
            actions.push(Action::LookAgain(at));
            return 0;
        }
        let count = missing.min(self.room(new, old));
        if count > 0 {
            actions.push(Action::Start { revision: self.primary.revision.clone(), count });
        }
        count
    }

    /// Returns the unhealthy tasks that may be stopped now: all of them once there are healthy ones in their place; one
    /// after the other where there may not be more tasks at a time.
    fn replaced<'m>(&self, unhealthy: &[&'m Member], fit: &[&Member], old: usize, started: usize) -> Vec<&'m Member> {
        let healthy = fit.iter().filter(|member| self.is_healthy(member)).count();
        if healthy >= self.desired() {
            return unhealthy.to_vec();
        }
        let is_full = started == 0 && self.room(fit.len() + unhealthy.len(), old) == 0;
        let is_quiet = healthy == fit.len();
        unhealthy.iter().copied().take(usize::from(is_full && is_quiet)).collect()
    }

    /// Returns the tasks of other deployments that may be stopped now, the oldest first.
    ///
    /// One that runs counts for the lower bound however young it is: it serves already. A new one counts when it is
    /// healthy.
    fn outdated<'m>(&self, new: &[&'m Member], old: &[&'m Member]) -> Vec<&'m Member> {
        let serves = |member: &Member| member.task.last_status == TaskStatus::Running && !self.is_unhealthy(member);
        let healthy = new.iter().filter(|member| self.is_healthy(member)).count();
        let running = old.iter().filter(|member| serves(member)).count();
        let mut spare = (healthy + running).saturating_sub(self.least());
        let mut oldest_first = old.to_vec();
        oldest_first.sort_by_key(|member| member.task.created_at);
        oldest_first.retain(|member| {
            if member.task.is_protected(self.now) {
                return false;
            }
            let serves = serves(member);
            let may_stop = !serves || spare > 0;
            spare -= usize::from(serves && may_stop);
            may_stop
        });
        oldest_first
    }

    /// Says what has come to an end, and when there will be more to say.
    fn finish(&self, new: &[&Member], old: &[&Member], actions: &mut Vec<Action>) {
        for deployment in self.service.deployments.iter().skip(1) {
            if !self.members.iter().any(|member| member.revision == deployment.revision && is_counted(member)) {
                actions.push(Action::DropDeployment { revision: deployment.revision.clone() });
            }
        }
        let is_up = new.len() == self.desired() && new.iter().all(|member| self.is_healthy(member));
        if is_up && self.gate.is_some() {
            actions.push(Action::Pause);
            return;
        }
        let has_all = old.is_empty() && new.len() == self.desired();
        if has_all && new.iter().all(|member| self.is_healthy(member)) {
            if self.primary.rollout == RolloutState::InProgress {
                actions.push(Action::Complete);
            }
            actions.push(Action::Steady);
            return;
        }
        let young = new.iter().filter_map(|member| member.task.started_at).map(|at| at.plus(HEALTHY_AFTER));
        let protected = self.protected_until(old);
        let graced =
            new.iter().filter(|member| is_failing(member)).filter_map(|member| grace_end(self.service, member));
        if let Some(at) = young.chain(graced).filter(|at| self.now < *at).chain(protected).min() {
            actions.push(Action::LookAgain(at));
        }
    }

    fn protected_until(&self, members: &[&Member]) -> Option<Timestamp> {
        let protected = members.iter().filter(|member| member.task.is_protected(self.now));
        protected.filter_map(|member| member.task.protected_until).min()
    }

    fn is_healthy(&self, member: &Member) -> bool {
        is_healthy(member, self.now)
    }

    fn is_unhealthy(&self, member: &Member) -> bool {
        is_unhealthy(self.service, member, self.now)
    }
}

/// Whether a task counts as healthy: it runs, and its health checks say so; without any it has run for long enough.
pub(super) fn is_healthy(member: &Member, now: Timestamp) -> bool {
    let since = member.task.started_at.filter(|_| member.task.last_status == TaskStatus::Running);
    let mut checks = checks(member).peekable();
    if checks.peek().is_some() {
        return since.is_some() && checks.all(|status| status == HealthStatus::Healthy);
    }
    since.is_some_and(|since| now >= since.plus(HEALTHY_AFTER))
}

/// Returns what the health checks of a task's essential containers say.
fn checks(member: &Member) -> impl Iterator<Item = HealthStatus> {
    let essential = member.task.containers.iter().filter(|container| container.is_essential);
    essential.filter_map(|container| container.health.as_ref().map(|health| health.status))
}

/// Whether a task is to be replaced: its health checks fail, and not only because it has just been started.
pub(super) fn is_unhealthy(service: &Service, member: &Member, now: Timestamp) -> bool {
    is_failing(member) && grace_end(service, member).is_none_or(|end| now >= end)
}

fn is_failing(member: &Member) -> bool {
    member.task.last_status == TaskStatus::Running && member.task.health() == HealthStatus::Unhealthy
}

/// Returns until when the health checks of a task do not count.
fn grace_end(service: &Service, member: &Member) -> Option<Timestamp> {
    let grace = u64::from(service.health_check_grace_period_s?);
    Some(member.task.started_at?.plus(Duration::from_secs(grace)))
}

pub(super) fn stop_unhealthy(members: Vec<&Member>, actions: &mut Vec<Action>) {
    if !members.is_empty() {
        let tasks = members.iter().map(|member| member.task.key.id.clone()).collect();
        actions.push(Action::StopUnhealthy { tasks });
    }
}

/// Stops tasks, by the deployment or task set that they belong to.
pub(super) fn stop(members: Vec<&Member>, actions: &mut Vec<Action>) {
    let mut revisions = members.iter().map(|member| &member.revision).collect::<Vec<_>>();
    revisions.sort();
    revisions.dedup();
    for revision in revisions {
        let tasks = members.iter().filter(|member| member.revision == *revision);
        let tasks = tasks.map(|member| member.task.key.id.clone()).collect();
        actions.push(Action::Stop { revision: revision.clone(), tasks });
    }
}

/// Chooses `count` tasks to stop: those that do not run yet before those that do, the oldest first; none protected.
pub(super) fn stop_first<'m>(live: &[&'m Member], count: usize, now: Timestamp) -> Vec<&'m Member> {
    let mut chosen = live.to_vec();
    chosen.retain(|member| !member.task.is_protected(now));
    chosen.sort_by_key(|member| (member.task.last_status == TaskStatus::Running, member.task.created_at));
    chosen.truncate(count);
    chosen
}

pub(super) struct Retry {
    pub(super) at: Option<Timestamp>,
    pub(super) keeps_failing: bool,
}

/// Returns when one more task may be started, going by those that have ended.
pub(super) fn retry_at<'m>(members: impl Iterator<Item = &'m Member>, desired: usize) -> Retry {
    let (mut failures, mut last_failure, mut has_run, mut last_end) = (0_usize, None, false, None);
    for member in members {
        has_run |= member.task.started_at.is_some();
        let code = member.task.stop.as_ref().map(|stop| stop.code);
        let by_itself = matches!(code, Some(StopCode::TaskFailedToStart | StopCode::EssentialContainerExited));
        let Some(stopped_at) = member.task.stopped_at.filter(|_| by_itself) else { continue };
        match member.task.started_at {
            None => {
                failures += 1;
                last_failure = last_failure.max(Some(stopped_at));
            }
            Some(started_at) => last_end = last_end.max(Some(started_at.plus(RESTART_EVERY))),
        }
    }
    // Once a task has run, those that did not are not counted any more.
    let rounds = if has_run { 0 } else { failures.div_ceil(desired.max(1)) };
    let doublings = u32::try_from(rounds.saturating_sub(1)).unwrap_or(u32::MAX).min(16);
    let wait = RETRY_FIRST.saturating_mul(1 << doublings).min(RETRY_MAX);
    let after_failure = last_failure.filter(|_| rounds > 0).map(|at| at.plus(wait));
    Retry { at: after_failure.max(last_end), keeps_failing: rounds > 1 }
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
#[path = "service_plan_tests.rs"]
pub(super) mod tests;

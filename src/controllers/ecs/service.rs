//! The reconciler of services: carries out what [`service_plan::plan`] says.

use std::sync::Arc;

use async_trait::async_trait;
use base::{Scope, ServiceRevisionId, TaskId, Timestamp};
use reconcile::{Key, Reconciler, Step, Wakeups};
use state::State;
use state::ecs::{
    ClusterName, ContainerInstanceKey, HookAction, HookOutcome, InstanceStatus, PauseHook, PauseStage, RolloutState,
    Service, ServiceDeployment, ServiceDeploymentKey, ServiceDeploymentStatus, ServiceEvent, ServiceKey, ServiceName,
    ServiceStatus, ServiceTaskKey, StopCode, StopRequest, Task, TaskKey, TaskSetKey, deployment_id,
};

use super::service_plan::{self, Action, Gate, Member, Obstacle};
use super::{SERVICES, reason};
use crate::World;

/// How many tasks one step starts before others get their turn.
const STARTS_PER_STEP_MAX: usize = 50;

/// Keeps each service at the tasks that it wants.
pub(crate) struct ServiceReconciler {
    world: World,
}

#[async_trait]
impl Reconciler for ServiceReconciler {
    fn name(&self) -> &'static str {
        SERVICES
    }

    fn candidates(&self) -> Vec<Key> {
        let table = &self.world.state.ecs.services;
        let is_there = |(scope, key): &(Scope, ServiceKey)| {
            table.get(scope, key).is_some_and(|service| service.status != ServiceStatus::Inactive)
        };
        table.keys().into_iter().filter(is_there).map(|(scope, key)| driver_key(&scope, &key)).collect()
    }

    async fn step(&self, key: &Key) -> Step {
        let Some(name) = service_of(key) else { return Step::Settled };
        OneService { world: &self.world, scope: &key.scope, key: name }.step()
    }
}

impl ServiceReconciler {
    pub(crate) fn new(world: World) -> Self {
        Self { world }
    }
}

/// Follows the tables of services, their deployments and task sets: each change wakes the service's reconciler.
pub(crate) fn watch_services(state: &Arc<State>, wakeups: &Wakeups) {
    let waker = wakeups.clone();
    state.ecs.services.watch(move |scope, key| waker.wake(SERVICES, driver_key(scope, key)));
    let waker = wakeups.clone();
    state.ecs.service_deployments.watch(move |scope, key| waker.wake(SERVICES, driver_key(scope, &key.service)));
    let waker = wakeups.clone();
    state.ecs.task_sets.watch(move |scope, key| waker.wake(SERVICES, driver_key(scope, &key.service)));
}

/// Returns the driver's key of the service that a task belongs to, if it belongs to one.
pub(super) fn key_of_task(scope: &Scope, task: &Task) -> Option<Key> {
    Some(driver_key(scope, &service_of_task(task)?))
}

/// Returns the service that a task belongs to, going by its group.
fn service_of_task(task: &Task) -> Option<ServiceKey> {
    let name = ServiceName::parse(task.group.strip_prefix("service:")?)?;
    Some(ServiceKey { cluster: task.key.cluster.clone(), name })
}

/// Forgets that a task belongs to a service, when the task itself is forgotten.
pub(super) fn forget_membership(state: &State, scope: &Scope, task: &Task) {
    if let Some(service) = service_of_task(task) {
        state.ecs.service_tasks.remove(scope, &ServiceTaskKey { service, task: task.key.id.clone() });
    }
}

/// Makes the driver's key of a service: `<cluster>/<name>`.
pub(super) fn driver_key(scope: &Scope, service: &ServiceKey) -> Key {
    Key::new(scope.clone(), format!("{}/{}", service.cluster, service.name))
}

fn service_of(key: &Key) -> Option<ServiceKey> {
    let (cluster, name) = key.name.split_once('/')?;
    Some(ServiceKey { cluster: ClusterName::parse(cluster)?, name: ServiceName::parse(name)? })
}

pub(super) struct OneService<'a> {
    pub(super) world: &'a World,
    pub(super) scope: &'a Scope,
    pub(super) key: ServiceKey,
}

impl OneService<'_> {
    fn step(&self) -> Step {
        let ecs = &self.world.state.ecs;
        let Some(service) = ecs.services.get(self.scope, &self.key) else { return Step::Settled };
        self.track(&service);
        let members = self.members();
        let task_sets = ecs.task_sets_of(self.scope, &self.key).collect::<Vec<_>>();
        let pause = self.pause(&service);
        let mut next = match pause.as_ref().and_then(PauseHook::expires_at) {
            Some(at) if at <= self.now() => return self.time_out(&service),
            Some(at) => Step::At(at),
            None => Step::Settled,
        };
        let gate = pause.as_ref().map(gate_of);
        let actions = match self.daemon_plan(&service, &members) {
            Some(actions) => actions,
            None => service_plan::plan(&service, &members, &task_sets, gate, self.now()),
        };
        for action in actions {
            match action {
                Action::Start { revision, count } => {
                    self.start(&service, &revision, count.min(STARTS_PER_STEP_MAX), &task_sets, &members);
                }
                Action::StartOn { revision, instances } => self.start_on(&service, &revision, &instances),
                Action::Stop { revision, tasks } => self.stop(&revision, &tasks),
                Action::StopUnhealthy { tasks } => self.stop_unhealthy(&tasks),
                Action::Complete => self.complete(&service),
                Action::Pause => {
                    if let Some(at) = self.begin_pause(&service) {
                        next = sooner(next, at);
                    }
                }
                Action::Steady => self.report_once("has reached a steady state."),
                Action::Report(obstacle) => self.report_once(words(obstacle)),
                Action::DropDeployment { revision } => self.drop_deployment(&revision),
                Action::SetSteady { revision, is_steady } => self.set_steady(&revision, is_steady),
                Action::RemoveTaskSet { revision } => {
                    ecs.task_sets.remove(self.scope, &self.task_set_key(&revision));
                }
                Action::Inactivate => self.inactivate(),
                Action::LookAgain(at) => next = sooner(next, at),
            }
        }
        next
    }

    /// Returns where the primary deployment pauses next, or has paused.
    fn pause(&self, service: &Service) -> Option<PauseHook> {
        let row = self.world.state.ecs.service_deployments.get(self.scope, &self.current(service)?)?;
        // On its way back a deployment pauses nowhere.
        row.next_pause().filter(|_| row.rollback.is_none()).cloned()
    }

    fn current(&self, service: &Service) -> Option<ServiceDeploymentKey> {
        let id = service.primary()?.service_deployment.clone();
        Some(ServiceDeploymentKey { service: self.key.clone(), id })
    }

    /// Says that the primary deployment has come to where it pauses, and returns until when it does.
    fn begin_pause(&self, service: &Service) -> Option<Timestamp> {
        let (key, now) = (self.current(service)?, self.now());
        let pause = |row: &mut ServiceDeployment| {
            let next = row.pauses.iter_mut().find(|pause| pause.outcome.is_none()).ok_or(())?;
            if next.paused_at.is_some() {
                return Err(());
            }
            next.paused_at = Some(now);
            row.updated_at = now;
            Ok(())
        };
        let table = &self.world.state.ecs.service_deployments;
        let begun = table.try_update(self.scope, &key, pause)?;
        begun.ok().or_else(|| table.get(self.scope, &key))?.next_pause()?.expires_at()
    }

    /// Goes on as a hook says that nobody has answered in time.
    fn time_out(&self, service: &Service) -> Step {
        let Some((key, pause)) = self.current(service).zip(self.pause(service)) else { return Step::Again };
        let ecs = &self.world.state.ecs;
        ecs.service_deployments.update(self.scope, &key, |row| {
            row.resume(&pause.id, HookOutcome::TimedOut);
        });
        if pause.on_timeout == HookAction::RollBack {
            // Text unverified.
            let reason = "Service deployment rolled back because a PAUSE lifecycle hook timed out.";
            if let Some(Err(status)) = ecs.stop_service_deployment(self.scope, &key, true, reason, self.now()) {
                tracing::warn!(service = %self.key.name, status = status.as_str(), "cannot roll back");
            }
        }
        Step::Again
    }

    /// Finds the service's tasks. A membership whose task is gone, or never came to be, is forgotten.
    fn members(&self) -> Vec<Member> {
        let ecs = &self.world.state.ecs;
        let first = ServiceTaskKey { service: self.key.clone(), task: TaskId::new("") };
        let rows = ecs.service_tasks.walk_from(self.scope, first).take_while(|(key, _)| key.service == self.key);
        let mut members = Vec::new();
        for (key, row) in rows {
            let task = TaskKey { cluster: self.key.cluster.clone(), id: key.task.clone() };
            match ecs.tasks.get(self.scope, &task) {
                Some(task) => {
                    let is_leaving = self.is_leaving(&task);
                    members.push(Member { revision: row.revision.clone(), task, is_leaving });
                }
                None => {
                    ecs.service_tasks.remove(self.scope, &key);
                }
            }
        }
        members
    }

    /// Whether a task is on a container instance that is being emptied.
    fn is_leaving(&self, task: &Task) -> bool {
        let Some(id) = task.launch.container_instance() else { return false };
        let key = ContainerInstanceKey { cluster: self.key.cluster.clone(), id: id.clone() };
        let instance = self.world.state.ecs.container_instances.get(self.scope, &key);
        instance.is_some_and(|instance| instance.status == InstanceStatus::Draining)
    }

    /// Brings the history of the service's deployments up to what its record says.
    fn track(&self, service: &Service) {
        for (place, deployment) in service.deployments.iter().enumerate() {
            let is_current = place == 0
                || service.primary().is_some_and(|first| first.service_deployment == deployment.service_deployment);
            let key = ServiceDeploymentKey { service: self.key.clone(), id: deployment.service_deployment.clone() };
            let table = &self.world.state.ecs.service_deployments;
            let rollout = service.primary().map_or(&deployment.rollout, |primary| &primary.rollout);
            let fate = match (service.status, is_current) {
                (ServiceStatus::Draining | ServiceStatus::Inactive, _) => Fate::Deleted,
                (ServiceStatus::Active, false) => Fate::Replaced,
                (ServiceStatus::Active, true) => Fate::Rollout(rollout),
            };
            // It may have gone on by more than one status since the last look; each leads nearer to a final one.
            while let Some((status, reason)) = table.get(self.scope, &key).and_then(|row| next_status(&row, &fate)) {
                self.set_status(&key, status, reason);
            }
        }
    }

    fn set_status(&self, key: &ServiceDeploymentKey, status: ServiceDeploymentStatus, reason: Option<&str>) {
        let now = self.now();
        self.world.state.ecs.service_deployments.update(self.scope, key, |row: &mut ServiceDeployment| {
            row.status = status;
            row.updated_at = now;
            row.started_at.get_or_insert(now);
            if let Some(reason) = reason {
                row.status_reason = Some(reason.to_owned());
            }
            if status.is_final() {
                row.finished_at = Some(now);
            }
            if status == ServiceDeploymentStatus::Stopped {
                row.stopped_at = Some(now);
            }
        });
    }

    fn stop_unhealthy(&self, tasks: &[TaskId]) {
        for id in tasks {
            self.stop_task(id, reason::UNHEALTHY);
            self.report(&format!("(task {id}) failed container health checks."));
        }
    }

    fn stop_task(&self, id: &TaskId, reason: &str) {
        let task = TaskKey { cluster: self.key.cluster.clone(), id: id.clone() };
        let code = StopCode::ServiceSchedulerInitiated;
        let stop = StopRequest { code, reason: reason.to_owned(), at: self.now() };
        self.world.state.ecs.stop_task(self.scope, &task, stop);
    }

    fn stop(&self, revision: &ServiceRevisionId, tasks: &[TaskId]) {
        let reason = format!("Scaling activity initiated by (deployment {})", deployment_id(revision));
        tasks.iter().for_each(|id| self.stop_task(id, &reason));
        self.report(&format!("has stopped {} running tasks: {}.", tasks.len(), listed(tasks)));
    }

    fn complete(&self, planned: &Service) {
        let Some(revision) = planned.primary().map(|primary| primary.revision.clone()) else { return };
        let now = self.now();
        self.update(|service| {
            let primary = service.deployments.first_mut();
            if let Some(primary) = primary.filter(|primary| primary.revision == revision) {
                primary.rollout = RolloutState::Completed;
                primary.updated_at = now;
            }
        });
        self.report(&format!("(deployment {}) deployment completed.", deployment_id(&revision)));
    }

    fn drop_deployment(&self, revision: &ServiceRevisionId) {
        self.update(|service| {
            // The primary one stays: it may have become that since the plan was made.
            let primary = service.primary().map(|primary| primary.revision.clone());
            service.deployments.retain(|known| known.revision != *revision || primary.as_ref() == Some(revision));
        });
    }

    fn set_steady(&self, revision: &ServiceRevisionId, is_steady: bool) {
        let now = self.now();
        self.world.state.ecs.task_sets.update(self.scope, &self.task_set_key(revision), |task_set| {
            task_set.is_steady = is_steady;
            task_set.steady_at = now;
        });
    }

    fn inactivate(&self) {
        for task_set in self.world.state.ecs.task_sets_of(self.scope, &self.key) {
            self.world.state.ecs.task_sets.remove(self.scope, &task_set.key);
        }
        self.update(|service| {
            if service.status == ServiceStatus::Draining {
                service.status = ServiceStatus::Inactive;
                service.deployments = Vec::new();
            }
        });
    }

    /// Adds an event unless it is what the newest one says already.
    pub(super) fn report_once(&self, what: &str) {
        let message = format!("(service {}) {what}", self.key.name);
        let newest = self.world.state.ecs.services.get(self.scope, &self.key);
        let newest = newest.and_then(|service| service.events.first().map(|event| event.message.clone()));
        if newest.as_deref() != Some(&message) {
            self.report(what);
        }
    }

    pub(super) fn report(&self, what: &str) {
        let message = format!("(service {}) {what}", self.key.name);
        let event = ServiceEvent { id: self.world.ids.uuid(), at: self.now(), message };
        self.update(|service| service.add_event(event));
    }

    fn update(&self, change: impl FnOnce(&mut Service)) {
        self.world.state.ecs.services.update(self.scope, &self.key, change);
    }

    fn task_set_key(&self, revision: &ServiceRevisionId) -> TaskSetKey {
        TaskSetKey { service: self.key.clone(), id: revision.clone() }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.world.clock.now()
    }
}

/// What becomes of a service deployment.
enum Fate<'a> {
    /// Its service was deleted.
    Deleted,
    /// A newer one has taken its place.
    Replaced,
    /// What becomes of the service's primary deployment.
    Rollout(&'a RolloutState),
}

/// Says how a service deployment goes on.
fn next_status(row: &ServiceDeployment, fate: &Fate<'_>) -> Option<(ServiceDeploymentStatus, Option<&'static str>)> {
    use ServiceDeploymentStatus::{
        InProgress, Pending, RollbackInProgress, RollbackRequested, RollbackSuccessful, StopRequested, Stopped,
        Successful,
    };
    let rollout = match fate {
        _ if row.status.is_final() => return None,
        // Texts unverified.
        Fate::Deleted => {
            return Some((Stopped, Some("Service deployment was stopped because its service was deleted.")));
        }
        Fate::Replaced => return Some((Stopped, Some("Service deployment was replaced by a newer deployment."))),
        Fate::Rollout(rollout) => rollout,
    };
    match (row.status, rollout) {
        (Pending, _) => Some((InProgress, None)),
        (InProgress, RolloutState::Completed) => Some((Successful, None)),
        (InProgress, RolloutState::Failed { .. }) | (StopRequested, _) => Some((Stopped, None)),
        (RollbackRequested, _) => Some((RollbackInProgress, None)),
        (RollbackInProgress, RolloutState::Completed) => Some((RollbackSuccessful, None)),
        _ => None,
    }
}

/// Says what waits until a deployment has paused and gone on.
fn gate_of(pause: &PauseHook) -> Gate {
    match pause.stage {
        PauseStage::ReconcileService | PauseStage::PreScaleUp => Gate::ScaleUp,
        PauseStage::PostScaleUp
        | PauseStage::TestTrafficShift
        | PauseStage::PostTestTrafficShift
        | PauseStage::PreProductionTrafficShift
        | PauseStage::ProductionTrafficShift
        | PauseStage::PostProductionTrafficShift => Gate::Replace,
    }
}

/// Words what keeps a service from having what it wants, as its events do.
fn words(obstacle: Obstacle) -> &'static str {
    match obstacle {
        Obstacle::KeepsFailing => "is unable to consistently start tasks successfully.",
        Obstacle::Percentages => {
            "was unable to stop or start tasks during a deployment because of the service deployment configuration. \
             Update the minimumHealthyPercent or maximumPercent value and try again."
        }
    }
}

pub(super) fn listed(tasks: &[TaskId]) -> String {
    tasks.iter().map(|task| format!("(task {task})")).collect::<Vec<_>>().join(" ")
}

fn sooner(step: Step, at: Timestamp) -> Step {
    match step {
        Step::At(known) if known <= at => step,
        _ => Step::At(at),
    }
}

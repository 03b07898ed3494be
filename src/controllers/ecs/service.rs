//! The reconciler of services: carries out what [`service_plan::plan`] says.

use std::ops::Bound;
use std::sync::Arc;

use async_trait::async_trait;
use base::{Scope, ServiceRevisionId, TaskId, Timestamp};
use reconcile::{Key, Reconciler, Step, Wakeups};
use state::State;
use state::ecs::{
    ClusterName, ContainerInstanceKey, Deployment, InstanceStatus, RolloutState, Service, ServiceDeployment,
    ServiceDeploymentKey, ServiceDeploymentStatus, ServiceFilter, ServiceKey, ServiceName, ServiceStatus,
    ServiceTaskKey, StopCode, StopRequest, Task, TaskKey, TaskSetKey, deployment_id,
};

use super::service_plan::{self, Action, Known, Member, event};
use super::shift::HookCalls;
use super::{SERVICES, network_interface, reason, shift_plan};
use crate::World;
use crate::codedeploy::wake_deployments_of;

/// How many tasks one step starts before others get their turn.
const STARTS_PER_STEP_MAX: usize = 50;

/// Keeps each service at the tasks that it wants.
pub(crate) struct ServiceReconciler {
    world: World,
    calls: HookCalls,
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
        OneService { world: &self.world, scope: &key.scope, key: name, calls: &self.calls }.step()
    }
}

impl ServiceReconciler {
    pub(crate) fn new(world: World) -> Self {
        Self { world, calls: HookCalls::default() }
    }
}

/// Follows the tables of services, their deployments and task sets: each change wakes the service's reconciler.
pub(crate) fn watch_services(state: &Arc<State>, wakeups: &Wakeups) {
    let waker = wakeups.clone();
    state.ecs.services.watch(move |scope, key| waker.wake(SERVICES, driver_key(scope, key)));
    let waker = wakeups.clone();
    state.ecs.service_deployments.watch(move |scope, key| waker.wake(SERVICES, driver_key(scope, &key.service)));
    let (waker, services) = (wakeups.clone(), Arc::downgrade(state));
    state.cloudwatch.alarms.watch(move |scope, name| {
        let Some(state) = services.upgrade() else { return };
        let label = ServiceFilter::Alarm(name).label();
        for (key, _) in state.ecs.services.walk_between(scope, Some(label), (Bound::Unbounded, Bound::Unbounded)) {
            waker.wake(SERVICES, driver_key(scope, &key));
        }
    });
    let (waker, state_of_others) = (wakeups.clone(), Arc::downgrade(state));
    state.ecs.task_sets.watch(move |scope, key| {
        waker.wake(SERVICES, driver_key(scope, &key.service));
        if let Some(state) = state_of_others.upgrade() {
            wake_deployments_of(&state, &waker, scope, &key.service);
        }
    });
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
    /// The functions of hooks that are being called.
    pub(super) calls: &'a HookCalls,
}

impl OneService<'_> {
    fn step(&self) -> Step {
        let ecs = &self.world.state.ecs;
        let Some(service) = ecs.services.get(self.scope, &self.key) else { return Step::Settled };
        if let Some(current) = self.current(&service) {
            ecs.carry_out_stop(self.scope, &current, self.now());
        }
        let Some(service) = ecs.services.get(self.scope, &self.key) else { return Step::Settled };
        if let Some(until) = self.awaits_history(&service) {
            return Step::At(until);
        }
        self.track(&service);
        let members = self.members();
        let task_sets = ecs.task_sets_of(self.scope, &self.key).collect::<Vec<_>>();
        let known = Known {
            service: &service,
            members: &members,
            task_sets: &task_sets,
            alarms: &self.alarms(&service),
            zones: &self.zones(&service),
            pace: self.world.settings.pace_of(&self.key),
            now: self.now(),
        };
        let shifting = self.shifting(&service);
        let shifted = shifting.as_ref().and_then(|row| Some(shift_plan::plan(&known, row, row.shift.as_ref()?)));
        let actions = shifted.or_else(|| self.daemon_plan(&known)).unwrap_or_else(|| service_plan::plan(&known));
        let mut next = Step::Settled;
        for action in actions {
            match action {
                Action::Start { revision, count } => {
                    self.start(&service, &revision, count.min(STARTS_PER_STEP_MAX), &task_sets, &members);
                }
                Action::StartOn { revision, instances } => self.start_on(&service, &revision, &instances),
                Action::Stop { revision, tasks } => self.stop(&revision, &tasks),
                Action::StopUnhealthy { tasks } => self.stop_unhealthy(&tasks),
                Action::Count { tally, failed } => self.count(&service, &members, &tally, &failed),
                Action::Begin { ignored_alarms } => self.begin(&service, ignored_alarms),
                Action::GiveUp(cause) => self.give_up(&service, cause),
                Action::Bake => self.bake(&service),
                Action::Complete => self.complete(&service),
                Action::Shift(step) => self.take_shift_step(&service, step),
                Action::Steady => self.be_steady(&service),
                Action::Report(obstacle) => self.report_obstacle(&service, &obstacle),
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

    /// Returns the service deployment that the primary deployment belongs to.
    pub(super) fn current(&self, service: &Service) -> Option<ServiceDeploymentKey> {
        let id = service.primary()?.service_deployment.clone();
        Some(ServiceDeploymentKey { service: self.key.clone(), id })
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
                    let (zone, is_leaving) = (self.zone_of(&task), self.is_leaving(&task));
                    members.push(Member { revision: row.revision.clone(), task, zone, is_leaving });
                }
                None => {
                    ecs.service_tasks.remove(self.scope, &key);
                }
            }
        }
        members
    }

    fn zone_of(&self, task: &Task) -> Option<String> {
        let known = task.availability_zone.clone();
        known.or_else(|| network_interface::zone_of(self.world, self.scope, &task.eni.as_ref()?.subnet))
    }

    /// Returns the availability zones that the service's tasks can be in.
    fn zones(&self, service: &Service) -> Vec<String> {
        let network = service.primary().and_then(|primary| primary.workload.network.as_ref());
        let subnets = network.map(|network| network.subnets.as_slice()).unwrap_or_default();
        let zones = subnets.iter().filter_map(|subnet| network_interface::zone_of(self.world, self.scope, subnet));
        let mut zones = zones.collect::<Vec<_>>();
        zones.sort();
        zones.dedup();
        zones
    }

    /// Returns those of the service's alarms that are in ALARM.
    fn alarms(&self, service: &Service) -> Vec<String> {
        let names = service.rollout.alarms.as_ref().map(|alarms| alarms.names.as_slice()).unwrap_or_default();
        self.world.state.cloudwatch.ringing(self.scope, names)
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
            let primary = service.primary().unwrap_or(deployment);
            let fate = match (service.status, is_current) {
                (ServiceStatus::Draining | ServiceStatus::Inactive, _) => Fate::Deleted,
                (ServiceStatus::Active, false) => Fate::Replaced,
                (ServiceStatus::Active, true) => Fate::Primary(primary),
            };
            // It may have gone on by more than one status since the last look; each leads nearer to a final one.
            while let Some((status, reason)) = table.get(self.scope, &key).and_then(|row| next_status(&row, &fate)) {
                self.set_status(&key, status, reason);
            }
        }
    }

    fn set_status(&self, key: &ServiceDeploymentKey, status: ServiceDeploymentStatus, reason: Option<&str>) {
        let now = self.now();
        let service = self.world.state.ecs.services.get(self.scope, &self.key);
        let threshold =
            service.and_then(|service| Some(service.rollout.circuit_breaker?.threshold.of(service.desired_count)));
        self.world.state.ecs.service_deployments.update(self.scope, key, |row: &mut ServiceDeployment| {
            row.status = status;
            row.updated_at = now;
            row.started_at.get_or_insert(now);
            if let Some(reason) = reason {
                row.status_reason = Some(reason.to_owned());
            }
            if status.is_final() {
                row.finished_at = Some(now);
                row.monitors.threshold = row.monitors.threshold.or(threshold);
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
        let of = if self.is_task_set(revision) { "taskSet" } else { "deployment" };
        let reason = format!("Scaling activity initiated by ({of} {})", deployment_id(revision));
        tasks.iter().for_each(|id| self.stop_task(id, &reason));
        self.report_of(revision, &format!("has stopped {} running tasks: {}.", tasks.len(), listed(tasks)));
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
        if is_steady {
            self.report_of(revision, event::STEADY);
        }
    }

    fn inactivate(&self) {
        for task_set in self.world.state.ecs.task_sets_of(self.scope, &self.key) {
            self.world.state.ecs.task_sets.remove(self.scope, &task_set.key);
        }
        // Before the name is free: no service that is made by it goes back to what this one was.
        for row in self.world.state.ecs.service_deployments_of(self.scope, &self.key) {
            self.world
                .state
                .ecs
                .service_deployments
                .update(self.scope, &row.key, |row| row.is_of_deleted_service = true);
        }
        self.update(|service| {
            if service.status == ServiceStatus::Draining {
                service.status = ServiceStatus::Inactive;
                service.deployments = Vec::new();
            }
        });
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut Service)) {
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
    Primary(&'a Deployment),
}

/// Says how a service deployment goes on.
fn next_status(row: &ServiceDeployment, fate: &Fate<'_>) -> Option<(ServiceDeploymentStatus, Option<&'static str>)> {
    use ServiceDeploymentStatus::{
        InProgress, Pending, RollbackFailed, RollbackInProgress, RollbackRequested, RollbackSuccessful, StopRequested,
        Stopped, Successful,
    };
    let (revision, rollout) = match fate {
        _ if row.status.is_final() => return None,
        // Texts unverified.
        Fate::Deleted => {
            return Some((Stopped, Some("Service deployment was stopped because its service was deleted.")));
        }
        Fate::Replaced => return Some((Stopped, Some("Service deployment was replaced by a newer deployment."))),
        Fate::Primary(primary) => (&primary.revision, &primary.rollout),
    };
    match (row.status, rollout) {
        (Pending, _) => Some((InProgress, None)),
        // A monitor has given it up, and the service goes back.
        (InProgress, RolloutState::InProgress | RolloutState::Completed) if goes_back(row, revision) => {
            Some((RollbackInProgress, None))
        }
        (InProgress, RolloutState::Completed) => Some((Successful, None)),
        (InProgress, RolloutState::Failed { .. }) | (StopRequested, _) => Some((Stopped, None)),
        (RollbackRequested, _) => Some((RollbackInProgress, None)),
        (RollbackInProgress, RolloutState::Completed) => Some((RollbackSuccessful, None)),
        (RollbackInProgress, RolloutState::Failed { .. }) => Some((RollbackFailed, None)),
        _ => None,
    }
}

fn goes_back(row: &ServiceDeployment, revision: &ServiceRevisionId) -> bool {
    row.rollback.is_some() && row.target != *revision
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

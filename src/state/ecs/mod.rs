//! The records of Amazon ECS.

mod account_setting;
mod attribute;
mod capacity_provider;
mod cluster;
mod container_instance;
mod daemon;
mod exec_session;
mod express_gateway_service;
mod failure;
mod health;
mod log_configuration;
mod names;
mod occurrence;
mod placement;
mod query;
mod rollback;
mod service;
mod service_deployment;
mod shift;
mod task;
mod task_definition;
mod task_set;
mod task_start;
mod volume;

use std::ops::Bound;
use std::sync::{Arc, Mutex, PoisonError};

use base::{Scope, TaskId, Timestamp};

pub use account_setting::{AccountSetting, AccountSettingKey};
pub use attribute::Attribute;
pub use capacity_provider::{
    CapacityProvider, CapacityProviderStatus, CapacityProviderUpdate, CapacitySource, FARGATE_SPOT,
};
pub use cluster::{Cluster, ClusterAttachment, ClusterAttachmentKind, ClusterStatus};
pub use container_instance::{
    AgentUpdate, Claim, ContainerInstance, ContainerInstanceKey, InstanceHost, InstanceKind, InstanceStatus,
    InstanceTasks, Ports, Resources, Shortage,
};
pub use daemon::{
    Daemon, DaemonDeployment, DaemonDeploymentKey, DaemonDeploymentStatus, DaemonKey, DaemonRevision,
    DaemonRevisionKey, DaemonTaskDefinition,
};
pub use exec_session::{EXEC_SESSIONS_PER_CONTAINER_MAX, ExecSession, ExecSessions, TooManyExecSessions, Transcript};
pub use express_gateway_service::{ExpressGatewayRevision, ExpressGatewayService};
pub use failure::{AlarmWatch, CircuitBreaker, FailureThreshold, Tally};
pub use health::{ContainerHealth, HealthCheck, HealthStatus};
pub use log_configuration::{
    AwsLogs, BUFFER_BYTES_DEFAULT, Delivery, DeliveryMode, EventStart, FireLens, LogConfiguration, LogRouter,
    LogRouterKind, RouterConfiguration, Splunk,
};
pub use names::{CapacityProviderName, ClusterName, DaemonName, Family, ServiceName, TaskDefinitionName};
pub use occurrence::{
    DeploymentChange, EVENT_SOURCE, OUTBOX_ROWS_MAX, Occurrence, OccurrenceType, Outbox, ServiceAction, Untold,
};
pub use placement::{
    PlacementConstraint, PlacementObstacle, PlacementResource, PlacementRules, PlacementStrategy, RunningTasks,
    ZONE_ATTRIBUTE, closest,
};
pub use query::{Candidate, Query, QueryError};
pub use rollback::{GivingUp, Monitor, WayBack};
pub use service::{
    Creation, Deployment, DeploymentController, LaunchType, ProviderShare, RolloutPolicy, RolloutState,
    SERVICE_EVENTS_MAX, SchedulingStrategy, Service, ServiceCapacity, ServiceEvent, ServiceFilter, ServiceKey,
    ServiceStatus, ServiceTask, ServiceTaskKey, TagSource, Workload, deployment_id, next_provider,
};
pub use service_deployment::{
    Monitors, Rollback, ServiceDeployment, ServiceDeploymentKey, ServiceDeploymentStatus, ServiceRevision,
    ServiceRevisionKey,
};
pub use shift::{
    Hook, HookAction, HookOutcome, HookStage, HookTarget, LifecycleStage, Shift, ShiftSteps, ShiftTries, Shifting,
    Traffic, Weight,
};
use task::EventFace;
pub use task::{
    AttachmentStatus, Container, ContainerLog, ContainerOverride, ContainerStatus, Eni, ExecAgent, Launch,
    NetworkBinding, Overrides, PendingEvent, RunToken, StopCode, StopRequest, Task, TaskCredentials, TaskFilter,
    TaskKey, TaskNetwork, TaskStatus,
};
pub use task_definition::{
    Condition, ContainerDefinition, CpuArchitecture, Dependency, FamilyRevisions, KeyValue, Link, NetworkMode,
    PortMapping, RestartPolicy, Secret, TaskDefinition, TaskDefinitionStatus, Ulimit,
};
pub use task_set::{TaskSet, TaskSetDraining, TaskSetKey, TaskSetStatus};
pub use task_start::{EPHEMERAL_STORAGE_DEFAULT_GIB, TaskSize, TaskStart};
pub use volume::{EfsVolume, MountPoint, TaskVolume, TmpfsMount, Volume, VolumeSource, VolumesFrom};

use crate::Table;
use crate::events::Rules;
use crate::journal::{Journal, JournalError};

/// What has become of a request to start tasks.
#[derive(Debug)]
pub enum Started {
    /// They were put in.
    Now(Vec<Arc<Task>>),
    /// The same request has started these before.
    Before(Vec<Arc<Task>>),
    /// Another request with the same client token has started these before.
    Otherwise(Vec<Arc<Task>>),
}

/// The tables of Amazon ECS.
#[derive(Debug)]
pub struct Ecs {
    /// Clusters; a deleted one stays as `INACTIVE`.
    pub clusters: Table<ClusterName, Cluster>,
    /// The capacity providers that users made; a deleted one stays as `INACTIVE`.
    pub capacity_providers: Table<CapacityProviderName, CapacityProvider>,
    /// What accounts, users and roles have chosen.
    pub account_settings: Table<AccountSettingKey, AccountSetting>,
    /// Task definitions by family and revision.
    pub task_definitions: Table<TaskDefinitionName, TaskDefinition>,
    /// The last revision of each family, so that a revision is never given twice.
    pub families: Table<Family, FamilyRevisions>,
    /// Container instances; a deregistered one stays as `INACTIVE`.
    pub container_instances: Table<ContainerInstanceKey, ContainerInstance>,
    /// Tasks; a stopped one stays for an hour.
    pub tasks: Table<TaskKey, Task>,
    /// The client tokens of RunTask, and what they started.
    pub run_tokens: Table<String, RunToken>,
    /// Services; a deleted one stays as `INACTIVE`.
    pub services: Table<ServiceKey, Service>,
    /// Which tasks belong to which service. A row is made before its task, and removed after it.
    pub service_tasks: Table<ServiceTaskKey, ServiceTask>,
    /// The deployments that services have had.
    pub service_deployments: Table<ServiceDeploymentKey, ServiceDeployment>,
    /// The revisions that services have had.
    pub service_revisions: Table<ServiceRevisionKey, ServiceRevision>,
    /// Task sets.
    pub task_sets: Table<TaskSetKey, TaskSet>,
    /// Daemons; a deleted one stays, unseen, until its name is given again.
    pub daemons: Table<DaemonKey, Daemon>,
    /// The revisions that daemons have had.
    pub daemon_revisions: Table<DaemonRevisionKey, DaemonRevision>,
    /// The deployments that daemons have had, the newest of each daemon first.
    pub daemon_deployments: Table<DaemonDeploymentKey, DaemonDeployment>,
    /// Daemon task definitions by family and revision.
    pub daemon_task_definitions: Table<TaskDefinitionName, DaemonTaskDefinition>,
    /// The last revision of each family of daemon task definitions.
    pub daemon_families: Table<Family, FamilyRevisions>,
    /// What Express services have besides their services.
    pub express_gateway_services: Table<ServiceKey, ExpressGatewayService>,
    /// How far the output of each container has been delivered to its log.
    pub container_logs: Table<base::ContainerId, ContainerLog>,
    /// What EventBridge is still to be told.
    pub outbox: Outbox,
    /// The sessions of ECS Exec.
    pub exec_sessions: ExecSessions,
    /// Held while tasks are started, so that a client token and its tasks appear at once.
    starting: Mutex<()>,
}

impl Ecs {
    pub(crate) fn new(journal: Option<&Arc<Journal>>, rules: Arc<Rules>) -> Self {
        Self {
            clusters: Table::new("ecs.clusters", journal),
            capacity_providers: Table::new("ecs.capacity_providers", journal),
            account_settings: Table::new("ecs.account_settings", journal),
            task_definitions: Table::new("ecs.task_definitions", journal),
            families: Table::new("ecs.families", journal),
            container_instances: Table::new("ecs.container_instances", journal),
            tasks: Table::new("ecs.tasks", journal),
            run_tokens: Table::new("ecs.run_tokens", journal),
            services: Table::new("ecs.services", journal),
            service_tasks: Table::new("ecs.service_tasks", journal),
            service_deployments: Table::new("ecs.service_deployments", journal),
            service_revisions: Table::new("ecs.service_revisions", journal),
            task_sets: Table::new("ecs.task_sets", journal),
            daemons: Table::new("ecs.daemons", journal),
            daemon_revisions: Table::new("ecs.daemon_revisions", journal),
            daemon_deployments: Table::new("ecs.daemon_deployments", journal),
            daemon_task_definitions: Table::new("ecs.daemon_task_definitions", journal),
            daemon_families: Table::new("ecs.daemon_families", journal),
            express_gateway_services: Table::new("ecs.express_gateway_services", journal),
            container_logs: Table::new("ecs.container_logs", journal),
            outbox: Outbox::new(journal, rules),
            exec_sessions: ExecSessions::default(),
            starting: Mutex::default(),
        }
    }

    pub(crate) fn load(&self, journal: &Journal) -> Result<(), JournalError> {
        self.clusters.load(journal)?;
        self.capacity_providers.load(journal)?;
        self.account_settings.load(journal)?;
        self.task_definitions.load(journal)?;
        self.families.load(journal)?;
        self.outbox.load(journal)?;
        self.container_instances.load(journal)?;
        self.tasks.load(journal)?;
        self.drop_dead_claims();
        self.run_tokens.load(journal)?;
        self.services.load(journal)?;
        self.service_tasks.load(journal)?;
        self.service_deployments.load(journal)?;
        self.service_revisions.load(journal)?;
        self.task_sets.load(journal)?;
        self.daemons.load(journal)?;
        self.daemon_revisions.load(journal)?;
        self.daemon_deployments.load(journal)?;
        self.daemon_task_definitions.load(journal)?;
        self.daemon_families.load(journal)?;
        self.express_gateway_services.load(journal)?;
        self.container_logs.load(journal)
    }

    pub(crate) fn clear(&self) {
        // Services first: their controller would start tasks anew.
        self.services.clear();
        self.task_sets.clear();
        self.service_deployments.clear();
        self.service_revisions.clear();
        self.tasks.clear();
        self.daemons.clear();
        self.daemon_revisions.clear();
        self.daemon_deployments.clear();
        self.daemon_task_definitions.clear();
        self.daemon_families.clear();
        self.express_gateway_services.clear();
        self.container_instances.clear();
        self.service_tasks.clear();
        self.run_tokens.clear();
        self.container_logs.clear();
        self.outbox.rows.clear();
        self.exec_sessions.clear();
        self.task_definitions.clear();
        self.families.clear();
        self.clusters.clear();
        self.capacity_providers.clear();
        self.account_settings.clear();
    }

    /// Puts tasks in, unless their client token has started some already.
    pub fn start_tasks(&self, scope: &Scope, token: Option<&str>, request: u64, tasks: Vec<Task>) -> Started {
        let _alone = self.starting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(token) = token {
            let row = || RunToken { request, tasks: tasks.iter().map(|task| task.key.clone()).collect() };
            let (known, is_new) = self.run_tokens.get_or_insert_with(scope, &token.to_owned(), row);
            if !is_new {
                let started = known.tasks.iter().filter_map(|key| self.tasks.get(scope, key)).collect();
                return if known.request == request { Started::Before(started) } else { Started::Otherwise(started) };
            }
        }
        Started::Now(tasks.into_iter().map(|task| self.put_task(scope, task)).collect())
    }

    /// Puts a new task in. ECS emits an event for it.
    pub fn put_task(&self, scope: &Scope, task: Task) -> Arc<Task> {
        self.outbox.task_changes(scope, &task);
        self.tasks.insert(scope, &task.key.clone(), task)
    }

    /// Changes a task, and raises its version if the change is one that ECS emits an event for. One that has stopped
    /// holds nothing of its container instance any more.
    pub fn update_task(&self, scope: &Scope, key: &TaskKey, change: impl FnOnce(&mut Task)) -> Option<Arc<Task>> {
        let task = self.tasks.update(scope, key, |task| {
            let (before, status) = (task.event_face(), task.last_status);
            change(task);
            let face = task.event_face();
            let has_changed = face != before;
            if has_changed {
                task.version += 1;
            }
            let is_told = match face {
                // As a task that is being taken away: on its way there it shows nothing else.
                EventFace::Ending => {
                    task.last_status == TaskStatus::Deprovisioning && (has_changed || status != task.last_status)
                }
                EventFace::Living(..) | EventFace::Stopped | EventFace::OnInstance(..) => has_changed,
            };
            if is_told {
                self.outbox.task_changes(scope, task);
            }
        })?;
        if task.last_status == TaskStatus::Stopped {
            self.release_claim(scope, &task);
        }
        Some(task)
    }

    /// Asks for a task to stop, unless that has been asked already: the first reason stands. StopTask also deletes the
    /// task's tags.
    pub fn stop_task(&self, scope: &Scope, key: &TaskKey, stop: StopRequest) -> Option<Arc<Task>> {
        self.update_task(scope, key, |task| {
            if stop.code == StopCode::UserInitiated {
                task.tags = Vec::new();
            }
            task.stop(stop);
        })
    }

    /// Counts the tasks of a cluster that are running, and those on their way there.
    pub fn count_tasks(&self, scope: &Scope, cluster: &ClusterName) -> (i32, i32) {
        self.count_tasks_that(scope, cluster, |_| true)
    }

    /// Counts the tasks of one launch type, running and on their way there.
    pub fn count_tasks_by(&self, scope: &Scope, cluster: &ClusterName, launch_type: LaunchType) -> (i32, i32) {
        self.count_tasks_that(scope, cluster, |task| task.launch.launch_type() == launch_type)
    }

    fn count_tasks_that(&self, scope: &Scope, cluster: &ClusterName, is_one: impl Fn(&Task) -> bool) -> (i32, i32) {
        let tasks = self.tasks_of(scope, cluster).filter(|task| is_one(task));
        tasks.fold((0, 0), |(running, pending), task| match task.last_status {
            TaskStatus::Running => (running + 1, pending),
            TaskStatus::Provisioning | TaskStatus::Pending | TaskStatus::Activating => (running, pending + 1),
            TaskStatus::Deactivating | TaskStatus::Stopping | TaskStatus::Deprovisioning | TaskStatus::Stopped => {
                (running, pending)
            }
        })
    }

    /// Walks the tasks of a cluster in the order of their ids.
    pub fn tasks_of(&self, scope: &Scope, cluster: &ClusterName) -> impl Iterator<Item = Arc<Task>> {
        let cluster = cluster.clone();
        self.tasks
            .walk_from(scope, TaskKey::first_of(&cluster))
            .take_while(move |(key, _)| key.cluster == cluster)
            .map(|(_, task)| task)
    }

    /// Walks the services of a cluster in the order of their names, deleted ones too.
    pub fn services_of(&self, scope: &Scope, cluster: &ClusterName) -> impl Iterator<Item = Arc<Service>> {
        let cluster = cluster.clone();
        self.services
            .walk_from(scope, ServiceKey::first_of(&cluster))
            .take_while(move |(key, _)| key.cluster == cluster)
            .map(|(_, service)| service)
    }

    /// Walks the deployments that a service has had, in no particular order.
    pub fn service_deployments_of(
        &self,
        scope: &Scope,
        service: &ServiceKey,
    ) -> impl Iterator<Item = Arc<ServiceDeployment>> {
        let service = service.clone();
        let first = ServiceDeploymentKey { service: service.clone(), id: base::ServiceDeploymentId::new("") };
        self.service_deployments
            .walk_from(scope, first)
            .take_while(move |(key, _)| key.service == service)
            .map(|(_, deployment)| deployment)
    }

    /// Asks for a service deployment to stop: it is given up where it is, or with `rolls_back` the service goes back to
    /// the newest revision that was deployed to the end, if there was one. On the error, it had come to an end before.
    /// None if there is no such deployment.
    pub fn stop_service_deployment(
        &self,
        scope: &Scope,
        key: &ServiceDeploymentKey,
        rolls_back: bool,
        reason: &str,
        now: Timestamp,
    ) -> Option<Result<(), ServiceDeploymentStatus>> {
        let service = self.services.get(scope, &key.service).filter(|_| rolls_back);
        let back_to = service.and_then(|service| self.last_completed(scope, &service));
        let back_to = back_to.map(|revision| revision.key.id.clone());
        let ask = |row: &mut ServiceDeployment| row.ask_to_stop(back_to, reason, now);
        let asked = self.service_deployments.try_update(scope, key, ask)?;
        Some(asked.map(|_| self.carry_out_stop(scope, key, now)))
    }

    /// Walks the task sets of a service in the order of their ids.
    pub fn task_sets_of(&self, scope: &Scope, service: &ServiceKey) -> impl Iterator<Item = Arc<TaskSet>> {
        let service = service.clone();
        self.task_sets
            .walk_from(scope, TaskSetKey::first_of(&service))
            .take_while(move |(key, _)| key.service == service)
            .map(|(_, task_set)| task_set)
    }

    /// Makes a task set the one that takes the traffic, and the one that did an ordinary one. What its tasks are becomes
    /// what the service's tasks are. None if there is no such task set.
    ///
    /// # Errors
    ///
    /// If it is draining.
    pub fn promote_task_set(
        &self,
        scope: &Scope,
        key: &TaskSetKey,
        now: Timestamp,
    ) -> Option<Result<Arc<TaskSet>, TaskSetDraining>> {
        let promote = |task_set: &mut TaskSet| match task_set.status {
            TaskSetStatus::Draining => Err(TaskSetDraining),
            TaskSetStatus::Primary | TaskSetStatus::Active => {
                task_set.status = TaskSetStatus::Primary;
                task_set.updated_at = now;
                Ok(())
            }
        };
        let primary = match self.task_sets.try_update(scope, key, promote)? {
            Ok(primary) => primary,
            Err(refusal) => return Some(Err(refusal)),
        };
        for other in self.task_sets_of(scope, &key.service).filter(|other| other.key != *key) {
            self.task_sets.update(scope, &other.key, |task_set| {
                if task_set.status == TaskSetStatus::Primary {
                    task_set.status = TaskSetStatus::Active;
                    task_set.updated_at = now;
                }
            });
        }
        self.services.update(scope, &key.service, |service| service.workload = Some(primary.workload.clone()));
        Some(Ok(primary))
    }

    /// Walks the tasks of a service in the order of their ids, from the first one after `after` on, stopped ones too.
    pub fn tasks_of_service(
        &self,
        scope: &Scope,
        service: &ServiceKey,
        after: TaskId,
    ) -> impl Iterator<Item = (ServiceTask, Arc<Task>)> {
        let (scope, service) = (scope.clone(), service.clone());
        self.service_tasks
            .walk(&scope, Some(ServiceTaskKey { service: service.clone(), task: after }))
            .take_while(move |(key, _)| key.service == service)
            .filter_map(move |(key, member)| {
                let task = TaskKey { cluster: key.service.cluster, id: key.task };
                Some((ServiceTask::clone(&member), self.tasks.get(&scope, &task)?))
            })
    }

    /// Finds the newest active revision of a family.
    pub fn latest_active(&self, scope: &Scope, family: &Family) -> Option<Arc<TaskDefinition>> {
        let active =
            self.task_definitions.walk_back(scope, Some(TaskDefinitionStatus::Active.label()), family.revisions());
        active.map(|(_, definition)| definition).find(|definition| definition.status == TaskDefinitionStatus::Active)
    }

    /// Finds the newest active revision of a family of daemon task definitions.
    pub fn latest_active_daemon_definition(&self, scope: &Scope, family: &Family) -> Option<Arc<DaemonTaskDefinition>> {
        let table = &self.daemon_task_definitions;
        let active = table.walk_back(scope, Some(DaemonTaskDefinition::active()), family.revisions());
        active.map(|(_, definition)| definition).find(|definition| definition.delete_requested_at.is_none())
    }

    /// Walks the families that have revisions, or revisions of a status, between two revisions, in the order of their
    /// names. Each costs one look, however many revisions it has.
    pub fn families_with(
        &self,
        scope: &Scope,
        status: Option<TaskDefinitionStatus>,
        (mut start, end): (Bound<TaskDefinitionName>, Bound<TaskDefinitionName>),
    ) -> impl Iterator<Item = Family> {
        std::iter::from_fn(move || {
            let label = status.map(TaskDefinitionStatus::label);
            let mut rest = self.task_definitions.walk_between(scope, label, (start.clone(), end.clone()));
            let (name, _) = rest.next()?;
            start = Bound::Excluded(TaskDefinitionName { family: name.family.clone(), revision: u32::MAX });
            Some(name.family)
        })
    }

    /// Returns whether a task that has not ended was started from a definition.
    pub fn is_definition_in_use(&self, scope: &Scope, definition: &TaskDefinitionName) -> bool {
        let tasks_to_be = |status| {
            let label = TaskFilter::Family(definition.family.as_str()).label(status);
            self.tasks.walk_between(scope, Some(label), (Bound::Unbounded, Bound::Unbounded)).map(|(_, task)| task)
        };
        let mut tasks = tasks_to_be("RUNNING").chain(tasks_to_be("STOPPED"));
        let mut services = self.services.walk(scope, None).map(|(_, service)| service);
        let mut task_sets = self.task_sets.walk(scope, None).map(|(_, task_set)| task_set);
        tasks.any(|task| task.definition == *definition && task.last_status != TaskStatus::Stopped)
            || services.any(|service| service.uses(definition))
            || task_sets.any(|task_set| task_set.workload.definition == *definition)
    }

    /// Takes the next revision number of a family.
    pub fn next_revision(&self, scope: &Scope, family: &Family) -> u32 {
        loop {
            let (row, is_new) = self.families.get_or_insert_with(scope, family, || FamilyRevisions { last: 1 });
            if is_new {
                return row.last;
            }
            // A reset in between removes the family: then it is new again.
            if let Some(row) = self.families.update(scope, family, |row| row.last += 1) {
                return row.last;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Barrier;

    use base::{AccountId, Region};

    use super::*;

    #[test]
    fn revisions_given_at_once_neither_skip_nor_repeat() {
        const THREADS: usize = 8;
        const EACH: u32 = 500;
        let (ecs, start) = (Ecs::new(None, Arc::default()), Barrier::new(THREADS));
        let scope = Scope::new(AccountId::DEFAULT, Region::default());
        let family = Family::parse("app").unwrap();
        let given = std::thread::scope(|threads| {
            let register = || {
                start.wait();
                (0..EACH).map(|_| ecs.next_revision(&scope, &family)).collect::<Vec<_>>()
            };
            let threads = (0..THREADS).map(|_| threads.spawn(register)).collect::<Vec<_>>();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        let distinct = given.iter().copied().collect::<BTreeSet<_>>();
        let last = u32::try_from(THREADS).unwrap() * EACH;
        assert_eq!(given.len(), distinct.len());
        assert_eq!(distinct, (1..=last).collect());
    }
}

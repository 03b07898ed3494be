//! The records of Amazon ECS.

mod cluster;
mod names;
mod task;
mod task_definition;

use std::sync::{Arc, Mutex, PoisonError};

use base::{Scope, Timestamp};

pub use cluster::{Cluster, ClusterStatus};
pub use names::{ClusterName, Family, TaskDefinitionName};
pub use task::{
    AttachmentStatus, Container, ContainerLog, ContainerOverride, ContainerStatus, Eni, Launch, Overrides, RunToken,
    StopCode, StopRequest, Task, TaskKey, TaskNetwork, TaskStatus,
};
pub use task_definition::{
    AwsLogs, ContainerDefinition, FamilyRevisions, KeyValue, LogConfiguration, NetworkMode, TaskDefinition,
    TaskDefinitionStatus,
};

use crate::journal::{Journal, JournalError};
use crate::{Table, Tag};

/// The tables of Amazon ECS.
#[derive(Debug)]
pub struct Ecs {
    /// Clusters; a deleted one stays as `INACTIVE`.
    pub clusters: Table<ClusterName, Cluster>,
    /// Task definitions by family and revision.
    pub task_definitions: Table<TaskDefinitionName, TaskDefinition>,
    /// The last revision of each family, so that a revision is never given twice.
    pub families: Table<Family, FamilyRevisions>,
    /// Tasks; a stopped one stays for an hour.
    pub tasks: Table<TaskKey, Task>,
    /// The client tokens of RunTask, and what they started.
    pub run_tokens: Table<String, RunToken>,
    /// How far the output of each container has been delivered to its log.
    pub container_logs: Table<base::ContainerId, ContainerLog>,
    /// Held while tasks are started, so that a client token and its tasks appear at once.
    starting: Mutex<()>,
}

impl Ecs {
    pub(crate) fn new(journal: Option<&Arc<Journal>>) -> Self {
        Self {
            clusters: Table::new("ecs.clusters", journal),
            task_definitions: Table::new("ecs.task_definitions", journal),
            families: Table::new("ecs.families", journal),
            tasks: Table::new("ecs.tasks", journal),
            run_tokens: Table::new("ecs.run_tokens", journal),
            container_logs: Table::new("ecs.container_logs", journal),
            starting: Mutex::default(),
        }
    }

    pub(crate) fn load(&self, journal: &Journal) -> Result<(), JournalError> {
        self.clusters.load(journal)?;
        self.task_definitions.load(journal)?;
        self.families.load(journal)?;
        self.tasks.load(journal)?;
        self.run_tokens.load(journal)?;
        self.container_logs.load(journal)
    }

    pub(crate) fn clear(&self) {
        self.tasks.clear();
        self.run_tokens.clear();
        self.container_logs.clear();
        self.task_definitions.clear();
        self.families.clear();
        self.clusters.clear();
    }

    /// Puts tasks in. A client token that has started tasks already gives those instead; as an error, if it was with
    /// another request.
    pub fn start_tasks(
        &self,
        scope: &Scope,
        token: Option<&str>,
        request: u64,
        tasks: Vec<Task>,
    ) -> Result<Vec<Arc<Task>>, Vec<Arc<Task>>> {
        let _alone = self.starting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(token) = token {
            let row = || RunToken { request, tasks: tasks.iter().map(|task| task.key.clone()).collect() };
            let (known, is_new) = self.run_tokens.get_or_insert_with(scope, &token.to_owned(), row);
            if !is_new {
                let started = known.tasks.iter().filter_map(|key| self.tasks.get(scope, key)).collect();
                return if known.request == request { Ok(started) } else { Err(started) };
            }
        }
        Ok(tasks.into_iter().map(|task| self.tasks.insert(scope, &task.key.clone(), task)).collect())
    }

    /// Changes a task, and raises its version if the change is one that ECS emits an event for.
    pub fn update_task(&self, scope: &Scope, key: &TaskKey, change: impl FnOnce(&mut Task)) -> Option<Arc<Task>> {
        self.tasks.update(scope, key, |task| {
            let before = task.event_face();
            change(task);
            if task.event_face() != before {
                task.version += 1;
            }
        })
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
        let tasks = self.tasks_of(scope, cluster);
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

    /// Finds the newest active revision of a family.
    pub fn latest_active(&self, scope: &Scope, family: &Family) -> Option<Arc<TaskDefinition>> {
        let last = self.families.get(scope, family)?.last;
        (1..=last).rev().find_map(|revision| {
            let name = TaskDefinitionName { family: family.clone(), revision };
            let definition = self.task_definitions.get(scope, &name)?;
            (definition.status == TaskDefinitionStatus::Active).then_some(definition)
        })
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

    /// Returns the cluster, making it if it has never existed: `default` exists from the first call on.
    pub fn make_cluster(&self, scope: &Scope, name: &ClusterName, now: Timestamp) -> Arc<Cluster> {
        self.clusters.get_or_insert_with(scope, name, || Cluster::new(scope, name.clone(), now, Vec::<Tag>::new())).0
    }
}

//! What happens to the resources of ECS and is told to EventBridge: rows of an outbox, there until they are told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base::{Arn, Scope, Timestamp};
use serde::{Deserialize, Serialize};

use crate::events::Rules;
use crate::journal::{Journal, JournalError};
use crate::{Record, Table};

use super::{ContainerInstance, Ecs, Task};

/// Where the events of ECS come from.
pub const EVENT_SOURCE: &str = "aws.ecs";
/// How many occurrences wait to be told at most; what comes beyond them is dropped. EventBridge has no such limit, but a
/// machine has.
pub const OUTBOX_ROWS_MAX: usize = 20_000;

/// Something that happened.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Occurrence {
    /// A task changed in a way that its version counts. The task as it is then.
    Task(Arc<Task>),
    /// A container instance changed in a way that its version counts. The instance as it is then.
    ContainerInstance(Arc<ContainerInstance>),
    /// A service did something, or could not.
    ServiceAction(ServiceAction),
    /// A deployment of a service began, ended or failed.
    DeploymentChange(DeploymentChange),
}

/// How grave it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OccurrenceType {
    /// All is well.
    Info,
    /// Something may be wrong.
    Warn,
    /// Something is wrong.
    Error,
}

impl OccurrenceType {
    /// Returns the type as events spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "INFO",
            Self::Warn => "WARN",
            Self::Error => "ERROR",
        }
    }
}

/// What a service did, or could not: "ECS Service Action".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceAction {
    /// The ARN of the service.
    pub service: Arn,
    /// The ARN of its cluster.
    pub cluster: Arn,
    /// How grave it is.
    pub kind: OccurrenceType,
    /// What it is called, such as `SERVICE_STEADY_STATE`.
    pub name: String,
    /// Why, such as `RESOURCE:CPU`.
    pub reason: Option<String>,
    /// The tasks that it is about.
    pub tasks: Vec<Arn>,
    /// The container instances that it is about.
    pub container_instances: Vec<Arn>,
    /// The capacity providers that it is about.
    pub capacity_providers: Vec<Arn>,
}

/// What became of a deployment: "ECS Deployment State Change".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentChange {
    /// The ARN of the service.
    pub service: Arn,
    /// How grave it is.
    pub kind: OccurrenceType,
    /// What it is called: `SERVICE_DEPLOYMENT_IN_PROGRESS`, `…_COMPLETED` or `…_FAILED`.
    pub name: String,
    /// The deployment, `ecs-svc/…`.
    pub deployment: String,
    /// What happened, in words.
    pub reason: String,
}

impl Occurrence {
    /// Returns the `detail-type` of its event.
    pub fn detail_type(&self) -> &'static str {
        match self {
            Self::Task(_) => TASK_CHANGE,
            Self::ContainerInstance(_) => CONTAINER_INSTANCE_CHANGE,
            Self::ServiceAction(_) => "ECS Service Action",
            Self::DeploymentChange(_) => "ECS Deployment State Change",
        }
    }
}

const TASK_CHANGE: &str = "ECS Task State Change";
const CONTAINER_INSTANCE_CHANGE: &str = "ECS Container Instance State Change";

/// An occurrence that is still to be told.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Untold {
    /// When it happened; none if whoever noted it had no clock, which is as good as when it is told.
    pub at: Option<Timestamp>,
    /// What happened.
    pub occurrence: Occurrence,
}

impl Record for Untold {}

/// Occurrences that are still to be told, in the order in which they happened.
#[derive(Debug)]
pub struct Outbox {
    /// By number. Controllers take rows out when the events are on their way.
    pub rows: Table<u64, Untold>,
    next: AtomicU64,
    rules: Arc<Rules>,
}

impl Outbox {
    pub(super) fn new(journal: Option<&Arc<Journal>>, rules: Arc<Rules>) -> Self {
        Self { rows: Table::new("ecs.outbox", journal), next: AtomicU64::new(0), rules }
    }

    pub(super) fn load(&self, journal: &Journal) -> Result<(), JournalError> {
        self.rows.load(journal)?;
        let next = self.rows.keys().into_iter().map(|(_, number)| number + 1).max();
        self.next.store(next.unwrap_or(0), Ordering::Relaxed);
        Ok(())
    }

    /// Puts an occurrence in, if a rule may want it.
    fn put(&self, scope: &Scope, detail_type: &str, untold: impl FnOnce() -> Untold) {
        if !self.rules.may_want(scope, EVENT_SOURCE, detail_type) {
            return;
        }
        if self.rows.len() >= OUTBOX_ROWS_MAX {
            tracing::warn!(detail_type, "dropped an event: too many wait already");
            return;
        }
        self.rows.insert(scope, &self.next.fetch_add(1, Ordering::Relaxed), untold());
    }

    /// Notes the state of a task, before the row with it is there: a server that is killed in between tells it twice, and
    /// none is lost.
    pub(super) fn task_changes(&self, scope: &Scope, task: &Task) {
        let untold = || Untold { at: None, occurrence: Occurrence::Task(Arc::new(task.clone())) };
        self.put(scope, TASK_CHANGE, untold);
    }

    /// Notes the state of a container instance, before the row with it is there.
    pub(super) fn instance_changes(&self, scope: &Scope, instance: &ContainerInstance) {
        let untold = || Untold { at: None, occurrence: Occurrence::ContainerInstance(Arc::new(instance.clone())) };
        self.put(scope, CONTAINER_INSTANCE_CHANGE, untold);
    }
}

impl Ecs {
    /// Has EventBridge told of an occurrence, if a rule may want it. Call it before the change that it tells of is put in,
    /// so that no kill of the server loses it.
    pub fn emit(&self, scope: &Scope, at: Timestamp, occurrence: Occurrence) {
        let detail_type = occurrence.detail_type();
        self.outbox.put(scope, detail_type, || Untold { at: Some(at), occurrence });
    }
}

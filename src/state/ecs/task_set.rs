//! A task set: a part of a service that somebody else than ECS deploys.

use base::{Arn, ServiceRevisionId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{Record, Tag};

use super::{Creation, ServiceKey, Workload};

/// What names a task set: its service and its id. So the task sets of a service lie together.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TaskSetKey {
    /// The service.
    pub service: ServiceKey,
    /// The task set.
    pub id: ServiceRevisionId,
}

impl TaskSetKey {
    /// Returns a key that sorts before every task set of the service.
    pub fn first_of(service: &ServiceKey) -> Self {
        Self { service: service.clone(), id: ServiceRevisionId::new("") }
    }
}

/// A task set. Handlers, and the controller of CodeDeploy, which acts as a client would, write all of it but `is_steady`
/// and `steady_at`; the service controller removes it when it is
/// draining and nothing is left of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TaskSet {
    /// Service and id.
    pub key: TaskSetKey,
    /// Its ARN.
    pub arn: Arn,
    /// Whether it takes the traffic.
    pub status: TaskSetStatus,
    /// What tells a repetition of its CreateTaskSet from another one.
    pub creation: Creation,
    /// The name that another system knows it by.
    pub external_id: Option<String>,
    /// What its tasks are.
    pub workload: Workload,
    /// Its part of the tasks that the service desires, in percent.
    pub scale_percent: f64,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Whether it had all its tasks, and no others, when the controller last looked.
    pub is_steady: bool,
    /// When that was last found to have changed.
    pub steady_at: Timestamp,
}

/// Whether a task set takes the traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskSetStatus {
    /// It takes the production traffic.
    Primary,
    /// It does not.
    Active,
    /// It was deleted; its tasks are being stopped.
    Draining,
}

impl TaskSetStatus {
    /// Returns the status as the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "PRIMARY",
            Self::Active => "ACTIVE",
            Self::Draining => "DRAINING",
        }
    }
}

/// A task set is draining, and takes no traffic any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskSetDraining;

impl Record for TaskSet {}

impl TaskSet {
    /// Returns how many tasks it is to have of those that its service desires: its part, rounded up.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a percentage of a u32 fits one")]
    pub fn desired_count(&self, of_service: u32) -> u32 {
        match self.status {
            TaskSetStatus::Draining => 0,
            TaskSetStatus::Primary | TaskSetStatus::Active => {
                (f64::from(of_service) * self.scale_percent / 100.0).ceil() as u32
            }
        }
    }
}

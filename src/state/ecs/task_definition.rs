//! A task definition: the document that comes back, and the fields that behaviour needs.

use base::{Arn, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{Document, Label, Record, Tag};

use super::{Ports, TaskDefinitionName};

/// One revision of a task definition.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TaskDefinition {
    /// Family and revision.
    pub name: TaskDefinitionName,
    /// Its ARN.
    pub arn: Arn,
    /// Whether tasks can be started from it.
    pub status: TaskDefinitionStatus,
    /// When it was registered.
    pub registered_at: Timestamp,
    /// When it was deregistered.
    pub deregistered_at: Option<Timestamp>,
    /// When its deletion was asked for.
    #[serde(default)]
    pub delete_requested_at: Option<Timestamp>,
    /// The ARN of who registered it.
    pub registered_by: String,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// The definition with the service's defaults filled in, as responses show it; without the fields above.
    pub document: Document,
    /// Whether it asked to be checked against Fargate's rules (`requiresCompatibilities`).
    pub requires_fargate: bool,
    /// Whether it keeps Fargate's rules (`compatibilities`).
    pub is_fargate_compatible: bool,
    /// How its tasks are joined to a network.
    pub network_mode: NetworkMode,
    /// The task's CPU limit in CPU units; 1,024 are one processor.
    pub cpu_units: Option<u32>,
    /// The task's memory limit in MiB.
    pub memory_mib: Option<u32>,
    /// The task's ephemeral storage in GiB, if it was given.
    pub ephemeral_storage_gib: Option<u32>,
    /// The role that the platform acts as.
    pub execution_role_arn: Option<String>,
    /// The role that the containers act as.
    pub task_role_arn: Option<String>,
    /// Its containers.
    pub containers: Vec<ContainerDefinition>,
}

/// Whether tasks can be started from a definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskDefinitionStatus {
    /// They can.
    Active,
    /// It was deregistered.
    Inactive,
    /// It is to be deleted, and goes when no task needs it any more.
    DeleteInProgress,
}

/// How the containers of a task are joined to a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NetworkMode {
    /// Through an elastic network interface of the task's own; the only mode on Fargate.
    Awsvpc,
    /// Through the instance's bridge; also what an absent mode means.
    Bridge,
    /// In the instance's own network.
    Host,
    /// Not at all.
    None,
}

/// A container of a task definition, as far as it acts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerDefinition {
    /// Its name, unique in the definition.
    pub name: String,
    /// The image reference, as written.
    pub image: String,
    /// CPU units; 0 if none were given.
    pub cpu_units: u32,
    /// The hard memory limit in MiB.
    pub memory_mib: Option<u32>,
    /// The soft memory limit in MiB.
    pub memory_reservation_mib: Option<u32>,
    /// Whether its end is the task's end.
    pub is_essential: bool,
    /// Replaces the image's entry point.
    pub entry_point: Option<Vec<String>>,
    /// Replaces the image's command.
    pub command: Option<Vec<String>>,
    /// Environment variables.
    pub environment: Vec<KeyValue>,
    /// Replaces the image's working directory.
    pub working_directory: Option<String>,
    /// Replaces the image's user.
    pub user: Option<String>,
    /// Whether the root file system cannot be written.
    pub is_root_read_only: bool,
    /// How long the container may take to stop, in seconds.
    pub stop_timeout_s: Option<u32>,
    /// Where its output goes.
    pub log: Option<LogConfiguration>,
    /// Whether it has a health check; without one its health is unknown.
    pub has_health_check: bool,
    /// The ports that it takes of the machine it runs on; none with an interface of the task's own.
    #[serde(default)]
    pub host_ports: Ports,
    /// How many GPUs it takes.
    #[serde(default)]
    pub gpus: u32,
}

/// A name and its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyValue {
    /// The name.
    pub name: String,
    /// The value.
    pub value: String,
}

/// Where a container's output goes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogConfiguration {
    /// To CloudWatch Logs.
    AwsLogs(AwsLogs),
    /// To a driver that does not run here yet; output is read and dropped.
    Other {
        /// The driver's name.
        driver: String,
    },
}

/// The options of the `awslogs` driver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwsLogs {
    /// `awslogs-group`.
    pub group: String,
    /// `awslogs-region`.
    pub region: String,
    /// `awslogs-stream-prefix`.
    pub stream_prefix: Option<String>,
    /// `awslogs-create-group`.
    pub creates_group: bool,
}

/// The revisions that a family has had.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct FamilyRevisions {
    /// The newest revision; the next one is one more, even when it has been deregistered.
    pub last: u32,
}

impl Record for TaskDefinition {
    fn labels(&self) -> Vec<Label> {
        vec![self.status.label()]
    }
}

impl TaskDefinitionStatus {
    /// Returns what finds the definitions of this status.
    pub fn label(self) -> Label {
        Label::new(&[match self {
            Self::Active => "ACTIVE",
            Self::Inactive => "INACTIVE",
            Self::DeleteInProgress => "DELETE_IN_PROGRESS",
        }])
    }
}
impl Record for FamilyRevisions {}

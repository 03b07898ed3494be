//! A task definition: the document that comes back, and the fields that behaviour needs.

use base::{Arn, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{Document, Label, Record, Tag};

use super::{
    HealthCheck, LogConfiguration, LogRouter, MountPoint, Ports, TaskDefinitionName, TmpfsMount, Volume, VolumesFrom,
};

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
    /// Whether the containers see each other's processes.
    #[serde(default)]
    pub shares_pids: bool,
    /// Its volumes.
    #[serde(default)]
    pub volumes: Vec<Volume>,
    /// Whether its containers may ask for faults.
    #[serde(default)]
    pub allows_fault_injection: bool,
    /// The processors that its images are made for, if it says so.
    #[serde(default)]
    pub cpu_architecture: Option<CpuArchitecture>,
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

/// A kind of processors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CpuArchitecture {
    /// `X86_64`.
    X86_64,
    /// `ARM64`.
    Arm64,
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
    /// What makes it the log router of its task, if it is.
    #[serde(default)]
    pub log_router: Option<LogRouter>,
    /// How its health is found out; none leaves it unknown.
    #[serde(default)]
    pub health_check: Option<HealthCheck>,
    /// Which containers it waits for, in the order of the definition; those that the platform adds come last.
    #[serde(default)]
    pub depends_on: Vec<Dependency>,
    /// How long others wait for it to come to what they need of it, in seconds; none is for ever.
    #[serde(default)]
    pub start_timeout_s: Option<u32>,
    /// When it is started again after its end; none is never.
    #[serde(default)]
    pub restart_policy: Option<RestartPolicy>,
    /// The values of environment variables that are fetched when it starts.
    #[serde(default)]
    pub secrets: Vec<Secret>,
    /// The ARNs of the S3 objects with further environment variables.
    #[serde(default)]
    pub environment_files: Vec<String>,
    /// The ARN of the secret that its image is pulled with.
    #[serde(default)]
    pub repository_credentials: Option<String>,
    /// Its labels.
    #[serde(default)]
    pub docker_labels: Vec<KeyValue>,
    /// The volumes that it mounts.
    #[serde(default)]
    pub mount_points: Vec<MountPoint>,
    /// The containers whose volumes it mounts.
    #[serde(default)]
    pub volumes_from: Vec<VolumesFrom>,
    /// Its file systems in memory.
    #[serde(default)]
    pub tmpfs: Vec<TmpfsMount>,
    /// Capabilities that it has beyond the default ones, without `CAP_`.
    #[serde(default)]
    pub capabilities_added: Vec<String>,
    /// Default capabilities that it has not, without `CAP_`; `ALL` means every one.
    #[serde(default)]
    pub capabilities_dropped: Vec<String>,
    /// Whether process 1 is an init.
    #[serde(default)]
    pub has_init: bool,
    /// Limits of its processes.
    #[serde(default)]
    pub ulimits: Vec<Ulimit>,
    /// Kernel parameters of its namespaces.
    #[serde(default)]
    pub system_controls: Vec<KeyValue>,
    /// Its ports, as far as the network mode maps them to ports of the machine it runs on.
    #[serde(default)]
    pub port_mappings: Vec<PortMapping>,
    /// The containers of its task that it knows by name.
    #[serde(default)]
    pub links: Vec<Link>,
    /// Further hosts that it knows by name: their addresses by names.
    #[serde(default)]
    pub extra_hosts: Vec<KeyValue>,
    /// The ports that it takes of the machine it runs on; none with an interface of the task's own.
    #[serde(default)]
    pub host_ports: Ports,
    /// How many GPUs it takes.
    #[serde(default)]
    pub gpus: u32,
}

/// A port of a container that is one of its machine's, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortMapping {
    /// The port of the container.
    pub container_port: u16,
    /// The port of the machine; none is chosen when the task begins.
    pub host_port: Option<u16>,
    /// Whether it is UDP's and not TCP's.
    pub is_udp: bool,
    /// How many ports follow it, in a range: each is the machine's too, in the same order.
    #[serde(default)]
    pub more: u16,
}

/// A container that another one knows by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The name of the container that is known.
    pub container: String,
    /// How it is called besides.
    pub alias: Option<String>,
}

/// A container that another one waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// The name of the container that is waited for.
    pub container: String,
    /// What is waited for.
    pub condition: Condition,
}

/// What one container waits for of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    /// That it was started.
    Start,
    /// That it has ended.
    Complete,
    /// That it has ended with exit code 0.
    Success,
    /// That it is healthy.
    Healthy,
}

/// When a container that has ended is started again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartPolicy {
    /// The exit codes after which it is not.
    pub ignored_exit_codes: Vec<i32>,
    /// How many seconds it must have run for.
    pub attempt_period_s: u32,
}

/// An environment variable whose value is fetched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    /// The name of the variable.
    pub name: String,
    /// What names the value: of Secrets Manager an ARN, of Systems Manager an ARN or a parameter's name.
    pub value_from: String,
}

/// A limit of processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// The name, as `nofile`.
    pub name: String,
    /// What is in effect; none is without limit.
    pub soft: Option<u64>,
    /// How far a process may raise it; none is without limit.
    pub hard: Option<u64>,
}

/// A name and its value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyValue {
    /// The name.
    pub name: String,
    /// The value.
    pub value: String,
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

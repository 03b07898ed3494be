//! A task: what was asked for, and what has become of it.

use std::net::Ipv4Addr;

use base::{Arn, ContainerId, ContainerInstanceId, EniId, SecurityGroupId, SubnetId, TaskId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{Document, Label, Record, Tag};

use super::{
    ClusterName, ContainerHealth, ContainerInstance, FARGATE_SPOT, HealthStatus, InstanceKind, KeyValue, LaunchType,
    TaskDefinitionName, TaskVolume,
};

/// The reason of tasks whose container instance was deregistered: seen in responses of AWS.
const DEREGISTERED: &str = "Container instance deregistration forced by user";

/// What names a task: its cluster and its id. So the tasks of a cluster lie together.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TaskKey {
    /// The cluster.
    pub cluster: ClusterName,
    /// The task.
    pub id: TaskId,
}

impl TaskKey {
    /// Returns a key that sorts before every task of the cluster.
    pub fn first_of(cluster: &ClusterName) -> Self {
        Self { cluster: cluster.clone(), id: TaskId::new("") }
    }
}

/// A task. Handlers write the first half when they make it, `stop` and `protected_until`. Who writes the rest depends on
/// where it runs: on Fargate the task controller, on a container instance the handlers that its agent calls.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Task {
    /// Cluster and id.
    pub key: TaskKey,
    /// Its ARN.
    pub arn: Arn,
    /// The ARN of its cluster.
    pub cluster_arn: Arn,
    /// The definition it was started from.
    pub definition: TaskDefinitionName,
    /// The ARN of that definition.
    pub definition_arn: Arn,
    /// `family:<family>`, `service:<name>`, or what the caller gave.
    pub group: String,
    /// Who started it, in the caller's words.
    pub started_by: Option<String>,
    /// Where it runs.
    pub launch: Launch,
    /// The capacity provider that was asked for, if one was.
    pub capacity_provider: Option<String>,
    /// The task's CPU limit in CPU units, overrides applied.
    pub cpu_units: Option<u32>,
    /// The task's memory limit in MiB, overrides applied.
    pub memory_mib: Option<u32>,
    /// The task's ephemeral storage in GiB, overrides applied.
    pub ephemeral_storage_gib: u32,
    /// What the caller changed of the definition.
    pub overrides: Overrides,
    /// Its place in a VPC; none unless the network mode is awsvpc.
    pub network: Option<TaskNetwork>,
    /// The client token of the RunTask that made it; remembered as long as the task is.
    pub client_token: Option<String>,
    /// Whether ECS Exec was asked for.
    pub is_exec_enabled: bool,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// When it was made.
    pub created_at: Timestamp,
    /// That it is to stop, and why. The first reason stands, whoever gave it.
    pub stop: Option<StopRequest>,
    /// Until when a service may not take it away to have fewer tasks.
    #[serde(default)]
    pub protected_until: Option<Timestamp>,
    /// The EBS volumes that it was asked to have.
    #[serde(default)]
    pub volumes: Vec<TaskVolume>,

    /// Where it is in its life.
    pub last_status: TaskStatus,
    /// Counts the changes that ECS emits events for, from 1.
    pub version: i64,
    /// The availability zone.
    pub availability_zone: Option<String>,
    /// When the node took it.
    pub connectivity_at: Option<Timestamp>,
    /// When the first image was looked for.
    pub pull_started_at: Option<Timestamp>,
    /// When the last image was there.
    pub pull_stopped_at: Option<Timestamp>,
    /// When it came to RUNNING.
    pub started_at: Option<Timestamp>,
    /// When the first essential container ended.
    pub execution_stopped_at: Option<Timestamp>,
    /// When it came to STOPPED.
    pub stopped_at: Option<Timestamp>,
    /// Its network interface.
    pub eni: Option<Eni>,
    /// The credentials of its task role, from when its containers are made until it has ended.
    #[serde(default)]
    pub credentials: Option<TaskCredentials>,
    /// The credentials of its execution role, for as long.
    #[serde(default)]
    pub execution_credentials: Option<TaskCredentials>,
    /// Its containers, in the definition's order.
    pub containers: Vec<Container>,
}

/// Where a task runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Launch {
    /// On Fargate.
    Fargate {
        /// The platform version, never `LATEST`.
        platform_version: String,
    },
    /// On a container instance that is an instance of EC2. What becomes of it is its agent's to say, unless this machine
    /// is its host.
    Ec2 {
        /// The container instance.
        container_instance: ContainerInstanceId,
        /// Whether this machine runs the instance's tasks.
        #[serde(default)]
        is_local: bool,
    },
    /// On a container instance that is the user's own machine. What becomes of it is its agent's to say.
    External {
        /// The container instance.
        container_instance: ContainerInstanceId,
    },
}

impl Launch {
    /// Returns the launch on a container instance.
    pub fn on(instance: &ContainerInstance) -> Self {
        let container_instance = instance.key.id.clone();
        match instance.kind {
            InstanceKind::Ec2 => Self::Ec2 { container_instance, is_local: instance.host.is_some() },
            InstanceKind::External => Self::External { container_instance },
        }
    }

    /// Returns the container instance that the task runs on; none on Fargate.
    pub fn container_instance(&self) -> Option<&ContainerInstanceId> {
        match self {
            Self::Fargate { .. } => None,
            Self::Ec2 { container_instance, .. } | Self::External { container_instance } => Some(container_instance),
        }
    }

    /// Returns whether an agent on another machine runs the task and says what becomes of it.
    pub fn has_agent(&self) -> bool {
        match self {
            Self::Fargate { .. } => false,
            Self::Ec2 { is_local, .. } => !is_local,
            Self::External { .. } => true,
        }
    }

    /// Returns the launch type.
    pub fn launch_type(&self) -> LaunchType {
        match self {
            Self::Fargate { .. } => LaunchType::Fargate,
            Self::Ec2 { .. } => LaunchType::Ec2,
            Self::External { .. } => LaunchType::External,
        }
    }
}

/// What a caller changed of a definition for one task.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overrides {
    /// `overrides` as a response shows it; one entry a container.
    pub document: Option<Document>,
    /// The changes to containers.
    pub containers: Vec<ContainerOverride>,
    /// Replaces the execution role.
    pub execution_role_arn: Option<String>,
    /// Replaces the task role.
    pub task_role_arn: Option<String>,
}

/// What a caller changed of one container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerOverride {
    /// The container's name.
    pub name: String,
    /// Replaces the command.
    pub command: Option<Vec<String>>,
    /// Is merged into the environment, by name.
    pub environment: Vec<KeyValue>,
    /// The ARNs of S3 objects with further environment variables, which win over those of the definition's.
    #[serde(default)]
    pub environment_files: Vec<String>,
    /// Replaces the CPU units.
    pub cpu_units: Option<u32>,
    /// Replaces the hard memory limit.
    pub memory_mib: Option<u32>,
    /// Replaces the soft memory limit.
    pub memory_reservation_mib: Option<u32>,
}

/// The network that a task was asked to join.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskNetwork {
    /// The subnets to choose from; not empty.
    pub subnets: Vec<SubnetId>,
    /// The security groups; not empty.
    pub security_groups: Vec<SecurityGroupId>,
    /// Whether the interface gets a public address.
    pub assigns_public_ip: bool,
}

/// Where a task is in its life; see spec of ECS's task life cycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TaskStatus {
    /// Its interface is being made.
    Provisioning,
    /// Its images are looked for and its containers made.
    Pending,
    /// It is being registered where others find it.
    Activating,
    /// It runs.
    Running,
    /// It is being deregistered.
    Deactivating,
    /// Its containers are asked to end.
    Stopping,
    /// Its interface is being taken away.
    Deprovisioning,
    /// It has ended.
    Stopped,
}

impl TaskStatus {
    /// Returns the status as the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Provisioning => "PROVISIONING",
            Self::Pending => "PENDING",
            Self::Activating => "ACTIVATING",
            Self::Running => "RUNNING",
            Self::Deactivating => "DEACTIVATING",
            Self::Stopping => "STOPPING",
            Self::Deprovisioning => "DEPROVISIONING",
            Self::Stopped => "STOPPED",
        }
    }
}

/// Why a task is to stop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopRequest {
    /// The kind of reason.
    pub code: StopCode,
    /// The reason in words.
    pub reason: String,
    /// When it was asked.
    pub at: Timestamp,
}

/// The kind of reason that stopped a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopCode {
    /// It never ran.
    TaskFailedToStart,
    /// An essential container ended.
    EssentialContainerExited,
    /// Somebody called StopTask.
    UserInitiated,
    /// Its service has no use for it any more.
    ServiceSchedulerInitiated,
    /// Fargate took its capacity back.
    SpotInterruption,
    /// The container instance that it ran on was deregistered. The API shows no code for it.
    InstanceGone,
}

impl StopCode {
    /// Returns the code as the API spells it, if it has one.
    pub fn as_str(self) -> Option<&'static str> {
        match self {
            Self::TaskFailedToStart => Some("TaskFailedToStart"),
            Self::EssentialContainerExited => Some("EssentialContainerExited"),
            Self::UserInitiated => Some("UserInitiated"),
            Self::ServiceSchedulerInitiated => Some("ServiceSchedulerInitiated"),
            Self::SpotInterruption => Some("SpotInterruption"),
            Self::InstanceGone => None,
        }
    }
}

/// Credentials that a task has of a role. The secrets are in the session's row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskCredentials {
    /// What names them in the path of the credentials endpoint: a UUID, the same for as long as the task lives.
    pub id: String,
    /// The access key id of the session that is in force.
    pub access_key_id: String,
}

/// The elastic network interface of a task, and the attachment that shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Eni {
    /// The id of the attachment, a UUID.
    pub attachment_id: String,
    /// The subnet that was chosen.
    pub subnet: SubnetId,
    /// Where the attachment is in its life.
    pub status: AttachmentStatus,
    /// The interface; none before it was made.
    pub interface: Option<EniId>,
    /// Its private address.
    pub address: Option<Ipv4Addr>,
    /// Its hardware address, as text.
    pub mac: Option<String>,
    /// Its private DNS name.
    pub private_dns_name: Option<String>,
}

impl Eni {
    /// Returns what an attachment tells of the interface, by name. It fills in as the interface comes to be.
    pub fn details(&self) -> impl Iterator<Item = (&'static str, String)> {
        let details = [
            ("subnetId", Some(self.subnet.to_string())),
            ("networkInterfaceId", self.interface.as_ref().map(ToString::to_string)),
            ("macAddress", self.mac.clone()),
            ("privateDnsName", self.private_dns_name.clone()),
            ("privateIPv4Address", self.address.map(|address| address.to_string())),
        ];
        details.into_iter().filter_map(|(name, value)| Some((name, value?)))
    }
}

/// Where an attachment is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AttachmentStatus {
    /// It was asked for.
    Precreated,
    /// The interface is being attached.
    Attaching,
    /// The interface is attached.
    Attached,
    /// The interface is being detached.
    Detaching,
    /// The interface is gone.
    Deleted,
}

impl AttachmentStatus {
    /// Returns the status as the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Precreated => "PRECREATED",
            Self::Attaching => "ATTACHING",
            Self::Attached => "ATTACHED",
            Self::Detaching => "DETACHING",
            Self::Deleted => "DELETED",
        }
    }
}

/// A container of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// Its runtime id.
    pub id: ContainerId,
    /// Its ARN.
    pub arn: Arn,
    /// Its name in the definition.
    pub name: String,
    /// The image reference, as written.
    pub image: String,
    /// The digest of the image's manifest, once it was found.
    pub image_digest: Option<String>,
    /// Whether its end is the task's end.
    pub is_essential: bool,
    /// How long it may take to stop before it is killed, in seconds.
    pub stop_timeout_s: u32,
    /// Where it is in its life.
    pub status: ContainerStatus,
    /// How its main process ended.
    pub exit_code: Option<i32>,
    /// What went wrong, in words.
    pub reason: Option<String>,
    /// When its process was started.
    pub started_at: Option<Timestamp>,
    /// When its process ended.
    pub finished_at: Option<Timestamp>,
    /// When it was asked to end.
    pub stop_signalled_at: Option<Timestamp>,
    /// CPU units, as text in responses.
    pub cpu_units: u32,
    /// The hard memory limit in MiB.
    pub memory_mib: Option<u32>,
    /// The soft memory limit in MiB.
    pub memory_reservation_mib: Option<u32>,
    /// The id that a container instance's agent gave it; on Fargate it is `id`.
    #[serde(default)]
    pub agent_runtime_id: Option<String>,
    /// Its ports on the container instance, as the agent bound them.
    #[serde(default)]
    pub network_bindings: Vec<NetworkBinding>,
    /// The agent of ECS Exec in it, as the container instance's agent reported it.
    #[serde(default)]
    pub exec_agent: Option<ExecAgent>,
    /// The signal that asks it to end; none is SIGTERM.
    #[serde(default)]
    pub stop_signal: Option<i32>,
    /// What its health check has found; none without a health check.
    #[serde(default)]
    pub health: Option<ContainerHealth>,
    /// Whether it may be started again after its end.
    #[serde(default)]
    pub has_restart_policy: bool,
    /// How often it was started again.
    #[serde(default)]
    pub restart_count: u32,
    /// When it was last started again.
    #[serde(default)]
    pub restarted_at: Option<Timestamp>,
    /// The end that it is to be started again after: the node is told until the start is noted.
    #[serde(default)]
    pub restarting_after: Option<Timestamp>,
}

/// A port of a container, bound on its container instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkBinding {
    /// The address on the instance.
    pub bind_ip: Option<String>,
    /// The port of the container.
    pub container_port: Option<i32>,
    /// The port of the instance.
    pub host_port: Option<i32>,
    /// `tcp` or `udp`.
    pub protocol: Option<String>,
    /// The ports of the container, as `first-last`.
    pub container_port_range: Option<String>,
    /// The ports of the instance, as `first-last`.
    pub host_port_range: Option<String>,
}

/// The agent of ECS Exec in a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecAgent {
    /// Where it is in its life: `PENDING`, `RUNNING` or `STOPPED`.
    pub status: String,
    /// Why, in words.
    pub reason: Option<String>,
    /// When it was last started.
    pub started_at: Option<Timestamp>,
}

/// Where a container is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContainerStatus {
    /// Its process was not started yet.
    Pending,
    /// Its process runs.
    Running,
    /// Its process has ended, or will never start.
    Stopped,
}

impl ContainerStatus {
    /// Returns the status as the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Running => "RUNNING",
            Self::Stopped => "STOPPED",
        }
    }
}

/// What a client token of RunTask stands for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RunToken {
    /// A digest of the request that first bore the token.
    pub request: u64,
    /// The tasks that it started.
    pub tasks: Vec<TaskKey>,
}

/// How far a container's output has been delivered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerLog {
    /// Output before this offset is in the log, but for what is pending.
    pub delivered: u64,
    /// The event that further lines may belong to.
    #[serde(default)]
    pub pending: Option<PendingEvent>,
}

/// An event of several lines, as far as they have come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingEvent {
    /// When its first line was written.
    pub at: Timestamp,
    /// Its lines, with their ends.
    pub text: String,
}

impl Record for Task {
    fn labels(&self) -> Vec<Label> {
        let wanted = self.desired_status();
        let label = |filter: TaskFilter<'_>| filter.label(wanted);
        let started_by = self.started_by.as_deref().map(TaskFilter::StartedBy);
        let instance = self.launch.container_instance().map(TaskFilter::ContainerInstance);
        let filters = [
            Some(TaskFilter::None),
            Some(TaskFilter::Family(self.definition.family.as_str())),
            Some(TaskFilter::Group(&self.group)),
            Some(TaskFilter::LaunchType(self.launch.launch_type())),
            started_by,
            instance,
        ];
        filters.into_iter().flatten().map(label).collect()
    }
}

/// What the tasks of a cluster can be listed by. Others are looked for among these.
#[derive(Clone, Copy, Debug)]
pub enum TaskFilter<'a> {
    /// All of them.
    None,
    /// The family of the definition.
    Family(&'a str),
    /// The group.
    Group(&'a str),
    /// The launch type.
    LaunchType(LaunchType),
    /// Who started them.
    StartedBy(&'a str),
    /// The container instance.
    ContainerInstance(&'a ContainerInstanceId),
}

impl TaskFilter<'_> {
    /// Returns what finds the tasks that are on their way to a status, `RUNNING` or `STOPPED`.
    pub fn label(self, desired_status: &str) -> Label {
        match self {
            Self::None => Label::new(&[desired_status]),
            Self::Family(family) => Label::new(&[desired_status, "family", family]),
            Self::Group(group) => Label::new(&[desired_status, "group", group]),
            Self::LaunchType(launch_type) => Label::new(&[desired_status, "launch type", launch_type.as_str()]),
            Self::StartedBy(who) => Label::new(&[desired_status, "started by", who]),
            Self::ContainerInstance(id) => Label::new(&[desired_status, "instance", id.as_str()]),
        }
    }
}
impl Record for RunToken {}
impl Record for ContainerLog {}

/// What of a task an event would show as changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum EventFace {
    /// On Fargate, before its end: where it is, whether it is to stop, and how many of its containers have ended. The
    /// start of the containers is told with the task's.
    Living(TaskStatus, bool, usize),
    /// On Fargate: it is to stop and none of its containers runs any more. Its way to DEPROVISIONING is told at once: a
    /// task that ended by itself was seen there at version 4, and STOPPED at 5, without a load balancer.
    Ending,
    /// It has ended.
    Stopped,
    /// On a container instance, whose agent tells of each container.
    OnInstance(TaskStatus, bool, Vec<ContainerStatus>),
}

impl Task {
    /// Returns the state that the task is on its way to: RUNNING, or STOPPED once a stop was asked for.
    pub fn desired_status(&self) -> &'static str {
        if self.stop.is_some() { "STOPPED" } else { "RUNNING" }
    }

    /// Returns the kind of reason that it stops for, as the API spells it. A task that is interrupted is under notice until
    /// it has stopped.
    pub fn stop_code(&self) -> Option<&'static str> {
        match self.stop.as_ref()?.code {
            StopCode::SpotInterruption if self.last_status != TaskStatus::Stopped => Some("TerminationNotice"),
            code => code.as_str(),
        }
    }

    /// Returns whether it runs on capacity of Fargate's that can be taken back.
    pub fn is_on_spot(&self) -> bool {
        self.capacity_provider.as_deref() == Some(FARGATE_SPOT)
    }

    /// Returns how the task is doing, by its essential containers.
    pub fn health(&self) -> HealthStatus {
        let essential = self.containers.iter().filter(|container| container.is_essential);
        HealthStatus::of_task(essential.map(|one| one.health.as_ref().map_or(HealthStatus::Unknown, |h| h.status)))
    }

    /// Returns whether the task may not be taken away to have fewer tasks.
    pub fn is_protected(&self, now: Timestamp) -> bool {
        self.protected_until.is_some_and(|until| now < until)
    }

    /// Asks the task to stop, unless that has been asked already.
    pub fn stop(&mut self, stop: StopRequest) {
        self.stop.get_or_insert(stop);
    }

    /// Ends the task because its container instance was deregistered. Where an agent on another machine ran it, nobody
    /// reports on it any more; what runs here comes to its end here.
    pub fn lose_instance(&mut self, now: Timestamp) {
        if self.last_status == TaskStatus::Stopped {
            return;
        }
        self.stop(StopRequest { code: StopCode::InstanceGone, reason: DEREGISTERED.to_owned(), at: now });
        if !self.launch.has_agent() {
            return;
        }
        self.last_status = TaskStatus::Stopped;
        self.stopped_at = Some(now);
        for container in &mut self.containers {
            container.status = ContainerStatus::Stopped;
        }
    }

    pub(super) fn event_face(&self) -> EventFace {
        let (status, is_stopping) = (self.last_status, self.stop.is_some());
        if self.launch.container_instance().is_some() {
            let statuses = self.containers.iter().map(|container| container.status);
            return EventFace::OnInstance(status, is_stopping, statuses.collect());
        }
        let count = |wanted| self.containers.iter().filter(|container| container.status == wanted).count();
        match status {
            TaskStatus::Stopped => EventFace::Stopped,
            _ if is_stopping && count(ContainerStatus::Running) == 0 => EventFace::Ending,
            _ => EventFace::Living(status, is_stopping, count(ContainerStatus::Stopped)),
        }
    }
}

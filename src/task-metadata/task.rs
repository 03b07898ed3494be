//! The metadata of a task.

use std::collections::BTreeMap;

use base::Timestamp;
use serde::Serialize;
use state::ecs::{Launch, Task, TaskStatus};

use crate::container::ContainerView;
use crate::endpoint::ClockQuality;
use crate::go_json::{self, Float};
use crate::path::Version;

/// CPU units of one processor.
const CPU_UNITS_PER_PROCESSOR: f64 = 1024.0;
const MIB_PER_GIB: u64 = 1024;
/// How much more than asked for Fargate reserves: 20 GiB are shown as 20,496 MiB.
const STORAGE_OVERHEAD_MIB: u64 = 16;
const BYTES_PER_MIB: u64 = 1024 * 1024;

/// What is shown of a task, in the order of Fargate.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TaskView {
    cluster: String,
    #[serde(rename = "TaskARN")]
    task_arn: String,
    family: String,
    revision: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_name: Option<String>,
    desired_status: &'static str,
    known_status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<LimitsView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pull_started_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pull_stopped_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    execution_stopped_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    availability_zone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task_tags: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    launch_type: Option<&'static str>,
    containers: Vec<ContainerView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clock_drift: Option<ClockDriftView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ephemeral_storage_metrics: Option<StorageView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fault_injection_enabled: Option<bool>,
}

#[derive(Debug, Serialize)]
struct LimitsView {
    #[serde(rename = "CPU", skip_serializing_if = "Option::is_none")]
    processors: Option<Float>,
    #[serde(rename = "Memory", skip_serializing_if = "Option::is_none")]
    memory_mib: Option<u32>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ClockDriftView {
    clock_error_bound: Float,
    reference_timestamp: String,
    clock_synchronization_status: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct StorageView {
    utilized: u64,
    reserved: u64,
}

/// What a task's metadata shows beside its record and its containers.
pub(crate) struct Around {
    /// The time.
    pub(crate) now: Timestamp,
    /// How good it is.
    pub(crate) clock: ClockQuality,
    /// How much of its storage it uses, in bytes, if that is known.
    pub(crate) storage_used: Option<u64>,
    /// Whether its network can be made faulty.
    pub(crate) allows_fault_injection: bool,
    /// Whether its tags are shown.
    pub(crate) shows_tags: bool,
}

/// Shapes a task; older versions show less.
pub(crate) fn view(version: Version, task: &Task, containers: Vec<ContainerView>, around: &Around) -> TaskView {
    let is_v4 = version == Version::V4;
    let has_limits = task.cpu_units.is_some() || task.memory_mib.is_some();
    let tags = task.tags.iter().map(|tag| (tag.key.clone(), tag.value.clone())).collect::<BTreeMap<_, _>>();
    TaskView {
        cluster: task.cluster_arn.to_string(),
        task_arn: task.arn.to_string(),
        family: task.definition.family.to_string(),
        revision: task.definition.revision.to_string(),
        service_name: task.group.strip_prefix("service:").filter(|_| is_v4).map(str::to_owned),
        desired_status: task.desired_status(),
        known_status: known_status(task.last_status),
        limits: has_limits.then(|| LimitsView {
            processors: task.cpu_units.map(|units| Float(f64::from(units) / CPU_UNITS_PER_PROCESSOR)),
            memory_mib: task.memory_mib,
        }),
        pull_started_at: task.pull_started_at.map(go_json::time),
        pull_stopped_at: task.pull_stopped_at.map(go_json::time),
        execution_stopped_at: task.execution_stopped_at.map(go_json::time),
        availability_zone: task.availability_zone.clone(),
        task_tags: Some(tags).filter(|tags| around.shows_tags && !tags.is_empty()),
        launch_type: is_v4.then(|| launch_type(task)),
        containers,
        clock_drift: is_v4.then(|| ClockDriftView {
            clock_error_bound: Float(around.clock.error_bound_ms),
            reference_timestamp: go_json::time(around.now),
            clock_synchronization_status: match around.clock.is_synchronized {
                true => "SYNCHRONIZED",
                false => "NOT_SYNCHRONIZED",
            },
        }),
        ephemeral_storage_metrics: around.storage_used.filter(|_| is_v4).map(|used| StorageView {
            utilized: used / BYTES_PER_MIB,
            reserved: u64::from(task.ephemeral_storage_gib) * MIB_PER_GIB + STORAGE_OVERHEAD_MIB,
        }),
        fault_injection_enabled: is_v4.then_some(around.allows_fault_injection),
    }
}

fn launch_type(task: &Task) -> &'static str {
    match task.launch {
        Launch::Fargate { .. } => "FARGATE",
        Launch::Ec2 { .. } => "EC2",
        Launch::External { .. } => "EXTERNAL",
    }
}

/// The agent knows no states between those of the containers.
fn known_status(status: TaskStatus) -> &'static str {
    match status {
        TaskStatus::Provisioning => "NONE",
        TaskStatus::Pending | TaskStatus::Activating => "CREATED",
        TaskStatus::Running | TaskStatus::Deactivating | TaskStatus::Stopping => "RUNNING",
        TaskStatus::Deprovisioning | TaskStatus::Stopped => "STOPPED",
    }
}

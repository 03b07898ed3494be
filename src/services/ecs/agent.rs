//! What the agents of container instances call: where to poll, and what has become of tasks.
//!
//! On a container instance the agent is what the task controller is on Fargate: it alone says how far a task is.

use std::sync::Arc;

use api::ecs as api;
use aws_smithy_types::DateTime;
use base::{Arn, Partition, Timestamp};
use state::Cx;
use state::ecs::{
    AttachmentStatus, Cluster, Container, ContainerStatus, ExecAgent, NetworkBinding, StopCode, StopRequest, Task,
    TaskStatus,
};

use crate::{Error, Result, client, cluster, container_instance, invalid, required, task};

/// What a report is answered with. (Agents do not read it; unverified.)
const ACKNOWLEDGMENT: &str = "ACK";
/// The reason of a task whose essential container ended, unless its agent gives one.
const ESSENTIAL_EXITED: &str = "Essential container in task exited";

/// Says where an agent is to poll for its tasks. Nothing is there yet: the names are the ones that AWS gives.
pub(crate) async fn discover_poll_endpoint(
    cx: &Cx,
    input: api::DiscoverPollEndpointRequest,
) -> Result<api::DiscoverPollEndpointResponse> {
    // The model has no ClusterNotFoundException for this operation; agents look for this text under ClientException.
    let cluster = cluster::find(cx, input.cluster.as_deref()).map_err(|error| match error {
        Error::ClusterNotFound(message) => client(message),
        error => error,
    })?;
    if let Some(instance) = input.container_instance.filter(|instance| !instance.is_empty()) {
        container_instance::find(cx, &cluster, &instance)?;
    }
    let region = &cx.scope().region;
    let domain = match region.partition() {
        Partition::Aws | Partition::AwsUsGov => "amazonaws.com",
        Partition::AwsCn => "amazonaws.com.cn",
    };
    Ok(api::DiscoverPollEndpointResponse {
        endpoint: Some(format!("https://ecs-a-1.{region}.{domain}/")),
        telemetry_endpoint: Some(format!("https://ecs-t-1.{region}.{domain}/")),
        service_connect_endpoint: Some(format!("https://ecs-sc.{region}.api.aws")),
    })
}

/// Takes down what has become of a task, its containers and attachments.
pub(crate) async fn submit_task_state_change(
    cx: &Cx,
    input: api::SubmitTaskStateChangeRequest,
) -> Result<api::SubmitTaskStateChangeResponse> {
    let cluster = cluster::find(cx, input.cluster.as_deref())?;
    let known = find(cx, &cluster, input.task)?;
    let status = input.status.as_deref().map(task_status).transpose()?.flatten();
    let containers = input.containers.unwrap_or_default();
    let containers = containers.into_iter().map(|change| ContainerReport::of_task(&known, change));
    let containers = containers.collect::<Result<Vec<_>>>()?;
    let attachments = attachment_statuses(&input.attachments.unwrap_or_default())?;
    let agents = input.managed_agents.unwrap_or_default();
    let now = cx.now();
    cx.state.ecs.update_task(cx.scope(), &known.key, |task| {
        set_once(&mut task.pull_started_at, input.pull_started_at);
        set_once(&mut task.pull_stopped_at, input.pull_stopped_at);
        set_once(&mut task.execution_stopped_at, input.execution_stopped_at);
        containers.iter().for_each(|report| report.enter(task, now));
        attachments.iter().for_each(|(id, status)| attach(task, id, *status));
        agents.iter().for_each(|agent| enter_agent(task, agent, now));
        if let Some(status) = status {
            enter(task, status, input.reason.as_deref(), now);
        }
    });
    Ok(api::SubmitTaskStateChangeResponse { acknowledgment: Some(ACKNOWLEDGMENT.to_owned()) })
}

/// Takes down what has become of one container.
pub(crate) async fn submit_container_state_change(
    cx: &Cx,
    input: api::SubmitContainerStateChangeRequest,
) -> Result<api::SubmitContainerStateChangeResponse> {
    let cluster = cluster::find(cx, input.cluster.as_deref())?;
    let known = find(cx, &cluster, input.task)?;
    let change = api::ContainerStateChange {
        container_name: input.container_name,
        image_digest: None,
        runtime_id: input.runtime_id,
        exit_code: input.exit_code,
        network_bindings: input.network_bindings,
        reason: input.reason,
        status: input.status,
    };
    let report = ContainerReport::of_task(&known, change)?;
    let now = cx.now();
    cx.state.ecs.update_task(cx.scope(), &known.key, |task| report.enter(task, now));
    Ok(api::SubmitContainerStateChangeResponse { acknowledgment: Some(ACKNOWLEDGMENT.to_owned()) })
}

/// Takes down what has become of attachments: the network interfaces of tasks.
pub(crate) async fn submit_attachment_state_changes(
    cx: &Cx,
    input: api::SubmitAttachmentStateChangesRequest,
) -> Result<api::SubmitAttachmentStateChangesResponse> {
    let cluster = cluster::find(cx, input.cluster.as_deref())?;
    let changes = attachment_statuses(&required(input.attachments, "attachments")?)?;
    let tasks = cx.state.ecs.tasks_of(cx.scope(), &cluster.name).filter(|task| on_instance(task)).collect::<Vec<_>>();
    let of = |id: &str| tasks.iter().find(|task| task.eni.as_ref().is_some_and(|eni| eni.attachment_id == id));
    let mut found = Vec::new();
    for (id, status) in changes {
        let task = of(&id).ok_or_else(|| invalid(format!("The referenced attachment {id} was not found.")))?;
        found.push((task.key.clone(), id, status));
    }
    for (key, id, status) in found {
        cx.state.ecs.update_task(cx.scope(), &key, |task| attach(task, &id, status));
    }
    Ok(api::SubmitAttachmentStateChangesResponse { acknowledgment: Some(ACKNOWLEDGMENT.to_owned()) })
}

/// What an agent says of a container.
struct ContainerReport {
    name: String,
    status: Option<ContainerStatus>,
    change: api::ContainerStateChange,
}

impl ContainerReport {
    fn of_task(task: &Task, change: api::ContainerStateChange) -> Result<Self> {
        let name = change.container_name.clone().unwrap_or_default();
        if !task.containers.iter().any(|container| container.name == name) {
            // Text unverified.
            return Err(invalid(format!("The referenced container {name} was not found.")));
        }
        let status = change.status.as_deref().map(container_status).transpose()?.flatten();
        Ok(Self { name, status, change })
    }

    /// Writes it into the task. Nothing goes back: an ended container stays ended.
    fn enter(&self, task: &mut Task, now: Timestamp) {
        let Some(container) = task.containers.iter_mut().find(|container| container.name == self.name) else { return };
        let Container { agent_runtime_id, image_digest, reason, exit_code, .. } = container;
        replace(agent_runtime_id, &self.change.runtime_id);
        replace(image_digest, &self.change.image_digest);
        replace(reason, &self.change.reason);
        *exit_code = self.change.exit_code.or(*exit_code);
        if let Some(bindings) = &self.change.network_bindings {
            container.network_bindings = bindings.iter().map(network_binding).collect();
        }
        match self.status {
            Some(ContainerStatus::Running) if container.status == ContainerStatus::Pending => {
                container.status = ContainerStatus::Running;
                container.started_at.get_or_insert(now);
            }
            Some(ContainerStatus::Stopped) if container.status != ContainerStatus::Stopped => {
                container.status = ContainerStatus::Stopped;
                container.finished_at = Some(now);
                if let Some(agent) = &mut container.exec_agent {
                    // It ends with its container.
                    "STOPPED".clone_into(&mut agent.status);
                }
                if container.is_essential && container.started_at.is_some() {
                    task.execution_stopped_at.get_or_insert(now);
                    task.stop(StopRequest {
                        code: StopCode::EssentialContainerExited,
                        reason: ESSENTIAL_EXITED.to_owned(),
                        at: now,
                    });
                }
            }
            Some(ContainerStatus::Pending | ContainerStatus::Running | ContainerStatus::Stopped) | None => {}
        }
    }
}

/// Brings a task on to a status. It never goes back, and what stopped it first stands.
fn enter(task: &mut Task, status: TaskStatus, reason: Option<&str>, now: Timestamp) {
    if status <= task.last_status {
        return;
    }
    task.last_status = status;
    if status == TaskStatus::Running {
        task.started_at.get_or_insert(now);
    }
    if status < TaskStatus::Stopped {
        return;
    }
    let has_started = task.started_at.is_some();
    let code = if has_started { StopCode::EssentialContainerExited } else { StopCode::TaskFailedToStart };
    let given = reason.filter(|reason| !reason.is_empty());
    let reason = given.unwrap_or(if has_started { ESSENTIAL_EXITED } else { "Task failed to start" }).to_owned();
    task.stop(StopRequest { code, reason, at: now });
    task.stopped_at = Some(now);
    if has_started {
        task.execution_stopped_at.get_or_insert(now);
    }
    for container in &mut task.containers {
        container.status = ContainerStatus::Stopped;
    }
    if let Some(eni) = &mut task.eni {
        eni.status = AttachmentStatus::Deleted;
    }
}

fn attach(task: &mut Task, id: &str, status: AttachmentStatus) {
    if let Some(eni) = task.eni.as_mut().filter(|eni| eni.attachment_id == id) {
        eni.status = status;
    }
}

fn enter_agent(task: &mut Task, change: &api::ManagedAgentStateChange, now: Timestamp) {
    let name = change.container_name.as_ref();
    let Some(container) = task.containers.iter_mut().find(|container| Some(&container.name) == name) else { return };
    let status = change.status.clone().unwrap_or_default();
    let before = container.exec_agent.take().and_then(|agent| agent.started_at);
    let started_at = if status == "RUNNING" { Some(now) } else { before };
    container.exec_agent = Some(ExecAgent { status, reason: change.reason.clone(), started_at });
}

/// Finds the task that an agent reports on. One on Fargate has no agent that calls here.
fn find(cx: &Cx, cluster: &Cluster, reference: Option<String>) -> Result<Arc<Task>> {
    let key = task::parse_reference(cx, cluster, &required(reference, "task")?)?;
    let task = cx.state.ecs.tasks.get(cx.scope(), &key).filter(|task| on_instance(task));
    task.ok_or_else(|| invalid("The referenced task was not found."))
}

fn on_instance(task: &Task) -> bool {
    task.launch.has_agent()
}

/// Reads a status of the agent's; none for one that a task's record does not show.
fn task_status(status: &str) -> Result<Option<TaskStatus>> {
    Ok(Some(match status {
        "NONE" | "MANIFEST_PULLED" | "CREATED" => return Ok(None),
        "PENDING" => TaskStatus::Pending,
        "ACTIVATING" => TaskStatus::Activating,
        "RUNNING" => TaskStatus::Running,
        "DEACTIVATING" => TaskStatus::Deactivating,
        "STOPPING" => TaskStatus::Stopping,
        "DEPROVISIONING" => TaskStatus::Deprovisioning,
        "STOPPED" => TaskStatus::Stopped,
        _ => return Err(invalid(format!("Invalid status: {status}"))),
    }))
}

fn container_status(status: &str) -> Result<Option<ContainerStatus>> {
    Ok(Some(match status {
        "NONE" | "MANIFEST_PULLED" | "PULLED" | "CREATED" | "RESOURCES_PROVISIONED" => return Ok(None),
        "PENDING" => ContainerStatus::Pending,
        "RUNNING" => ContainerStatus::Running,
        "STOPPED" => ContainerStatus::Stopped,
        _ => return Err(invalid(format!("Invalid status: {status}"))),
    }))
}

/// Reads changes of attachments: the id at the end of the ARN, and the status.
fn attachment_statuses(changes: &[api::AttachmentStateChange]) -> Result<Vec<(String, AttachmentStatus)>> {
    let read = |change: &api::AttachmentStateChange| {
        let arn = change.attachment_arn.as_deref().and_then(Arn::parse);
        let arn = arn.ok_or_else(|| invalid("The ARN provided is invalid."))?;
        let path = arn.resource_of("attachment").ok_or_else(|| invalid("The ARN provided is invalid."))?;
        let status = match change.status.as_deref().unwrap_or_default() {
            "PRECREATED" | "CREATED" => AttachmentStatus::Precreated,
            "ATTACHING" => AttachmentStatus::Attaching,
            "ATTACHED" => AttachmentStatus::Attached,
            "DETACHING" => AttachmentStatus::Detaching,
            "DETACHED" | "DELETED" => AttachmentStatus::Deleted,
            status => return Err(invalid(format!("Invalid status: {status}"))),
        };
        Ok((path.rsplit('/').next().unwrap_or_default().to_owned(), status))
    };
    changes.iter().map(read).collect()
}

fn network_binding(binding: &api::NetworkBinding) -> NetworkBinding {
    NetworkBinding {
        bind_ip: binding.bind_ip.clone(),
        container_port: binding.container_port,
        host_port: binding.host_port,
        protocol: binding.protocol.as_ref().map(ToString::to_string),
        container_port_range: binding.container_port_range.clone(),
        host_port_range: binding.host_port_range.clone(),
    }
}

fn set_once(field: &mut Option<Timestamp>, given: Option<DateTime>) {
    if let (None, Some(at)) = (&field, given.and_then(|at| at.to_millis().ok())) {
        *field = Some(Timestamp::from_millis(at));
    }
}

fn replace(field: &mut Option<String>, given: &Option<String>) {
    if let Some(given) = given.as_ref().filter(|given| !given.is_empty()) {
        *field = Some(given.clone());
    }
}

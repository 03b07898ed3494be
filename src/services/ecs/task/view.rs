//! A task as responses show it.

use api::ecs as api;
use state::ecs::{AttachmentStatus, Container, Eni, ExecAgent, HealthStatus, Launch, NetworkBinding, Task, TaskStatus};

use crate::{document, tags};

/// Shapes a task; its tags only if they were asked for.
pub(super) fn task(task: &Task, shows_tags: bool) -> api::Task {
    let fargate = fargate(task);
    let overrides = task.overrides.document.as_ref().map_or_else(|| no_overrides(task), document::read);
    let connectivity = task.connectivity_at.map(|_| match task.last_status {
        TaskStatus::Stopped => api::Connectivity::Disconnected,
        _ => api::Connectivity::Connected,
    });
    api::Task {
        attachments: Some(task.eni.iter().map(attachment).chain(volume_attachments(task)).collect()),
        attributes: Some(vec![architecture()]),
        availability_zone: task.availability_zone.clone(),
        capacity_provider_name: task.capacity_provider.clone(),
        cluster_arn: Some(task.cluster_arn.to_string()),
        connectivity,
        connectivity_at: task.connectivity_at.map(Into::into),
        container_instance_arn: container_instance_arn(task),
        containers: Some(task.containers.iter().map(|each| container(task, each)).collect()),
        cpu: task.cpu_units.map(|units| units.to_string()),
        created_at: Some(task.created_at.into()),
        desired_status: Some(task.desired_status().to_owned()),
        enable_execute_command: Some(task.is_exec_enabled),
        execution_stopped_at: task.execution_stopped_at.map(Into::into),
        group: Some(task.group.clone()),
        health_status: Some(health(task.health())),
        inference_accelerators: None,
        last_status: Some(task.last_status.as_str().to_owned()),
        launch_type: Some(match task.launch {
            Launch::Fargate { .. } => api::LaunchType::Fargate,
            Launch::Ec2 { .. } => api::LaunchType::Ec2,
            Launch::External { .. } => api::LaunchType::External,
        }),
        memory: task.memory_mib.map(|mib| mib.to_string()),
        overrides: Some(overrides),
        platform_version: fargate.platform_version,
        platform_family: fargate.platform_family,
        pull_started_at: task.pull_started_at.map(Into::into),
        pull_stopped_at: task.pull_stopped_at.map(Into::into),
        started_at: task.started_at.map(Into::into),
        started_by: task.started_by.clone(),
        stop_code: task.stop_code().map(api::TaskStopCode::from),
        stopped_at: task.stopped_at.map(Into::into),
        stopped_reason: task.stop.as_ref().map(|stop| stop.reason.clone()),
        stopping_at: task.stop.as_ref().map(|stop| stop.at.into()),
        tags: Some(if shows_tags { tags::view(&task.tags) } else { Vec::new() }),
        task_arn: Some(task.arn.to_string()),
        task_definition_arn: Some(task.definition_arn.to_string()),
        version: Some(task.version),
        ephemeral_storage: fargate.ephemeral_storage,
        fargate_ephemeral_storage: fargate.fargate_ephemeral_storage,
    }
}

/// Returns the members that only tasks on Fargate have, and none of them for others.
fn fargate(task: &Task) -> api::Task {
    let Launch::Fargate { platform_version } = &task.launch else { return api::Task::default() };
    let storage = i32::try_from(task.ephemeral_storage_gib).ok();
    api::Task {
        platform_version: Some(platform_version.clone()),
        platform_family: Some("Linux".to_owned()),
        ephemeral_storage: Some(api::EphemeralStorage { size_in_gi_b: storage }),
        fargate_ephemeral_storage: Some(api::TaskEphemeralStorage { size_in_gi_b: storage, kms_key_id: None }),
        ..api::Task::default()
    }
}

/// Builds the ARN from the cluster's, whose form it shares.
fn container_instance_arn(task: &Task) -> Option<String> {
    let id = task.launch.container_instance()?;
    let (of_account, _) = task.cluster_arn.as_str().split_once(":cluster/")?;
    Some(format!("{of_account}:container-instance/{}/{id}", task.key.cluster))
}

/// The processor that this server runs on is the one that tasks get.
fn architecture() -> api::Attribute {
    let name = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };
    api::Attribute {
        name: Some("ecs.cpu-architecture".to_owned()),
        value: Some(name.to_owned()),
        ..api::Attribute::default()
    }
}

/// The overrides of a task that a service started: an entry a container that changes nothing.
fn no_overrides(task: &Task) -> api::TaskOverride {
    let entry = |container: &Container| api::ContainerOverride {
        name: Some(container.name.clone()),
        ..api::ContainerOverride::default()
    };
    api::TaskOverride {
        container_overrides: Some(task.containers.iter().map(entry).collect()),
        inference_accelerator_overrides: Some(Vec::new()),
        ..api::TaskOverride::default()
    }
}

/// The attachment of the network interface. Its details fill in as the interface comes to be.
fn attachment(eni: &Eni) -> api::Attachment {
    api::Attachment {
        id: Some(eni.attachment_id.clone()),
        r#type: Some("ElasticNetworkInterface".to_owned()),
        status: Some(eni.status.as_str().to_owned()),
        details: Some(eni.details().filter_map(|(name, value)| detail((name, Some(value)))).collect()),
    }
}

fn detail((name, value): (&str, Option<String>)) -> Option<api::KeyValuePair> {
    value.map(|value| api::KeyValuePair { name: Some(name.to_owned()), value: Some(value) })
}

/// The attachments of the volumes that were made for the task. (What they tell is the API's documentation; when their status
/// changes, and the order of the details, is unverified.) A task has one such volume at most, so that ids which follow from
/// the task's are nobody else's.
fn volume_attachments(task: &Task) -> impl Iterator<Item = api::Attachment> {
    let id = task.key.id.as_str();
    let status = match task.last_status {
        TaskStatus::Provisioning => AttachmentStatus::Precreated,
        TaskStatus::Pending
        | TaskStatus::Activating
        | TaskStatus::Running
        | TaskStatus::Deactivating
        | TaskStatus::Stopping => AttachmentStatus::Attached,
        TaskStatus::Deprovisioning => AttachmentStatus::Detaching,
        TaskStatus::Stopped => AttachmentStatus::Deleted,
    };
    let is_made = task.last_status != TaskStatus::Provisioning;
    task.volumes.iter().map(move |volume| {
        let details = [
            ("roleArn", volume.role.clone()),
            ("volumeName", Some(volume.name.clone())),
            ("deleteOnTermination", Some((!volume.outlives_task).to_string())),
            ("volumeId", is_made.then(|| format!("vol-0{}", id.get(id.len().saturating_sub(16)..).unwrap_or(id)))),
        ];
        api::Attachment {
            id: Some(volume_attachment_id(id)),
            r#type: Some("AmazonElasticBlockStorage".to_owned()),
            status: Some(status.as_str().to_owned()),
            details: Some(details.into_iter().filter_map(detail).collect()),
        }
    })
}

/// Puts the digits of a task's id into the form of an attachment's.
fn volume_attachment_id(task: &str) -> String {
    let bits = u128::from_str_radix(task, 16).unwrap_or_default().rotate_left(64);
    let hex = format!("{bits:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

fn container(task: &Task, container: &Container) -> api::Container {
    let address = task.eni.as_ref().and_then(|eni| Some((eni, eni.address?)));
    let interface = address.map(|(eni, address)| api::NetworkInterface {
        attachment_id: Some(eni.attachment_id.clone()),
        private_ipv4_address: Some(address.to_string()),
        ipv6_address: None,
    });
    api::Container {
        container_arn: Some(container.arn.to_string()),
        task_arn: Some(task.arn.to_string()),
        name: Some(container.name.clone()),
        image: Some(container.image.clone()),
        image_digest: container.image_digest.clone(),
        runtime_id: match &task.launch {
            Launch::Fargate { .. } | Launch::Ec2 { is_local: true, .. } => {
                container.started_at.map(|_| container.id.to_string())
            }
            Launch::Ec2 { .. } | Launch::External { .. } => container.agent_runtime_id.clone(),
        },
        last_status: Some(container.status.as_str().to_owned()),
        exit_code: container.exit_code,
        reason: container.reason.clone(),
        network_bindings: Some(container.network_bindings.iter().map(network_binding).collect()),
        network_interfaces: Some(interface.into_iter().collect()),
        health_status: Some(health(container.health.as_ref().map_or(HealthStatus::Unknown, |health| health.status))),
        managed_agents: managed_agent(task, container).map(|agent| vec![agent]),
        cpu: Some(container.cpu_units.to_string()),
        memory: container.memory_mib.map(|mib| mib.to_string()),
        memory_reservation: container.memory_reservation_mib.map(|mib| mib.to_string()),
        gpu_ids: None,
    }
}

fn health(status: HealthStatus) -> api::HealthStatus {
    match status {
        HealthStatus::Unknown => api::HealthStatus::Unknown,
        HealthStatus::Healthy => api::HealthStatus::Healthy,
        HealthStatus::Unhealthy => api::HealthStatus::Unhealthy,
    }
}

fn network_binding(binding: &NetworkBinding) -> api::NetworkBinding {
    api::NetworkBinding {
        bind_ip: binding.bind_ip.clone(),
        container_port: binding.container_port,
        host_port: binding.host_port,
        protocol: binding.protocol.as_deref().map(api::TransportProtocol::from),
        container_port_range: binding.container_port_range.clone(),
        host_port_range: binding.host_port_range.clone(),
    }
}

/// The agent of ECS Exec. On Fargate it is there for as long as the container runs; elsewhere it is as it was reported.
fn managed_agent(task: &Task, container: &Container) -> Option<api::ManagedAgent> {
    let agent = match (&task.launch, &container.exec_agent) {
        (Launch::Fargate { .. }, _) if task.is_exec_enabled => &ExecAgent {
            status: container.status.as_str().to_owned(),
            reason: None,
            started_at: container.restarted_at.or(container.started_at),
        },
        (_, Some(reported)) => reported,
        (_, None) => return None,
    };
    Some(api::ManagedAgent {
        last_started_at: agent.started_at.map(Into::into),
        name: Some(api::ManagedAgentName::ExecuteCommandAgent),
        reason: agent.reason.clone(),
        last_status: Some(agent.status.clone()),
    })
}

//! What Fargate does not have, or asks for.

use api::ecs as api;

use super::{container, logging, size};
use crate::{Result, client};

/// How long a container may take to start, where others wait for it, and to stop, in seconds.
const TIMEOUT_S: std::ops::RangeInclusive<i32> = 2..=120;

/// Checks a definition against Fargate's rules.
pub(super) fn check(
    input: &api::RegisterTaskDefinitionRequest,
    cpu_units: Option<u32>,
    memory_mib: Option<u32>,
) -> Result<()> {
    if input.network_mode != Some(api::NetworkMode::Awsvpc) {
        // The quotation marks are AWS's own.
        return Err(client("Fargate only supports network mode ‘awsvpc’."));
    }
    let family = input.runtime_platform.as_ref().and_then(|platform| platform.operating_system_family.as_ref());
    size::fargate(cpu_units, memory_mib, family)?;
    if input.ipc_mode.is_some() {
        return Err(unsupported("ipcMode"));
    }
    if input.pid_mode == Some(api::PidMode::Host) {
        return Err(client(
            "Tasks using the Fargate launch type do not support pidMode 'host'. The supported value for pidMode is \
             'task'.",
        ));
    }
    if input.placement_constraints.as_ref().is_some_and(|list| !list.is_empty()) {
        return Err(unsupported("constraints"));
    }
    if input.inference_accelerators.as_ref().is_some_and(|list| !list.is_empty()) {
        return Err(client("Unsupported field 'inferenceAccelerators'"));
    }
    for volume in input.volumes.iter().flatten() {
        if volume.host.as_ref().is_some_and(|host| host.source_path.is_some()) {
            return Err(unsupported("sourcePath"));
        }
        if volume.docker_volume_configuration.is_some() {
            return Err(unsupported("dockerVolumeConfiguration"));
        }
    }
    for definition in input.container_definitions.iter().flatten() {
        of_container(definition)?;
        logging::check_fargate(input, definition)?;
        if container::is_ecr_image(definition) && input.execution_role_arn.is_none() {
            return Err(client("Fargate requires task definition to have execution role ARN to support ECR images."));
        }
    }
    Ok(())
}

fn of_container(container: &api::ContainerDefinition) -> Result<()> {
    if container.privileged == Some(true) {
        return Err(client("Fargate requires that the 'privileged' setting be 'false'"));
    }
    let wants_gpu = |requirement: &api::ResourceRequirement| requirement.r#type == Some(api::ResourceType::Gpu);
    if container.resource_requirements.iter().flatten().any(wants_gpu) {
        return Err(client("Tasks using the Fargate launch type do not support GPU resource requirements"));
    }
    if container.docker_security_options.as_ref().is_some_and(|list| !list.is_empty()) {
        return Err(unsupported("dockerSecurityOptions"));
    }
    for (member, timeout) in [("startTimeout", container.start_timeout), ("stopTimeout", container.stop_timeout)] {
        if timeout.is_some_and(|timeout| !TIMEOUT_S.contains(&timeout)) {
            // Text unverified; the rule is the ContainerDefinition shape's documentation.
            let (min, max) = (TIMEOUT_S.start(), TIMEOUT_S.end());
            return Err(client(format!("Fargate requires that '{member}' be between {min} and {max} seconds")));
        }
    }
    let Some(linux) = &container.linux_parameters else { return Ok(()) };
    let refused = [
        (linux.devices.as_ref().is_some_and(|list| !list.is_empty()), "devices"),
        (linux.shared_memory_size.is_some(), "sharedMemorySize"),
        (linux.max_swap.is_some(), "maxSwap"),
        (linux.swappiness.is_some(), "swappiness"),
    ];
    if let Some((_, member)) = refused.into_iter().find(|(is_set, _)| *is_set) {
        return Err(unsupported(member));
    }
    let added = linux.capabilities.as_ref().and_then(|capabilities| capabilities.add.as_ref());
    match added.into_iter().flatten().find(|name| *name != "SYS_PTRACE") {
        // Text unverified; the rule is the KernelCapabilities shape's documentation.
        Some(_) => Err(client("Fargate only supports adding the SYS_PTRACE kernel capability")),
        None => Ok(()),
    }
}

fn unsupported(member: &str) -> crate::Error {
    client(format!("Fargate compatible task definitions do not support {member}"))
}

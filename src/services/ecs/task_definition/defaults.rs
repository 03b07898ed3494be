//! What the service fills in: responses show more than requests hold, and Terraform compares.

use api::ecs as api;

/// The health check's defaults, in seconds and times.
const HEALTH_INTERVAL_S: i32 = 30;
const HEALTH_TIMEOUT_S: i32 = 5;
const HEALTH_RETRIES: i32 = 3;

/// Shapes a request as the definition that responses show: defaults filled in, what was not sent absent.
pub(super) fn fill(
    input: api::RegisterTaskDefinitionRequest,
    cpu_units: Option<u32>,
    memory_mib: Option<u32>,
) -> api::TaskDefinition {
    let has_own_interface = matches!(input.network_mode, Some(api::NetworkMode::Awsvpc | api::NetworkMode::Host));
    let containers = input.container_definitions.unwrap_or_default();
    let volumes = input.volumes.unwrap_or_default();
    api::TaskDefinition {
        container_definitions: Some(containers.into_iter().map(|c| container(c, has_own_interface)).collect()),
        family: input.family,
        task_role_arn: input.task_role_arn,
        execution_role_arn: input.execution_role_arn,
        network_mode: input.network_mode,
        volumes: Some(volumes.into_iter().map(volume).collect()),
        placement_constraints: Some(input.placement_constraints.unwrap_or_default()),
        runtime_platform: input.runtime_platform,
        requires_compatibilities: input.requires_compatibilities.filter(|list| !list.is_empty()),
        cpu: cpu_units.map(|units| units.to_string()),
        memory: memory_mib.map(|mib| mib.to_string()),
        inference_accelerators: input.inference_accelerators,
        pid_mode: input.pid_mode,
        ipc_mode: input.ipc_mode,
        proxy_configuration: input.proxy_configuration,
        ephemeral_storage: input.ephemeral_storage,
        enable_fault_injection: Some(input.enable_fault_injection.unwrap_or(false)),
        ..api::TaskDefinition::default()
    }
}

fn container(mut container: api::ContainerDefinition, has_own_interface: bool) -> api::ContainerDefinition {
    container.cpu.get_or_insert(0);
    container.essential.get_or_insert(true);
    container.environment.get_or_insert_default();
    container.mount_points.get_or_insert_default();
    container.volumes_from.get_or_insert_default();
    container.system_controls.get_or_insert_default();
    for port in container.port_mappings.get_or_insert_default() {
        port.protocol.get_or_insert(api::TransportProtocol::Tcp);
        if has_own_interface {
            // An absent or zero host port is the container's own.
            if port.host_port.unwrap_or(0) == 0 {
                port.host_port = port.container_port;
            }
        } else if port.container_port.is_some() {
            port.host_port.get_or_insert(0);
        }
    }
    if let Some(check) = &mut container.health_check {
        check.interval.get_or_insert(HEALTH_INTERVAL_S);
        check.timeout.get_or_insert(HEALTH_TIMEOUT_S);
        check.retries.get_or_insert(HEALTH_RETRIES);
    }
    container
}

/// A volume without any configuration is a bind mount of a folder that the platform chooses.
fn volume(mut volume: api::Volume) -> api::Volume {
    let has_configuration = volume.host.is_some()
        || volume.docker_volume_configuration.is_some()
        || volume.efs_volume_configuration.is_some()
        || volume.s3files_volume_configuration.is_some()
        || volume.fsx_windows_file_server_volume_configuration.is_some()
        || volume.configured_at_launch == Some(true);
    if !has_configuration {
        volume.host = Some(api::HostVolumeProperties::default());
    }
    if let Some(efs) = &mut volume.efs_volume_configuration {
        efs.root_directory.get_or_insert_with(|| "/".to_owned());
    }
    volume
}

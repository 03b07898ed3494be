//! The fields of a definition that behaviour needs.

use std::collections::BTreeMap;

use api::ecs as api;
use state::ecs::{AwsLogs, ContainerDefinition, KeyValue, LogConfiguration, NetworkMode, Ports};

/// Reads the network mode; an absent one behaves as bridge.
pub(super) fn network_mode(mode: Option<&api::NetworkMode>) -> NetworkMode {
    match mode {
        Some(api::NetworkMode::Awsvpc) => NetworkMode::Awsvpc,
        Some(api::NetworkMode::Host) => NetworkMode::Host,
        Some(api::NetworkMode::None) => NetworkMode::None,
        Some(api::NetworkMode::Bridge | api::NetworkMode::Other(_)) | None => NetworkMode::Bridge,
    }
}

/// Reads the size of the ephemeral storage.
pub(super) fn ephemeral_storage_gib(storage: Option<&api::EphemeralStorage>) -> Option<u32> {
    storage.and_then(|storage| positive(storage.size_in_gi_b))
}

/// Reads what of a container acts; the defaults are filled in already.
pub(super) fn container(container: &api::ContainerDefinition, mode: NetworkMode) -> ContainerDefinition {
    ContainerDefinition {
        name: container.name.clone().unwrap_or_default(),
        image: container.image.clone().unwrap_or_default(),
        cpu_units: positive(container.cpu).unwrap_or(0),
        memory_mib: positive(container.memory),
        memory_reservation_mib: positive(container.memory_reservation),
        is_essential: container.essential.unwrap_or(true),
        entry_point: container.entry_point.clone().filter(|list| !list.is_empty()),
        command: container.command.clone().filter(|list| !list.is_empty()),
        environment: environment(container.environment.as_deref()),
        working_directory: container.working_directory.clone(),
        user: container.user.clone(),
        is_root_read_only: container.readonly_root_filesystem.unwrap_or(false),
        stop_timeout_s: positive(container.stop_timeout),
        log: container.log_configuration.as_ref().map(log),
        has_health_check: container.health_check.is_some(),
        host_ports: host_ports(container, mode),
        gpus: gpus(container.resource_requirements.as_deref()).unwrap_or(0),
    }
}

/// Reads the ports that are asked of the machine. Ports of 0 are the agent's to choose.
fn host_ports(container: &api::ContainerDefinition, mode: NetworkMode) -> Ports {
    let mut ports = Ports::default();
    if matches!(mode, NetworkMode::Awsvpc | NetworkMode::None) {
        return ports;
    }
    for mapping in container.port_mappings.iter().flatten() {
        let Some(port) = mapping.host_port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0) else {
            continue;
        };
        match mapping.protocol {
            Some(api::TransportProtocol::Udp) => ports.udp.insert(port),
            Some(api::TransportProtocol::Tcp | api::TransportProtocol::Other(_)) | None => ports.tcp.insert(port),
        };
    }
    ports
}

/// Reads how many GPUs are asked for; none if the requirements say nothing of them.
pub(crate) fn gpus(requirements: Option<&[api::ResourceRequirement]>) -> Option<u32> {
    let gpus = |requirement: &&api::ResourceRequirement| requirement.r#type == Some(api::ResourceType::Gpu);
    requirements?.iter().find(gpus)?.value.as_deref()?.parse().ok()
}

/// Reads environment variables; the model lets name and value be absent.
pub(crate) fn environment(pairs: Option<&[api::KeyValuePair]>) -> Vec<KeyValue> {
    let read = |pair: &api::KeyValuePair| KeyValue {
        name: pair.name.clone().unwrap_or_default(),
        value: pair.value.clone().unwrap_or_default(),
    };
    pairs.unwrap_or_default().iter().map(read).filter(|pair| !pair.name.is_empty()).collect()
}

fn log(configuration: &api::LogConfiguration) -> LogConfiguration {
    let none = BTreeMap::new();
    let options = configuration.options.as_ref().unwrap_or(&none);
    let option = |name: &str| options.get(name).cloned();
    match configuration.log_driver.as_ref() {
        Some(api::LogDriver::Awslogs) => LogConfiguration::AwsLogs(AwsLogs {
            group: option("awslogs-group").unwrap_or_default(),
            region: option("awslogs-region").unwrap_or_default(),
            stream_prefix: option("awslogs-stream-prefix").filter(|prefix| !prefix.is_empty()),
            creates_group: option("awslogs-create-group").as_deref() == Some("true"),
        }),
        driver => LogConfiguration::Other { driver: driver.map(ToString::to_string).unwrap_or_default() },
    }
}

fn positive(number: Option<i32>) -> Option<u32> {
    number.and_then(|number| u32::try_from(number).ok())
}

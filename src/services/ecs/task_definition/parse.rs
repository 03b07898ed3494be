//! The fields of a definition that behaviour needs.

use api::ecs as api;
use state::ecs::{
    ContainerDefinition, CpuArchitecture, HealthCheck, KeyValue, Link, NetworkMode, PortMapping, Ports, RestartPolicy,
    Secret, TmpfsMount, Ulimit,
};

/// How long a container must have run to be started again, unless its definition says, in seconds. (ContainerRestartPolicy)
const RESTART_PERIOD_DEFAULT_S: u32 = 300;
/// What of a health check is not said: the defaults are filled in before, but for the start period.
const START_PERIOD_DEFAULT_S: u32 = 0;

use super::{logging, volume};

/// Reads the network mode; an absent one behaves as bridge.
pub(super) fn network_mode(mode: Option<&api::NetworkMode>) -> NetworkMode {
    match mode {
        Some(api::NetworkMode::Awsvpc) => NetworkMode::Awsvpc,
        Some(api::NetworkMode::Host) => NetworkMode::Host,
        Some(api::NetworkMode::None) => NetworkMode::None,
        Some(api::NetworkMode::Bridge | api::NetworkMode::Other(_)) | None => NetworkMode::Bridge,
    }
}

/// Reads which processors the images are made for.
pub(super) fn cpu_architecture(platform: Option<&api::RuntimePlatform>) -> Option<CpuArchitecture> {
    match platform?.cpu_architecture.as_ref()? {
        api::CPUArchitecture::X8664 => Some(CpuArchitecture::X86_64),
        api::CPUArchitecture::Arm64 => Some(CpuArchitecture::Arm64),
        api::CPUArchitecture::Other(_) => None,
    }
}

/// Reads the size of the ephemeral storage.
pub(super) fn ephemeral_storage_gib(storage: Option<&api::EphemeralStorage>) -> Option<u32> {
    storage.and_then(|storage| positive(storage.size_in_gi_b))
}

/// Reads what of a container acts; the defaults are filled in already.
pub(super) fn container(container: &api::ContainerDefinition, mode: NetworkMode) -> ContainerDefinition {
    let linux = container.linux_parameters.as_ref();
    let capabilities = linux.and_then(|linux| linux.capabilities.as_ref());
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
        log: container.log_configuration.as_ref().map(logging::log),
        log_router: container.firelens_configuration.as_ref().and_then(logging::log_router),
        health_check: container.health_check.as_ref().and_then(health_check),
        depends_on: Vec::new(),
        start_timeout_s: positive(container.start_timeout).filter(|seconds| *seconds > 0),
        restart_policy: container.restart_policy.as_ref().and_then(restart_policy),
        secrets: container.secrets.iter().flatten().map(secret).collect(),
        environment_files: container.environment_files.iter().flatten().filter_map(|file| file.value.clone()).collect(),
        repository_credentials: container.repository_credentials.as_ref().and_then(|c| c.credentials_parameter.clone()),
        docker_labels: container.docker_labels.iter().flatten().map(|(name, value)| pair(name, value)).collect(),
        mount_points: volume::mount_points(container),
        volumes_from: volume::volumes_from(container),
        tmpfs: linux.iter().flat_map(|linux| linux.tmpfs.iter().flatten()).map(tmpfs).collect(),
        capabilities_added: capabilities.and_then(|capabilities| capabilities.add.clone()).unwrap_or_default(),
        capabilities_dropped: capabilities.and_then(|capabilities| capabilities.drop.clone()).unwrap_or_default(),
        has_init: linux.is_some_and(|linux| linux.init_process_enabled == Some(true)),
        ulimits: container.ulimits.iter().flatten().filter_map(ulimit).collect(),
        system_controls: container.system_controls.iter().flatten().filter_map(system_control).collect(),
        port_mappings: port_mappings(container, mode),
        links: container.links.iter().flatten().map(|text| link(text)).collect(),
        extra_hosts: container.extra_hosts.iter().flatten().filter_map(extra_host).collect(),
        host_ports: host_ports(container, mode),
        gpus: gpus(container.resource_requirements.as_deref()).unwrap_or(0),
    }
}

/// Reads a health check; one that is `NONE` is none.
fn health_check(check: &api::HealthCheck) -> Option<HealthCheck> {
    let (form, rest) = check.command.as_deref()?.split_first()?;
    let shell = ["/bin/sh".to_owned(), "-c".to_owned()];
    let command = match form.as_str() {
        "CMD" => rest.to_vec(),
        "CMD-SHELL" => shell.iter().chain(rest).cloned().collect(),
        _ => return None,
    };
    Some(HealthCheck {
        command,
        interval_s: positive(check.interval)?,
        timeout_s: positive(check.timeout)?,
        retries: positive(check.retries)?,
        start_period_s: positive(check.start_period).unwrap_or(START_PERIOD_DEFAULT_S),
    })
}

fn restart_policy(policy: &api::ContainerRestartPolicy) -> Option<RestartPolicy> {
    (policy.enabled == Some(true)).then(|| RestartPolicy {
        ignored_exit_codes: policy.ignored_exit_codes.clone().unwrap_or_default(),
        attempt_period_s: positive(policy.restart_attempt_period).unwrap_or(RESTART_PERIOD_DEFAULT_S),
    })
}

pub(super) fn secret(secret: &api::Secret) -> Secret {
    Secret { name: secret.name.clone().unwrap_or_default(), value_from: secret.value_from.clone().unwrap_or_default() }
}

fn tmpfs(tmpfs: &api::Tmpfs) -> TmpfsMount {
    TmpfsMount {
        path: tmpfs.container_path.clone().unwrap_or_default(),
        size_mib: positive(tmpfs.size).unwrap_or(0),
        options: tmpfs.mount_options.clone().unwrap_or_default(),
    }
}

/// Reads a limit; -1 is without limit.
fn ulimit(limit: &api::Ulimit) -> Option<Ulimit> {
    let bound = |number: Option<i32>| number.and_then(|number| u64::try_from(number).ok());
    let name = limit.name.as_ref()?.to_string();
    Some(Ulimit { name, soft: bound(limit.soft_limit), hard: bound(limit.hard_limit) })
}

fn system_control(control: &api::SystemControl) -> Option<KeyValue> {
    Some(pair(control.namespace.as_ref()?, control.value.as_ref()?))
}

fn pair(name: &str, value: &str) -> KeyValue {
    KeyValue { name: name.to_owned(), value: value.to_owned() }
}

/// Reads `name` or `name:alias`.
pub(super) fn link(text: &str) -> Link {
    let (container, alias) = text.split_once(':').map_or((text, None), |(name, alias)| (name, Some(alias.to_owned())));
    Link { container: container.to_owned(), alias }
}

fn extra_host(host: &api::HostEntry) -> Option<KeyValue> {
    Some(pair(host.hostname.as_ref()?, host.ip_address.as_ref()?))
}

/// Reads a range of ports, `first-last`.
pub(super) fn port_range(range: &str) -> Option<(u16, u16)> {
    let (first, last) = range.split_once('-')?;
    Some((first.trim().parse().ok().filter(|port| *port > 0)?, last.trim().parse().ok()?))
}

/// Reads the ports that are the machine's, too. In its own network a container's port is the machine's. With an interface of
/// its own a task has none: the ECS agent reports no bindings then, not those of ranges either.
fn port_mappings(container: &api::ContainerDefinition, mode: NetworkMode) -> Vec<PortMapping> {
    let mapping = |mapping: &api::PortMapping| {
        let is_udp = mapping.protocol == Some(api::TransportProtocol::Udp);
        if let Some((first, last)) = mapping.container_port_range.as_deref().and_then(port_range) {
            return Some(PortMapping {
                container_port: first,
                host_port: None,
                is_udp,
                more: last.checked_sub(first)?,
            });
        }
        let port = |number: Option<i32>| number.and_then(|number| u16::try_from(number).ok()).filter(|port| *port > 0);
        let container_port = port(mapping.container_port)?;
        let host_port = match mode {
            NetworkMode::Host => Some(container_port),
            NetworkMode::Bridge | NetworkMode::Awsvpc | NetworkMode::None => port(mapping.host_port),
        };
        Some(PortMapping { container_port, host_port, is_udp, more: 0 })
    };
    match mode {
        NetworkMode::Bridge | NetworkMode::Host => {
            container.port_mappings.iter().flatten().filter_map(mapping).collect()
        }
        NetworkMode::Awsvpc | NetworkMode::None => Vec::new(),
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

fn positive(number: Option<i32>) -> Option<u32> {
    number.and_then(|number| u32::try_from(number).ok())
}

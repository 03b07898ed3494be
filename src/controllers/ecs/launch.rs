//! What is run for a container: definition, overrides and image merged. Pure functions.

use std::net::Ipv4Addr;
use std::sync::Arc;

use base::Region;
use node::{ContainerLimits, ContainerSpec, Image, Isolation, RootFileSystem, SandboxSpec};
use state::ecs::{Container, ContainerDefinition, ContainerOverride, KeyValue, Task};

/// The DNS server of a VPC, reachable from everywhere in it.
const VPC_RESOLVER: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 253);

/// Says what the containers of the task share.
pub(super) fn sandbox(task: &Task, region: &Region, network_namespace: Option<std::path::PathBuf>) -> SandboxSpec {
    let hostname = task.eni.as_ref().and_then(|eni| eni.private_dns_name.clone());
    let hostname = hostname.unwrap_or_else(|| task.key.id.to_string());
    let mut hosts = vec!["127.0.0.1 localhost".to_owned()];
    hosts.extend(task.eni.as_ref().and_then(|eni| eni.address).map(|address| format!("{address} {hostname}")));
    SandboxSpec {
        id: task.key.id.clone(),
        cpu_units: task.cpu_units,
        memory_mib: task.memory_mib.map(u64::from),
        network_namespace,
        hostname,
        hosts,
        resolv_conf: vec![format!("nameserver {VPC_RESOLVER}"), format!("search {}", search_domain(region))],
        shares_pids: false,
        storage_bytes: None,
    }
}

/// Says what runs in one container.
pub(super) fn container(
    task: &Task,
    container: &Container,
    definition: &ContainerDefinition,
    image: &Arc<Image>,
    region: &Region,
) -> ContainerSpec {
    let none = ContainerOverride::default();
    let overrides = task.overrides.containers.iter().find(|entry| entry.name == container.name).unwrap_or(&none);
    ContainerSpec {
        id: container.id.clone(),
        sandbox: task.key.id.clone(),
        name: container.name.clone(),
        root: RootFileSystem { image: Arc::clone(image), is_read_only: definition.is_root_read_only },
        args: args(definition, overrides, image),
        env: env(task, definition, overrides, image, region),
        working_dir: definition.working_directory.clone().unwrap_or_else(|| image.config.working_dir.clone()),
        user: definition.user.clone().unwrap_or_else(|| image.config.user.clone()),
        limits: ContainerLimits {
            cpu_units: container.cpu_units,
            memory_mib: container.memory_mib.map(u64::from),
            memory_reservation_mib: container.memory_reservation_mib.map(u64::from),
        },
        isolation: Isolation::default(),
    }
}

/// Returns the domain that the hosts of a region's VPCs lie in.
pub(super) fn search_domain(region: &Region) -> String {
    match region.as_str() {
        "us-east-1" => "ec2.internal".to_owned(),
        region => format!("{region}.compute.internal"),
    }
}

/// Merges program and arguments. An entry point of the definition also sets the image's command aside, as Docker does.
fn args(definition: &ContainerDefinition, overrides: &ContainerOverride, image: &Image) -> Vec<String> {
    let command = overrides.command.as_ref().or(definition.command.as_ref());
    let (entry_point, image_command) = match &definition.entry_point {
        Some(entry_point) => (entry_point, &[][..]),
        None => (&image.config.entrypoint, &image.config.cmd[..]),
    };
    entry_point.iter().chain(command.map_or(image_command, Vec::as_slice)).cloned().collect()
}

/// Merges the environment: later ones win, in the order image, platform, definition, override.
fn env(
    task: &Task,
    definition: &ContainerDefinition,
    overrides: &ContainerOverride,
    image: &Image,
    region: &Region,
) -> Vec<String> {
    let mut merged = Vec::<(String, String)>::new();
    let mut set = |name: &str, value: &str| match merged.iter_mut().find(|(known, _)| known == name) {
        Some((_, known)) => value.clone_into(known),
        None => merged.push((name.to_owned(), value.to_owned())),
    };
    for pair in &image.config.env {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        set(name, value);
    }
    set("AWS_EXECUTION_ENV", "AWS_ECS_FARGATE");
    set("AWS_REGION", region.as_str());
    set("AWS_DEFAULT_REGION", region.as_str());
    if let Some(hostname) = task.eni.as_ref().and_then(|eni| eni.private_dns_name.as_ref()) {
        set("HOSTNAME", hostname);
    }
    for KeyValue { name, value } in definition.environment.iter().chain(&overrides.environment) {
        set(name, value);
    }
    merged.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
}

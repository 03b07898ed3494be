//! What is run for a container: definition, overrides and image merged. Pure functions.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::Arc;

use base::Region;
use node::{ContainerLimits, ContainerSpec, Image, Isolation, Mount, RootFileSystem, SandboxSpec, Tmpfs, Ulimit};
use state::ecs::{Container, ContainerDefinition, ContainerOverride, KeyValue, Task, TaskDefinition};

use super::environment::Fetched;
use super::firelens;
use crate::Settings;

/// The DNS server of a VPC, reachable from everywhere in it.
const VPC_RESOLVER: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 253);
/// Where a task finds its metadata and credentials.
const ENDPOINT: &str = "http://169.254.170.2";
/// Where a task finds this server's API.
const API_ENDPOINT: &str = "http://169.254.170.2:4566";

const MIB: u64 = 1024 * 1024;

/// Says what the containers of the task share.
pub(super) fn sandbox(
    task: &Task,
    definition: &TaskDefinition,
    settings: &Settings,
    region: &Region,
    network_namespace: Option<PathBuf>,
) -> SandboxSpec {
    let hostname = task.eni.as_ref().and_then(|eni| eni.private_dns_name.clone());
    let hostname = hostname.unwrap_or_else(|| task.key.id.to_string());
    let mut hosts = vec!["127.0.0.1 localhost".to_owned()];
    hosts.extend(task.eni.as_ref().and_then(|eni| eni.address).map(|address| format!("{address} {hostname}")));
    // On an instance a task takes what its containers ask for, and is held to that only if the definition says so.
    let is_on_instance = task.launch.container_instance().is_some();
    let cpu_units = task.cpu_units.filter(|_| !is_on_instance || definition.cpu_units.is_some());
    let memory_mib = task.memory_mib.filter(|_| !is_on_instance || definition.memory_mib.is_some());
    let storage_mib = settings.ephemeral_storage_mib.unwrap_or_else(|| u64::from(task.ephemeral_storage_gib) * 1024);
    SandboxSpec {
        id: task.key.id.clone(),
        cpu_units,
        memory_mib: memory_mib.map(u64::from),
        network_namespace,
        hostname,
        hosts,
        resolv_conf: vec![format!("nameserver {VPC_RESOLVER}"), format!("search {}", search_domain(region))],
        shares_pids: definition.shares_pids,
        storage_bytes: Some(storage_mib * MIB),
    }
}

/// What a container is started with, besides its task.
pub(super) struct Launch<'a> {
    pub(super) task: &'a Task,
    pub(super) container: &'a Container,
    pub(super) definition: &'a ContainerDefinition,
    pub(super) image: &'a Arc<Image>,
    pub(super) region: &'a Region,
    /// What was fetched for its environment.
    pub(super) fetched: &'a Fetched,
    /// What it sees of the task's volumes.
    pub(super) mounts: Vec<Mount>,
    /// Whether it finds this server's API where [`API_ENDPOINT`] says.
    pub(super) serves_api: bool,
    /// How far its output may run ahead of its delivery before lines are dropped.
    pub(super) output_buffer_bytes: Option<u64>,
}

impl Launch<'_> {
    /// Says what runs in the container.
    pub(super) fn spec(self) -> ContainerSpec {
        let Self { task, container, definition, image, .. } = self;
        let none = ContainerOverride::default();
        let overrides = task.overrides.containers.iter().find(|entry| entry.name == container.name).unwrap_or(&none);
        ContainerSpec {
            id: container.id.clone(),
            sandbox: task.key.id.clone(),
            name: container.name.clone(),
            root: RootFileSystem { image: Arc::clone(image), is_read_only: definition.is_root_read_only },
            args: args(definition, overrides, image),
            env: self.env(overrides),
            working_dir: definition.working_directory.clone().unwrap_or_else(|| image.config.working_dir.clone()),
            user: definition.user.clone().unwrap_or_else(|| image.config.user.clone()),
            limits: ContainerLimits {
                cpu_units: container.cpu_units,
                memory_mib: container.memory_mib.map(u64::from),
                memory_reservation_mib: container.memory_reservation_mib.map(u64::from),
                output_buffer_bytes: self.output_buffer_bytes,
            },
            isolation: Isolation { files: self.fetched.seen.clone(), ..isolation(definition, self.mounts) },
        }
    }

    /// Merges the environment: later ones win, in the order image, platform, files, definition, override, secrets.
    fn env(&self, overrides: &ContainerOverride) -> Vec<String> {
        let mut merged = Vec::<(String, String)>::new();
        let mut set = |name: &str, value: &str| match merged.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => value.clone_into(known),
            None => merged.push((name.to_owned(), value.to_owned())),
        };
        for pair in &self.image.config.env {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            set(name, value);
        }
        for (name, value) in self.injected() {
            set(name, &value);
        }
        for (name, value) in &self.fetched.files {
            set(name, value);
        }
        for KeyValue { name, value } in self.definition.environment.iter().chain(&overrides.environment) {
            set(name, value);
        }
        for (name, secret) in &self.fetched.secrets {
            set(name, secret.expose());
        }
        merged.into_iter().map(|(name, value)| format!("{name}={value}")).collect()
    }

    /// Returns what the platform puts into every environment.
    fn injected(&self) -> Vec<(&'static str, String)> {
        let Self { task, container, region, .. } = self;
        let mut injected = vec![
            ("AWS_EXECUTION_ENV", execution_environment(task).to_owned()),
            ("AWS_REGION", region.as_str().to_owned()),
            ("AWS_DEFAULT_REGION", region.as_str().to_owned()),
            ("ECS_AGENT_URI", format!("{ENDPOINT}/api/{}", container.id)),
            ("ECS_CONTAINER_METADATA_URI", format!("{ENDPOINT}/v3/{}", container.id)),
            ("ECS_CONTAINER_METADATA_URI_V4", format!("{ENDPOINT}/v4/{}", container.id)),
        ];
        if let Some(credentials) = &task.credentials {
            let path = format!("/v2/credentials/{}", credentials.id);
            injected.push(("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", path));
        }
        if self.serves_api {
            injected.push(("AWS_ENDPOINT_URL", API_ENDPOINT.to_owned()));
        }
        let router = firelens::environment(self.definition).iter();
        injected.extend(router.map(|(name, value)| (*name, (*value).to_owned())));
        let hostname = task.eni.as_ref().and_then(|eni| eni.private_dns_name.clone());
        injected.extend(hostname.map(|hostname| ("HOSTNAME", hostname)));
        injected
    }
}

fn execution_environment(task: &Task) -> &'static str {
    match task.launch {
        state::ecs::Launch::Fargate { .. } => "AWS_ECS_FARGATE",
        state::ecs::Launch::Ec2 { .. } | state::ecs::Launch::External { .. } => "AWS_ECS_EC2",
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

fn isolation(definition: &ContainerDefinition, mounts: Vec<Mount>) -> Isolation {
    let tmpfs = definition.tmpfs.iter().map(|tmpfs| Tmpfs {
        destination: PathBuf::from(&tmpfs.path),
        size_mib: u64::from(tmpfs.size_mib),
        options: tmpfs.options.clone(),
    });
    let ulimits = definition.ulimits.iter();
    let ulimits = ulimits.map(|limit| Ulimit { name: limit.name.clone(), soft: limit.soft, hard: limit.hard });
    let sysctls = definition.system_controls.iter().map(|control| (control.name.clone(), control.value.clone()));
    Isolation {
        mounts,
        tmpfs: tmpfs.collect(),
        capabilities_added: definition.capabilities_added.iter().map(|name| capability(name)).collect(),
        capabilities_dropped: definition.capabilities_dropped.iter().map(|name| capability(name)).collect(),
        ulimits: ulimits.collect(),
        sysctls: sysctls.collect(),
        has_init: definition.has_init,
        files: Vec::new(),
    }
}

/// Completes the name of a capability, which ECS writes as Docker does.
fn capability(name: &str) -> String {
    if name == "ALL" || name.starts_with("CAP_") { name.to_owned() } else { format!("CAP_{name}") }
}

#[cfg(test)]
#[path = "launch_tests.rs"]
mod tests;

//! The checks that every task definition must pass, in the order of the response's own logic: task, containers, volumes.
//!
//! Sources of the texts: errors that real accounts returned, as collected in public rule sets and issue threads.

use std::collections::HashSet;

use api::ecs as api;

use super::{container, parse_cpu, parse_memory};
use crate::{Result, client};

/// The most containers of a definition.
const CONTAINERS_MAX: usize = 10;

/// Reads the task's size, whatever unit it was written in.
pub(super) fn sizes(input: &api::RegisterTaskDefinitionRequest) -> Result<(Option<u32>, Option<u32>)> {
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let cpu = given(&input.cpu).map(|text| parse_cpu(&text)).transpose()?;
    let memory = given(&input.memory).map(|text| parse_memory(&text)).transpose()?;
    Ok((cpu, memory))
}

/// Checks a definition for EC2 and Fargate alike.
pub(super) fn check(
    input: &api::RegisterTaskDefinitionRequest,
    cpu_units: Option<u32>,
    memory_mib: Option<u32>,
) -> Result<()> {
    let containers = input.container_definitions.as_deref().unwrap_or_default();
    if containers.is_empty() {
        return Err(client("Container list cannot be empty"));
    }
    if containers.len() > CONTAINERS_MAX {
        return Err(client("Too many containers."));
    }
    roles(input)?;
    storage(input)?;
    let task = container::Task { input, cpu_units, memory_mib };
    for definition in containers {
        task.check(definition)?;
    }
    let mut names = HashSet::new();
    if !containers.iter().all(|container| names.insert(container.name.as_deref())) {
        return Err(client("Container names must be unique within a task definition"));
    }
    if containers.iter().all(|container| container.essential == Some(false)) {
        return Err(client("Task definition doesn't have any essential container"));
    }
    task.check_together(containers)?;
    volumes(input, containers)?;
    proxy(input, containers)
}

fn roles(input: &api::RegisterTaskDefinitionRequest) -> Result<()> {
    for role in [&input.task_role_arn, &input.execution_role_arn].into_iter().flatten() {
        // A bare role name is accepted: ECS completes it.
        let is_role = if role.starts_with("arn:") {
            base::Arn::parse(role).is_some_and(|arn| arn.service() == "iam" && arn.resource_of("role").is_some())
        } else {
            !role.is_empty() && role.bytes().all(|b| b.is_ascii_alphanumeric() || b"+=,.@_-/".contains(&b))
        };
        if !is_role {
            return Err(client("Role is not valid"));
        }
    }
    Ok(())
}

fn storage(input: &api::RegisterTaskDefinitionRequest) -> Result<()> {
    let Some(size) = input.ephemeral_storage.as_ref().and_then(|storage| storage.size_in_gi_b) else { return Ok(()) };
    let is_fargate = input.requires_compatibilities.iter().flatten().any(|c| *c == api::Compatibility::Fargate);
    if !is_fargate {
        return Err(client("Tasks using the EC2 launch type do not support EphemeralStorage"));
    }
    // 20 GiB is what a task has without asking, and cannot be asked for.
    if size < 21 {
        return Err(client("EphemeralStorage size should be at least 21"));
    }
    if size > 200 {
        return Err(client("EphemeralStorage size should be at most 200"));
    }
    Ok(())
}

fn volumes(input: &api::RegisterTaskDefinitionRequest, containers: &[api::ContainerDefinition]) -> Result<()> {
    let volumes = input.volumes.as_deref().unwrap_or_default();
    let mounted = containers.iter().flat_map(|container| container.mount_points.iter().flatten());
    let mounted = mounted.filter_map(|mount| mount.source_volume.as_deref()).collect::<HashSet<_>>();
    let at_launch = volumes.iter().filter(|volume| volume.configured_at_launch == Some(true)).collect::<Vec<_>>();
    if at_launch.len() > 1 {
        // Text unverified; the rule is RegisterTaskDefinition's documentation.
        return Err(client("Only one volume in a task definition can be configured at launch"));
    }
    let unused = at_launch.iter().filter_map(|volume| volume.name.as_deref()).find(|name| !mounted.contains(name));
    if let Some(name) = unused {
        return Err(client(format!("Volumes [{name}] are not referenced by any of the containers")));
    }
    for efs in volumes.iter().filter_map(|volume| volume.efs_volume_configuration.as_ref()) {
        let is_encrypted = efs.transit_encryption == Some(api::EFSTransitEncryption::Enabled);
        let authorization = efs.authorization_config.as_ref();
        let uses_iam = authorization.is_some_and(|config| config.iam == Some(api::EFSAuthorizationConfigIAM::Enabled));
        if uses_iam && !is_encrypted {
            return Err(client("EFS IAM authorization requires TransitEncryption to be enabled"));
        }
        // The rules are cdk-preflight's; the texts of the next two are unverified.
        if efs.transit_encryption_port.is_some() && !is_encrypted {
            return Err(client("EFS TransitEncryptionPort requires TransitEncryption to be enabled"));
        }
        let has_access_point = authorization.is_some_and(|config| config.access_point_id.is_some());
        if has_access_point && efs.root_directory.as_deref().is_some_and(|folder| folder != "/") {
            return Err(client("EFS root directory must be omitted or set to / when an access point is specified"));
        }
    }
    Ok(())
}

fn proxy(input: &api::RegisterTaskDefinitionRequest, containers: &[api::ContainerDefinition]) -> Result<()> {
    let Some(proxy) = &input.proxy_configuration else { return Ok(()) };
    let name = proxy.container_name.as_deref().unwrap_or_default();
    if input.network_mode != Some(api::NetworkMode::Awsvpc) {
        return Err(client("APPMESH proxy configuration is only supported in networkMode=awsvpc"));
    }
    if !containers.iter().any(|container| container.name.as_deref() == Some(name)) {
        return Err(client(format!("Proxy container [{name}] does not exist")));
    }
    let is_ingress_port = |property: &api::KeyValuePair| property.name.as_deref() == Some("ProxyIngressPort");
    if !proxy.properties.iter().flatten().any(is_ingress_port) {
        return Err(client("Ingress port not found"));
    }
    Ok(())
}

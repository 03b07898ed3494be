//! The checks of a container definition, alone and together with its siblings.

use std::collections::HashSet;

use api::ecs as api;

use super::{logging, parse, requires_attributes};
use crate::{Result, client};

const NAME_CHARS_MAX: usize = 255;
const IMAGE_CHARS_MAX: usize = 255;
const ENVIRONMENT_FILES_MAX: usize = 10;
/// How many ranges of ports a container has at most. (PortMapping's documentation)
const PORT_RANGES_MAX: usize = 100;
/// The seconds between two attempts to restart a container.
const RESTART_PERIOD_S: std::ops::RangeInclusive<i32> = 60..=1800;

/// The task that a container is checked in.
pub(super) struct Task<'a> {
    pub(super) input: &'a api::RegisterTaskDefinitionRequest,
    pub(super) cpu_units: Option<u32>,
    pub(super) memory_mib: Option<u32>,
}

impl Task<'_> {
    /// Checks one container.
    pub(super) fn check(&self, container: &api::ContainerDefinition) -> Result<()> {
        let name = container.name.as_deref().unwrap_or_default();
        name_and_image(container)?;
        texts(container, name)?;
        self.memory(container, name)?;
        self.network(container, name)?;
        self.links(container, name)?;
        self.ports(container, name)?;
        self.references(container)?;
        self.secrets(container)?;
        limits(container, name)?;
        health_check(container, name)?;
        logging::check(self.input, container)
    }

    /// Checks what concerns all containers at once.
    pub(super) fn check_together(&self, containers: &[api::ContainerDefinition]) -> Result<()> {
        let units = containers.iter().filter_map(|container| u64::try_from(container.cpu.unwrap_or(0)).ok());
        if self.cpu_units.is_some_and(|task| units.sum::<u64>() > u64::from(task)) {
            return Err(client(
                "The sum of all container 'cpu' values cannot be greater than the value of the task 'cpu'.",
            ));
        }
        self.distinct_ports(containers)?;
        dependencies(containers)?;
        logging::check_together(containers)
    }

    fn memory(&self, container: &api::ContainerDefinition, name: &str) -> Result<()> {
        let (hard, soft) = (container.memory, container.memory_reservation);
        if self.memory_mib.is_none() && hard.is_none() && soft.is_none() {
            return Err(client(format!(
                "Invalid setting for container '{name}'. At least one of 'memory' or 'memoryReservation' must be \
                 specified."
            )));
        }
        if hard.is_some_and(|mib| mib <= 0) {
            return Err(client(format!("Invalid 'memory' setting for container '{name}'.")));
        }
        if soft.is_some_and(|mib| mib <= 0) {
            return Err(client(format!("Invalid 'memoryReservation' setting for container '{name}'.")));
        }
        if container.cpu.is_some_and(|units| units < 0) {
            return Err(client(format!("Invalid 'cpu' setting for container '{name}'.")));
        }
        if let (Some(hard), Some(soft)) = (hard, soft)
            && hard < soft
        {
            return Err(client(format!(
                "Invalid setting for container '{name}'. 'memory' must be greater than or equal to 'memoryReservation'."
            )));
        }
        let largest = hard.max(soft).and_then(|mib| u32::try_from(mib).ok());
        if let (Some(task), Some(largest)) = (self.memory_mib, largest)
            && largest > task
        {
            return Err(client(format!("The 'memory' setting for container '{name}' is greater than for the task.")));
        }
        Ok(())
    }

    fn network(&self, container: &api::ContainerDefinition, _name: &str) -> Result<()> {
        if self.input.network_mode != Some(api::NetworkMode::Awsvpc) {
            return Ok(());
        }
        let has = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|list| !list.is_empty());
        let refused = [
            (container.hostname.is_some(), "hostname is not supported on container when networkMode=awsvpc."),
            (has(&container.links), "Links are not supported when networkMode=awsvpc"),
            (
                container.extra_hosts.as_ref().is_some_and(|hosts| !hosts.is_empty()),
                "Extra hosts are not supported on container when networkMode=awsvpc",
            ),
            (has(&container.dns_servers), "DNS servers are not supported on container when networkMode=awsvpc"),
            (
                container.disable_networking == Some(true),
                "Disable Networking is not supported on container when networkMode=awsvpc",
            ),
        ];
        refused.into_iter().find(|(is_set, _)| *is_set).map_or(Ok(()), |(_, message)| Err(client(message)))
    }

    /// Checks which siblings a container knows by name. (Texts unverified but for awsvpc.)
    fn links(&self, container: &api::ContainerDefinition, name: &str) -> Result<()> {
        let links = container.links.as_deref().unwrap_or_default();
        match self.input.network_mode {
            Some(api::NetworkMode::Host) if !links.is_empty() => {
                return Err(client("Links are not supported when networkMode=host"));
            }
            Some(api::NetworkMode::None) if !links.is_empty() => {
                return Err(client("Links are not supported when networkMode=none"));
            }
            _ => {}
        }
        let siblings = self.input.container_definitions.as_deref().unwrap_or_default();
        for link in links.iter().map(|link| parse::link(link)) {
            if !is_name(&link.container) || link.alias.as_deref().is_some_and(|alias| !is_name(alias)) {
                return Err(client(format!("Invalid 'links' setting for container '{name}'.")));
            }
            if !siblings.iter().any(|sibling| sibling.name.as_ref() == Some(&link.container)) {
                return Err(client(format!("Invalid 'links' setting. Unknown container: '{}'.", link.container)));
            }
        }
        Ok(())
    }

    fn ports(&self, container: &api::ContainerDefinition, name: &str) -> Result<()> {
        ranges(container, self.input.network_mode == Some(api::NetworkMode::Awsvpc))?;
        let is_port = |port: i32| (1..=65_535).contains(&port);
        for mapping in container.port_mappings.iter().flatten() {
            if let Some(range) = &mapping.container_port_range {
                if mapping.container_port.is_some() {
                    return Err(client("cannot specify both single port and port range"));
                }
                if parse::port_range(range).is_none_or(|(first, last)| first >= last) {
                    return Err(client("Invalid 'containerPortRange' setting"));
                }
                // Text unverified; the rule is the PortMapping shape's documentation.
                if self.input.network_mode == Some(api::NetworkMode::Host) {
                    return Err(client("containerPortRange is not supported when networkMode=host"));
                }
                continue;
            }
            let Some(port) = mapping.container_port.filter(|port| is_port(*port)) else {
                return Err(client(format!("Invalid 'containerPort' setting for container '{name}'.")));
            };
            let host_port = mapping.host_port.unwrap_or(0);
            let mode = match self.input.network_mode {
                Some(api::NetworkMode::Awsvpc) => "awsvpc",
                Some(api::NetworkMode::Host) => "host",
                _ if host_port == 0 || is_port(host_port) => continue,
                _ => return Err(client(format!("Invalid 'hostPort' setting for container '{name}'."))),
            };
            if host_port != 0 && host_port != port {
                return Err(client(format!(
                    "When networkMode={mode}, the host ports and container ports in port mappings must match."
                )));
            }
        }
        Ok(())
    }

    fn distinct_ports(&self, containers: &[api::ContainerDefinition]) -> Result<()> {
        if self.input.network_mode != Some(api::NetworkMode::Awsvpc) {
            return Ok(());
        }
        let (mut ports, mut names) = (Vec::<(String, u16, u16)>::new(), HashSet::new());
        for mapping in containers.iter().flat_map(|container| container.port_mappings.iter().flatten()) {
            let protocol =
                mapping.protocol.as_ref().map_or_else(|| "TCP".to_owned(), |p| p.as_str().to_ascii_uppercase());
            let single = mapping.container_port.and_then(|port| u16::try_from(port).ok()).map(|port| (port, port));
            let range = mapping.container_port_range.as_deref().and_then(parse::port_range);
            let Some((first, last)) = single.or(range) else { continue };
            let clash = ports.iter().find(|(of, from, to)| *of == protocol && first <= *to && *from <= last);
            if let Some((_, from, _)) = clash {
                let port = first.max(*from);
                return Err(client(format!(
                    "{protocol} container port '{port}' is used multiple times in task when networkMode=awsvpc."
                )));
            }
            ports.push((protocol, first, last));
            if mapping.name.as_ref().is_some_and(|name| !names.insert(name)) {
                return Err(client("When networkMode=awsvpc, port mapping name is already used"));
            }
        }
        Ok(())
    }

    fn references(&self, container: &api::ContainerDefinition) -> Result<()> {
        let volumes = self.input.volumes.as_deref().unwrap_or_default();
        for mount in container.mount_points.iter().flatten() {
            let name = mount.source_volume.as_deref().unwrap_or_default();
            if !volumes.iter().any(|volume| volume.name.as_deref() == Some(name)) {
                return Err(client(format!("Unknown volume '{name}'.")));
            }
        }
        let siblings = self.input.container_definitions.as_deref().unwrap_or_default();
        for from in container.volumes_from.iter().flatten() {
            let name = from.source_container.as_deref().unwrap_or_default();
            if !siblings.iter().any(|sibling| sibling.name.as_deref() == Some(name)) {
                return Err(client(format!("Invalid 'volumesFrom' setting. Unknown container: '{name}'.")));
            }
        }
        Ok(())
    }

    fn secrets(&self, container: &api::ContainerDefinition) -> Result<()> {
        let has_role = self.input.execution_role_arn.is_some();
        if container.secrets.as_ref().is_some_and(|secrets| !secrets.is_empty()) && !has_role {
            return Err(client(
                "When you are specifying container secrets, you must also specify a value for 'executionRoleArn'.",
            ));
        }
        if container.repository_credentials.is_some() && !has_role {
            return Err(client(
                "Private repository authentication requires that the task definition specify a value for \
                 executionRoleArn.",
            ));
        }
        let files = container.environment_files.as_deref().unwrap_or_default();
        if files.len() > ENVIRONMENT_FILES_MAX {
            return Err(client(
                "The maximum number of environment files was exceeded. Specify ten or less and try again",
            ));
        }
        let is_arn =
            |file: &api::EnvironmentFile| file.value.as_deref().is_some_and(|arn| base::Arn::parse(arn).is_some());
        if files.iter().all(is_arn) { Ok(()) } else { Err(client("Invalid arn syntax")) }
    }
}

/// Returns whether an image needs an execution role to be pulled on Fargate.
pub(super) fn is_ecr_image(container: &api::ContainerDefinition) -> bool {
    container.image.as_deref().is_some_and(requires_attributes::is_ecr)
}

/// Refuses what no process can be given: arguments and variables end at a NUL. (That ECS refuses it, and the text, are
/// unverified.)
fn texts(container: &api::ContainerDefinition, name: &str) -> Result<()> {
    let variables = container.environment.iter().flatten().flat_map(|pair| [&pair.name, &pair.value]).flatten();
    let has_nul = |text: &String| text.contains('\0');
    let settings = [
        ("command", container.command.iter().flatten().any(has_nul)),
        ("entryPoint", container.entry_point.iter().flatten().any(has_nul)),
        ("environment", variables.into_iter().any(has_nul)),
        ("user", container.user.iter().any(has_nul)),
        ("workingDirectory", container.working_directory.iter().any(has_nul)),
    ];
    match settings.iter().find(|(_, is_wrong)| *is_wrong) {
        Some((setting, _)) => Err(client(format!("Invalid '{setting}' setting for container '{name}'."))),
        None => Ok(()),
    }
}

fn name_and_image(container: &api::ContainerDefinition) -> Result<()> {
    let name = container.name.as_deref().unwrap_or_default();
    if name.is_empty() {
        return Err(client("Container.name should not be null or empty."));
    }
    if !is_name(name) {
        return Err(client("Container.name contains invalid characters."));
    }
    let image = container.image.as_deref().unwrap_or_default();
    if image.is_empty() {
        return Err(client("Container.image should not be null or empty."));
    }
    if !image.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.:/@#".contains(&b)) {
        return Err(client("Container.image contains invalid characters."));
    }
    // A digest does not count.
    if image.split('@').next().is_some_and(|name| name.len() > IMAGE_CHARS_MAX) {
        return Err(client("Container.image should be 255 characters or less"));
    }
    Ok(())
}

/// Returns whether a container may have that name: letters, digits, hyphens and underscores.
fn is_name(name: &str) -> bool {
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !name.is_empty() && name.len() <= NAME_CHARS_MAX && name.bytes().all(is_of_name)
}

/// Checks that a container's ranges of ports are not too many, and no port is in a range and in another mapping; with awsvpc
/// the latter is asked of all containers at once. (Texts unverified; the rules are the PortMapping shape's documentation.)
fn ranges(container: &api::ContainerDefinition, is_awsvpc: bool) -> Result<()> {
    let mappings = container.port_mappings.as_deref().unwrap_or_default();
    let range_of = |mapping: &api::PortMapping| mapping.container_port_range.as_deref().and_then(parse::port_range);
    let ranges = mappings.iter().enumerate().filter_map(|(place, mapping)| Some((place, range_of(mapping)?)));
    let ranges = ranges.collect::<Vec<_>>();
    if ranges.len() > PORT_RANGES_MAX {
        return Err(client(format!("A container can have at most {PORT_RANGES_MAX} port ranges.")));
    }
    for (place, (first, last)) in ranges.into_iter().filter(|_| !is_awsvpc) {
        let single = |mapping: &api::PortMapping| {
            let port = mapping.container_port.and_then(|port| u16::try_from(port).ok())?;
            Some((port, port))
        };
        let clashes = |(other, mapping): (usize, &api::PortMapping)| {
            let is_same = mapping.protocol == mappings[place].protocol;
            let ports = range_of(mapping).or_else(|| single(mapping));
            other != place && is_same && ports.is_some_and(|(from, to)| first <= to && from <= last)
        };
        if mappings.iter().enumerate().any(clashes) {
            return Err(client("containerPortRange cannot overlap with another port mapping of the container"));
        }
    }
    Ok(())
}

fn limits(container: &api::ContainerDefinition, name: &str) -> Result<()> {
    for limit in container.ulimits.iter().flatten() {
        if limit.soft_limit > limit.hard_limit {
            let which = limit.name.as_ref().map(ToString::to_string).unwrap_or_default();
            return Err(client(format!("Soft limit exceeds hard limit for ulimit {which}")));
        }
    }
    let period = container.restart_policy.as_ref().and_then(|policy| policy.restart_attempt_period);
    if period.is_some_and(|period| !RESTART_PERIOD_S.contains(&period)) {
        return Err(client(format!(
            "the 'restartAttemptPeriod' setting for container '{name}' must be between 60 and 1800"
        )));
    }
    Ok(())
}

fn health_check(container: &api::ContainerDefinition, name: &str) -> Result<()> {
    let Some(check) = &container.health_check else { return Ok(()) };
    let command = check.command.as_deref().unwrap_or_default();
    let is_command = match command.first().map(String::as_str) {
        Some("CMD" | "CMD-SHELL") => command.len() > 1,
        Some("NONE") => true,
        _ => false,
    };
    if !is_command {
        // Text unverified; the rule is the HealthCheck shape's documentation.
        return Err(client(format!(
            "Invalid 'healthCheck' setting for container '{name}': the command must start with CMD or CMD-SHELL."
        )));
    }
    let bounds = [
        ("interval", check.interval, 5, 300),
        ("timeout", check.timeout, 2, 60),
        ("retries", check.retries, 1, 10),
        ("startPeriod", check.start_period, 0, 300),
    ];
    for (member, value, min, max) in bounds {
        let Some(value) = value else { continue };
        if value > max {
            return Err(client(format!(
                "Health check {member} must be less than or equal to the maximum allowed value {max} for container '{name}'"
            )));
        }
        if value < min {
            return Err(client(format!(
                "Health check {member} must be greater than or equal to the minimum allowed value {min} for container '{name}'"
            )));
        }
    }
    Ok(())
}

fn dependencies(containers: &[api::ContainerDefinition]) -> Result<()> {
    let find = |name: &str| containers.iter().find(|container| container.name.as_deref() == Some(name));
    for dependency in containers.iter().flat_map(|container| container.depends_on.iter().flatten()) {
        let name = dependency.container_name.as_deref().unwrap_or_default();
        // The stray plus sign is AWS's own.
        let target = find(name)
            .ok_or_else(|| client(format!("Cannot depend on container + '{name}' because it does not exist")))?;
        match dependency.condition {
            Some(api::ContainerCondition::Complete | api::ContainerCondition::Success)
                if target.essential != Some(false) =>
            {
                return Err(client(
                    "A dependency container with SUCCESS or COMPLETE condition cannot be an essential container",
                ));
            }
            Some(api::ContainerCondition::Healthy) if target.health_check.is_none() => {
                return Err(client("A dependency container with HEALTHY condition must have health check configured"));
            }
            _ => {}
        }
    }
    if has_cycle(containers) {
        // Text unverified.
        return Err(client("A dependency cycle was detected in the task definition's container dependencies"));
    }
    Ok(())
}

/// Takes away, again and again, the containers that depend on nothing that is left. A container depends on those that it
/// links to, as it starts after them.
fn has_cycle(containers: &[api::ContainerDefinition]) -> bool {
    let mut left = containers.iter().collect::<Vec<_>>();
    loop {
        let names = left.iter().filter_map(|container| container.name.as_deref()).collect::<HashSet<_>>();
        let before = left.len();
        left.retain(|container| {
            let mut needs = container.depends_on.iter().flatten().filter_map(|d| d.container_name.as_deref());
            let links = container.links.iter().flatten().map(|link| parse::link(link).container);
            needs.any(|name| names.contains(name)) || links.into_iter().any(|name| names.contains(name.as_str()))
        });
        if left.len() == before {
            return !left.is_empty();
        }
    }
}

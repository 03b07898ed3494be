//! Where the tasks of a service are registered: load balancers, Cloud Map, VPC Lattice.

use api::ecs as api;
use state::ecs::{DeploymentController, NetworkMode, TaskDefinition};

use super::workload::Purpose;
use crate::{Result, invalid};

/// How many target groups a service may have.
const TARGET_GROUPS_MAX: usize = 5;
/// How many registries a service may have.
const REGISTRIES_MAX: usize = 1;

/// Checks load balancers against the task definition. That target groups exist is not checked here: they are another
/// service's.
pub(super) fn check(
    purpose: &Purpose<'_>,
    shown: &api::TaskDefinition,
    definition: &TaskDefinition,
    balancers: &[api::LoadBalancer],
) -> Result<()> {
    if balancers.len() > TARGET_GROUPS_MAX {
        // The form of "service registries can have at most 1 items"; unverified.
        return Err(invalid(format!("load balancers can have at most {TARGET_GROUPS_MAX} items")));
    }
    for balancer in balancers {
        let is_classic = balancer.load_balancer_name.as_deref().is_some_and(|name| !name.is_empty());
        if is_classic && balancer.target_group_arn.is_some() {
            return Err(invalid("loadBalancerName and targetGroupArn cannot both be specified."));
        }
        if is_classic && definition.network_mode == NetworkMode::Awsvpc {
            return Err(invalid("Classic Load Balancers are not supported with Fargate."));
        }
        if is_classic && purpose.controller == DeploymentController::CodeDeploy {
            return Err(invalid(
                "To use the blue/green deployment type, the service requires an Application Load Balancer or Network \
                 Load Balancer.",
            ));
        }
        if !is_classic && balancer.target_group_arn.as_deref().unwrap_or_default().is_empty() {
            // Text unverified.
            return Err(invalid("You must specify either a loadBalancerName or a targetGroupArn."));
        }
        check_target_group(balancer.target_group_arn.as_deref())?;
        let name = balancer.container_name.as_deref().unwrap_or_default();
        if name.is_empty() {
            // Seen: amazon-ecs-cli#359.
            return Err(invalid("Container Name can not be blank."));
        }
        // The form of the one above; unverified.
        let port = balancer.container_port.ok_or_else(|| invalid("Container Port can not be blank."))?;
        check_port(shown, name, port)?;
    }
    Ok(())
}

fn check_target_group(arn: Option<&str>) -> Result<()> {
    let Some(arn) = arn else { return Ok(()) };
    let is_target_group = base::Arn::parse(arn)
        .is_some_and(|arn| matches!(arn.service(), "elasticloadbalancing") && arn.resource_of("targetgroup").is_some());
    // Text unverified.
    if is_target_group { Ok(()) } else { Err(invalid(format!("Invalid target group ARN: {arn}"))) }
}

/// Checks that a container has a port.
fn check_port(shown: &api::TaskDefinition, name: &str, port: i32) -> Result<()> {
    let mut containers = shown.container_definitions.iter().flatten();
    let container = containers.find(|container| container.name.as_deref() == Some(name));
    let Some(container) = container else {
        return Err(invalid(format!("The container {name} does not exist in the task definition.")));
    };
    if container.port_mappings.iter().flatten().any(|mapping| mapping.container_port == Some(port)) {
        return Ok(());
    }
    Err(invalid(format!("The container {name} did not have a container port {port} defined.")))
}

/// Checks service registries against the task definition.
pub(super) fn check_registries(definition: &TaskDefinition, registries: &[api::ServiceRegistry]) -> Result<()> {
    if registries.len() > REGISTRIES_MAX {
        return Err(invalid(format!("service registries can have at most {REGISTRIES_MAX} items")));
    }
    for registry in registries {
        let arn = registry.registry_arn.as_deref().unwrap_or_default();
        let is_registry = base::Arn::parse(arn).is_some_and(|arn| arn.service() == "servicediscovery");
        if !is_registry {
            // Text unverified.
            return Err(invalid(format!("Invalid service registry ARN: {arn}")));
        }
        let is_awsvpc = definition.network_mode == NetworkMode::Awsvpc;
        if is_awsvpc && registry.container_port.is_some() {
            return Err(invalid(format!(
                "The values specified for serviceRegistries do not require a value for 'containerPort'. Remove the \
                 value and retry. Registry: {arn}"
            )));
        }
        let is_named = registry.container_name.is_some() && registry.container_port.is_some();
        if !is_awsvpc && !is_named {
            // The rule is ServiceRegistry's documentation; text unverified.
            return Err(invalid(format!(
                "The values specified for serviceRegistries require a value for 'containerName' and 'containerPort'. \
                 Add the values and retry. Registry: {arn}"
            )));
        }
    }
    Ok(())
}

/// Checks that the ports which VPC Lattice is to register have a name in the task definition.
pub(super) fn check_vpc_lattice(
    shown: &api::TaskDefinition,
    configurations: &[api::VpcLatticeConfiguration],
) -> Result<()> {
    for configuration in configurations {
        let name = configuration.port_name.as_deref().unwrap_or_default();
        if named_port(shown, name).is_none() {
            return Err(invalid(format!(
                "portName({name}) does not refer to any named PortMapping in the container definitions."
            )));
        }
    }
    Ok(())
}

/// Finds a port mapping by its name.
pub(super) fn named_port<'a>(shown: &'a api::TaskDefinition, name: &str) -> Option<&'a api::PortMapping> {
    let containers = shown.container_definitions.iter().flatten();
    let mut mappings = containers.flat_map(|container| container.port_mappings.iter().flatten());
    mappings.find(|mapping| mapping.name.as_deref() == Some(name))
}

//! What the tasks of a service or task set are: read from a request, checked against the task definition.

use std::sync::Arc;

use api::ecs as api;
use state::Cx;
use state::ecs::{
    Cluster, DeploymentController, LaunchType, NetworkMode, RolloutPolicy, SchedulingStrategy, ServiceCapacity,
    TaskDefinition, Workload,
};

use super::{capacity, load_balancer, service_connect, volume};
use crate::{Result, client, document, invalid, task, task_definition};

/// What a request says about a workload; with an update, completed with what was there before.
#[derive(Default)]
pub(crate) struct Parts {
    pub(crate) task_definition: Option<String>,
    pub(crate) launch_type: Option<api::LaunchType>,
    pub(crate) strategy: Option<Vec<api::CapacityProviderStrategyItem>>,
    pub(crate) platform_version: Option<String>,
    pub(crate) network_configuration: Option<api::NetworkConfiguration>,
    pub(crate) load_balancers: Option<Vec<api::LoadBalancer>>,
    pub(crate) service_registries: Option<Vec<api::ServiceRegistry>>,
    pub(crate) service_connect: Option<api::ServiceConnectConfiguration>,
    pub(crate) volumes: Option<Vec<api::ServiceVolumeConfiguration>>,
    pub(crate) vpc_lattice: Option<Vec<api::VpcLatticeConfiguration>>,
}

impl Parts {
    /// Returns what a request would have said that made `workload`.
    pub(super) fn of(workload: &Workload) -> Self {
        Self {
            task_definition: Some(workload.definition_arn.to_string()),
            launch_type: capacity::launch_type(&workload.capacity),
            strategy: capacity::strategy(&workload.capacity),
            platform_version: workload.platform_version.clone(),
            network_configuration: workload.network_configuration.as_ref().map(document::read),
            load_balancers: workload.load_balancers.as_ref().map(document::read_list),
            service_registries: workload.service_registries.as_ref().map(document::read_list),
            service_connect: workload.service_connect.as_ref().map(document::read),
            volumes: workload.volumes.as_ref().map(document::read_list),
            vpc_lattice: workload.vpc_lattice.as_ref().map(document::read_list),
        }
    }

    /// Returns whether anything is said.
    pub(super) fn is_empty(&self) -> bool {
        let has_lists = self.load_balancers.is_some() || self.service_registries.is_some() || self.volumes.is_some();
        let has_capacity = self.launch_type.is_some() || self.strategy.is_some() || self.platform_version.is_some();
        let has_network = self.network_configuration.is_some() || self.service_connect.is_some();
        !has_lists && !has_capacity && !has_network && self.task_definition.is_none() && self.vpc_lattice.is_none()
    }
}

/// Who the workload is for.
pub(crate) struct Purpose<'a> {
    pub(crate) cluster: &'a Cluster,
    pub(crate) scheduling: SchedulingStrategy,
    pub(crate) controller: DeploymentController,
    /// How deployments follow each other; none for a task set, whose deployer says.
    pub(crate) rollout: Option<&'a RolloutPolicy>,
    /// A definition that may be inactive, because it is in use already.
    pub(crate) known: Option<&'a Workload>,
}

/// Checks a workload and completes it.
pub(crate) fn parse(cx: &Cx, purpose: &Purpose<'_>, parts: Parts) -> Result<Workload> {
    let capacity = capacity::parse(cx, purpose.cluster, parts.launch_type.as_ref(), parts.strategy.as_deref())?;
    let definition = definition(cx, purpose, parts.task_definition.as_deref())?;
    check_launch_type(purpose, &definition, &capacity)?;
    let platform_version = platform_version(&capacity, parts.platform_version)?;
    let network_configuration = parts.network_configuration.map(complete_network);
    let network = task::network(cx, definition.network_mode, network_configuration.clone())?;
    let shown: api::TaskDefinition = document::read(&definition.document);
    let load_balancers = parts.load_balancers.unwrap_or_default();
    load_balancer::check(purpose, &shown, &definition, &load_balancers)?;
    let registries = parts.service_registries.unwrap_or_default();
    load_balancer::check_registries(&definition, &registries)?;
    let volumes = parts.volumes.unwrap_or_default();
    volume::check(&shown, &volumes)?;
    let vpc_lattice = parts.vpc_lattice.unwrap_or_default();
    load_balancer::check_vpc_lattice(&shown, &vpc_lattice)?;
    let connect = parts.service_connect;
    let namespace = service_connect::check(purpose.cluster, &shown, connect.as_ref())?;
    check_strategy(purpose, &load_balancers, connect.as_ref())?;
    Ok(Workload {
        definition: definition.name.clone(),
        definition_arn: definition.arn.clone(),
        capacity,
        platform_version,
        network,
        network_configuration: network_configuration.map(|network| document::write(&network)),
        load_balancers: (!load_balancers.is_empty()).then(|| document::write(&load_balancers)),
        service_registries: (!registries.is_empty()).then(|| document::write(&registries)),
        service_connect: connect.map(|connect| document::write(&connect)),
        namespace,
        task_volumes: volume::of_tasks(&volumes),
        volumes: (!volumes.is_empty()).then(|| document::write(&volumes)),
        vpc_lattice: (!vpc_lattice.is_empty()).then(|| document::write(&vpc_lattice)),
    })
}

fn definition(cx: &Cx, purpose: &Purpose<'_>, reference: Option<&str>) -> Result<Arc<TaskDefinition>> {
    let reference = reference.ok_or_else(|| invalid("TaskDefinition can not be blank."))?;
    check_family(reference)?;
    let known = purpose.known.filter(|known| known.definition_arn.as_str() == reference);
    let Some(known) = known else { return task_definition::find_active(cx, reference) };
    // A service goes on with the definition that it has, even if it was deregistered.
    let definition = cx.state.ecs.task_definitions.get(cx.scope(), &known.definition);
    definition.ok_or_else(|| client("TaskDefinition not found."))
}

/// Refuses a definition that is named by an empty text, whoever deploys the service. Seen: terraform-provider-aws#27362.
fn check_family(reference: &str) -> Result<()> {
    if reference.is_empty() { Err(invalid("Family should not be null or empty.")) } else { Ok(()) }
}

fn check_launch_type(purpose: &Purpose<'_>, definition: &TaskDefinition, capacity: &ServiceCapacity) -> Result<()> {
    let is_daemon = purpose.scheduling == SchedulingStrategy::Daemon;
    if is_daemon && matches!(capacity, ServiceCapacity::Providers { .. }) {
        // Seen, for a cluster's default strategy too: aws/containers-roadmap#692.
        return Err(invalid(
            "Specifying a capacity provider strategy is not supported when you create a service using the DAEMON \
             scheduling strategy.",
        ));
    }
    match capacity.launch_type() {
        LaunchType::Fargate if is_daemon => {
            // The rule is CreateService's documentation; text unverified.
            Err(invalid("The daemon scheduling strategy is not supported with FARGATE launch type."))
        }
        LaunchType::Fargate if !definition.is_fargate_compatible => {
            Err(invalid("Task definition does not support launch_type FARGATE."))
        }
        LaunchType::External if definition.network_mode == NetworkMode::Awsvpc => {
            Err(invalid("Task definition does not support launch_type EXTERNAL."))
        }
        LaunchType::Fargate | LaunchType::Ec2 | LaunchType::External | LaunchType::ManagedInstances => Ok(()),
    }
}

/// Returns the platform version as responses show it: what was asked for, or LATEST; none but on Fargate.
fn platform_version(capacity: &ServiceCapacity, asked: Option<String>) -> Result<Option<String>> {
    match capacity.launch_type() {
        LaunchType::Fargate => {
            let asked = asked.filter(|version| !version.is_empty()).unwrap_or_else(|| "LATEST".to_owned());
            task::platform_version(Some(&asked))?;
            Ok(Some(asked))
        }
        LaunchType::Ec2 | LaunchType::External | LaunchType::ManagedInstances if asked.is_none() => Ok(None),
        LaunchType::Ec2 | LaunchType::ManagedInstances => {
            Err(invalid("The platform version must be null when specifying an EC2 launch type."))
        }
        // The form of the one above; unverified.
        LaunchType::External => {
            Err(invalid("The platform version must be null when specifying an EXTERNAL launch type."))
        }
    }
}

/// Fills in what ECS shows of a network configuration that leaves it out.
fn complete_network(mut configuration: api::NetworkConfiguration) -> api::NetworkConfiguration {
    if let Some(awsvpc) = &mut configuration.awsvpc_configuration {
        awsvpc.security_groups.get_or_insert_default();
        awsvpc.assign_public_ip.get_or_insert(api::AssignPublicIp::Disabled);
    }
    configuration
}

/// Checks that traffic can be shifted where the strategy shifts it. (Texts unverified; the rules are the model's
/// documentation.)
fn check_strategy(
    purpose: &Purpose<'_>,
    load_balancers: &[api::LoadBalancer],
    connect: Option<&api::ServiceConnectConfiguration>,
) -> Result<()> {
    let Some(rollout) = purpose.rollout else { return Ok(()) };
    let has_load_balancer = !load_balancers.is_empty();
    if purpose.controller == DeploymentController::CodeDeploy && !has_load_balancer {
        return Err(invalid(
            "To use the blue/green deployment type, the service requires an Application Load Balancer or Network Load \
             Balancer.",
        ));
    }
    let configuration: api::DeploymentConfiguration = document::read(&rollout.document);
    let strategy = match configuration.strategy {
        None | Some(api::DeploymentStrategy::Rolling) => return Ok(()),
        Some(strategy) => strategy,
    };
    if purpose.scheduling == SchedulingStrategy::Daemon {
        return Err(invalid(format!("The daemon scheduling strategy is not supported with {strategy} deployments.")));
    }
    if rollout.circuit_breaker.is_some() && strategy != api::DeploymentStrategy::BlueGreen {
        return Err(invalid(format!("Deployment circuit breaker is not supported with {strategy} deployments.")));
    }
    let is_connected = connect.is_some_and(|connect| connect.enabled == Some(true));
    if !has_load_balancer && !is_connected {
        return Err(invalid(format!(
            "The {strategy} deployment strategy requires an Application Load Balancer, a Network Load Balancer or \
             Service Connect."
        )));
    }
    let is_complete = |balancer: &api::LoadBalancer| {
        let advanced = balancer.advanced_configuration.as_ref();
        advanced.is_some_and(|advanced| {
            advanced.alternate_target_group_arn.is_some()
                && advanced.production_listener_rule.is_some()
                && advanced.role_arn.is_some()
        })
    };
    if !load_balancers.iter().all(is_complete) {
        return Err(invalid(format!(
            "The {strategy} deployment strategy requires advancedConfiguration with alternateTargetGroupArn, \
             productionListenerRule and roleArn."
        )));
    }
    Ok(())
}

/// Refuses what only a service with an ECS or CodeDeploy controller says: the task sets of others say it.
pub(super) fn check_external(parts: &Parts) -> Result<()> {
    if let Some(reference) = &parts.task_definition {
        check_family(reference)?;
        return Err(invalid("TaskDefinition must be blank."));
    }
    // The form of the one above (seen: aws-cdk#6245); unverified.
    let members = [
        ("LaunchType", parts.launch_type.is_some()),
        ("CapacityProviderStrategy", parts.strategy.is_some()),
        ("PlatformVersion", parts.platform_version.is_some()),
        ("NetworkConfiguration", parts.network_configuration.is_some()),
        ("LoadBalancers", parts.load_balancers.as_ref().is_some_and(|list| !list.is_empty())),
        ("ServiceRegistries", parts.service_registries.as_ref().is_some_and(|list| !list.is_empty())),
        ("ServiceConnectConfiguration", parts.service_connect.is_some()),
    ];
    match members.into_iter().find(|(_, is_given)| *is_given) {
        Some((member, _)) => Err(invalid(format!("{member} must be blank."))),
        None => Ok(()),
    }
}

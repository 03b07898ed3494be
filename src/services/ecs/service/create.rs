//! CreateService.

use std::sync::Arc;

use api::ecs as api;
use base::Arn;
use state::Cx;
use state::ecs::{
    Cluster, Creation, DeploymentController, SchedulingStrategy, Service, ServiceKey, ServiceName, ServiceStatus,
    TagSource,
};

use super::workload::{Parts, Purpose};
use super::{deploy, placement, rollout, view, workload};
use crate::{Result, cluster, document, invalid, required, tags, task_set};

/// The longest client token.
const CLIENT_TOKEN_CHARS_MAX: usize = 36;
/// The most tasks of a service: the quota "tasks per service".
pub(super) const DESIRED_COUNT_MAX: u32 = 5_000;

/// Makes a service. Doing it again in the same words returns the one that is there.
pub(crate) async fn create_service(
    cx: &Cx,
    mut input: api::CreateServiceRequest,
) -> Result<api::CreateServiceResponse> {
    let name = required(input.service_name.clone(), "serviceName")?;
    // The text, doubled backslashes included, is what a real account returned: PF service-name.
    let name = ServiceName::parse(&name)
        .ok_or_else(|| invalid(format!(r"ServiceName must match ^[a-zA-Z0-9\\-_]{{1,255}}$, but was {name}")))?;
    let client_token = input.client_token.take();
    check_client_token(client_token.as_deref())?;
    let creation = Creation { client_token, request: document::digest(&input) };
    let cluster = cluster::find(cx, input.cluster.as_deref())?;
    let key = ServiceKey { cluster: cluster.name.clone(), name };
    if let Some(known) = cx.state.ecs.services.get(cx.scope(), &key).filter(|known| is_there(known)) {
        return repeat(cx, &known, &creation);
    }
    let mut service = new_service(cx, &cluster, key, creation.clone(), input)?;
    let workload = service.workload.clone();
    let is_deployed_here = service.controller == DeploymentController::Ecs;
    let workload = workload.filter(|_| is_deployed_here);
    let history = workload.map(|workload| deploy::deploy(cx, &mut service, workload)).transpose()?;
    let services = &cx.state.ecs.services;
    let key = service.key.clone();
    let (mut known, mut is_new) = services.get_or_insert_with(cx.scope(), &key, || service.clone());
    if !is_new {
        // The name of a deleted service is free again.
        let revive = |row: &mut Service| {
            if is_there(row) {
                return Err(());
            }
            *row = service;
            Ok(())
        };
        if let Some(Ok(revived)) = services.try_update(cx.scope(), &key, revive) {
            (known, is_new) = (revived, true);
        }
    }
    if !is_new {
        return repeat(cx, &known, &creation);
    }
    if let Some(history) = history {
        deploy::remember(cx, &known, history);
    } else if known.controller == DeploymentController::CodeDeploy {
        task_set::make_first(cx, &known);
    }
    Ok(response(cx, &known))
}

/// Checks a client token's form. (Text unverified.)
pub(crate) fn check_client_token(token: Option<&str>) -> Result<()> {
    let token = token.unwrap_or_default();
    if token.len() > CLIENT_TOKEN_CHARS_MAX || !token.bytes().all(|b| (33..=126).contains(&b)) {
        return Err(invalid(format!(
            "clientToken must have at most {CLIENT_TOKEN_CHARS_MAX} ASCII characters from 33 to 126."
        )));
    }
    Ok(())
}

fn is_there(service: &Service) -> bool {
    match service.status {
        ServiceStatus::Active | ServiceStatus::Draining => true,
        ServiceStatus::Inactive => false,
    }
}

/// Answers a request for a service that is there: with it, if the request is the one that made it.
fn repeat(cx: &Cx, known: &Arc<Service>, creation: &Creation) -> Result<api::CreateServiceResponse> {
    let has_token = known.creation.client_token == creation.client_token || creation.client_token.is_none();
    let is_same = has_token && known.creation.request == creation.request;
    match known.status {
        // Seen: CreateService's answer in public repositories, and CreateExpressGatewayService's.
        ServiceStatus::Draining => Err(invalid("Unable to Start a service that is still Draining.")),
        ServiceStatus::Active | ServiceStatus::Inactive if is_same => Ok(response(cx, known)),
        ServiceStatus::Active | ServiceStatus::Inactive => Err(invalid("Creation of service was not idempotent.")),
    }
}

fn response(cx: &Cx, service: &Service) -> api::CreateServiceResponse {
    api::CreateServiceResponse { service: Some(view::service(cx, service, true)) }
}

fn new_service(
    cx: &Cx,
    cluster: &Cluster,
    key: ServiceKey,
    creation: Creation,
    input: api::CreateServiceRequest,
) -> Result<Service> {
    let tags = tags::parse(input.tags.clone())?;
    let scheduling = scheduling(input.scheduling_strategy.as_ref());
    let controller = controller(input.deployment_controller.as_ref());
    check_kind(scheduling, controller)?;
    let desired_count = desired_count(scheduling, controller, input.desired_count)?;
    let grace_period = grace_period(input.health_check_grace_period_seconds)?;
    let rollout = rollout::parse(None, input.deployment_configuration.clone(), scheduling, controller)?;
    let (constraints, strategies) = (input.placement_constraints.clone(), input.placement_strategy.clone());
    let (constraints, strategies) = (constraints.unwrap_or_default(), strategies.unwrap_or_default());
    let (role, is_exec_enabled) = (input.role.clone(), input.enable_execute_command.unwrap_or(false));
    let zones = input.availability_zone_rebalancing.clone();
    let (tag_source, adds_managed_tags) =
        (tag_source(input.propagate_tags.as_ref()), input.enable_ecs_managed_tags.unwrap_or(false));
    let parts = parts(input);
    let workload = if controller == DeploymentController::External {
        workload::check_external(&parts)?;
        None
    } else {
        let purpose = Purpose { cluster, scheduling, controller, rollout: Some(&rollout), known: None };
        Some(workload::parse(cx, &purpose, parts)?)
    };
    let launch_type = workload.as_ref().map(|workload| workload.capacity.launch_type());
    placement::check(launch_type, scheduling, &constraints, &strategies)?;
    let mut service = Service {
        arn: Arn::new("ecs", cx.scope(), &format!("service/{}/{}", key.cluster, key.name)),
        key,
        cluster_arn: cluster.arn.clone(),
        status: ServiceStatus::Active,
        created_at: cx.now(),
        created_by: Arn::global("iam", cx.scope(), "root").to_string(),
        creation,
        scheduling,
        controller,
        is_managed_by_ecs: false,
        desired_count,
        workload,
        rollout,
        placement_constraints: (!constraints.is_empty()).then(|| document::write(&constraints)),
        placement_strategy: (!strategies.is_empty()).then(|| document::write(&strategies)),
        health_check_grace_period_s: grace_period,
        tag_source,
        adds_managed_tags,
        is_exec_enabled,
        rebalances_zones: false,
        role_arn: None,
        tags,
        deployments: Vec::new(),
        events: Vec::new(),
    };
    check_exec(cx, &service, "created")?;
    // Omitted, it is enabled wherever it can be.
    service.rebalances_zones = match zones {
        Some(zones) => rebalances_zones(&service, &zones)?,
        None => check_rebalancing(&service).is_ok(),
    };
    service.role_arn = role_arn(cx, &service, role)?;
    Ok(service)
}

fn parts(input: api::CreateServiceRequest) -> Parts {
    Parts {
        task_definition: input.task_definition,
        launch_type: input.launch_type,
        strategy: input.capacity_provider_strategy.filter(|strategy| !strategy.is_empty()),
        platform_version: input.platform_version,
        network_configuration: input.network_configuration,
        load_balancers: input.load_balancers,
        service_registries: input.service_registries,
        service_connect: input.service_connect_configuration,
        volumes: input.volume_configurations,
        vpc_lattice: input.vpc_lattice_configurations,
    }
}

fn scheduling(strategy: Option<&api::SchedulingStrategy>) -> SchedulingStrategy {
    match strategy {
        Some(api::SchedulingStrategy::Daemon) => SchedulingStrategy::Daemon,
        // The model's check has refused others.
        None | Some(api::SchedulingStrategy::Replica | api::SchedulingStrategy::Other(_)) => {
            SchedulingStrategy::Replica
        }
    }
}

pub(super) fn controller(controller: Option<&api::DeploymentController>) -> DeploymentController {
    match controller.and_then(|controller| controller.r#type.as_ref()) {
        Some(api::DeploymentControllerType::CodeDeploy) => DeploymentController::CodeDeploy,
        Some(api::DeploymentControllerType::External) => DeploymentController::External,
        // The model's check has refused others.
        None | Some(api::DeploymentControllerType::Ecs | api::DeploymentControllerType::Other(_)) => {
            DeploymentController::Ecs
        }
    }
}

/// The rule is CreateService's documentation; text unverified.
fn check_kind(scheduling: SchedulingStrategy, controller: DeploymentController) -> Result<()> {
    match (scheduling, controller) {
        (SchedulingStrategy::Daemon, DeploymentController::CodeDeploy | DeploymentController::External) => {
            Err(invalid("The daemon scheduling strategy is only supported with the ECS deployment controller."))
        }
        _ => Ok(()),
    }
}

/// Checks how many tasks a service is to have.
pub(super) fn desired_count(
    scheduling: SchedulingStrategy,
    controller: DeploymentController,
    asked: Option<i32>,
) -> Result<u32> {
    match (scheduling, controller, asked) {
        (SchedulingStrategy::Daemon, _, None) => Ok(0),
        // Seen: kayac/ecspresso#20.
        (SchedulingStrategy::Daemon, _, Some(_)) => Err(invalid(
            "The daemon scheduling strategy does not support a desired count for services. Remove the desired count \
             value and try again",
        )),
        // Of such a service nothing but the name is required.
        (SchedulingStrategy::Replica, DeploymentController::External, None) => Ok(0),
        // Text unverified, as those of the bounds.
        (SchedulingStrategy::Replica, _, None) => Err(invalid("desiredCount can not be blank.")),
        (SchedulingStrategy::Replica, _, Some(count)) => match u32::try_from(count) {
            Ok(count) if count <= DESIRED_COUNT_MAX => Ok(count),
            Ok(_) => Err(invalid(format!("desiredCount must be at most {DESIRED_COUNT_MAX}."))),
            Err(_) => Err(invalid("desiredCount must be at least 0.")),
        },
    }
}

/// Checks the time in which a task's health does not count. (Text unverified.)
pub(super) fn grace_period(asked: Option<i32>) -> Result<Option<u32>> {
    let seconds = asked.map(u32::try_from).transpose();
    seconds.map_err(|_| invalid("healthCheckGracePeriodSeconds must be between 0 and 2147483647."))
}

pub(super) fn tag_source(propagate: Option<&api::PropagateTags>) -> Option<TagSource> {
    match propagate {
        Some(api::PropagateTags::TaskDefinition) => Some(TagSource::TaskDefinition),
        Some(api::PropagateTags::Service) => Some(TagSource::Service),
        None | Some(api::PropagateTags::None | api::PropagateTags::Other(_)) => None,
    }
}

/// Refuses ECS Exec without a task role. `what` is what could not be done to the service.
pub(super) fn check_exec(cx: &Cx, service: &Service, what: &str) -> Result<()> {
    let Some(workload) = service.workload.as_ref().filter(|_| service.is_exec_enabled) else { return Ok(()) };
    let definition = cx.state.ecs.task_definitions.get(cx.scope(), &workload.definition);
    if definition.is_some_and(|definition| definition.task_role_arn.is_some()) {
        return Ok(());
    }
    Err(invalid(format!(
        "The service couldn't be {what} because a valid taskRoleArn is not being used. Specify a valid task role in your \
         task definition and try again."
    )))
}

/// Reads whether tasks are kept even over zones, where the service can have that.
pub(super) fn rebalances_zones(service: &Service, asked: &api::AvailabilityZoneRebalancing) -> Result<bool> {
    match asked {
        api::AvailabilityZoneRebalancing::Enabled => check_rebalancing(service).map(|()| true),
        api::AvailabilityZoneRebalancing::Disabled | api::AvailabilityZoneRebalancing::Other(_) => Ok(false),
    }
}

/// The rules are the developer guide's; texts unverified.
pub(super) fn check_rebalancing(service: &Service) -> Result<()> {
    if service.scheduling == SchedulingStrategy::Daemon {
        return Err(invalid("Availability Zone rebalancing does not support the daemon scheduling strategy."));
    }
    if service.controller != DeploymentController::Ecs {
        return Err(invalid("Availability Zone rebalancing only supports the ECS deployment controller."));
    }
    if service.rollout.maximum_percent <= 100 {
        return Err(invalid("Availability Zone rebalancing does not support a maximumPercent of 100 or less."));
    }
    let balancers = service.workload.as_ref().and_then(|workload| workload.load_balancers.as_ref());
    let balancers = balancers.map(document::read_list::<api::LoadBalancer>).unwrap_or_default();
    if balancers.iter().any(|balancer| balancer.load_balancer_name.is_some()) {
        return Err(invalid("Availability Zone rebalancing does not support Classic Load Balancers."));
    }
    Ok(())
}

/// Returns the role that ECS acts as: the service-linked one where it is needed, or else the one that was given.
fn role_arn(cx: &Cx, service: &Service, asked: Option<String>) -> Result<Option<String>> {
    let asked = asked.filter(|role| !role.is_empty());
    let linked = || view::service_linked_role(cx.scope(), service);
    match (asked, linked()) {
        (None, linked) => Ok(linked),
        // Seen: terraform-provider-aws#30048.
        (Some(_), Some(_)) if view::needs_linked_role(service) => {
            Err(invalid("You cannot specify an IAM role for services that require a service linked role."))
        }
        // The rule is CreateService's documentation; text unverified.
        (Some(_), None) => Err(invalid("You cannot specify an IAM role for services without load balancers.")),
        (Some(role), Some(_)) if role.starts_with("arn:") => Ok(Some(role)),
        (Some(role), Some(_)) => {
            let path = format!("role/{}", role.trim_start_matches('/'));
            Ok(Some(Arn::global("iam", cx.scope(), &path).to_string()))
        }
    }
}

//! UpdateService.

use api::ecs as api;
use state::Cx;
use state::ecs::{Cluster, DeploymentController, SchedulingStrategy, Service, Workload};

use super::deploy::History;
use super::workload::{Parts, Purpose};
use super::{create, deploy, placement, reference, rollout, view, workload};
use crate::{Result, cluster, document, invalid, required};

/// Changes a service. A change of what its tasks are makes a new deployment; other changes leave its tasks alone.
pub(crate) async fn update_service(cx: &Cx, input: api::UpdateServiceRequest) -> Result<api::UpdateServiceResponse> {
    let cluster = cluster::find(cx, input.cluster.as_deref())?;
    let known = reference::find(cx, &cluster, &required(input.service.clone(), "service")?)?;
    // The row is held meanwhile: of two updates at once, the second sees what the first has done.
    let mut history = None;
    let updated = cx.state.ecs.services.try_update(cx.scope(), &known.key, |row| -> Result<()> {
        reference::check_active(row)?;
        history = apply(cx, &cluster, row, input)?;
        Ok(())
    });
    let updated = updated.ok_or_else(reference::not_found)??;
    if let Some(history) = history {
        deploy::remember(cx, &updated, history);
    }
    Ok(api::UpdateServiceResponse { service: Some(view::service(cx, &updated, true)) })
}

/// Changes the record, and returns the history of the deployment that the change makes, if it makes one.
fn apply(
    cx: &Cx,
    cluster: &Cluster,
    service: &mut Service,
    input: api::UpdateServiceRequest,
) -> Result<Option<History>> {
    if let Some(asked) = &input.deployment_controller {
        service.controller = create::controller(Some(asked));
    }
    let controller = service.controller;
    if input.desired_count.is_some() {
        service.desired_count = create::desired_count(service.scheduling, controller, input.desired_count)?;
    }
    if input.health_check_grace_period_seconds.is_some() {
        service.health_check_grace_period_s = create::grace_period(input.health_check_grace_period_seconds)?;
    }
    if let Some(given) = input.deployment_configuration.clone() {
        service.rollout = rollout::parse(Some(&service.rollout), Some(given), service.scheduling, controller)?;
    }
    if let Some(propagate) = &input.propagate_tags {
        service.tag_source = create::tag_source(Some(propagate));
    }
    service.adds_managed_tags = input.enable_ecs_managed_tags.unwrap_or(service.adds_managed_tags);
    service.is_exec_enabled = input.enable_execute_command.unwrap_or(service.is_exec_enabled);
    place(service, &input)?;
    let is_forced = input.force_new_deployment == Some(true);
    let zones = input.availability_zone_rebalancing.clone();
    let parts = parts(input);
    check_controller(controller, &parts, is_forced)?;
    let history = match controller {
        DeploymentController::Ecs => redeploy(cx, cluster, service, parts, is_forced)?,
        // Load balancers are all of this that such a service can change by itself: they are CodeDeploy's to shift.
        DeploymentController::CodeDeploy if !parts.is_empty() => {
            service.workload = Some(workload_with(cx, cluster, service, parts)?);
            None
        }
        DeploymentController::CodeDeploy | DeploymentController::External => None,
    };
    let launch_type = service.workload.as_ref().map(|workload| workload.capacity.launch_type());
    let constraints = service.placement_constraints.as_ref().map(document::read_list).unwrap_or_default();
    let strategies = service.placement_strategy.as_ref().map(document::read_list).unwrap_or_default();
    placement::check(launch_type, service.scheduling, &constraints, &strategies)?;
    create::check_exec(cx, service, "updated")?;
    match zones {
        Some(zones) => service.rebalances_zones = create::rebalances_zones(service, &zones)?,
        None if service.rebalances_zones => create::check_rebalancing(service)?,
        None => {}
    }
    service.role_arn = service.role_arn.take().or_else(|| view::service_linked_role(cx.scope(), service));
    Ok(history)
}

/// Takes over placement constraints and strategies; empty lists remove those that were there.
fn place(service: &mut Service, input: &api::UpdateServiceRequest) -> Result<()> {
    if let Some(constraints) = &input.placement_constraints {
        service.placement_constraints = (!constraints.is_empty()).then(|| document::write(constraints));
    }
    if let Some(strategies) = &input.placement_strategy {
        let is_daemon = service.scheduling == SchedulingStrategy::Daemon;
        placement::check(None, service.scheduling, &[], if is_daemon { strategies } else { &[] })?;
        service.placement_strategy = (!strategies.is_empty()).then(|| document::write(strategies));
    }
    Ok(())
}

fn parts(input: api::UpdateServiceRequest) -> Parts {
    Parts {
        task_definition: input.task_definition,
        launch_type: None,
        strategy: input.capacity_provider_strategy,
        platform_version: input.platform_version,
        network_configuration: input.network_configuration,
        load_balancers: input.load_balancers,
        service_registries: input.service_registries,
        service_connect: input.service_connect_configuration,
        volumes: input.volume_configurations,
        vpc_lattice: input.vpc_lattice_configurations,
    }
}

/// Refuses changes that are not ECS's to make where somebody else deploys the service.
fn check_controller(controller: DeploymentController, parts: &Parts, is_forced: bool) -> Result<()> {
    match controller {
        DeploymentController::Ecs => Ok(()),
        DeploymentController::CodeDeploy if parts.task_definition.is_some() => Err(invalid(
            "Unable to update task definition on services with a CODE_DEPLOY deployment controller. Please use Code \
             Deploy to trigger a new deployment.",
        )),
        DeploymentController::CodeDeploy if is_forced => Err(invalid(
            "Cannot force a new deployment on services with a CODE_DEPLOY deployment controller. Use AWS CodeDeploy to \
             trigger a new deployment.",
        )),
        // Seen: terraform-provider-aws#8005.
        DeploymentController::CodeDeploy if parts.network_configuration.is_some() => Err(invalid(
            "Unable to update network parameters on services with a CODE_DEPLOY deployment controller. Use AWS \
             CodeDeploy to trigger a new deployment.",
        )),
        // Texts unverified from here on.
        DeploymentController::CodeDeploy if parts.platform_version.is_some() => Err(invalid(
            "Unable to update platform version on services with a CODE_DEPLOY deployment controller. Use AWS CodeDeploy \
             to trigger a new deployment.",
        )),
        DeploymentController::CodeDeploy => Ok(()),
        DeploymentController::External if is_forced => Err(invalid(
            "Cannot force a new deployment on services with an EXTERNAL deployment controller. Use CreateTaskSet to \
             create a new deployment.",
        )),
        DeploymentController::External => workload::check_external(parts),
    }
}

/// Makes a new deployment if what the tasks are has changed, or if it is forced.
fn redeploy(
    cx: &Cx,
    cluster: &Cluster,
    service: &mut Service,
    parts: Parts,
    is_forced: bool,
) -> Result<Option<History>> {
    let workload = workload_with(cx, cluster, service, parts)?;
    let is_new = service.primary().is_none_or(|primary| {
        // A change of capacity alone is none of the tasks: the model says that it starts no deployment.
        let as_before = Workload { capacity: primary.workload.capacity.clone(), ..workload.clone() };
        let is_elsewhere = primary.workload.capacity.launch_type() != workload.capacity.launch_type();
        as_before != primary.workload || is_elsewhere
    });
    if is_new || is_forced {
        return deploy::deploy(cx, service, workload).map(Some);
    }
    if let Some(primary) = service.deployments.first_mut() {
        primary.workload = workload.clone();
    }
    service.workload = Some(workload);
    Ok(None)
}

/// Reads the workload that results if `parts` are changed.
fn workload_with(cx: &Cx, cluster: &Cluster, service: &Service, parts: Parts) -> Result<Workload> {
    let known = service.workload.as_ref();
    let before = known.map(Parts::of).unwrap_or_default();
    let (launch_type, strategy) = match parts.strategy {
        None => (before.launch_type, before.strategy),
        // An empty strategy goes back to the launch type of the capacity that the providers had.
        Some(strategy) if strategy.is_empty() => (known.map(plain_launch_type), None),
        Some(strategy) => (None, Some(strategy)),
    };
    let is_same_platform = strategy.as_ref().is_none_or(|strategy| {
        strategy.iter().all(|item| item.capacity_provider.as_deref().is_some_and(|name| name.starts_with("FARGATE")))
    });
    let merged = Parts {
        task_definition: parts.task_definition.or(before.task_definition),
        launch_type,
        strategy,
        platform_version: parts.platform_version.or_else(|| before.platform_version.filter(|_| is_same_platform)),
        network_configuration: parts.network_configuration.or(before.network_configuration),
        load_balancers: parts.load_balancers.or(before.load_balancers),
        service_registries: parts.service_registries.or(before.service_registries),
        service_connect: parts.service_connect.or(before.service_connect),
        volumes: parts.volumes.or(before.volumes),
        vpc_lattice: parts.vpc_lattice.or(before.vpc_lattice),
    };
    let purpose = Purpose {
        cluster,
        scheduling: service.scheduling,
        controller: service.controller,
        rollout: Some(&service.rollout),
        known,
    };
    workload::parse(cx, &purpose, merged)
}

fn plain_launch_type(workload: &Workload) -> api::LaunchType {
    match workload.capacity.launch_type() {
        state::ecs::LaunchType::Fargate => api::LaunchType::Fargate,
        state::ecs::LaunchType::Ec2 | state::ecs::LaunchType::ManagedInstances => api::LaunchType::Ec2,
        state::ecs::LaunchType::External => api::LaunchType::External,
    }
}

//! A service as responses show it.

use std::collections::HashMap;

use api::ecs as api;
use base::{Arn, Scope, ServiceRevisionId, TaskId};
use state::Cx;
use state::ecs::{
    Deployment, DeploymentController, LaunchType, RolloutState, SchedulingStrategy, Service, ServiceEvent, ServiceKey,
    ServiceRevisionKey, ServiceStatus, TagSource, Task, TaskStatus, Workload,
};

use super::capacity;
use crate::{document, tags, task, task_set};

/// The operating system of tasks on Fargate, as services show it.
pub(crate) const PLATFORM_FAMILY: &str = "Linux";

/// How many tasks of a revision there are.
#[derive(Clone, Copy, Default)]
pub(crate) struct Counts {
    /// Running ones.
    pub(crate) running: i32,
    /// Those on their way there.
    pub(crate) pending: i32,
    /// Those that were not asked to stop.
    pub(crate) wanted: i32,
}

impl Counts {
    fn add(&mut self, task: &Task) {
        match task.last_status {
            TaskStatus::Running => self.running += 1,
            TaskStatus::Provisioning | TaskStatus::Pending | TaskStatus::Activating => self.pending += 1,
            TaskStatus::Deactivating | TaskStatus::Stopping | TaskStatus::Deprovisioning | TaskStatus::Stopped => {}
        }
        if task.stop.is_none() {
            self.wanted += 1;
        }
    }
}

/// Counts the tasks of a service by revision.
pub(crate) fn counts(cx: &Cx, service: &ServiceKey) -> HashMap<ServiceRevisionId, Counts> {
    let mut counts = HashMap::<_, Counts>::new();
    for (member, task) in cx.state.ecs.tasks_of_service(cx.scope(), service, TaskId::new("")) {
        counts.entry(member.revision).or_default().add(&task);
    }
    counts
}

/// Shapes a service; its tags only if they were asked for.
pub(crate) fn service(cx: &Cx, service: &Service, shows_tags: bool) -> api::Service {
    let daemon = daemon(cx, service);
    let service = daemon.as_ref().unwrap_or(service);
    let counts = counts(cx, &service.key);
    let sum = |count: fn(&Counts) -> i32| counts.values().map(count).sum::<i32>();
    let workload = service.workload.as_ref();
    let is_gone = service.status == ServiceStatus::Inactive;
    let task_sets = (service.controller != DeploymentController::Ecs || is_gone).then(|| {
        let all = cx.state.ecs.task_sets_of(cx.scope(), &service.key);
        all.map(|task_set| task_set::view(cx, service, &task_set, false)).collect()
    });
    let deployments = service.deployments.iter().enumerate();
    let deployments = deployments.map(|(place, each)| {
        let counts = counts.get(&each.revision).copied().unwrap_or_default();
        deployment(service, each, counts, place == 0)
    });
    api::Service {
        service_arn: Some(service.arn.to_string()),
        service_name: Some(service.key.name.to_string()),
        cluster_arn: Some(service.cluster_arn.to_string()),
        load_balancers: Some(load_balancers(workload)),
        service_registries: Some(service_registries(workload)),
        status: Some(service.status.as_str().to_owned()),
        desired_count: i32::try_from(service.desired_count).ok(),
        running_count: Some(sum(|counts| counts.running)),
        pending_count: Some(sum(|counts| counts.pending)),
        launch_type: workload.and_then(|workload| capacity::launch_type(&workload.capacity)),
        capacity_provider_strategy: workload.and_then(|workload| capacity::strategy(&workload.capacity)),
        platform_version: workload.and_then(|workload| workload.platform_version.clone()),
        platform_family: workload.and_then(platform_family),
        task_definition: workload.map(|workload| workload.definition_arn.to_string()),
        deployment_configuration: Some(document::read(&service.rollout.document)),
        task_sets,
        deployments: Some(deployments.collect()),
        role_arn: service.role_arn.clone(),
        events: Some(service.events.iter().map(event).collect()),
        created_at: Some(service.created_at.into()),
        current_service_deployment: current_deployment(cx, service),
        current_service_revisions: current_revisions(cx, service, &counts),
        placement_constraints: Some(
            service.placement_constraints.as_ref().map(document::read_list).unwrap_or_default(),
        ),
        placement_strategy: Some(service.placement_strategy.as_ref().map(document::read_list).unwrap_or_default()),
        network_configuration: workload.and_then(network_configuration),
        health_check_grace_period_seconds: grace_period(service),
        scheduling_strategy: Some(match service.scheduling {
            SchedulingStrategy::Replica => api::SchedulingStrategy::Replica,
            SchedulingStrategy::Daemon => api::SchedulingStrategy::Daemon,
        }),
        deployment_controller: Some(api::DeploymentController {
            r#type: Some(match service.controller {
                DeploymentController::Ecs => api::DeploymentControllerType::Ecs,
                DeploymentController::CodeDeploy => api::DeploymentControllerType::CodeDeploy,
                DeploymentController::External => api::DeploymentControllerType::External,
            }),
        }),
        tags: (shows_tags && !service.tags.is_empty()).then(|| tags::view(&service.tags)),
        created_by: Some(service.created_by.clone()),
        enable_ecs_managed_tags: Some(service.adds_managed_tags),
        propagate_tags: Some(match service.tag_source {
            None => api::PropagateTags::None,
            Some(TagSource::TaskDefinition) => api::PropagateTags::TaskDefinition,
            Some(TagSource::Service) => api::PropagateTags::Service,
        }),
        enable_execute_command: Some(service.is_exec_enabled),
        availability_zone_rebalancing: Some(if service.rebalances_zones {
            api::AvailabilityZoneRebalancing::Enabled
        } else {
            api::AvailabilityZoneRebalancing::Disabled
        }),
        resource_management_type: service.is_managed_by_ecs.then_some(api::ResourceManagementType::Ecs),
    }
}

pub(crate) fn load_balancers(workload: Option<&Workload>) -> Vec<api::LoadBalancer> {
    workload.and_then(|workload| workload.load_balancers.as_ref()).map(document::read_list).unwrap_or_default()
}

pub(crate) fn service_registries(workload: Option<&Workload>) -> Vec<api::ServiceRegistry> {
    workload.and_then(|workload| workload.service_registries.as_ref()).map(document::read_list).unwrap_or_default()
}

pub(crate) fn network_configuration(workload: &Workload) -> Option<api::NetworkConfiguration> {
    workload.network_configuration.as_ref().map(document::read)
}

pub(crate) fn platform_family(workload: &Workload) -> Option<String> {
    (workload.capacity.launch_type() == LaunchType::Fargate).then(|| PLATFORM_FAMILY.to_owned())
}

/// Returns the platform version that tasks get: never LATEST.
pub(crate) fn resolved_platform_version(workload: &Workload) -> Option<String> {
    let asked = workload.platform_version.as_deref()?;
    task::platform_version(Some(asked)).ok()
}

/// Returns a daemon as responses show it: it wants a task on each container instance that suits it.
fn daemon(cx: &Cx, service: &Service) -> Option<Service> {
    if service.scheduling != SchedulingStrategy::Daemon || service.status != ServiceStatus::Active {
        return None;
    }
    let definition = &service.primary()?.workload.definition;
    let definition = cx.state.ecs.task_definitions.get(cx.scope(), definition)?;
    let instances = cx.state.ecs.daemon_instances(cx.scope(), service, &definition);
    Some(Service { desired_count: u32::try_from(instances.len()).unwrap_or(u32::MAX), ..service.clone() })
}

/// Shapes a deployment. The first one of a service is its primary.
fn deployment(service: &Service, deployment: &Deployment, counts: Counts, is_primary: bool) -> api::Deployment {
    let workload = &deployment.workload;
    let id = deployment.id();
    let (state, reason) = match &deployment.rollout {
        RolloutState::InProgress => {
            let reason = deployment.rollout_reason.clone();
            let reason = reason.unwrap_or_else(|| format!("ECS deployment {id} in progress."));
            (api::DeploymentRolloutState::InProgress, reason)
        }
        RolloutState::Completed => (api::DeploymentRolloutState::Completed, format!("ECS deployment {id} completed.")),
        RolloutState::Failed { reason } => (api::DeploymentRolloutState::Failed, reason.clone()),
    };
    let desired = if is_primary { i32::try_from(service.desired_count).unwrap_or(i32::MAX) } else { counts.wanted };
    api::Deployment {
        id: Some(id),
        status: Some(if is_primary { "PRIMARY" } else { "ACTIVE" }.to_owned()),
        task_definition: Some(workload.definition_arn.to_string()),
        desired_count: Some(desired),
        pending_count: Some(counts.pending),
        running_count: Some(counts.running),
        failed_tasks: Some(i32::try_from(deployment.tally.failed).unwrap_or(i32::MAX)),
        created_at: Some(deployment.created_at.into()),
        updated_at: Some(deployment.updated_at.into()),
        capacity_provider_strategy: capacity::strategy(&workload.capacity),
        launch_type: capacity::launch_type(&workload.capacity),
        platform_version: resolved_platform_version(workload),
        platform_family: platform_family(workload),
        network_configuration: network_configuration(workload),
        rollout_state: Some(state),
        rollout_state_reason: Some(reason),
        service_connect_configuration: workload.service_connect.as_ref().map(document::read),
        service_connect_resources: None,
        volume_configurations: workload.volumes.as_ref().map(document::read_list),
        fargate_ephemeral_storage: None,
        vpc_lattice_configurations: workload.vpc_lattice.as_ref().map(document::read_list),
    }
}

fn event(event: &ServiceEvent) -> api::ServiceEvent {
    api::ServiceEvent {
        id: Some(event.id.clone()),
        created_at: Some(event.at.into()),
        message: Some(event.message.clone()),
    }
}

fn current_deployment(cx: &Cx, service: &Service) -> Option<String> {
    let id = &service.primary()?.service_deployment;
    let path = format!("service-deployment/{}/{}/{id}", service.key.cluster, service.key.name);
    Some(Arn::new("ecs", cx.scope(), &path).to_string())
}

fn current_revisions(
    cx: &Cx,
    service: &Service,
    counts: &HashMap<ServiceRevisionId, Counts>,
) -> Option<Vec<api::ServiceCurrentRevisionSummary>> {
    if service.controller != DeploymentController::Ecs {
        return None;
    }
    let summary = |(place, deployment): (usize, &Deployment)| {
        let counts = counts.get(&deployment.revision).copied().unwrap_or_default();
        let requested = if place == 0 { i32::try_from(service.desired_count).ok() } else { Some(counts.wanted) };
        api::ServiceCurrentRevisionSummary {
            arn: Some(revision_arn(cx, &service.key, &deployment.revision).to_string()),
            requested_task_count: requested,
            running_task_count: Some(counts.running),
            pending_task_count: Some(counts.pending),
        }
    };
    Some(service.deployments.iter().enumerate().map(summary).collect())
}

/// Returns the ARN of a revision, whether or not it is still remembered.
pub(crate) fn revision_arn(cx: &Cx, service: &ServiceKey, id: &ServiceRevisionId) -> Arn {
    let key = ServiceRevisionKey { service: service.clone(), id: id.clone() };
    Arn::new("ecs", cx.scope(), &format!("service-revision/{}/{}/{}", service.cluster, service.name, key.id))
}

/// A service with load balancers always shows the time in which health does not count.
fn grace_period(service: &Service) -> Option<i32> {
    let has_load_balancers = service.workload.as_ref().is_some_and(|workload| workload.load_balancers.is_some());
    let seconds = service.health_check_grace_period_s.or_else(|| has_load_balancers.then_some(0))?;
    i32::try_from(seconds).ok()
}

/// Returns the role that ECS acts as unless another one is given; none where it has nobody to act towards.
pub(super) fn service_linked_role(scope: &Scope, service: &Service) -> Option<String> {
    let has_load_balancers = service.workload.as_ref().is_some_and(|workload| workload.load_balancers.is_some());
    if !needs_linked_role(service) && !has_load_balancers {
        return None;
    }
    let path = "role/aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS";
    Some(Arn::global("iam", scope, path).to_string())
}

/// Returns whether no role but the service-linked one will do.
pub(super) fn needs_linked_role(service: &Service) -> bool {
    let needs = |workload: &Workload| {
        let balancers = load_balancers(Some(workload)).len();
        workload.network.is_some() || workload.service_registries.is_some() || balancers > 1
    };
    service.workload.as_ref().is_some_and(needs)
}

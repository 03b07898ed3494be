//! A task set as responses show it.

use api::ecs as api;
use state::Cx;
use state::ecs::{DeploymentController, Service, TaskSet, deployment_id};

use crate::{service, tags};

/// Shapes a task set; its tags only if they were asked for.
pub(crate) fn view(cx: &Cx, of: &Service, task_set: &TaskSet, shows_tags: bool) -> api::TaskSet {
    let workload = &task_set.workload;
    let counts = service::counts(cx, &of.key).get(&task_set.key.id).copied().unwrap_or_default();
    let is_of_code_deploy = of.controller == DeploymentController::CodeDeploy;
    api::TaskSet {
        id: Some(deployment_id(&task_set.key.id)),
        task_set_arn: Some(task_set.arn.to_string()),
        service_arn: Some(of.arn.to_string()),
        cluster_arn: Some(of.cluster_arn.to_string()),
        started_by: is_of_code_deploy.then(|| "CODE_DEPLOY".to_owned()),
        external_id: task_set.external_id.clone(),
        status: Some(task_set.status.as_str().to_owned()),
        task_definition: Some(workload.definition_arn.to_string()),
        computed_desired_count: i32::try_from(task_set.desired_count(of.desired_count)).ok(),
        pending_count: Some(counts.pending),
        running_count: Some(counts.running),
        created_at: Some(task_set.created_at.into()),
        updated_at: Some(task_set.updated_at.into()),
        launch_type: service::launch_type(&workload.capacity),
        capacity_provider_strategy: service::strategy(&workload.capacity),
        platform_version: service::resolved_platform_version(workload),
        platform_family: service::platform_family(workload),
        network_configuration: service::network_configuration(workload),
        load_balancers: Some(service::load_balancers(Some(workload))),
        service_registries: Some(service::service_registries(Some(workload))),
        scale: Some(api::Scale { value: Some(task_set.scale_percent), unit: Some(api::ScaleUnit::Percent) }),
        stability_status: Some(if task_set.is_steady {
            api::StabilityStatus::SteadyState
        } else {
            api::StabilityStatus::Stabilizing
        }),
        stability_status_at: Some(task_set.steady_at.into()),
        tags: shows_tags.then(|| tags::view(&task_set.tags)).filter(|tags| !tags.is_empty()),
        fargate_ephemeral_storage: None,
    }
}

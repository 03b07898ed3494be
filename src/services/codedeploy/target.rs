//! The targets of deployments: of an ECS deployment, the one service.

use api::codedeploy as api;
use base::{Page, TaskId};
use state::Cx;
use state::codedeploy::{Deployment, DeploymentStatus, LifecycleEvent, LifecycleStatus};
use state::ecs::TaskStatus;

use crate::{Error, PAGE_SIZE, Result, check_batch, deployment, given, page_after};

const LISTING: &str = "ListDeploymentTargets";

/// Shows the target of a deployment.
pub(crate) async fn get_deployment_target(
    cx: &Cx,
    input: api::GetDeploymentTargetInput,
) -> Result<api::GetDeploymentTargetOutput> {
    let deployment = deployment::find(cx, input.deployment_id)?;
    check_target(&deployment, input.target_id)?;
    Ok(api::GetDeploymentTargetOutput { deployment_target: Some(view(cx, &deployment)) })
}

/// Shows targets of a deployment.
pub(crate) async fn batch_get_deployment_targets(
    cx: &Cx,
    input: api::BatchGetDeploymentTargetsInput,
) -> Result<api::BatchGetDeploymentTargetsOutput> {
    let deployment = deployment::find(cx, input.deployment_id)?;
    let ids = input.target_ids.unwrap_or_default();
    check_batch(&ids)?;
    let targets = ids.into_iter().map(|id| check_target(&deployment, Some(id)).map(|()| view(cx, &deployment)));
    Ok(api::BatchGetDeploymentTargetsOutput { deployment_targets: Some(targets.collect::<Result<_>>()?) })
}

/// Lists the ids of the targets of a deployment.
pub(crate) async fn list_deployment_targets(
    cx: &Cx,
    input: api::ListDeploymentTargetsInput,
) -> Result<api::ListDeploymentTargetsOutput> {
    let deployment = deployment::find(cx, input.deployment_id)?;
    let after = page_after(LISTING, input.next_token)?;
    let ids = [target_id(&deployment)].into_iter().filter(|id| after.as_ref().is_none_or(|after| id > after));
    let page = Page::cut(LISTING, PAGE_SIZE, ids, Clone::clone);
    Ok(api::ListDeploymentTargetsOutput { target_ids: Some(page.items), next_token: page.next })
}

fn target_id(deployment: &Deployment) -> String {
    let service = &deployment.settings.service;
    format!("{}:{}", service.cluster, service.name)
}

fn check_target(deployment: &Deployment, id: Option<String>) -> Result<()> {
    // Texts unverified.
    let id = given(id).ok_or_else(|| Error::DeploymentTargetIdRequired("The target ID is required.".to_owned()))?;
    if id != target_id(deployment) {
        let message = format!("The deployment {} has no target {id}.", deployment.id);
        return Err(Error::DeploymentTargetDoesNotExist(message));
    }
    Ok(())
}

fn view(cx: &Cx, deployment: &Deployment) -> api::DeploymentTarget {
    let observed = &deployment.observed;
    let service = &deployment.settings.service;
    let status = match observed.status {
        DeploymentStatus::Created => api::TargetStatus::Pending,
        DeploymentStatus::InProgress => api::TargetStatus::InProgress,
        DeploymentStatus::Ready => api::TargetStatus::Ready,
        DeploymentStatus::Succeeded => api::TargetStatus::Succeeded,
        DeploymentStatus::Failed => api::TargetStatus::Failed,
        DeploymentStatus::Stopped => api::TargetStatus::Skipped,
    };
    let arn = cx.state.ecs.services.get(cx.scope(), service).map(|service| service.arn.to_string());
    let target = api::ECSTarget {
        deployment_id: Some(deployment.id.clone()),
        target_id: Some(target_id(deployment)),
        target_arn: arn,
        last_updated_at: Some(observed.stage_since.into()),
        lifecycle_events: Some(observed.events.iter().map(event).collect()),
        status: Some(status),
        task_sets_info: Some(task_sets(cx, deployment)),
    };
    api::DeploymentTarget {
        deployment_target_type: Some(api::DeploymentTargetType::EcsTarget),
        ecs_target: Some(target),
        ..api::DeploymentTarget::default()
    }
}

fn event(event: &LifecycleEvent) -> api::LifecycleEvent {
    let code = match event.status {
        LifecycleStatus::Failed => Some(api::LifecycleErrorCode::UnknownError),
        LifecycleStatus::Succeeded => Some(api::LifecycleErrorCode::Success),
        LifecycleStatus::Pending | LifecycleStatus::InProgress | LifecycleStatus::Skipped => None,
    };
    let has_diagnostics = code.is_some() || event.message.is_some();
    api::LifecycleEvent {
        lifecycle_event_name: Some(event.name.clone()),
        diagnostics: has_diagnostics.then(|| api::Diagnostics {
            error_code: code,
            script_name: None,
            message: event.message.clone(),
            log_tail: None,
        }),
        start_time: event.started_at.map(Into::into),
        end_time: event.ended_at.map(Into::into),
        status: Some(event.status.as_str().into()),
    }
}

/// Shows the original and the replacement task set while they are there.
fn task_sets(cx: &Cx, deployment: &Deployment) -> Vec<api::ECSTaskSet> {
    let observed = &deployment.observed;
    let (ecs, service) = (&cx.state.ecs, &deployment.settings.service);
    let Some(record) = ecs.services.get(cx.scope(), service) else { return Vec::new() };
    let groups = &deployment.settings.target_groups;
    let mut shown = Vec::new();
    for task_set in ecs.task_sets_of(cx.scope(), service) {
        let (label, weight) = if observed.original.as_ref() == Some(&task_set.key.id) {
            (api::TargetLabel::Blue, 100_u32.saturating_sub(observed.weight))
        } else if observed.replacement.as_ref() == Some(&task_set.key.id) {
            (api::TargetLabel::Green, observed.weight)
        } else {
            continue;
        };
        let balancers = task_set.workload.load_balancers.as_ref().map(|balancers| balancers.as_str());
        let group = groups.iter().find(|group| balancers.is_some_and(|text| text.contains(&format!("/{group}/"))));
        let count = |statuses: &[TaskStatus]| {
            let tasks = ecs.tasks_of_service(cx.scope(), service, TaskId::new(""));
            let own = tasks
                .filter(|(member, task)| member.revision == task_set.key.id && statuses.contains(&task.last_status));
            i64::try_from(own.count()).ok()
        };
        shown.push(api::ECSTaskSet {
            identifer: Some(state::ecs::deployment_id(&task_set.key.id)),
            desired_count: Some(i64::from(task_set.desired_count(record.desired_count))),
            pending_count: count(&[TaskStatus::Provisioning, TaskStatus::Pending, TaskStatus::Activating]),
            running_count: count(&[TaskStatus::Running]),
            status: Some(task_set.status.as_str().to_owned()),
            traffic_weight: Some(f64::from(weight)),
            target_group: group.map(|group| api::TargetGroupInfo { name: Some(group.clone()) }),
            task_set_label: Some(label),
        });
    }
    shown
}

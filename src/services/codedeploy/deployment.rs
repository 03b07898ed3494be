//! Deployments.

use std::sync::Arc;

use api::codedeploy as api;
use base::Page;
use state::Cx;
use state::codedeploy::{Deployment, DeploymentGroup, DeploymentStatus, Observed, StopWanted, Wanted};

use crate::deployment_view::{status_of, view};
use crate::{
    Error, PAGE_SIZE, Result, application, check_batch, check_description, config, document, given, group, page_after,
    revision, settings,
};

const LISTING: &str = "ListDeployments";

/// Makes a deployment; it begins at once.
pub(crate) async fn create_deployment(
    cx: &Cx,
    input: api::CreateDeploymentInput,
) -> Result<api::CreateDeploymentOutput> {
    let application = application::find(cx, input.application_name)?;
    let group = group::find(cx, &application, input.deployment_group_name)?;
    check_description(input.description.as_deref())?;
    let location = revision::required(input.revision)?;
    let source = revision::read(&location)?;
    let mut settings = group.settings.clone();
    if let Some(config) = given(input.deployment_config_name) {
        settings.config = config;
    }
    let routing = config::find(cx, &settings.config)?;
    let mut info = document::read::<api::DeploymentGroupInfo>(&group.document);
    if input.auto_rollback_configuration.is_some() {
        settings.rollback = settings::rollback(input.auto_rollback_configuration.as_ref())?;
        info.auto_rollback_configuration = input.auto_rollback_configuration;
    }
    if input.override_alarm_configuration.is_some() {
        settings.alarms = settings::alarms(input.override_alarm_configuration.as_ref())?;
    }
    check_alone(cx, &group)?;
    let id = Deployment::new_id(&cx.ids);
    let deployment = Deployment {
        id: id.clone(),
        group: group.key.clone(),
        settings,
        routing,
        spec: source.spec,
        object: source.object,
        revision: Some(document::write(&location)),
        document: document::write(&info),
        description: input.description,
        created_at: cx.now(),
        rolls_back: None,
        wanted: Wanted::default(),
        observed: Observed::new(cx.now()),
    };
    revision::note_use(cx, &application.name, &location, deployment.object.as_ref());
    cx.state.codedeploy.deployments.insert(cx.scope(), &id, deployment);
    Ok(api::CreateDeploymentOutput { deployment_id: Some(id) })
}

/// Shows a deployment.
pub(crate) async fn get_deployment(cx: &Cx, input: api::GetDeploymentInput) -> Result<api::GetDeploymentOutput> {
    let deployment = find(cx, input.deployment_id)?;
    Ok(api::GetDeploymentOutput { deployment_info: Some(shown(cx, &deployment)) })
}

/// Shows deployments; unknown ones are left out.
pub(crate) async fn batch_get_deployments(
    cx: &Cx,
    input: api::BatchGetDeploymentsInput,
) -> Result<api::BatchGetDeploymentsOutput> {
    let ids = input.deployment_ids.unwrap_or_default();
    check_batch(&ids)?;
    let found = ids.iter().filter_map(|id| cx.state.codedeploy.deployments.get(cx.scope(), id));
    Ok(api::BatchGetDeploymentsOutput { deployments_info: Some(found.map(|found| shown(cx, &found)).collect()) })
}

/// Lists the ids of deployments, the newest first.
pub(crate) async fn list_deployments(cx: &Cx, input: api::ListDeploymentsInput) -> Result<api::ListDeploymentsOutput> {
    let application = given(input.application_name).map(|name| application::find(cx, Some(name))).transpose()?;
    let group = given(input.deployment_group_name);
    if let Some(group) = &group {
        // Text unverified.
        let required = || Error::ApplicationNameRequired("The application name is required.".to_owned());
        let application = application.clone().ok_or_else(required)?;
        group::find(cx, &application, Some(group.clone()))?;
    }
    let statuses = input.include_only_statuses.unwrap_or_default();
    let range = input.create_time_range;
    let (start, end) = range.map(|range| (range.start, range.end)).unwrap_or_default();
    let is_wanted = |deployment: &Deployment| {
        let created_at = aws_smithy_types::DateTime::from(deployment.created_at);
        application.as_ref().is_none_or(|application| application.name == deployment.group.application)
            && group.as_ref().is_none_or(|group| *group == deployment.group.name)
            && (statuses.is_empty() || statuses.contains(&status_of(deployment.observed.status)))
            && start.as_ref().is_none_or(|start| created_at >= *start)
            && end.as_ref().is_none_or(|end| created_at <= *end)
    };
    let all = cx.state.codedeploy.deployments.walk(cx.scope(), None).map(|(_, deployment)| deployment);
    let mut found = all.filter(|deployment| is_wanted(deployment)).collect::<Vec<_>>();
    found.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
    let after = page_after(LISTING, input.next_token)?;
    let from = after.map_or(0, |after| found.iter().position(|known| known.id == after).map_or(0, |place| place + 1));
    let page = Page::cut(LISTING, PAGE_SIZE, found.drain(from..), |deployment| deployment.id.clone());
    let ids = page.items.iter().map(|deployment| deployment.id.clone()).collect();
    Ok(api::ListDeploymentsOutput { deployments: Some(ids), next_token: page.next })
}

/// Asks a deployment to stop, and to go back if the request or its group says so.
pub(crate) async fn stop_deployment(cx: &Cx, input: api::StopDeploymentInput) -> Result<api::StopDeploymentOutput> {
    let known = find(cx, input.deployment_id)?;
    let asked = input.auto_rollback_enabled;
    let stop = |deployment: &mut Deployment| -> Result<()> {
        check_open(deployment)?;
        let rolls_back = asked.unwrap_or(deployment.settings.rollback.on_request);
        deployment.wanted.stop.get_or_insert(StopWanted { rolls_back });
        Ok(())
    };
    let stopped = cx.state.codedeploy.deployments.try_update(cx.scope(), &known.id, stop);
    stopped.ok_or_else(|| missing(&known.id))??;
    Ok(api::StopDeploymentOutput {
        status: Some(api::StopStatus::Pending),
        // Text unverified.
        status_message: Some("No more instances will be updated".to_owned()),
    })
}

/// Lets a deployment that waits go on.
pub(crate) async fn continue_deployment(cx: &Cx, input: api::ContinueDeploymentInput) -> Result<()> {
    let known = find(cx, input.deployment_id)?;
    let kind = input.deployment_wait_type.unwrap_or(api::DeploymentWaitType::ReadyWait);
    let go_on = |deployment: &mut Deployment| -> Result<()> {
        check_open(deployment)?;
        match kind {
            api::DeploymentWaitType::ReadyWait if deployment.observed.status == DeploymentStatus::Ready => {
                deployment.wanted.shift = true;
            }
            api::DeploymentWaitType::TerminationWait if deployment.observed.weight == 100 => {
                deployment.wanted.terminate = true;
            }
            // Texts unverified.
            api::DeploymentWaitType::ReadyWait | api::DeploymentWaitType::TerminationWait => {
                let message = format!("The deployment {} is not waiting to be continued.", deployment.id);
                return Err(Error::DeploymentIsNotInReadyState(message));
            }
            api::DeploymentWaitType::Other(_) => {
                return Err(Error::InvalidDeploymentWaitType("The deployment wait type is invalid.".to_owned()));
            }
        }
        Ok(())
    };
    let continued = cx.state.codedeploy.deployments.try_update(cx.scope(), &known.id, go_on);
    continued.ok_or_else(|| missing(&known.id))??;
    Ok(())
}

/// Finds a deployment.
pub(crate) fn find(cx: &Cx, id: Option<String>) -> Result<Arc<Deployment>> {
    // Texts unverified.
    let id = given(id).ok_or_else(|| Error::DeploymentIdRequired("The deployment ID is required.".to_owned()))?;
    if !id.starts_with("d-") {
        return Err(Error::InvalidDeploymentId(format!("The deployment ID {id} is invalid.")));
    }
    cx.state.codedeploy.deployments.get(cx.scope(), &id).ok_or_else(|| missing(&id))
}

pub(crate) fn missing(id: &str) -> Error {
    Error::DeploymentDoesNotExist(format!("The deployment {id} could not be found"))
}

fn check_open(deployment: &Deployment) -> Result<()> {
    if deployment.observed.status.is_final() {
        // Text unverified.
        let message = format!("The deployment {} has already been completed.", deployment.id);
        return Err(Error::DeploymentAlreadyCompleted(message));
    }
    Ok(())
}

/// Refuses a second deployment of the same group at a time.
fn check_alone(cx: &Cx, group: &DeploymentGroup) -> Result<()> {
    let deployments = cx.state.codedeploy.deployments_of(cx.scope(), &group.key);
    match deployments.iter().find(|deployment| !deployment.observed.status.is_final()) {
        // Seen: codedeploy-agent and aws-actions/amazon-ecs-deploy-task-definition issues.
        Some(active) => Err(Error::DeploymentLimitExceeded(format!(
            "The Deployment Group '{}' already has an active Deployment '{}'",
            group.key.name, active.id
        ))),
        None => Ok(()),
    }
}

fn shown(cx: &Cx, deployment: &Deployment) -> api::DeploymentInfo {
    let all = cx.state.codedeploy.deployments_of(cx.scope(), &deployment.group);
    let mut earlier = all.iter().filter(|known| known.created_at < deployment.created_at);
    let previous = earlier.find(|known| known.observed.status == DeploymentStatus::Succeeded);
    view(deployment, previous.map(|previous| &**previous))
}

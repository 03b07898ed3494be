//! A deployment as responses show it.

use api::codedeploy as api;
use state::codedeploy::{Deployment, DeploymentStatus, Stage};

use crate::document;

/// Shapes a deployment. `previous` is the last one that succeeded before it.
pub(crate) fn view(deployment: &Deployment, previous: Option<&Deployment>) -> api::DeploymentInfo {
    let group = document::read::<api::DeploymentGroupInfo>(&deployment.document);
    let observed = &deployment.observed;
    let is_rollback = deployment.rolls_back.is_some();
    let rollback = match (&deployment.rolls_back, &observed.rolled_back_by) {
        (None, None) => None,
        (triggering, by) => Some(api::RollbackInfo {
            rollback_deployment_id: by.clone(),
            rollback_triggering_deployment_id: triggering.clone(),
            rollback_message: None,
        }),
    };
    api::DeploymentInfo {
        application_name: Some(deployment.group.application.clone()),
        deployment_group_name: Some(deployment.group.name.clone()),
        deployment_config_name: Some(deployment.settings.config.clone()),
        deployment_id: Some(deployment.id.clone()),
        previous_revision: previous.and_then(|previous| previous.revision.as_ref()).map(document::read),
        revision: deployment.revision.as_ref().map(document::read),
        status: Some(status_of(observed.status)),
        error_information: observed.error.as_ref().map(|(code, message)| api::ErrorInformation {
            code: Some(code.as_str().into()),
            message: Some(message.clone()),
        }),
        create_time: Some(deployment.created_at.into()),
        start_time: observed.started_at.map(Into::into),
        complete_time: observed.completed_at.map(Into::into),
        deployment_overview: Some(overview(observed.status)),
        description: deployment.description.clone(),
        creator: Some(if is_rollback {
            api::DeploymentCreator::CodeDeployRollback
        } else {
            api::DeploymentCreator::User
        }),
        ignore_application_stop_failures: Some(false),
        auto_rollback_configuration: group.auto_rollback_configuration,
        update_outdated_instances_only: Some(false),
        rollback_info: rollback,
        deployment_style: group.deployment_style,
        instance_termination_wait_time_started: Some(
            observed.stage >= Stage::WaitTermination && observed.weight == 100,
        ),
        blue_green_deployment_configuration: group.blue_green_deployment_configuration,
        load_balancer_info: group.load_balancer_info,
        file_exists_behavior: Some(api::FileExistsBehavior::Disallow),
        deployment_status_messages: Some(Vec::new()),
        compute_platform: Some(api::ComputePlatform::Ecs),
        ..api::DeploymentInfo::default()
    }
}

/// Returns a status as the API spells it.
pub(crate) fn status_of(status: DeploymentStatus) -> api::DeploymentStatus {
    status.as_str().into()
}

/// Counts the one target of an ECS deployment.
fn overview(status: DeploymentStatus) -> api::DeploymentOverview {
    let one = |is_it: bool| Some(i64::from(is_it));
    api::DeploymentOverview {
        pending: one(status == DeploymentStatus::Created),
        in_progress: one(status == DeploymentStatus::InProgress),
        succeeded: one(status == DeploymentStatus::Succeeded),
        failed: one(status == DeploymentStatus::Failed),
        skipped: one(status == DeploymentStatus::Stopped),
        ready: one(status == DeploymentStatus::Ready),
    }
}

//! UpdateDaemon.

use api::ecs as api;
use state::Cx;
use state::ecs::DaemonDeploymentStatus;

use super::rollout::{self, Settings};
use super::{reference, task_definition};
use crate::{Result, cluster, document, required};

/// Deploys another definition, or other settings, of a daemon. What a request leaves out of the settings is off; the
/// deployment's configuration stays as it was.
pub(crate) async fn update_daemon(cx: &Cx, input: api::UpdateDaemonRequest) -> Result<api::UpdateDaemonResponse> {
    let daemon = reference::find_active(cx, &required(input.daemon_arn, "daemonArn")?)?;
    let cluster = cluster::find(cx, Some(daemon.key.cluster.as_str()))?;
    let configuration = match input.deployment_configuration {
        None => {
            let last = cx.state.ecs.daemon_deployments.get(cx.scope(), &daemon.deployment);
            last.map(|last| document::read(&last.configuration)).unwrap_or_default()
        }
        Some(configuration) => rollout::configuration(Some(configuration))?,
    };
    let capacity_providers =
        rollout::capacity_providers(cx, &cluster, &required(input.capacity_provider_arns, "capacityProviderArns")?)?;
    let definition =
        task_definition::find_active(cx, &required(input.daemon_task_definition_arn, "daemonTaskDefinitionArn")?)?;
    let settings = Settings {
        definition: &definition,
        capacity_providers,
        propagates_tags: input.propagate_tags == Some(api::DaemonPropagateTags::Daemon),
        has_managed_tags: input.enable_ecs_managed_tags.unwrap_or(false),
        is_exec_enabled: input.enable_execute_command.unwrap_or(false),
    };
    let revision = rollout::revision(cx, &daemon.key, settings);
    let sources = vec![daemon.revision.clone()];
    let deployment = rollout::deployment(cx, &cluster.arn, &revision.key, sources, &configuration);
    let (revision_key, deployment_key, now) = (revision.key.clone(), deployment.key.clone(), cx.now());
    let ecs = &cx.state.ecs;
    ecs.daemon_revisions.insert(cx.scope(), &revision_key, revision);
    ecs.daemon_deployments.insert(cx.scope(), &deployment_key, deployment);
    let mut previous = None;
    let updated = ecs.daemons.try_update(cx.scope(), &daemon.key, |row| {
        reference::check_active(row)?;
        previous = Some(std::mem::replace(&mut row.deployment, deployment_key.clone()));
        row.revision = revision_key.clone();
        row.definition = definition.name.clone();
        row.updated_at = now;
        Ok(())
    });
    let updated = match updated {
        Some(Ok(updated)) => updated,
        refused => {
            ecs.daemon_revisions.remove(cx.scope(), &revision_key);
            ecs.daemon_deployments.remove(cx.scope(), &deployment_key);
            return Err(refused.and_then(Result::err).unwrap_or_else(reference::not_found));
        }
    };
    if let Some(previous) = previous {
        stop(cx, &previous);
    }
    Ok(api::UpdateDaemonResponse {
        daemon_arn: Some(updated.arn.to_string()),
        status: Some(api::DaemonStatus::Active),
        created_at: Some(updated.created_at.into()),
        updated_at: Some(updated.updated_at.into()),
        deployment_arn: Some(reference::deployment_arn(cx.scope(), &deployment_key).to_string()),
    })
}

/// Stops a deployment that another one has taken the place of, unless it is done.
pub(super) fn stop(cx: &Cx, deployment: &state::ecs::DaemonDeploymentKey) {
    let now = cx.now();
    cx.state.ecs.daemon_deployments.update(cx.scope(), deployment, |row| match row.status(now) {
        DaemonDeploymentStatus::Pending | DaemonDeploymentStatus::InProgress => row.stopped_at = Some(now),
        DaemonDeploymentStatus::Successful | DaemonDeploymentStatus::Stopped => {}
    });
}

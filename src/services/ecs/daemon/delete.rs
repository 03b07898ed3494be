//! DeleteDaemon.

use api::ecs as api;
use state::Cx;

use super::{reference, rollout, update};
use crate::{Result, required};

/// Deletes a daemon: a last deployment takes its tasks away, and then it is gone.
pub(crate) async fn delete_daemon(cx: &Cx, input: api::DeleteDaemonRequest) -> Result<api::DeleteDaemonResponse> {
    let daemon = reference::find_active(cx, &required(input.daemon_arn, "daemonArn")?)?;
    let configuration = rollout::configuration(None)?;
    let sources = vec![daemon.revision.clone()];
    let deployment = rollout::deployment(cx, &daemon.cluster_arn, &daemon.revision, sources, &configuration);
    let (deployment_key, now) = (deployment.key.clone(), cx.now());
    let ecs = &cx.state.ecs;
    ecs.daemon_deployments.insert(cx.scope(), &deployment_key, deployment);
    let mut previous = None;
    let deleted = ecs.daemons.try_update(cx.scope(), &daemon.key, |row| {
        reference::check_active(row)?;
        previous = Some(std::mem::replace(&mut row.deployment, deployment_key.clone()));
        row.is_deleting = true;
        row.updated_at = now;
        Ok(())
    });
    let deleted = match deleted {
        Some(Ok(deleted)) => deleted,
        refused => {
            ecs.daemon_deployments.remove(cx.scope(), &deployment_key);
            return Err(refused.and_then(Result::err).unwrap_or_else(reference::not_found));
        }
    };
    if let Some(previous) = previous {
        update::stop(cx, &previous);
    }
    Ok(api::DeleteDaemonResponse {
        daemon_arn: Some(deleted.arn.to_string()),
        status: Some(api::DaemonStatus::DeleteInProgress),
        created_at: Some(deleted.created_at.into()),
        updated_at: Some(deleted.updated_at.into()),
        deployment_arn: Some(reference::deployment_arn(cx.scope(), &deployment_key).to_string()),
    })
}

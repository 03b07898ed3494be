//! DescribeDaemon.

use api::ecs as api;
use state::Cx;
use state::ecs::{Daemon, DaemonRevision};

use super::reference;
use crate::{Result, required};

/// Describes a daemon.
pub(crate) async fn describe_daemon(cx: &Cx, input: api::DescribeDaemonRequest) -> Result<api::DescribeDaemonResponse> {
    let daemon = reference::find(cx, &required(input.daemon_arn, "daemonArn")?)?;
    let revision = cx.state.ecs.daemon_revisions.get(cx.scope(), &daemon.revision);
    Ok(api::DescribeDaemonResponse {
        daemon: Some(api::DaemonDetail {
            daemon_arn: Some(daemon.arn.to_string()),
            cluster_arn: Some(daemon.cluster_arn.to_string()),
            status: Some(status(&daemon)),
            current_revisions: Some(revision.iter().map(|revision| detail(revision)).collect()),
            deployment_arn: Some(reference::deployment_arn(cx.scope(), &daemon.deployment).to_string()),
            created_at: Some(daemon.created_at.into()),
            updated_at: Some(daemon.updated_at.into()),
        }),
    })
}

/// Shapes the status of a daemon that is there.
pub(super) fn status(daemon: &Daemon) -> api::DaemonStatus {
    if daemon.is_deleting { api::DaemonStatus::DeleteInProgress } else { api::DaemonStatus::Active }
}

fn detail(revision: &DaemonRevision) -> api::DaemonRevisionDetail {
    let provider = |arn: &base::Arn| api::DaemonCapacityProvider { arn: Some(arn.to_string()), running_count: Some(0) };
    api::DaemonRevisionDetail {
        arn: Some(revision.arn.to_string()),
        capacity_providers: Some(revision.capacity_providers.iter().map(provider).collect()),
        total_running_count: Some(0),
    }
}

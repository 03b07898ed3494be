//! How requests name a daemon, its revisions and its deployments: by ARN.

use std::sync::Arc;

use base::{Arn, Scope};
use state::Cx;
use state::ecs::{
    ClusterName, Daemon, DaemonDeployment, DaemonDeploymentKey, DaemonDeploymentStatus, DaemonKey, DaemonName,
    DaemonRevision, DaemonRevisionKey,
};

use crate::{Error, Result, cluster, invalid};

/// Finds a daemon by its ARN, also one that is being deleted.
pub(super) fn find(cx: &Cx, text: &str) -> Result<Arc<Daemon>> {
    let key = match parse(cx, "daemon", text)? {
        Some((key, None)) => key,
        Some((_, Some(_))) => return Err(not_an_arn()),
        None => return Err(not_found()),
    };
    cluster::find(cx, Some(key.cluster.as_str()))?;
    live(cx, &key).ok_or_else(not_found)
}

/// Finds a daemon that can be changed.
pub(super) fn find_active(cx: &Cx, text: &str) -> Result<Arc<Daemon>> {
    let daemon = find(cx, text)?;
    check_active(&daemon)?;
    Ok(daemon)
}

/// Refuses a daemon that is being deleted.
pub(super) fn check_active(daemon: &Daemon) -> Result<()> {
    if daemon.is_deleting { Err(Error::DaemonNotActive("Daemon was not ACTIVE.".to_owned())) } else { Ok(()) }
}

/// The error of a daemon that is not there.
pub(super) fn not_found() -> Error {
    Error::DaemonNotFound("Daemon not found.".to_owned())
}

/// Returns a daemon unless its deletion is done.
pub(super) fn live(cx: &Cx, key: &DaemonKey) -> Option<Arc<Daemon>> {
    cx.state.ecs.daemons.get(cx.scope(), key).filter(|daemon| !is_gone(cx, daemon))
}

/// Returns whether the deletion of a daemon is done: its row is only a place for the next daemon of that name.
pub(super) fn is_gone(cx: &Cx, daemon: &Daemon) -> bool {
    let deployment = || cx.state.ecs.daemon_deployments.get(cx.scope(), &daemon.deployment);
    daemon.is_deleting && deployment().is_none_or(|last| last.status(cx.now()) == DaemonDeploymentStatus::Successful)
}

/// Finds a deployment by its ARN.
pub(super) fn find_deployment(cx: &Cx, text: &str) -> Result<Option<Arc<DaemonDeployment>>> {
    let Some((daemon, id)) = parse(cx, "daemon-deployment", text)? else { return Ok(None) };
    let key = DaemonDeploymentKey { daemon, id: id.ok_or_else(not_an_arn)? };
    Ok(cx.state.ecs.daemon_deployments.get(cx.scope(), &key))
}

/// Finds a revision by its ARN.
pub(super) fn find_revision(cx: &Cx, text: &str) -> Result<Option<Arc<DaemonRevision>>> {
    let Some((daemon, id)) = parse(cx, "daemon-revision", text)? else { return Ok(None) };
    let key = DaemonRevisionKey { daemon, id: id.ok_or_else(not_an_arn)? };
    Ok(cx.state.ecs.daemon_revisions.get(cx.scope(), &key))
}

/// Makes the ARN of a daemon.
pub(super) fn daemon_arn(scope: &Scope, daemon: &DaemonKey) -> Arn {
    Arn::new("ecs", scope, &format!("daemon/{}/{}", daemon.cluster, daemon.name))
}

/// Makes the ARN of a revision.
pub(super) fn revision_arn(scope: &Scope, revision: &DaemonRevisionKey) -> Arn {
    let DaemonRevisionKey { daemon, id } = revision;
    Arn::new("ecs", scope, &format!("daemon-revision/{}/{}/{id}", daemon.cluster, daemon.name))
}

/// Makes the ARN of a deployment.
pub(super) fn deployment_arn(scope: &Scope, deployment: &DaemonDeploymentKey) -> Arn {
    let DaemonDeploymentKey { daemon, id } = deployment;
    Arn::new("ecs", scope, &format!("daemon-deployment/{}/{}/{id}", daemon.cluster, daemon.name))
}

/// Reads `<kind>/<cluster>/<daemon>`, and the id after it if there is one. None means another region: nothing there can
/// be meant.
fn parse(cx: &Cx, kind: &str, text: &str) -> Result<Option<(DaemonKey, Option<String>)>> {
    let arn = Arn::parse(text).ok_or_else(not_an_arn)?;
    let path = arn.resource_of(kind).filter(|_| arn.service() == "ecs").ok_or_else(not_an_arn)?;
    if arn.account() != Some(cx.scope().account) {
        return Err(invalid("AccountIDs mismatch"));
    }
    let mut parts = path.splitn(3, '/');
    let cluster = parts.next().and_then(ClusterName::parse);
    let name = parts.next().and_then(DaemonName::parse);
    let key = cluster.zip(name).map(|(cluster, name)| DaemonKey { cluster, name }).ok_or_else(not_an_arn)?;
    let is_here = arn.region().as_ref() == Some(&cx.scope().region);
    Ok(is_here.then(|| (key, parts.next().map(str::to_owned))))
}

fn not_an_arn() -> Error {
    invalid("The ARN provided is invalid.")
}

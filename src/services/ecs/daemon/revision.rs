//! DescribeDaemonRevisions.

use api::ecs as api;
use state::Cx;
use state::ecs::DaemonRevision;

use super::reference;
use crate::{Result, invalid, required};

/// How many revisions or deployments one call may name.
pub(super) const DESCRIBE_MAX: usize = 20;

/// Describes revisions by ARN. Unknown ones are failures, not errors.
pub(crate) async fn describe_daemon_revisions(
    cx: &Cx,
    input: api::DescribeDaemonRevisionsRequest,
) -> Result<api::DescribeDaemonRevisionsResponse> {
    let arns = required(input.daemon_revision_arns, "daemonRevisionArns")?;
    check_count(&arns, "daemonRevisionArns")?;
    let (mut revisions, mut failures) = (Vec::new(), Vec::new());
    for arn in arns {
        match reference::find_revision(cx, &arn)? {
            Some(revision) => revisions.push(view(cx, &revision)),
            None => failures.push(missing(arn)),
        }
    }
    Ok(api::DescribeDaemonRevisionsResponse { daemon_revisions: Some(revisions), failures: Some(failures) })
}

/// Checks how many ARNs a request names.
pub(super) fn check_count(arns: &[String], member: &str) -> Result<()> {
    if arns.is_empty() {
        return Err(invalid(format!("{member} can not be empty.")));
    }
    if arns.len() > DESCRIBE_MAX {
        return Err(invalid(format!("{member} cannot have more than {DESCRIBE_MAX} elements.")));
    }
    Ok(())
}

/// The failure of what is not there.
pub(super) fn missing(arn: String) -> api::Failure {
    api::Failure { arn: Some(arn), reason: Some("MISSING".to_owned()), detail: None }
}

fn view(cx: &Cx, revision: &DaemonRevision) -> api::DaemonRevision {
    let daemon = &revision.key.daemon;
    let image = |(name, image): &(String, String)| api::DaemonContainerImage {
        container_name: Some(name.clone()),
        image: Some(image.clone()),
        // The digest is known once an instance has pulled the image.
        image_digest: None,
    };
    let propagation =
        if revision.propagates_tags { api::DaemonPropagateTags::Daemon } else { api::DaemonPropagateTags::None };
    let cluster_arn = base::Arn::new("ecs", cx.scope(), &format!("cluster/{}", daemon.cluster));
    api::DaemonRevision {
        daemon_revision_arn: Some(revision.arn.to_string()),
        cluster_arn: Some(cluster_arn.to_string()),
        daemon_arn: Some(reference::daemon_arn(cx.scope(), daemon).to_string()),
        daemon_task_definition_arn: Some(revision.definition_arn.to_string()),
        created_at: Some(revision.created_at.into()),
        container_images: Some(revision.images.iter().map(image).collect()),
        propagate_tags: Some(propagation),
        enable_ecs_managed_tags: Some(revision.has_managed_tags),
        enable_execute_command: Some(revision.is_exec_enabled),
    }
}

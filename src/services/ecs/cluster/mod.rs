//! Clusters: made, described, listed, changed, deleted.

mod attachments;
mod capacity_providers;
mod configuration;
mod create;
mod delete;
mod describe;
mod update;
mod view;

use std::sync::Arc;

use base::Arn;
use state::Cx;
use state::ecs::{Cluster, ClusterName, ClusterStatus};

use crate::{Error, Result, invalid};

pub(crate) use attachments::attach;
pub(crate) use capacity_providers::put_cluster_capacity_providers;
pub(crate) use create::create_cluster;
pub(crate) use delete::delete_cluster;
pub(crate) use describe::{describe_clusters, list_clusters};
pub(crate) use update::{update_cluster, update_cluster_settings};

/// Finds the active cluster that a request names, by name or ARN; none means `default`.
pub(crate) fn find(cx: &Cx, reference: Option<&str>) -> Result<Arc<Cluster>> {
    let name = match reference {
        None | Some("") => Some(ClusterName::default_cluster()),
        Some(reference) => parse_reference(cx, reference)?,
    };
    let cluster = name.and_then(|name| cx.state.ecs.clusters.get(cx.scope(), &name)).ok_or_else(not_found)?;
    match cluster.status {
        ClusterStatus::Active => Ok(cluster),
        ClusterStatus::Inactive => Err(inactive()),
    }
}

/// Changes an active cluster.
pub(crate) fn change(
    cx: &Cx,
    name: &ClusterName,
    change: impl FnOnce(&mut Cluster) -> Result<()>,
) -> Result<Arc<Cluster>> {
    let changed = cx.state.ecs.clusters.try_update(cx.scope(), name, |cluster| match cluster.status {
        ClusterStatus::Active => change(cluster),
        ClusterStatus::Inactive => Err(inactive()),
    });
    changed.ok_or_else(not_found)?
}

/// Reads a name or an ARN of this account. None means that no cluster can be meant.
fn parse_reference(cx: &Cx, reference: &str) -> Result<Option<ClusterName>> {
    if !reference.starts_with("arn:") {
        return Ok(ClusterName::parse(reference));
    }
    let arn = Arn::parse(reference).ok_or_else(|| invalid("The ARN provided is invalid."))?;
    if arn.account() != Some(cx.scope().account) {
        return Err(invalid("AccountIDs mismatch"));
    }
    let is_here = arn.service() == "ecs" && arn.region().as_ref() == Some(&cx.scope().region);
    Ok(arn.resource_of("cluster").filter(|_| is_here).and_then(ClusterName::parse))
}

pub(crate) fn not_found() -> Error {
    Error::ClusterNotFound("Cluster not found.".to_owned())
}

fn inactive() -> Error {
    Error::ClusterNotFound("The referenced cluster was inactive.".to_owned())
}

//! ListDaemons.

use std::sync::Arc;

use api::ecs as api;
use base::Page;
use state::Cx;
use state::ecs::{ClusterName, Daemon, DaemonKey, DaemonName};

use super::describe::status;
use super::reference;
use crate::{Result, cluster, invalid, page};

const LISTING: &str = "ListDaemons";

/// Lists the daemons of a cluster, or of all clusters, sorted by cluster and name.
pub(crate) async fn list_daemons(cx: &Cx, input: api::ListDaemonsRequest) -> Result<api::ListDaemonsResponse> {
    let cluster = input.cluster_arn.as_deref().map(|arn| cluster::find(cx, Some(arn))).transpose()?;
    let request = page::request(LISTING, input.max_results, input.next_token.as_deref())?;
    let after = request.after.as_deref().map(|key| parse(key).ok_or_else(|| invalid("Invalid token."))).transpose()?;
    let wanted = input.capacity_provider_arns.unwrap_or_default();
    let table = &cx.state.ecs.daemons;
    let daemons: Box<dyn Iterator<Item = (DaemonKey, Arc<Daemon>)>> = match (&cluster, after) {
        (_, Some(after)) => Box::new(table.walk(cx.scope(), Some(after))),
        (Some(cluster), None) => Box::new(table.walk_from(cx.scope(), DaemonKey::first_of(&cluster.name))),
        (None, None) => Box::new(table.walk(cx.scope(), None)),
    };
    let of_cluster = daemons
        .take_while(|(key, _)| cluster.as_ref().is_none_or(|cluster| cluster.name == key.cluster))
        .map(|(_, daemon)| daemon);
    let has_provider = |daemon: &Daemon| {
        let revision = || cx.state.ecs.daemon_revisions.get(cx.scope(), &daemon.revision);
        wanted.is_empty()
            || revision().is_some_and(|revision| {
                revision.capacity_providers.iter().any(|arn| wanted.iter().any(|wanted| wanted == arn.as_str()))
            })
    };
    let found = of_cluster.filter(|daemon| !reference::is_gone(cx, daemon) && has_provider(daemon));
    let page = Page::cut(LISTING, request.size, found, |daemon| format!("{}/{}", daemon.key.cluster, daemon.key.name));
    let summary = |daemon: &Arc<Daemon>| api::DaemonSummary {
        daemon_arn: Some(daemon.arn.to_string()),
        status: Some(status(daemon)),
        created_at: Some(daemon.created_at.into()),
        updated_at: Some(daemon.updated_at.into()),
    };
    Ok(api::ListDaemonsResponse {
        daemon_summaries_list: Some(page.items.iter().map(summary).collect()),
        next_token: page.next,
    })
}

/// Returns whether a daemon of the cluster is for the instances of a capacity provider.
pub(crate) fn uses_provider(cx: &Cx, cluster: &ClusterName, provider: &str) -> bool {
    let daemons = cx.state.ecs.daemons.walk_from(cx.scope(), DaemonKey::first_of(cluster));
    let mut daemons = daemons.take_while(|(key, _)| key.cluster == *cluster).map(|(_, daemon)| daemon);
    daemons.any(|daemon| {
        let revision = cx.state.ecs.daemon_revisions.get(cx.scope(), &daemon.revision);
        let arns = revision.iter().flat_map(|revision| &revision.capacity_providers);
        !reference::is_gone(cx, &daemon)
            && arns.filter_map(|arn| arn.resource_of("capacity-provider")).any(|name| name == provider)
    })
}

fn parse(key: &str) -> Option<DaemonKey> {
    let (cluster, name) = key.split_once('/')?;
    Some(DaemonKey { cluster: ClusterName::parse(cluster)?, name: DaemonName::parse(name)? })
}

//! DescribeClusters and ListClusters.

use std::ops::Bound;

use api::ecs as api;
use base::{Arn, Page};
use state::Cx;
use state::ecs::{ClusterName, ClusterStatus};

use super::parse_reference;
use super::view::{self, Include, Moment};
use crate::{Result, invalid, page};

/// How many clusters one DescribeClusters may name.
const DESCRIBE_MAX: usize = 100;
const LISTING: &str = "ListClusters";

/// Describes clusters by name or ARN; without any, the one called `default`.
pub(crate) async fn describe_clusters(
    cx: &Cx,
    input: api::DescribeClustersRequest,
) -> Result<api::DescribeClustersResponse> {
    let include = Include::of(input.include.as_deref().unwrap_or_default());
    let mut wanted = input.clusters.unwrap_or_default();
    if wanted.is_empty() {
        wanted.push("default".to_owned());
    }
    if wanted.len() > DESCRIBE_MAX {
        return Err(invalid(format!("Clusters cannot have more than {DESCRIBE_MAX} elements.")));
    }
    let (mut clusters, mut failures) = (Vec::new(), Vec::new());
    for reference in wanted {
        let name = parse_reference(cx, &reference)?;
        match name.as_ref().and_then(|name| cx.state.ecs.clusters.get(cx.scope(), name)) {
            Some(cluster) => clusters.push(view::cluster(cx, &cluster, include, Moment::AtRest)),
            None => failures.push(missing(cx, &reference)),
        }
    }
    Ok(api::DescribeClustersResponse { clusters: Some(clusters), failures: Some(failures) })
}

/// Lists the ARNs of active clusters, sorted by name.
pub(crate) async fn list_clusters(cx: &Cx, input: api::ListClustersRequest) -> Result<api::ListClustersResponse> {
    let request = page::request(LISTING, input.max_results, input.next_token.as_deref())?;
    let after = request.after.as_deref().and_then(ClusterName::parse);
    let start = after.map_or(Bound::Unbounded, Bound::Excluded);
    let label = Some(ClusterStatus::Active.label());
    let clusters = cx.state.ecs.clusters.walk_between(cx.scope(), label, (start, Bound::Unbounded));
    let clusters = clusters.map(|(_, cluster)| cluster);
    let active = clusters.filter(|cluster| cluster.status == ClusterStatus::Active);
    let page = Page::cut(LISTING, request.size, active, |cluster| cluster.name.to_string());
    let arns = page.items.iter().map(|cluster| cluster.arn.to_string()).collect();
    Ok(api::ListClustersResponse { cluster_arns: Some(arns), next_token: page.next })
}

/// The failure of a cluster that does not exist. It bears the full ARN even where a name was given.
fn missing(cx: &Cx, reference: &str) -> api::Failure {
    let arn = match Arn::parse(reference) {
        Some(arn) => arn,
        None => Arn::new("ecs", cx.scope(), &format!("cluster/{reference}")),
    };
    api::Failure { arn: Some(arn.to_string()), reason: Some("MISSING".to_owned()), detail: None }
}

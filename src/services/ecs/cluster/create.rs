//! CreateCluster.

use api::ecs as api;
use state::Cx;
use state::ecs::{Cluster, ClusterName, ClusterStatus};

use super::view::{self, Include, Moment};
use super::{attachments, capacity_providers, configuration};
use crate::{Result, capacity_provider_strategy, document, invalid, tags};

/// Makes a cluster. One of that name which is active is returned as it is.
pub(crate) async fn create_cluster(cx: &Cx, input: api::CreateClusterRequest) -> Result<api::CreateClusterResponse> {
    let name = match &input.cluster_name {
        None => ClusterName::default_cluster(),
        // The text, doubled backslashes included, is what a real account returned: PF.
        Some(name) => {
            ClusterName::parse(name).ok_or_else(|| invalid(r"ClusterName must match ^[a-zA-Z0-9\\-_]{1,255}$"))?
        }
    };
    let cluster = new_cluster(cx, name, input)?;
    let clusters = &cx.state.ecs.clusters;
    let name = cluster.name.clone();
    let (mut known, mut is_new) = clusters.get_or_insert_with(cx.scope(), &name, || cluster.clone());
    if known.status == ClusterStatus::Inactive {
        let revive = |row: &mut Cluster| {
            if row.status == ClusterStatus::Inactive {
                *row = cluster;
                is_new = true;
            }
        };
        known = clusters.update(cx.scope(), &name, revive).unwrap_or(known);
    }
    let moment = if is_new { Moment::Made } else { Moment::AtRest };
    Ok(api::CreateClusterResponse { cluster: Some(view::cluster(cx, &known, Include::ALL, moment)) })
}

fn new_cluster(cx: &Cx, name: ClusterName, input: api::CreateClusterRequest) -> Result<Cluster> {
    let providers = input.capacity_providers.unwrap_or_default();
    capacity_providers::check(cx, &providers)?;
    let strategy = input.default_capacity_provider_strategy.unwrap_or_default();
    let strategy = capacity_provider_strategy::complete(cx, &providers, strategy)?;
    let configuration = configuration::check(input.configuration)?;
    let namespace = input.service_connect_defaults.and_then(|defaults| defaults.namespace);
    let mut cluster = Cluster {
        settings: Some(document::write(&configuration::settings(cx, input.settings.unwrap_or_default())?)),
        configuration: configuration.as_ref().map(|configuration| document::write(configuration)),
        service_connect_defaults: configuration::service_connect_defaults(namespace),
        capacity_providers: providers,
        default_capacity_provider_strategy: (!strategy.is_empty()).then(|| document::write(&strategy)),
        ..Cluster::new(cx.scope(), name, cx.now(), tags::parse(input.tags)?)
    };
    attachments::attach(cx, &mut cluster);
    Ok(cluster)
}

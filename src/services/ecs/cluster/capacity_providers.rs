//! PutClusterCapacityProviders, and which providers a cluster may have.

use api::ecs as api;
use state::Cx;
use state::ecs::{CapacityProviderStatus, Cluster, ClusterAttachment};

use super::attachments;
use super::view::{self, Include, Moment};
use crate::capacity_provider::{self, Found, Kind};
use crate::{Error, Result, capacity_provider_strategy, document, invalid, required};

/// How many capacity providers a cluster may have.
const PROVIDERS_MAX: usize = 20;

/// Replaces the capacity providers of a cluster and its default strategy. A provider that tasks use cannot go. Those with
/// managed instances are the cluster's own: they stay, whatever the request says.
pub(crate) async fn put_cluster_capacity_providers(
    cx: &Cx,
    input: api::PutClusterCapacityProvidersRequest,
) -> Result<api::PutClusterCapacityProvidersResponse> {
    let cluster = super::find(cx, Some(&required(input.cluster, "cluster")?))?;
    let mut providers = required(input.capacity_providers, "capacityProviders")?;
    check(cx, &providers)?;
    providers.extend(capacity_provider::of_cluster(cx, &cluster).map(|own| own.name.to_string()));
    let strategy = required(input.default_capacity_provider_strategy, "defaultCapacityProviderStrategy")?;
    let strategy = capacity_provider_strategy::complete(cx, &providers, strategy)?;
    let mut gone = Vec::new();
    let changed = super::change(cx, &cluster.name, |row| {
        let mut removed = row.capacity_providers.iter().filter(|known| !providers.contains(known));
        if removed.any(|provider| capacity_provider::is_in_use(cx, row, provider)) {
            // Seen: pahud/cdk-fargate-patterns#71.
            return Err(Error::ResourceInUse(
                "The specified capacity provider is in use and cannot be removed.".to_owned(),
            ));
        }
        row.capacity_providers = providers;
        row.default_capacity_provider_strategy = (!strategy.is_empty()).then(|| document::write(&strategy));
        gone = replace_attachments(cx, row);
        Ok(())
    })?;
    let cluster = view::cluster(cx, &changed, Include::UPDATED, Moment::Changed { gone });
    Ok(api::PutClusterCapacityProvidersResponse { cluster: Some(cluster) })
}

/// Makes the attachments those of the providers, and returns the ones that are no more.
fn replace_attachments(cx: &Cx, cluster: &mut Cluster) -> Vec<ClusterAttachment> {
    let before = cluster.attachments.clone();
    attachments::attach(cx, cluster);
    before.into_iter().filter(|known| !cluster.attachments.contains(known)).collect()
}

/// Checks providers that a cluster is to have, by name.
pub(super) fn check(cx: &Cx, providers: &[String]) -> Result<()> {
    if providers.len() > PROVIDERS_MAX {
        // Seen: cloudformation-coverage-roadmap#1086.
        return Err(invalid("The maximum number of capacity providers per cluster has been exceeded."));
    }
    for (index, provider) in providers.iter().enumerate() {
        if providers.iter().take(index).any(|other| other == provider) {
            // Text unverified.
            return Err(invalid(format!("The specified capacity provider '{provider}' is listed more than once.")));
        }
        match capacity_provider::find(cx, provider) {
            // Seen, without the name, in 2022: terraform-aws-ecs#53.
            None => {
                return Err(invalid(
                    "The specified capacity provider was not found. Specify a valid capacity provider and try again.",
                ));
            }
            // Seen: terraform-provider-aws#45567.
            Some(Found::Made(made)) if made.status == CapacityProviderStatus::Inactive => {
                return Err(invalid(format!(
                    "The specified capacity provider '{provider}' is not in an ACTIVE state. Specify a valid capacity \
                     provider and try again."
                )));
            }
            // The first sentence and the beginning of the second were seen: terraform-provider-aws#44783.
            Some(found) if found.kind() == Kind::ManagedInstances => {
                return Err(invalid(
                    "Cannot associate Managed Instances capacity provider to clusters using this API. Managed Instances \
                     capacity providers are already associated with their cluster.",
                ));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

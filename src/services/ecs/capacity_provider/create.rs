//! CreateCapacityProvider.

use api::ecs as api;
use base::Arn;
use state::Cx;
use state::ecs::{
    CapacityProvider, CapacityProviderName, CapacityProviderStatus, CapacityProviderUpdate, CapacitySource,
};

use super::view::{self, Moment};
use super::{auto_scaling_group, managed_instances};
use crate::{Error, Result, client, cluster, invalid, required, tags};

/// What a name may not begin with, in whatever case.
const RESERVED: [&str; 3] = ["aws", "ecs", "fargate"];

/// Makes a capacity provider. One with managed instances belongs to its cluster from then on.
pub(crate) async fn create_capacity_provider(
    cx: &Cx,
    input: api::CreateCapacityProviderRequest,
) -> Result<api::CreateCapacityProviderResponse> {
    let name = parse_name(&required(input.name, "name")?)?;
    let tags = tags::parse(input.tags)?;
    let source = match (input.auto_scaling_group_provider, input.managed_instances_provider, input.cluster) {
        (Some(group), None, None) => auto_scaling_group::source(group)?,
        (None, Some(instances), Some(cluster)) => {
            let cluster = cluster::find(cx, Some(&cluster))?;
            managed_instances::source(cluster.name.clone(), instances)?
        }
        // The rules are the model's documentation; texts unverified.
        (Some(_), None, Some(_)) => {
            return Err(invalid("A cluster cannot be specified for a capacity provider with an Auto Scaling group."));
        }
        (None, Some(_), None) => {
            return Err(invalid("A cluster must be specified for a capacity provider with managed instances."));
        }
        (Some(_), Some(_), _) | (None, None, _) => {
            return Err(invalid(
                "Exactly one of autoScalingGroupProvider and managedInstancesProvider must be specified.",
            ));
        }
    };
    if let CapacitySource::AutoScalingGroup { group, .. } = &source {
        check_unused(cx, group)?;
    }
    let update = match &source {
        CapacitySource::AutoScalingGroup { .. } => None,
        CapacitySource::ManagedInstances { .. } => Some(CapacityProviderUpdate::Created),
    };
    let provider = CapacityProvider {
        arn: Arn::new("ecs", cx.scope(), &format!("capacity-provider/{name}")),
        name,
        status: CapacityProviderStatus::Active,
        update,
        source,
        tags,
    };
    insert(cx, &provider)?;
    if let CapacitySource::ManagedInstances { cluster, .. } = &provider.source {
        cluster::change(cx, cluster, |row| {
            row.capacity_providers.push(provider.name.to_string());
            Ok(())
        })?;
    }
    let provider = view::made(&provider, true, Moment::Made);
    Ok(api::CreateCapacityProviderResponse { capacity_provider: Some(provider) })
}

/// Puts the provider in, over a deleted one of its name, but never over one that is there.
fn insert(cx: &Cx, provider: &CapacityProvider) -> Result<()> {
    let table = &cx.state.ecs.capacity_providers;
    let (_, is_new) = table.get_or_insert_with(cx.scope(), &provider.name, || provider.clone());
    if is_new {
        return Ok(());
    }
    let revived = table.try_update(cx.scope(), &provider.name, |row| match row.status {
        CapacityProviderStatus::Inactive => {
            *row = provider.clone();
            Ok(())
        }
        CapacityProviderStatus::Active => Err(exists()),
    });
    revived.unwrap_or_else(|| Err(exists())).map(|_| ())
}

/// Seen: containers-roadmap#688, terraform-aws-ecs#96.
fn exists() -> Error {
    client(
        "The specified capacity provider already exists. To change the configuration of an existing capacity provider, \
         update the capacity provider.",
    )
}

/// Seen: aws-cdk-examples#626; the code is that of its neighbours.
fn parse_name(name: &str) -> Result<CapacityProviderName> {
    let is_reserved = RESERVED.iter().any(|prefix| name.to_ascii_lowercase().starts_with(prefix));
    CapacityProviderName::parse(name).filter(|_| !is_reserved).ok_or_else(|| {
        client(
            "The specified capacity provider name is invalid. Up to 255 characters are allowed, including letters \
             (upper and lowercase), numbers, underscores, and hyphens. The name cannot be prefixed with \"aws\", \
             \"ecs\", or \"fargate\". Specify a valid name and try again.",
        )
    })
}

/// Checks that no other provider has the group. Seen: containers-roadmap#632.
fn check_unused(cx: &Cx, group: &str) -> Result<()> {
    let mut providers = cx.state.ecs.capacity_providers.walk(cx.scope(), None).map(|(_, provider)| provider);
    let has_group = |provider: &CapacityProvider| match &provider.source {
        CapacitySource::AutoScalingGroup { group: other, .. } => {
            other == group && provider.status == CapacityProviderStatus::Active
        }
        CapacitySource::ManagedInstances { .. } => false,
    };
    if providers.any(|provider| has_group(&provider)) {
        return Err(client(
            "The specified Auto Scaling group ARN is already being used by another capacity provider. Specify a unique \
             Auto Scaling group ARN and try again.",
        ));
    }
    Ok(())
}

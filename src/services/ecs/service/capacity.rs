//! Where the tasks of a service or task set run: a launch type, or capacity providers by their shares.

use api::ecs as api;
use state::Cx;
use state::ecs::{Cluster, LaunchType, ProviderShare, ServiceCapacity};

use crate::capacity_provider::{self, Kind};
use crate::{Result, capacity_provider_strategy, document, invalid};

/// Decides where tasks run. Without launch type and strategy the cluster's default strategy decides, and without that
/// they run on EC2.
pub(super) fn parse(
    cx: &Cx,
    cluster: &Cluster,
    launch_type: Option<&api::LaunchType>,
    strategy: Option<&[api::CapacityProviderStrategyItem]>,
) -> Result<ServiceCapacity> {
    let strategy = strategy.unwrap_or_default();
    if launch_type.is_some() && !strategy.is_empty() {
        return Err(invalid(
            "Specifying both a launch type and capacity provider strategy is not supported. Remove one and try again.",
        ));
    }
    if let Some(launch_type) = launch_type {
        return launch_type_of(launch_type).map(ServiceCapacity::LaunchType);
    }
    if !strategy.is_empty() {
        return providers(cx, cluster, strategy, false);
    }
    let default = cluster.default_capacity_provider_strategy.as_ref();
    let default = default.map(document::read_list).unwrap_or_default();
    if default.is_empty() {
        Ok(ServiceCapacity::LaunchType(LaunchType::Ec2))
    } else {
        providers(cx, cluster, &default, true)
    }
}

fn launch_type_of(launch_type: &api::LaunchType) -> Result<LaunchType> {
    match launch_type {
        api::LaunchType::Fargate => Ok(LaunchType::Fargate),
        api::LaunchType::Ec2 => Ok(LaunchType::Ec2),
        api::LaunchType::External => Ok(LaunchType::External),
        // The rule is CreateService's documentation. The text is moto's, for launch types that do not exist.
        api::LaunchType::ManagedInstances | api::LaunchType::Other(_) => {
            Err(invalid("launch type should be one of [EC2,FARGATE,EXTERNAL]"))
        }
    }
}

fn providers(
    cx: &Cx,
    cluster: &Cluster,
    strategy: &[api::CapacityProviderStrategyItem],
    is_default: bool,
) -> Result<ServiceCapacity> {
    let items = capacity_provider_strategy::complete(cx, &cluster.capacity_providers, strategy.to_vec())?;
    let launch_type = items.first().and_then(|item| launch_type_of_provider(cx, item.capacity_provider.as_deref()?));
    let strategy = items.iter().map(share).collect::<Vec<_>>();
    if strategy.iter().all(|share| share.weight == 0) {
        return Err(capacity_provider_strategy::weightless(is_default));
    }
    Ok(ServiceCapacity::Providers { strategy, launch_type: launch_type.unwrap_or(LaunchType::Ec2) })
}

fn share(item: &api::CapacityProviderStrategyItem) -> ProviderShare {
    let count = |number: Option<i32>| number.and_then(|number| u32::try_from(number).ok()).unwrap_or(0);
    ProviderShare {
        provider: item.capacity_provider.clone().unwrap_or_default(),
        base: count(item.base),
        weight: count(item.weight),
    }
}

/// Returns what kind of capacity a provider has; those of one strategy are all of one kind.
fn launch_type_of_provider(cx: &Cx, name: &str) -> Option<LaunchType> {
    Some(match capacity_provider::find(cx, name)?.kind() {
        Kind::Fargate => LaunchType::Fargate,
        Kind::AutoScalingGroup => LaunchType::Ec2,
        Kind::ManagedInstances => LaunchType::ManagedInstances,
    })
}

/// Shapes a launch type for a response.
pub(crate) fn launch_type(capacity: &ServiceCapacity) -> Option<api::LaunchType> {
    match capacity {
        ServiceCapacity::Providers { .. } => None,
        ServiceCapacity::LaunchType(LaunchType::Fargate) => Some(api::LaunchType::Fargate),
        ServiceCapacity::LaunchType(LaunchType::Ec2) => Some(api::LaunchType::Ec2),
        ServiceCapacity::LaunchType(LaunchType::External) => Some(api::LaunchType::External),
        ServiceCapacity::LaunchType(LaunchType::ManagedInstances) => Some(api::LaunchType::ManagedInstances),
    }
}

/// Shapes a strategy for a response: weight and base are always there.
pub(crate) fn strategy(capacity: &ServiceCapacity) -> Option<Vec<api::CapacityProviderStrategyItem>> {
    let ServiceCapacity::Providers { strategy, .. } = capacity else { return None };
    let item = |share: &ProviderShare| api::CapacityProviderStrategyItem {
        capacity_provider: Some(share.provider.clone()),
        weight: i32::try_from(share.weight).ok(),
        base: i32::try_from(share.base).ok(),
    };
    Some(strategy.iter().map(item).collect())
}

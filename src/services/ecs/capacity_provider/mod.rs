//! Capacity providers: `FARGATE` and `FARGATE_SPOT`, which everybody has, and those that users make.

mod auto_scaling_group;
mod create;
mod delete;
mod describe;
mod managed_instances;
mod update;
mod view;

use std::sync::Arc;

use base::Arn;
use state::Cx;
use state::ecs::{
    CapacityProvider, CapacityProviderName, CapacityProviderStatus, CapacitySource, Cluster, FARGATE_SPOT, Service,
    ServiceCapacity, ServiceStatus, Task, TaskStatus, Workload,
};

use crate::{Error, Result, client, daemon, invalid};

pub(crate) use create::create_capacity_provider;
pub(crate) use delete::delete_capacity_provider;
pub(crate) use describe::describe_capacity_providers;
pub(crate) use update::update_capacity_provider;

/// A capacity provider that every account has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BuiltIn {
    /// `FARGATE`.
    Fargate,
    /// `FARGATE_SPOT`.
    FargateSpot,
}

impl BuiltIn {
    /// All of them, in the order of listings.
    const ALL: [Self; 2] = [Self::Fargate, Self::FargateSpot];

    fn name(self) -> &'static str {
        match self {
            Self::Fargate => "FARGATE",
            Self::FargateSpot => FARGATE_SPOT,
        }
    }
}

/// A capacity provider that was found.
#[derive(Clone, Debug)]
pub(crate) enum Found {
    /// One that everybody has.
    BuiltIn(BuiltIn),
    /// One that a user made; it may be deleted.
    Made(Arc<CapacityProvider>),
}

/// What runs the tasks of a capacity provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Fargate.
    Fargate,
    /// Instances of an Auto Scaling group.
    AutoScalingGroup,
    /// Instances that ECS manages.
    ManagedInstances,
}

impl Found {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::BuiltIn(_) => Kind::Fargate,
            Self::Made(made) => match made.source {
                CapacitySource::AutoScalingGroup { .. } => Kind::AutoScalingGroup,
                CapacitySource::ManagedInstances { .. } => Kind::ManagedInstances,
            },
        }
    }
}

/// Finds a capacity provider by name; a deleted one too.
pub(crate) fn find(cx: &Cx, name: &str) -> Option<Found> {
    if let Some(built_in) = BuiltIn::ALL.into_iter().find(|built_in| built_in.name() == name) {
        return Some(Found::BuiltIn(built_in));
    }
    let name = CapacityProviderName::parse(name)?;
    cx.state.ecs.capacity_providers.get(cx.scope(), &name).map(Found::Made)
}

/// Walks the capacity providers that are one cluster's own: those with managed instances.
pub(crate) fn of_cluster(cx: &Cx, cluster: &Cluster) -> impl Iterator<Item = Arc<CapacityProvider>> {
    let made = cluster.capacity_providers.iter().filter_map(|name| match find(cx, name)? {
        Found::Made(made) if made.status == CapacityProviderStatus::Active => Some(made),
        Found::Made(_) | Found::BuiltIn(_) => None,
    });
    made.filter(|made| matches!(made.source, CapacitySource::ManagedInstances { .. }))
}

/// Returns whether something in the cluster uses the provider. What else can use one has its line here.
pub(crate) fn is_in_use(cx: &Cx, cluster: &Cluster, provider: &str) -> bool {
    let is_user =
        |task: &Task| task.capacity_provider.as_deref() == Some(provider) && task.last_status != TaskStatus::Stopped;
    cx.state.ecs.tasks_of(cx.scope(), &cluster.name).any(|task| is_user(&task))
        || cx.state.ecs.services_of(cx.scope(), &cluster.name).any(|service| is_in_service(cx, &service, provider))
        || daemon::uses_provider(cx, &cluster.name, provider)
}

/// Returns whether a service that is there has tasks, or is to have some, through the provider.
fn is_in_service(cx: &Cx, service: &Service, provider: &str) -> bool {
    let names = |workload: &Workload| match &workload.capacity {
        ServiceCapacity::LaunchType(_) => false,
        ServiceCapacity::Providers { strategy, .. } => strategy.iter().any(|share| share.provider == provider),
    };
    let deployments = service.deployments.iter().map(|deployment| &deployment.workload);
    let mut workloads = service.workload.iter().chain(deployments);
    service.status != ServiceStatus::Inactive
        && (workloads.any(names)
            || cx.state.ecs.task_sets_of(cx.scope(), &service.key).any(|task_set| names(&task_set.workload)))
}

/// Reads a name or an ARN of this account and region. None means that no provider can be meant.
fn parse_reference(cx: &Cx, reference: &str) -> Result<Option<String>> {
    if !reference.starts_with("arn:") {
        return Ok(Some(reference.to_owned()));
    }
    let arn = Arn::parse(reference).ok_or_else(|| invalid("The ARN provided is invalid."))?;
    if arn.account() != Some(cx.scope().account) {
        return Err(invalid("AccountIDs mismatch"));
    }
    let is_here = arn.service() == "ecs" && arn.region().as_ref() == Some(&cx.scope().region);
    Ok(arn.resource_of("capacity-provider").filter(|_| is_here).map(str::to_owned))
}

/// Finds the user's provider that a change names, within the cluster that it names if it names one. (Texts unverified.)
fn find_made(cx: &Cx, reference: &str, cluster: Option<&str>, change: &str) -> Result<Arc<CapacityProvider>> {
    let cluster = cluster.map(|cluster| crate::cluster::find(cx, Some(cluster))).transpose()?;
    let found = parse_reference(cx, reference)?.and_then(|name| find(cx, &name));
    let made = match found {
        Some(Found::Made(made)) if made.status == CapacityProviderStatus::Active => made,
        Some(Found::BuiltIn(_)) => {
            return Err(client(format!(
                "The FARGATE and FARGATE_SPOT capacity providers are reserved and cannot be {change}."
            )));
        }
        Some(Found::Made(_)) | None => return Err(not_found()),
    };
    match (&made.source, cluster) {
        (CapacitySource::ManagedInstances { cluster: own, .. }, Some(named)) if *own != named.name => Err(not_found()),
        (CapacitySource::ManagedInstances { .. } | CapacitySource::AutoScalingGroup { .. }, _) => Ok(made),
    }
}

/// Text unverified; that of its neighbours in CreateCluster.
fn not_found() -> Error {
    client("The specified capacity provider was not found. Specify a valid capacity provider and try again.")
}

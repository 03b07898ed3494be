//! ListServices and ListServicesByNamespace.

use std::ops::Bound;

use api::ecs as api;
use base::Page;
use state::Cx;
use state::ecs::{
    ClusterName, LaunchType, SchedulingStrategy, Service, ServiceFilter, ServiceKey, ServiceName, ServiceStatus,
};

use crate::{Result, cluster, page, required};

const LISTING: &str = "ListServices";
const NAMESPACE_LISTING: &str = "ListServicesByNamespace";
/// Services are listed in shorter pages than all else.
const PAGE: page::Size = page::Size { default: 10, max: 100 };

/// Lists the ARNs of a cluster's services, sorted by name. Deleted ones are not listed.
pub(crate) async fn list_services(cx: &Cx, input: api::ListServicesRequest) -> Result<api::ListServicesResponse> {
    let cluster = cluster::find(cx, input.cluster.as_deref())?;
    let request = page::request_of(PAGE, LISTING, input.max_results, input.next_token.as_deref())?;
    let wants = |service: &Service| {
        service.status == ServiceStatus::Active
            && input.launch_type.as_ref().is_none_or(|launch_type| runs_on(service, launch_type))
            && input.scheduling_strategy.as_ref().is_none_or(|strategy| is_scheduled(service, strategy))
            && input.resource_management_type.as_ref().is_none_or(|kind| is_managed(service, kind))
    };
    let after = request.after.as_deref().and_then(ServiceName::parse);
    let start = match after {
        None => Bound::Included(ServiceKey::first_of(&cluster.name)),
        Some(name) => Bound::Excluded(ServiceKey { cluster: cluster.name.clone(), name }),
    };
    let rest = cx.state.ecs.services.walk_between(cx.scope(), Some(filter(&input).label()), (start, Bound::Unbounded));
    let rest = rest.map(|(_, service)| service);
    let found = rest.take_while(|service| service.key.cluster == cluster.name).filter(|service| wants(service));
    let page = Page::cut(LISTING, request.size, found, |service| service.key.name.to_string());
    let arns = page.items.iter().map(|service| service.arn.to_string()).collect();
    Ok(api::ListServicesResponse { service_arns: Some(arns), next_token: page.next })
}

/// Lists the ARNs of the services that are in a namespace through Service Connect, over all clusters.
///
/// Whether the namespace exists is Cloud Map's to say; one that no service is in has no services here.
pub(crate) async fn list_services_by_namespace(
    cx: &Cx,
    input: api::ListServicesByNamespaceRequest,
) -> Result<api::ListServicesByNamespaceResponse> {
    let namespace = required(input.namespace, "namespace")?;
    let request = page::request_of(PAGE, NAMESPACE_LISTING, input.max_results, input.next_token.as_deref())?;
    let after = request.after.as_deref().and_then(parse_key);
    let start = after.map_or(Bound::Unbounded, Bound::Excluded);
    let label = Some(ServiceFilter::Namespace(&namespace).label());
    let services = cx.state.ecs.services.walk_between(cx.scope(), label, (start, Bound::Unbounded));
    let found = services.map(|(_, service)| service).filter(|service| {
        let known = service.workload.as_ref().and_then(|workload| workload.namespace.as_deref());
        service.status == ServiceStatus::Active && known == Some(namespace.as_str())
    });
    let page = Page::cut(NAMESPACE_LISTING, request.size, found, |service| {
        format!("{}/{}", service.key.cluster, service.key.name)
    });
    let arns = page.items.iter().map(|service| service.arn.to_string()).collect();
    Ok(api::ListServicesByNamespaceResponse { service_arns: Some(arns), next_token: page.next })
}

/// Chooses by which filter the services are looked up: the one that most likely leaves the fewest.
fn filter(input: &api::ListServicesRequest) -> ServiceFilter<'static> {
    let by_strategy = input.scheduling_strategy.as_ref().and_then(|strategy| match strategy {
        api::SchedulingStrategy::Replica => Some(SchedulingStrategy::Replica),
        api::SchedulingStrategy::Daemon => Some(SchedulingStrategy::Daemon),
        api::SchedulingStrategy::Other(_) => None,
    });
    let by_manager = input.resource_management_type.as_ref().and_then(|kind| match kind {
        api::ResourceManagementType::Ecs => Some(true),
        api::ResourceManagementType::Customer => Some(false),
        api::ResourceManagementType::Other(_) => None,
    });
    let by_launch_type = input.launch_type.as_ref().and_then(wanted_launch_type);
    let filters = [
        by_launch_type.map(ServiceFilter::LaunchType),
        by_strategy.map(ServiceFilter::Scheduling),
        by_manager.map(ServiceFilter::ManagedByEcs),
    ];
    filters.into_iter().flatten().next().unwrap_or(ServiceFilter::None)
}

fn parse_key(text: &str) -> Option<ServiceKey> {
    let (cluster, name) = text.split_once('/')?;
    Some(ServiceKey { cluster: ClusterName::parse(cluster)?, name: ServiceName::parse(name)? })
}

fn runs_on(service: &Service, wanted: &api::LaunchType) -> bool {
    let known = service.workload.as_ref().map(|workload| workload.capacity.launch_type());
    known.is_some() && known == wanted_launch_type(wanted)
}

/// Reads a launch type that something is listed by; none if there is no such type.
pub(crate) fn wanted_launch_type(wanted: &api::LaunchType) -> Option<LaunchType> {
    match wanted {
        api::LaunchType::Fargate => Some(LaunchType::Fargate),
        api::LaunchType::Ec2 => Some(LaunchType::Ec2),
        api::LaunchType::External => Some(LaunchType::External),
        api::LaunchType::ManagedInstances => Some(LaunchType::ManagedInstances),
        api::LaunchType::Other(_) => None,
    }
}

fn is_scheduled(service: &Service, strategy: &api::SchedulingStrategy) -> bool {
    match strategy {
        api::SchedulingStrategy::Replica => service.scheduling == SchedulingStrategy::Replica,
        api::SchedulingStrategy::Daemon => service.scheduling == SchedulingStrategy::Daemon,
        api::SchedulingStrategy::Other(_) => false,
    }
}

fn is_managed(service: &Service, kind: &api::ResourceManagementType) -> bool {
    match kind {
        api::ResourceManagementType::Ecs => service.is_managed_by_ecs,
        api::ResourceManagementType::Customer => !service.is_managed_by_ecs,
        api::ResourceManagementType::Other(_) => false,
    }
}

//! ListServices and ListServicesByNamespace.

use api::ecs as api;
use base::Page;
use state::Cx;
use state::ecs::{ClusterName, LaunchType, SchedulingStrategy, Service, ServiceKey, ServiceName, ServiceStatus};

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
    let after = after.map(|name| ServiceKey { cluster: cluster.name.clone(), name });
    let first = ServiceKey::first_of(&cluster.name);
    let services = &cx.state.ecs.services;
    let from = services.walk_from(cx.scope(), after.clone().unwrap_or(first));
    let rest = from.skip_while(|(key, _)| after.as_ref() == Some(key)).map(|(_, service)| service);
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
    let services = cx.state.ecs.services.walk(cx.scope(), after).map(|(_, service)| service);
    let found = services.filter(|service| {
        let known = service.workload.as_ref().and_then(|workload| workload.namespace.as_deref());
        service.status == ServiceStatus::Active && known == Some(namespace.as_str())
    });
    let page = Page::cut(NAMESPACE_LISTING, request.size, found, |service| {
        format!("{}/{}", service.key.cluster, service.key.name)
    });
    let arns = page.items.iter().map(|service| service.arn.to_string()).collect();
    Ok(api::ListServicesByNamespaceResponse { service_arns: Some(arns), next_token: page.next })
}

fn parse_key(text: &str) -> Option<ServiceKey> {
    let (cluster, name) = text.split_once('/')?;
    Some(ServiceKey { cluster: ClusterName::parse(cluster)?, name: ServiceName::parse(name)? })
}

fn runs_on(service: &Service, launch_type: &api::LaunchType) -> bool {
    let known = service.workload.as_ref().map(|workload| workload.capacity.launch_type());
    match launch_type {
        api::LaunchType::Fargate => known == Some(LaunchType::Fargate),
        api::LaunchType::Ec2 => known == Some(LaunchType::Ec2),
        api::LaunchType::External => known == Some(LaunchType::External),
        api::LaunchType::ManagedInstances => known == Some(LaunchType::ManagedInstances),
        api::LaunchType::Other(_) => false,
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

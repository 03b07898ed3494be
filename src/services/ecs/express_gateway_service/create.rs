//! CreateExpressGatewayService.

use api::ecs as api;
use base::Arn;
use state::Cx;
use state::ecs::{ExpressGatewayRevision, ExpressGatewayService, Service, ServiceKey, ServiceName, ServiceStatus};

use super::{configuration, view};
use crate::{Result, cluster, document, invalid, required, service, tags, task_definition};

/// Makes an Express service: its task definition, and a service on Fargate.
pub(crate) async fn create_express_gateway_service(
    cx: &Cx,
    input: api::CreateExpressGatewayServiceRequest,
) -> Result<api::CreateExpressGatewayServiceResponse> {
    let cluster = cluster::find(cx, input.cluster.as_deref())?;
    let name = input.service_name.unwrap_or_else(|| format!("express-{:08x}", cx.ids.bits() & 0xffff_ffff));
    // CreateService's text.
    let name = ServiceName::parse(&name)
        .ok_or_else(|| invalid(format!(r"ServiceName must match ^[a-zA-Z0-9\\-_]{{1,255}}$, but was {name}")))?;
    let infrastructure_role_arn = required(input.infrastructure_role_arn, "infrastructureRoleArn")?;
    if Arn::parse(&infrastructure_role_arn).is_none_or(|arn| arn.resource_of("role").is_none()) {
        return Err(invalid("The specified infrastructureRoleArn is invalid. Specify a valid role ARN and try again."));
    }
    tags::parse(input.tags.clone())?;
    let key = ServiceKey { cluster: cluster.name.clone(), name };
    let given = api::ExpressGatewayServiceConfiguration {
        execution_role_arn: Some(required(input.execution_role_arn, "executionRoleArn")?),
        task_role_arn: input.task_role_arn,
        cpu: input.cpu,
        memory: input.memory,
        network_configuration: input.network_configuration,
        health_check_path: input.health_check_path,
        primary_container: input.primary_container,
        scaling_target: input.scaling_target,
        ..api::ExpressGatewayServiceConfiguration::default()
    };
    let settings = configuration::complete(cx, &key, &api::ExpressGatewayServiceConfiguration::default(), given)?;
    configuration::check(cx, &key, &settings)?;
    check_name(cx, &key)?;
    let service = make(cx, &key, &settings, input.tags).await?;
    let express = ExpressGatewayService {
        key: key.clone(),
        infrastructure_role_arn,
        updated_at: service.created_at,
        endpoint: endpoint(cx, &key),
        revisions: service.primary().map(|primary| revision(&service, primary, &settings)).into_iter().collect(),
    };
    let express = cx.state.ecs.express_gateway_services.insert(cx.scope(), &key, express);
    Ok(api::CreateExpressGatewayServiceResponse { service: Some(view::service(cx, &express, &service, true)) })
}

/// Makes the revision of the settings that a deployment is of.
pub(super) fn revision(
    service: &Service,
    deployment: &state::ecs::Deployment,
    settings: &api::ExpressGatewayServiceConfiguration,
) -> ExpressGatewayRevision {
    let mut shown = settings.clone();
    // Security groups that the request left out have been found by now.
    if let Some(network) = service.workload.as_ref().and_then(|workload| workload.network.as_ref()) {
        shown.network_configuration = Some(api::ExpressGatewayServiceNetworkConfiguration {
            security_groups: Some(network.security_groups.iter().map(ToString::to_string).collect()),
            subnets: Some(network.subnets.iter().map(ToString::to_string).collect()),
        });
    }
    ExpressGatewayRevision {
        id: deployment.revision.clone(),
        created_at: deployment.created_at,
        configuration: document::write(&shown),
    }
}

/// Checks that no service has the name. Both texts were seen, the first one for this operation.
fn check_name(cx: &Cx, key: &ServiceKey) -> Result<()> {
    match cx.state.ecs.services.get(cx.scope(), key).map(|known| known.status) {
        Some(ServiceStatus::Draining) => Err(invalid("Unable to Start a service that is still Draining.")),
        Some(ServiceStatus::Active) => Err(invalid("Creation of service was not idempotent.")),
        Some(ServiceStatus::Inactive) | None => Ok(()),
    }
}

/// Registers the task definition and makes the service.
async fn make(
    cx: &Cx,
    key: &ServiceKey,
    settings: &api::ExpressGatewayServiceConfiguration,
    tags: Option<Vec<api::Tag>>,
) -> Result<Service> {
    let definition = configuration::task_definition(cx, key, settings);
    let registered = task_definition::register_task_definition(cx, definition).await?;
    let (min, _) = configuration::task_counts(settings);
    let request = api::CreateServiceRequest {
        cluster: Some(key.cluster.to_string()),
        service_name: Some(key.name.to_string()),
        task_definition: registered.task_definition.and_then(|definition| definition.task_definition_arn),
        desired_count: Some(min),
        launch_type: Some(api::LaunchType::Fargate),
        network_configuration: Some(configuration::network(settings)),
        tags,
        ..api::CreateServiceRequest::default()
    };
    service::create_service(cx, request).await?;
    let mark = |row: &mut Service| row.is_managed_by_ecs = true;
    let made = cx.state.ecs.services.update(cx.scope(), key, mark).ok_or_else(service::not_found)?;
    Ok(Service::clone(&made))
}

/// Names the host that the application answers at. (The form is unverified.)
fn endpoint(cx: &Cx, key: &ServiceKey) -> String {
    let name = key.name.as_str().to_ascii_lowercase();
    let head = name.chars().filter(char::is_ascii_alphanumeric).take(2).collect::<String>();
    format!("{head}-{:032x}.ecs.{}.on.aws", cx.ids.bits(), cx.scope().region)
}

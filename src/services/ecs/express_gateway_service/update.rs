//! UpdateExpressGatewayService.

use api::ecs as api;
use state::Cx;
use state::ecs::{ExpressGatewayService, Service, ServiceStatus};

use super::{configuration, create, reference, view};
use crate::{Error, Result, document, required, service, task_definition};

/// Changes the settings of an Express service, which deploys a new revision. What a request leaves out stays.
pub(crate) async fn update_express_gateway_service(
    cx: &Cx,
    input: api::UpdateExpressGatewayServiceRequest,
) -> Result<api::UpdateExpressGatewayServiceResponse> {
    let found = reference::find(cx, &required(input.service_arn, "serviceArn")?)?;
    let (express, service) = found.ok_or_else(service::not_found)?;
    check_active(&service)?;
    let newest = express.revisions.first();
    let before = newest.map(|revision| document::read(&revision.configuration)).unwrap_or_default();
    let given = api::ExpressGatewayServiceConfiguration {
        execution_role_arn: input.execution_role_arn,
        task_role_arn: input.task_role_arn,
        cpu: input.cpu,
        memory: input.memory,
        network_configuration: input.network_configuration,
        health_check_path: input.health_check_path,
        primary_container: input.primary_container,
        scaling_target: input.scaling_target,
        ..api::ExpressGatewayServiceConfiguration::default()
    };
    let settings = configuration::complete(cx, &express.key, &before, given)?;
    configuration::check(cx, &express.key, &settings)?;
    let service = deploy(cx, &service, &settings).await?;
    let now = cx.now();
    let changed = cx.state.ecs.express_gateway_services.update(cx.scope(), &express.key, |row| {
        row.updated_at = now;
        row.revisions.retain(|revision| service.deployments.iter().any(|each| each.revision == revision.id));
        if let Some(primary) = service.primary() {
            row.revisions.insert(0, create::revision(&service, primary, &settings));
        }
    });
    let changed = changed.ok_or_else(service::not_found)?;
    Ok(api::UpdateExpressGatewayServiceResponse { service: Some(updated(cx, &changed, &service)) })
}

/// Refuses a service that was deleted. (Text unverified.)
pub(super) fn check_active(service: &Service) -> Result<()> {
    match service.status {
        ServiceStatus::Active => Ok(()),
        ServiceStatus::Draining | ServiceStatus::Inactive => {
            Err(Error::ServiceNotActive("Service was not ACTIVE.".to_owned()))
        }
    }
}

/// Registers the next task definition and has the service deploy it.
async fn deploy(cx: &Cx, known: &Service, settings: &api::ExpressGatewayServiceConfiguration) -> Result<Service> {
    let definition = configuration::task_definition(cx, &known.key, settings);
    let registered = task_definition::register_task_definition(cx, definition).await?;
    let (min, max) = configuration::task_counts(settings);
    let desired = i32::try_from(known.desired_count).unwrap_or(i32::MAX).clamp(min, max);
    let request = api::UpdateServiceRequest {
        cluster: Some(known.key.cluster.to_string()),
        service: Some(known.key.name.to_string()),
        task_definition: registered.task_definition.and_then(|definition| definition.task_definition_arn),
        desired_count: Some(desired),
        network_configuration: Some(configuration::network(settings)),
        ..api::UpdateServiceRequest::default()
    };
    service::update_service(cx, request).await?;
    let service = cx.state.ecs.services.get(cx.scope(), &known.key).ok_or_else(service::not_found)?;
    Ok(Service::clone(&service))
}

fn updated(cx: &Cx, express: &ExpressGatewayService, service: &Service) -> api::UpdatedExpressGatewayService {
    api::UpdatedExpressGatewayService {
        service_arn: Some(service.arn.to_string()),
        cluster: Some(express.key.cluster.to_string()),
        service_name: Some(express.key.name.to_string()),
        status: Some(view::status(service)),
        target_configuration: express.revisions.first().map(|revision| view::configuration(cx, express, revision)),
        created_at: Some(service.created_at.into()),
        updated_at: Some(express.updated_at.into()),
    }
}

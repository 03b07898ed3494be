//! An Express service as responses show it.

use api::ecs as api;
use base::Arn;
use state::Cx;
use state::ecs::{ExpressGatewayRevision, ExpressGatewayService, Service, ServiceStatus};

use crate::{document, service, tags};

/// Shapes an Express service.
pub(super) fn service(
    cx: &Cx,
    express: &ExpressGatewayService,
    service: &Service,
    shows_tags: bool,
) -> api::ECSExpressGatewayService {
    let is_active = |revision: &&ExpressGatewayRevision| {
        service.deployments.iter().any(|deployment| deployment.revision == revision.id)
    };
    let active = express.revisions.iter().filter(is_active);
    api::ECSExpressGatewayService {
        cluster: Some(express.key.cluster.to_string()),
        service_name: Some(express.key.name.to_string()),
        service_arn: Some(service.arn.to_string()),
        infrastructure_role_arn: Some(express.infrastructure_role_arn.clone()),
        status: Some(status(service)),
        current_deployment: deployment_arn(cx, service),
        active_configurations: Some(active.map(|revision| configuration(cx, express, revision)).collect()),
        tags: shows_tags.then(|| tags::view(&service.tags)),
        created_at: Some(service.created_at.into()),
        updated_at: Some(express.updated_at.into()),
    }
}

/// Shapes the status, which is the service's.
pub(super) fn status(service: &Service) -> api::ExpressGatewayServiceStatus {
    let code = match service.status {
        ServiceStatus::Active => api::ExpressGatewayServiceStatusCode::Active,
        ServiceStatus::Draining => api::ExpressGatewayServiceStatusCode::Draining,
        ServiceStatus::Inactive => api::ExpressGatewayServiceStatusCode::Inactive,
    };
    api::ExpressGatewayServiceStatus { status_code: Some(code), status_reason: None }
}

/// Shapes one revision of the settings.
pub(super) fn configuration(
    cx: &Cx,
    express: &ExpressGatewayService,
    revision: &ExpressGatewayRevision,
) -> api::ExpressGatewayServiceConfiguration {
    api::ExpressGatewayServiceConfiguration {
        service_revision_arn: Some(service::revision_arn(cx, &express.key, &revision.id).to_string()),
        ingress_paths: Some(vec![api::IngressPathSummary {
            access_type: Some(api::AccessType::Public),
            endpoint: Some(express.endpoint.clone()),
        }]),
        created_at: Some(revision.created_at.into()),
        ..document::read(&revision.configuration)
    }
}

fn deployment_arn(cx: &Cx, service: &Service) -> Option<String> {
    let id = &service.primary()?.service_deployment;
    let path = format!("service-deployment/{}/{}/{id}", service.key.cluster, service.key.name);
    Some(Arn::new("ecs", cx.scope(), &path).to_string())
}

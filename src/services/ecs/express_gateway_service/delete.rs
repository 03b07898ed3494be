//! DeleteExpressGatewayService.

use api::ecs as api;
use state::Cx;

use super::{reference, update, view};
use crate::{Result, required, service};

/// Deletes an Express service: it drains, and is inactive when its tasks have stopped.
pub(crate) async fn delete_express_gateway_service(
    cx: &Cx,
    input: api::DeleteExpressGatewayServiceRequest,
) -> Result<api::DeleteExpressGatewayServiceResponse> {
    let found = reference::find(cx, &required(input.service_arn, "serviceArn")?)?;
    let (express, known) = found.ok_or_else(service::not_found)?;
    update::check_active(&known)?;
    let request = api::DeleteServiceRequest {
        cluster: Some(express.key.cluster.to_string()),
        service: Some(express.key.name.to_string()),
        force: Some(true),
    };
    service::delete_service(cx, request).await?;
    let now = cx.now();
    let services = &cx.state.ecs.express_gateway_services;
    let express = services.update(cx.scope(), &express.key, |row| row.updated_at = now);
    let deleted = cx.state.ecs.services.get(cx.scope(), &known.key);
    let (express, deleted) = express.zip(deleted).ok_or_else(service::not_found)?;
    Ok(api::DeleteExpressGatewayServiceResponse { service: Some(view::service(cx, &express, &deleted, true)) })
}

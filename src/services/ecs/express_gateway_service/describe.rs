//! DescribeExpressGatewayService.

use api::ecs as api;
use state::Cx;

use super::{reference, view};
use crate::{Error, Result, required};

/// Describes an Express service, a deleted one too; its tags if they are asked for.
pub(crate) async fn describe_express_gateway_service(
    cx: &Cx,
    input: api::DescribeExpressGatewayServiceRequest,
) -> Result<api::DescribeExpressGatewayServiceResponse> {
    let found = reference::find(cx, &required(input.service_arn, "serviceArn")?)?;
    let shows_tags = input.include.unwrap_or_default().contains(&api::ExpressGatewayServiceInclude::Tags);
    // The code is the model's; the text is unverified.
    let not_found = || Error::ResourceNotFound("The specified Express service was not found.".to_owned());
    let (express, service) = found.ok_or_else(not_found)?;
    Ok(api::DescribeExpressGatewayServiceResponse { service: Some(view::service(cx, &express, &service, shows_tags)) })
}

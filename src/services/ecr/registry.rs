//! Describing the registry as a whole.

use api::ecr as api;
use state::Cx;

use crate::{Result, replication};

/// Describes the caller's registry.
pub(crate) async fn describe_registry(
    cx: &Cx,
    _: api::DescribeRegistryRequest,
) -> Result<api::DescribeRegistryResponse> {
    let settings = cx.state.ecr.registry_settings(cx.scope());
    Ok(api::DescribeRegistryResponse {
        registry_id: Some(cx.scope().account.to_string()),
        replication_configuration: Some(replication::view(&settings.replication)),
    })
}

//! How requests name an Express service: by the ARN of its service.

use std::sync::Arc;

use base::Arn;
use state::Cx;
use state::ecs::{ClusterName, ExpressGatewayService, Service, ServiceKey, ServiceName};

use crate::{Result, cluster, invalid};

/// Finds an Express service, deleted or not; none if there is no such service, or if it is an ordinary one.
pub(super) fn find(cx: &Cx, text: &str) -> Result<Option<(Arc<ExpressGatewayService>, Arc<Service>)>> {
    let not_an_arn = || invalid("The ARN provided is invalid.");
    let arn = Arn::parse(text).filter(|arn| arn.service() == "ecs").ok_or_else(not_an_arn)?;
    let (of_cluster, name) = arn.resource_of("service").and_then(|path| path.split_once('/')).ok_or_else(not_an_arn)?;
    if arn.account() != Some(cx.scope().account) {
        return Err(invalid("AccountIDs mismatch"));
    }
    let cluster_name = ClusterName::parse(of_cluster).ok_or_else(not_an_arn)?;
    let name = ServiceName::parse(name).ok_or_else(not_an_arn)?;
    if arn.region().as_ref() != Some(&cx.scope().region) {
        return Ok(None);
    }
    cluster::find(cx, Some(cluster_name.as_str()))?;
    let key = ServiceKey { cluster: cluster_name, name };
    let service = cx.state.ecs.services.get(cx.scope(), &key).filter(|service| service.is_managed_by_ecs);
    Ok(cx.state.ecs.express_gateway_services.get(cx.scope(), &key).zip(service))
}

//! How requests name a service: its name beside a cluster, or its ARN.

use std::sync::Arc;

use base::Arn;
use state::Cx;
use state::ecs::{Cluster, Service, ServiceKey, ServiceName, ServiceStatus};

use crate::{Error, Result, invalid};

/// Reads a name or an ARN. None means that no service of this cluster and region can be meant.
pub(crate) fn parse(cx: &Cx, cluster: &Cluster, reference: &str) -> Result<Option<ServiceKey>> {
    let key = |name: &str| ServiceName::parse(name).map(|name| ServiceKey { cluster: cluster.name.clone(), name });
    if !reference.starts_with("arn:") {
        return Ok(key(reference));
    }
    let arn = Arn::parse(reference).ok_or_else(|| invalid("The ARN provided is invalid."))?;
    if arn.account() != Some(cx.scope().account) {
        return Err(invalid("AccountIDs mismatch"));
    }
    let path = arn.resource_of("service").ok_or_else(|| invalid("The ARN provided is invalid."))?;
    // ARNs of before 2021 do not name the cluster.
    let (of_cluster, name) = path.split_once('/').unwrap_or((cluster.name.as_str(), path));
    let is_here = arn.region().as_ref() == Some(&cx.scope().region) && of_cluster == cluster.name.as_str();
    Ok(key(name).filter(|_| is_here))
}

/// Finds a service, deleted or not.
pub(crate) fn find(cx: &Cx, cluster: &Cluster, reference: &str) -> Result<Arc<Service>> {
    let key = parse(cx, cluster, reference)?;
    key.and_then(|key| cx.state.ecs.services.get(cx.scope(), &key)).ok_or_else(not_found)
}

/// Finds a service that is there.
pub(crate) fn find_active(cx: &Cx, cluster: &Cluster, reference: &str) -> Result<Arc<Service>> {
    let service = find(cx, cluster, reference)?;
    check_active(&service)?;
    Ok(service)
}

/// Refuses a service that was deleted.
pub(crate) fn check_active(service: &Service) -> Result<()> {
    match service.status {
        ServiceStatus::Active => Ok(()),
        // Seen: alchemy-run/alchemy#1581.
        ServiceStatus::Draining | ServiceStatus::Inactive => {
            Err(Error::ServiceNotActive("Service was not ACTIVE.".to_owned()))
        }
    }
}

/// Builds the ARN that a failure bears, whichever way the service was named.
pub(super) fn arn_of(cx: &Cx, cluster: &Cluster, reference: &str) -> String {
    if reference.starts_with("arn:") {
        return reference.to_owned();
    }
    Arn::new("ecs", cx.scope(), &format!("service/{}/{reference}", cluster.name)).to_string()
}

/// The error of a service that has never been.
pub(crate) fn not_found() -> Error {
    Error::ServiceNotFound("Service not found.".to_owned())
}

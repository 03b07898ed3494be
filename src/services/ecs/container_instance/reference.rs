//! How requests name a container instance: its id beside a cluster, or its ARN.

use std::sync::Arc;

use base::{Arn, ContainerInstanceId};
use state::Cx;
use state::ecs::{Cluster, ContainerInstance, ContainerInstanceKey};

use crate::{Error, Result, client, invalid};

/// The lengths of ids: today's, and the UUIDs of before 2021.
const ID_LENGTHS: [usize; 2] = [32, 36];

/// Reads an id or an ARN. An instance of another cluster or region is one that is missing: the key then names none.
pub(crate) fn parse(cx: &Cx, cluster: &Cluster, reference: &str) -> Result<ContainerInstanceKey> {
    let key = |id: &str| ContainerInstanceKey { cluster: cluster.name.clone(), id: ContainerInstanceId::new(id) };
    if !reference.starts_with("arn:") {
        return check_length(reference).map(|()| key(reference));
    }
    let arn = Arn::parse(reference).ok_or_else(|| invalid("The ARN provided is invalid."))?;
    if arn.account() != Some(cx.scope().account) {
        return Err(invalid("AccountIDs mismatch"));
    }
    let path = arn.resource_of("container-instance").ok_or_else(|| invalid("The ARN provided is invalid."))?;
    let (of_cluster, id) = path.split_once('/').unwrap_or((cluster.name.as_str(), path));
    check_length(id)?;
    let is_here = arn.region().as_ref() == Some(&cx.scope().region) && of_cluster == cluster.name.as_str();
    Ok(if is_here { key(id) } else { key("") })
}

/// Finds an instance, deregistered ones too.
pub(crate) fn find(cx: &Cx, cluster: &Cluster, reference: &str) -> Result<Arc<ContainerInstance>> {
    let key = parse(cx, cluster, reference)?;
    cx.state.ecs.container_instances.get(cx.scope(), &key).ok_or_else(|| not_found(reference))
}

/// Makes the error of an instance that does not exist. (The form is that of "Referenced container instance <id> not
/// registered.", which RegisterContainerInstance answers; unverified for others.)
pub(super) fn not_found(reference: &str) -> Error {
    let id = reference.rsplit('/').next().unwrap_or_default();
    client(format!("Referenced container instance {id} not found."))
}

/// Builds the ARN that a failure bears, whichever way the instance was named.
pub(crate) fn arn_of(cx: &Cx, cluster: &Cluster, reference: &str) -> String {
    if reference.starts_with("arn:") {
        return reference.to_owned();
    }
    Arn::new("ecs", cx.scope(), &format!("container-instance/{}/{reference}", cluster.name)).to_string()
}

fn check_length(id: &str) -> Result<()> {
    // The text was seen where an empty answer of ListContainerInstances was passed on.
    if ID_LENGTHS.contains(&id.len()) { Ok(()) } else { Err(invalid("instanceId length should be one of [32,36]")) }
}

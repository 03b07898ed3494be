//! DescribeContainerInstances.

use api::ecs as api;
use state::Cx;

use super::reference;
use super::view::{self, Include};
use crate::{Result, client, cluster, invalid};

/// How many instances one call may name.
const DESCRIBE_MAX: usize = 100;

/// Describes container instances of a cluster, deregistered ones too. Unknown ones are failures, not errors.
pub(crate) async fn describe_container_instances(
    cx: &Cx,
    input: api::DescribeContainerInstancesRequest,
) -> Result<api::DescribeContainerInstancesResponse> {
    let wanted = input.container_instances.unwrap_or_default();
    if wanted.is_empty() {
        // moto.
        return Err(client("Container Instances cannot be empty."));
    }
    if wanted.len() > DESCRIBE_MAX {
        return Err(invalid(format!("Container Instances cannot have more than {DESCRIBE_MAX} elements.")));
    }
    let cluster = cluster::find(cx, input.cluster.as_deref())?;
    let include = Include::of(input.include.as_deref().unwrap_or_default());
    let (mut instances, mut failures) = (Vec::new(), Vec::new());
    for named in wanted {
        let key = reference::parse(cx, &cluster, &named)?;
        match cx.state.ecs.container_instances.get(cx.scope(), &key) {
            Some(instance) => instances.push(view::container_instance(cx, &instance, include)),
            None => failures.push(api::Failure {
                arn: Some(reference::arn_of(cx, &cluster, &named)),
                reason: Some("MISSING".to_owned()),
                detail: None,
            }),
        }
    }
    Ok(api::DescribeContainerInstancesResponse { container_instances: Some(instances), failures: Some(failures) })
}

//! DescribeServices.

use api::ecs as api;
use state::Cx;

use super::{reference, view};
use crate::{Result, cluster, invalid};

/// How many services one call may name.
const DESCRIBE_MAX: usize = 10;

/// Describes services of a cluster, deleted ones too. Unknown ones are failures, not errors.
pub(crate) async fn describe_services(
    cx: &Cx,
    input: api::DescribeServicesRequest,
) -> Result<api::DescribeServicesResponse> {
    let wanted = input.services.unwrap_or_default();
    if wanted.is_empty() {
        // Seen in public repositories, quoted without the full stop that "Tasks cannot be empty." has.
        return Err(invalid("Services cannot be empty."));
    }
    if wanted.len() > DESCRIBE_MAX {
        // Seen: remind101/empire#944.
        return Err(invalid(format!("service names can have at most {DESCRIBE_MAX} items.")));
    }
    let cluster = cluster::find(cx, input.cluster.as_deref())?;
    let shows_tags = input.include.unwrap_or_default().contains(&api::ServiceField::Tags);
    let (mut services, mut failures) = (Vec::new(), Vec::new());
    for reference in wanted {
        let key = reference::parse(cx, &cluster, &reference)?;
        match key.and_then(|key| cx.state.ecs.services.get(cx.scope(), &key)) {
            Some(service) => services.push(view::service(cx, &service, shows_tags)),
            None => failures.push(api::Failure {
                arn: Some(reference::arn_of(cx, &cluster, &reference)),
                reason: Some("MISSING".to_owned()),
                detail: None,
            }),
        }
    }
    Ok(api::DescribeServicesResponse { services: Some(services), failures: Some(failures) })
}

//! DescribeTaskSets.

use api::ecs as api;
use state::Cx;

use super::{reference, view};
use crate::Result;
use crate::service_deployment::missing;

/// Describes task sets of a service; all of them, if none are named. Unknown ones are failures, not errors.
pub(crate) async fn describe_task_sets(
    cx: &Cx,
    input: api::DescribeTaskSetsRequest,
) -> Result<api::DescribeTaskSetsResponse> {
    let service = reference::service_of(cx, input.cluster, input.service)?;
    let shows_tags = input.include.unwrap_or_default().contains(&api::TaskSetField::Tags);
    let wanted = input.task_sets.unwrap_or_default();
    if wanted.is_empty() {
        let all = cx.state.ecs.task_sets_of(cx.scope(), &service.key);
        let task_sets = all.map(|task_set| view(cx, &service, &task_set, shows_tags)).collect();
        return Ok(api::DescribeTaskSetsResponse { task_sets: Some(task_sets), failures: Some(Vec::new()) });
    }
    let (mut task_sets, mut failures) = (Vec::new(), Vec::new());
    for reference in wanted {
        let key = reference::parse(cx, &service, &reference)?;
        match cx.state.ecs.task_sets.get(cx.scope(), &key) {
            Some(task_set) => task_sets.push(view(cx, &service, &task_set, shows_tags)),
            None => failures.push(missing(reference::arn_of(cx, &service, &reference))),
        }
    }
    Ok(api::DescribeTaskSetsResponse { task_sets: Some(task_sets), failures: Some(failures) })
}

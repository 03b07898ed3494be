//! DescribeTasks.

use api::ecs as api;
use state::Cx;

use super::{reference, view};
use crate::{Result, cluster, invalid};

/// How many tasks one call may name.
const DESCRIBE_MAX: usize = 100;

/// Describes tasks of a cluster, stopped ones too for an hour. Unknown ones are failures, not errors.
pub(crate) async fn describe_tasks(cx: &Cx, input: api::DescribeTasksRequest) -> Result<api::DescribeTasksResponse> {
    let wanted = input.tasks.unwrap_or_default();
    if wanted.is_empty() {
        return Err(invalid("Tasks cannot be empty."));
    }
    if wanted.len() > DESCRIBE_MAX {
        return Err(invalid(format!("Tasks cannot have more than {DESCRIBE_MAX} elements.")));
    }
    let cluster = cluster::find(cx, input.cluster.as_deref())?;
    let shows_tags = input.include.unwrap_or_default().contains(&api::TaskField::Tags);
    let (mut tasks, mut failures) = (Vec::new(), Vec::new());
    for reference in wanted {
        let key = reference::parse(cx, &cluster, &reference)?;
        match cx.state.ecs.tasks.get(cx.scope(), &key) {
            Some(task) => tasks.push(view::task(&task, shows_tags)),
            None => failures.push(api::Failure {
                arn: Some(reference::arn_of(cx, &cluster, &reference)),
                reason: Some("MISSING".to_owned()),
                detail: None,
            }),
        }
    }
    Ok(api::DescribeTasksResponse { tasks: Some(tasks), failures: Some(failures) })
}

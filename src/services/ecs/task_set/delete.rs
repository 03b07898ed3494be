//! DeleteTaskSet.

use api::ecs as api;
use state::Cx;
use state::ecs::{TaskSet, TaskSetStatus};

use super::{reference, view};
use crate::{Result, invalid, required};

/// Deletes a task set: it drains, and is gone when its tasks have stopped.
pub(crate) async fn delete_task_set(cx: &Cx, input: api::DeleteTaskSetRequest) -> Result<api::DeleteTaskSetResponse> {
    let service = reference::service_of(cx, input.cluster, input.service)?;
    let known = reference::find(cx, &service, &required(input.task_set, "taskSet")?)?;
    let (now, is_forced) = (cx.now(), input.force == Some(true));
    let delete = |task_set: &mut TaskSet| {
        if task_set.status != TaskSetStatus::Draining && !is_forced && task_set.scale_percent > 0.0 {
            // Text unverified.
            return Err(invalid("The task set cannot be deleted while it is scaled above 0."));
        }
        task_set.status = TaskSetStatus::Draining;
        task_set.scale_percent = 0.0;
        task_set.updated_at = now;
        Ok(())
    };
    let deleted = cx.state.ecs.task_sets.try_update(cx.scope(), &known.key, delete);
    let deleted = deleted.ok_or_else(reference::not_found)??;
    Ok(api::DeleteTaskSetResponse { task_set: Some(view(cx, &service, &deleted, false)) })
}

//! UpdateTaskSet and UpdateServicePrimaryTaskSet.

use api::ecs as api;
use state::Cx;
use state::ecs::{TaskSet, TaskSetDraining, TaskSetStatus};

use super::{create, reference, view};
use crate::{Error, Result, invalid, required};

/// Changes the scale of a task set.
pub(crate) async fn update_task_set(cx: &Cx, input: api::UpdateTaskSetRequest) -> Result<api::UpdateTaskSetResponse> {
    let service = reference::service_of(cx, input.cluster, input.service)?;
    let known = reference::find(cx, &service, &required(input.task_set, "taskSet")?)?;
    let scale_percent = create::scale(Some(&required(input.scale, "scale")?))?;
    let now = cx.now();
    let scale = |task_set: &mut TaskSet| -> Result<()> {
        check_not_draining(task_set)?;
        task_set.scale_percent = scale_percent;
        task_set.updated_at = now;
        Ok(())
    };
    let updated = cx.state.ecs.task_sets.try_update(cx.scope(), &known.key, scale);
    let updated = updated.ok_or_else(reference::not_found)??;
    Ok(api::UpdateTaskSetResponse { task_set: Some(view(cx, &service, &updated, false)) })
}

/// Makes a task set the one that takes the traffic. What its tasks are becomes what the service's tasks are.
pub(crate) async fn update_service_primary_task_set(
    cx: &Cx,
    input: api::UpdateServicePrimaryTaskSetRequest,
) -> Result<api::UpdateServicePrimaryTaskSetResponse> {
    let service = reference::service_of(cx, input.cluster, input.service)?;
    let known = reference::find(cx, &service, &required(input.primary_task_set, "primaryTaskSet")?)?;
    let promoted = cx.state.ecs.promote_task_set(cx.scope(), &known.key, cx.now()).ok_or_else(reference::not_found)?;
    let primary = promoted.map_err(|TaskSetDraining| draining())?;
    Ok(api::UpdateServicePrimaryTaskSetResponse { task_set: Some(view(cx, &service, &primary, false)) })
}

fn check_not_draining(task_set: &TaskSet) -> Result<()> {
    match task_set.status {
        TaskSetStatus::Primary | TaskSetStatus::Active => Ok(()),
        TaskSetStatus::Draining => Err(draining()),
    }
}

/// Text unverified.
fn draining() -> Error {
    invalid("The task set is draining and cannot be changed.")
}

//! StopTask.

use api::ecs as api;
use state::Cx;
use state::ecs::{StopCode, StopRequest};

use super::{reference, view};
use crate::{Result, cluster, invalid, required};

/// The longest reason, in characters. (From an older API reference; unverified.)
const REASON_CHARS_MAX: usize = 255;

/// Asks a task to stop. A stopped task stays as it is.
pub(crate) async fn stop_task(cx: &Cx, input: api::StopTaskRequest) -> Result<api::StopTaskResponse> {
    let cluster = cluster::find(cx, input.cluster.as_deref())?;
    let key = reference::parse(cx, &cluster, &required(input.task, "task")?)?;
    let reason = input.reason.unwrap_or_else(|| "Task stopped by user".to_owned());
    if reason.chars().count() > REASON_CHARS_MAX {
        return Err(invalid(format!("The reason must have at most {REASON_CHARS_MAX} characters.")));
    }
    let stop = StopRequest { code: StopCode::UserInitiated, reason, at: cx.now() };
    let task = cx.state.ecs.stop_task(cx.scope(), &key, stop);
    let task = task.ok_or_else(|| invalid("The referenced task was not found."))?;
    Ok(api::StopTaskResponse { task: Some(view::task(&task, true)) })
}

//! What the end of a container means for its task: a pure function.

use base::{ContainerId, Timestamp};
use node::ExitStatus;
use state::ecs::{ContainerStatus, RestartPolicy, StopCode, StopRequest, Task, TaskStatus};

use super::{reason, restart};

/// Writes the end of a container into its task; none is the end of one that the node has lost. One that is to be started
/// again goes on running in the record, which says after which end; the final end of an essential one asks the task to
/// stop.
pub(crate) fn note(
    task: &mut Task,
    container: &ContainerId,
    policy: Option<&RestartPolicy>,
    exit: Option<&ExitStatus>,
    now: Timestamp,
) {
    // All of them have started: so it has come to run, however short.
    if task.last_status == TaskStatus::Pending && task.stop.is_none() && !has_pending(task) {
        task.started_at = Some(now);
        task.last_status = TaskStatus::Running;
    }
    let is_stopping = task.stop.is_some();
    let has_run = task.started_at.is_some();
    let Some(known) = task.containers.iter_mut().find(|known| known.id == *container) else { return };
    let is_noted = exit.is_some_and(|exit| known.restarting_after == Some(exit.at));
    if is_noted && !is_stopping {
        return;
    }
    if let Some(exit) = exit.filter(|exit| restart::restarts(known, policy, is_stopping, exit)) {
        known.restarting_after = Some(exit.at);
        known.restart_count += 1;
        return;
    }
    if known.restarting_after.take().is_some() && is_noted {
        // The task was asked to stop before that.
        known.restart_count -= 1;
    }
    let at = exit.map_or(now, |exit| exit.at);
    known.status = ContainerStatus::Stopped;
    known.finished_at = Some(at);
    known.exit_code = exit.map(|exit| exit.code);
    known.reason = match exit {
        Some(exit) if exit.is_oom_killed => Some(reason::OUT_OF_MEMORY.to_owned()),
        Some(_) => None,
        None => Some(reason::vanished()),
    };
    if known.is_essential {
        task.execution_stopped_at.get_or_insert(at);
        let (code, why) = if has_run {
            (StopCode::EssentialContainerExited, reason::ESSENTIAL_EXITED)
        } else {
            (StopCode::TaskFailedToStart, reason::FAILED_TO_START)
        };
        task.stop(StopRequest { code, reason: why.to_owned(), at: now });
    }
}

fn has_pending(task: &Task) -> bool {
    task.containers.iter().any(|container| container.status == ContainerStatus::Pending)
}

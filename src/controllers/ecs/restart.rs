//! Whether a container that has ended is started again: a pure function.

use std::time::Duration;

use node::ExitStatus;
use state::ecs::{Container, RestartPolicy};

/// Returns whether a container is to be started again after that end. It must have run for as long as its policy says, so
/// that one that fails at once does not do so for ever.
pub(crate) fn restarts(
    container: &Container,
    policy: Option<&RestartPolicy>,
    is_task_stopping: bool,
    exit: &ExitStatus,
) -> bool {
    let Some(policy) = policy else { return false };
    let Some(since) = container.restarted_at.or(container.started_at) else { return false };
    let has_run_for = exit.at.since(since);
    !is_task_stopping
        && !policy.ignored_exit_codes.contains(&exit.code)
        && has_run_for >= Duration::from_secs(u64::from(policy.attempt_period_s))
}

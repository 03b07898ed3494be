//! Which tasks of a deployment have failed, and whether they are too many: pure functions.

use base::Timestamp;
use state::ecs::{CircuitBreaker, StopCode, Tally};

use super::reason;
use super::service_plan::{Health, Member};

/// Counts the failures in that `members`, which are a deployment's, have come to since it began. `known` is what was
/// counted before: what it holds is counted once, and stays counted when the tasks are forgotten.
pub(super) fn count(
    known: &Tally,
    members: &[&Member],
    since: Timestamp,
    health: &Health<'_>,
    resets_on_healthy_task: bool,
) -> Tally {
    let healthy_at = members.iter().filter_map(|member| health.healthy_since(member)).max();
    let ran_at = members.iter().filter_map(|member| member.task.started_at).max();
    let mut tally = known.clone();
    tally.counted.retain(|id| members.iter().any(|member| member.task.key.id == *id));
    let is_over = |last: Option<Timestamp>, good: Option<Timestamp>| good.is_some_and(|good| last < Some(good));
    if resets_on_healthy_task && is_over(tally.failed_at, healthy_at) {
        tally.failed = 0;
    }
    if is_over(tally.unstarted_at, ran_at) {
        tally.unstarted = 0;
    }
    for member in members {
        let Some(at) = failed_at(member).filter(|at| *at >= since && !known.counted.contains(&member.task.key.id))
        else {
            continue;
        };
        tally.counted.push(member.task.key.id.clone());
        tally.failed_at = tally.failed_at.max(Some(at));
        if !resets_on_healthy_task || !is_over(Some(at), healthy_at) {
            tally.failed = tally.failed.saturating_add(1);
        }
        if member.task.started_at.is_none() {
            tally.unstarted_at = tally.unstarted_at.max(Some(at));
            if !is_over(Some(at), ran_at) {
                tally.unstarted = tally.unstarted.saturating_add(1);
            }
        }
    }
    tally
}

/// Whether a deployment is to be given up.
pub(super) fn is_tripped(breaker: &CircuitBreaker, tally: &Tally, desired_count: u32) -> bool {
    tally.failed >= breaker.threshold.of(desired_count)
}

/// Returns when a task failed by itself: it could not be started, an essential container of it ended, or it was not
/// healthy. Those that somebody else stopped have not failed.
pub(super) fn failed_at(member: &Member) -> Option<Timestamp> {
    let stop = member.task.stop.as_ref()?;
    let has_failed = match stop.code {
        StopCode::TaskFailedToStart | StopCode::EssentialContainerExited => true,
        StopCode::ServiceSchedulerInitiated => reason::is_unhealthy(&stop.reason),
        StopCode::UserInitiated | StopCode::SpotInterruption | StopCode::InstanceGone => false,
    };
    has_failed.then_some(stop.at)
}

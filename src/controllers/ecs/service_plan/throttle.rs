//! How long a service waits before it starts tasks again where the last ones ended at once.

use std::time::Duration;

use base::Timestamp;
use state::ecs::Tally;

use super::Member;
use crate::Pace;
use crate::ecs::circuit_breaker;

/// How long the first wait is after tasks that never ran; it doubles. (AWS documents only that it grows.)
const RETRY_FIRST: Duration = Duration::from_secs(5);
/// The longest wait after tasks that never ran: AWS's.
const RETRY_MAX: Duration = Duration::from_secs(27 * 60);
/// How often at most a task that ends at once is replaced. AWS is slow enough not to need this.
const RESTART_EVERY: Duration = Duration::from_secs(10);

/// When one more task may be started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ecs) struct Throttle {
    /// Not before then.
    pub(in crate::ecs) until: Option<Timestamp>,
    /// Whether tasks end before they run again and again.
    pub(in crate::ecs) keeps_failing: bool,
}

/// Returns when one more task may be started: tasks that never ran make the wait grow, with each round of as many as are
/// desired. Those that ran are replaced at once, but not all the time.
pub(in crate::ecs) fn throttle<'m>(
    tally: &Tally,
    members: impl IntoIterator<Item = &'m Member>,
    desired: usize,
    pace: Pace,
) -> Throttle {
    let rounds = tally.unstarted.div_ceil(u32::try_from(desired.max(1)).unwrap_or(u32::MAX));
    let doublings = rounds.saturating_sub(1).min(16);
    let wait = RETRY_FIRST.saturating_mul(1 << doublings).min(RETRY_MAX);
    let after_failure = tally.unstarted_at.filter(|_| rounds > 0).map(|at| at.plus(pace.wait(wait)));
    let ended = members.into_iter().filter(|member| circuit_breaker::failed_at(member).is_some());
    let last_start = ended.filter_map(|member| member.task.started_at).max();
    let after_end = last_start.map(|at| at.plus(pace.wait(RESTART_EVERY)));
    Throttle { until: after_failure.max(after_end), keeps_failing: rounds > 1 }
}

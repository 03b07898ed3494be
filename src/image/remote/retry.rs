//! When a registry is asked again.

use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};

/// How often a request is tried in a row: what Fargate says it does.
pub(super) const TRIES_MAX: u32 = 5;
/// How often the fetching of one blob may go on after breaks, whatever each of them brought.
pub(super) const RESUMES_MAX: u32 = 50;
/// How long the wait before the second try is; it doubles from try to try.
const BACKOFF_FIRST: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// The longest wait that a registry may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

/// Says whether a request that was answered with `status` may be answered better later.
pub(super) fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500..=599)
}

/// Returns how long to wait after `tries` tries; `retry_after` is what the registry asks for.
pub(super) fn wait(tries: u32, retry_after: Option<Duration>) -> Duration {
    let backoff = BACKOFF_FIRST.saturating_mul(1 << tries.saturating_sub(1).min(10)).min(BACKOFF_MAX);
    retry_after.map_or(backoff, |asked| asked.min(RETRY_AFTER_MAX).max(backoff))
}

/// Returns how long an answer asks to wait.
pub(super) fn asked_for(headers: &HeaderMap) -> Option<Duration> {
    retry_after(headers.get(RETRY_AFTER)?.to_str().ok()?)
}

/// Reads a `Retry-After` header in seconds. Dates are left to the ordinary wait.
fn retry_after(header: &str) -> Option<Duration> {
    header.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_and_are_bounded_whatever_a_registry_asks_for() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let rows = [(1, None, 200), (2, None, 400), (4, None, 1_600), (9, None, 5_000), (u32::MAX, None, 5_000)];
        for (tries, asked, expected) in rows.into_iter().chain([(1, seconds(3), 3_000), (1, seconds(900), 30_000)]) {
            assert_eq!(wait(tries, asked), Duration::from_millis(expected), "{tries} {asked:?}");
        }
        assert_eq!(wait(3, seconds(0)), Duration::from_millis(800));
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let again = (100..600).filter(|status| is_transient(*status)).filter(|status| *status < 500);
        assert_eq!(again.collect::<Vec<_>>(), [408, 425, 429]);
        assert!(is_transient(500) && is_transient(503) && !is_transient(404));
    }

    #[test]
    fn retry_after_is_read_in_seconds() {
        assert_eq!(retry_after(" 7 "), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("Wed, 21 Oct 2026 07:28:00 GMT"), None);
        assert_eq!(retry_after("-1"), None);
    }
}

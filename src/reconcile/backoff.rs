//! How long a failed key waits.

use std::time::Duration;

/// The wait after the first failure.
pub(crate) const BACKOFF_FIRST: Duration = Duration::from_millis(100);

/// The longest wait, however many failures there were.
pub(crate) const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// Returns the wait after the given number of failures in a row: doubled each time, up to [`BACKOFF_MAX`].
pub(crate) fn backoff(failures_in_a_row: u32) -> Duration {
    let factor = 2u32.saturating_pow(failures_in_a_row.saturating_sub(1));
    BACKOFF_FIRST.saturating_mul(factor).min(BACKOFF_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_its_bound() {
        let waits_ms = [1, 2, 3, 8, 9, 10, 33, u32::MAX].map(|failures| backoff(failures).as_millis());
        assert_eq!(waits_ms, [100, 200, 400, 12_800, 25_600, 30_000, 30_000, 30_000]);
    }
}

//! The clock of a benchmark, and what is made of its readings.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]

use std::time::{Duration, Instant, SystemTime};

use crate::interruption;

/// Returns the time.
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Returns the time as servers write it: seconds since 1970.
pub(crate) fn epoch() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// Lets time pass: users do not start tasks back to back.
pub(crate) fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

/// Calls until there is a value, and returns it and the moment.
pub(crate) fn until<T>(
    bound: Duration,
    pause_between: Duration,
    what: &str,
    mut check: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<(T, Instant)> {
    let deadline = now() + bound;
    loop {
        if let Some(value) = check()? {
            return Ok((value, now()));
        }
        interruption::check()?;
        anyhow::ensure!(now() < deadline, "waited {bound:?} for {what}");
        pause(pause_between);
    }
}

/// Returns the value below which a share of the values lies.
pub(crate) fn quantile(values: &mut [Duration], share: f64) -> Duration {
    values.sort_unstable();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "an index")]
    let index = (values.len() as f64 * share) as usize;
    values.get(index.min(values.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// Returns milliseconds.
pub(crate) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

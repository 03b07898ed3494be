//! How far containers come how fast.

use std::time::Duration;

use clap::Args;

use crate::report::Report;
use crate::timing;

/// How long users wait between two containers.
pub(crate) const APART: Duration = Duration::from_millis(300);
/// How many are started at once.
pub(crate) const AT_ONCE: usize = 50;

/// How much is measured.
#[derive(Debug, Args)]
pub(crate) struct Scale {
    /// Containers that run alone, 0.3 s apart
    #[arg(long, value_name = "COUNT", default_value_t = 200)]
    pub(crate) alone: usize,
    /// Containers that run one after the other, without a pause
    #[arg(long, value_name = "COUNT", default_value_t = 500)]
    pub(crate) in_a_row: usize,
    /// Rounds of 50 containers at once
    #[arg(long, value_name = "COUNT", default_value_t = 4)]
    pub(crate) rounds: usize,
    /// Tasks that are held RUNNING at the same time
    #[arg(long, value_name = "COUNT", default_value_t = 500)]
    pub(crate) held: usize,
    /// Services of 5 simulated tasks
    #[arg(long, value_name = "COUNT", default_value_t = 1000)]
    pub(crate) services: usize,
    /// Tasks of the service that rolls over
    #[arg(long, value_name = "COUNT", default_value_t = 100)]
    pub(crate) rollout: usize,
}

/// When one container came how far, from the request or from the start of the program that runs it.
pub(crate) struct Life {
    /// None where nobody says so.
    pub(crate) running: Option<Duration>,
    pub(crate) output: Duration,
    pub(crate) stopped: Duration,
}

/// Adds what came of many: the median, and what 99 of 100 stay below.
pub(crate) fn add(how: &str, who: &str, lives: &[Life], report: &mut Report) {
    let stages: [(&str, Vec<Duration>); 3] = [
        ("RUNNING", lives.iter().filter_map(|life| life.running).collect()),
        ("first output", lives.iter().map(|life| life.output).collect()),
        ("STOPPED", lives.iter().map(|life| life.stopped).collect()),
    ];
    for (stage, mut times) in stages {
        if times.is_empty() {
            continue;
        }
        let what = format!("to {stage}, {how}");
        report.add(&what, who, timing::ms(timing::quantile(&mut times, 0.5)), "ms p50");
        report.add(&what, who, timing::ms(timing::quantile(&mut times, 0.99)), "ms p99");
    }
}

/// Adds how many there were a second.
pub(crate) fn add_rate(how: &str, who: &str, count: usize, elapsed: Duration, report: &mut Report) {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    if count == 0 {
        return;
    }
    report.add(how, who, f64::from(count) / elapsed.as_secs_f64(), "a second");
}

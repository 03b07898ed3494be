//! Health checks: when one is due, and what its outcome means. Pure functions.

use std::time::Duration;

use base::Timestamp;
use state::ecs::{Container, ContainerHealth, ContainerStatus, HealthCheck, HealthStatus, Task, TaskStatus};

/// The longest output of a check that is kept, in bytes.
pub(super) const OUTPUT_BYTES_MAX: usize = 4096;
/// The exit code of a check that took too long or could not be started, as Docker has it.
const CODE_NONE: i32 = -1;

/// What a check has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It has ended by itself.
    Ended {
        /// The exit code.
        code: i32,
        /// What it wrote.
        output: String,
    },
    /// It took too long, and was killed.
    TimedOut,
    /// It could not be started, or was lost.
    Failed {
        /// Why.
        why: String,
    },
}

/// Returns when a container is to be checked next; `checked_at` is when the last check has ended. None if it is not: what
/// does not run, or is about to end, has no health to be found out.
pub(super) fn next_at(
    task: &Task,
    container: &Container,
    check: &HealthCheck,
    checked_at: Option<Timestamp>,
) -> Option<Timestamp> {
    let is_checked = matches!(task.last_status, TaskStatus::Pending | TaskStatus::Activating | TaskStatus::Running)
        && task.stop.is_none()
        && container.status == ContainerStatus::Running
        && container.restarting_after.is_none();
    let started_at = began_at(container).filter(|_| is_checked)?;
    let since = checked_at.filter(|at| *at >= started_at).unwrap_or(started_at);
    Some(since.plus(seconds(check.interval_s)))
}

/// Returns the health of a container after a check that began at `began` and has ended at `now`.
pub(super) fn after(
    container: &Container,
    health: &ContainerHealth,
    check: &HealthCheck,
    outcome: &Outcome,
    began: Timestamp,
    now: Timestamp,
) -> ContainerHealth {
    let (exit_code, output) = match outcome {
        Outcome::Ended { code, output } => (*code, output.clone()),
        Outcome::TimedOut => (CODE_NONE, format!("Health check exceeded timeout ({}s)", check.timeout_s)),
        Outcome::Failed { why } => (CODE_NONE, why.clone()),
    };
    let is_starting = health.status == HealthStatus::Unknown
        && began_at(container).is_some_and(|started_at| began < started_at.plus(seconds(check.start_period_s)));
    let failures = match exit_code {
        0 => 0,
        // A container that has yet to become healthy may fail for a while.
        _ if is_starting => health.failures,
        _ => health.failures.saturating_add(1),
    };
    let status = match exit_code {
        0 => HealthStatus::Healthy,
        _ if failures >= check.retries => HealthStatus::Unhealthy,
        _ => health.status,
    };
    let since = if status == health.status { health.since } else { now };
    ContainerHealth { status, since, failures, exit_code: Some(exit_code), output: bounded(output) }
}

/// Returns when the run of a container began that is checked.
fn began_at(container: &Container) -> Option<Timestamp> {
    container.restarted_at.or(container.started_at)
}

fn seconds(number: u32) -> Duration {
    Duration::from_secs(u64::from(number))
}

/// Cuts text to what is kept, between characters.
fn bounded(mut text: String) -> String {
    let end = (0..=OUTPUT_BYTES_MAX.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.truncate(end.unwrap_or(0));
    text
}

#[cfg(test)]
mod tests {
    use state::ecs::{StopCode, StopRequest};

    use super::super::samples;
    use super::*;

    fn second(second: i64) -> Timestamp {
        Timestamp::from_millis(second * 1000)
    }

    fn check(start_period_s: u32) -> HealthCheck {
        HealthCheck { command: Vec::new(), interval_s: 30, timeout_s: 5, retries: 3, start_period_s }
    }

    /// Makes a task of one container that has run since second 10.
    fn running() -> Task {
        let mut task = samples::task(vec![samples::container("a")]);
        task.last_status = TaskStatus::Running;
        task.containers[0].status = ContainerStatus::Running;
        task.containers[0].started_at = Some(second(10));
        task
    }

    fn ended(code: i32) -> Outcome {
        Outcome::Ended { code, output: format!("said {code}") }
    }

    #[test]
    fn a_check_is_due_an_interval_after_the_start_and_after_the_last_one() {
        let at = |change: &dyn Fn(&mut Task), checked_at: Option<i64>| {
            let mut task = running();
            change(&mut task);
            let next = next_at(&task, &task.containers[0], &check(0), checked_at.map(second));
            next.map(|at| at.as_millis() / 1000)
        };
        assert_eq!(at(&|_| {}, None), Some(40));
        assert_eq!(at(&|_| {}, Some(41)), Some(71));
        assert_eq!(at(&|task| task.last_status = TaskStatus::Pending, None), Some(40));
        assert_eq!(at(&|task| task.containers[0].restarted_at = Some(second(100)), Some(41)), Some(130));
        assert_eq!(at(&|task| task.containers[0].restarting_after = Some(second(100)), Some(41)), None);
        assert_eq!(at(&|task| task.containers[0].status = ContainerStatus::Stopped, Some(41)), None);
        assert_eq!(at(&|task| task.last_status = TaskStatus::Stopping, Some(41)), None);
        let stop = StopRequest { code: StopCode::UserInitiated, reason: String::new(), at: second(50) };
        assert_eq!(at(&|task| task.stop = Some(stop.clone()), Some(41)), None);
    }

    #[test]
    fn failures_in_a_row_make_it_unhealthy_and_one_success_healthy() {
        // start period in seconds; a letter a check, 30 seconds apart from second 40 on: `.` passes, `x` fails,
        // `t` takes too long, `e` cannot be started → status, since which second, failures in a row
        let rows = [
            (0, "", "UNKNOWN", 0, 0),
            (0, ".", "HEALTHY", 41, 0),
            (0, "..", "HEALTHY", 41, 0),
            (0, "x", "UNKNOWN", 0, 1),
            (0, "xx", "UNKNOWN", 0, 2),
            (0, "xxx", "UNHEALTHY", 101, 3),
            (0, "xxxx", "UNHEALTHY", 101, 4),
            (0, "xx.", "HEALTHY", 101, 0),
            (0, "xx.xx", "HEALTHY", 101, 2),
            (0, ".xxx", "UNHEALTHY", 131, 3),
            (0, ".xx.xx", "HEALTHY", 41, 2),
            (0, "xxx.", "HEALTHY", 131, 0),
            (0, "ttt", "UNHEALTHY", 101, 3),
            (0, "eee", "UNHEALTHY", 101, 3),
            (0, "xte", "UNHEALTHY", 101, 3),
            // The container has run since second 10: checks that begin before second 10 + the period do not count.
            (60, "x", "UNKNOWN", 0, 0),
            (60, "xx", "UNKNOWN", 0, 1),
            (61, "xx", "UNKNOWN", 0, 0),
            (60, "xxxx", "UNHEALTHY", 131, 3),
            (60, "t", "UNKNOWN", 0, 0),
            (300, "xxxxxxxxx", "UNKNOWN", 0, 0),
            // Once healthy it has started.
            (300, ".xxx", "UNHEALTHY", 131, 3),
            (300, ".x", "HEALTHY", 41, 1),
        ];
        for (start_period_s, letters, status, since, failures) in rows {
            let task = running();
            let mut health = ContainerHealth::new(second(0));
            let mut began = 40;
            for letter in letters.chars() {
                let outcome = match letter {
                    '.' => ended(0),
                    'x' => ended(1),
                    't' => Outcome::TimedOut,
                    _ => Outcome::Failed { why: "no such program".to_owned() },
                };
                let container = &task.containers[0];
                health = after(container, &health, &check(start_period_s), &outcome, second(began), second(began + 1));
                began += 30;
            }
            let shown = (health.status.as_str(), health.since.as_millis() / 1000, health.failures);
            assert_eq!(shown, (status, since, failures), "{start_period_s} {letters}");
        }
    }

    #[test]
    fn what_the_last_check_said_is_kept_cut_short() {
        let task = running();
        let said = |outcome| {
            let health = ContainerHealth::new(second(0));
            let health = after(&task.containers[0], &health, &check(0), &outcome, second(40), second(41));
            (health.exit_code, health.output)
        };
        assert_eq!(said(ended(7)), (Some(7), "said 7".to_owned()));
        assert_eq!(said(Outcome::TimedOut), (Some(-1), "Health check exceeded timeout (5s)".to_owned()));
        assert_eq!(said(Outcome::Failed { why: "gone".to_owned() }), (Some(-1), "gone".to_owned()));
        let output = "é".repeat(OUTPUT_BYTES_MAX);
        assert_eq!(said(Outcome::Ended { code: 0, output }).1.len(), OUTPUT_BYTES_MAX);
        let output = format!("x{}", "é".repeat(OUTPUT_BYTES_MAX));
        assert_eq!(said(Outcome::Ended { code: 0, output }).1.len(), OUTPUT_BYTES_MAX - 1);
    }
}

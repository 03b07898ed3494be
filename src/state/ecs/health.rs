//! Health: what a container's health check asks for, and what it has found.

use base::Timestamp;
use serde::{Deserialize, Serialize};

/// A health check of a definition, its defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// Program and arguments, as they are executed in the container.
    pub command: Vec<String>,
    /// The seconds from the end of one check to the next.
    pub interval_s: u32,
    /// The seconds that a check may take before it counts as failed.
    pub timeout_s: u32,
    /// How many failures in a row make the container unhealthy.
    pub retries: u32,
    /// The seconds after the start in which failures do not count.
    pub start_period_s: u32,
}

/// How a container or a task is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum HealthStatus {
    /// Nobody knows: there is no check, or it has yet to say.
    #[default]
    Unknown,
    /// The last checks passed.
    Healthy,
    /// Too many checks in a row have failed.
    Unhealthy,
}

impl HealthStatus {
    /// Returns the status as the API spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Healthy => "HEALTHY",
            Self::Unhealthy => "UNHEALTHY",
        }
    }

    /// Rolls the health of a task's essential containers up: one that is unhealthy makes the task so, else one that is
    /// unknown does.
    pub fn of_task(essential: impl IntoIterator<Item = Self>) -> Self {
        let (mut seen, mut all) = (Self::Unknown, true);
        for status in essential {
            match status {
                Self::Unhealthy => return Self::Unhealthy,
                Self::Unknown => all = false,
                Self::Healthy => seen = Self::Healthy,
            }
        }
        if all { seen } else { Self::Unknown }
    }
}

/// What a container's health check has found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerHealth {
    /// How the container is doing.
    pub status: HealthStatus,
    /// Since when.
    pub since: Timestamp,
    /// How many checks in a row have failed that count.
    pub failures: u32,
    /// The exit code of the last check; -1 if it took too long or could not be started.
    pub exit_code: Option<i32>,
    /// What the last check wrote, cut short.
    pub output: String,
}

impl ContainerHealth {
    /// Returns the health of a container that was not checked yet.
    pub fn new(since: Timestamp) -> Self {
        Self { status: HealthStatus::Unknown, since, failures: 0, exit_code: None, output: String::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_essential_container_speaks_for_the_task() {
        let rows = [
            ("", "UNKNOWN"),
            ("h", "HEALTHY"),
            ("u", "UNHEALTHY"),
            ("?", "UNKNOWN"),
            ("hh", "HEALTHY"),
            ("h?", "UNKNOWN"),
            ("?h", "UNKNOWN"),
            ("uh", "UNHEALTHY"),
            ("u?", "UNHEALTHY"),
            ("??u", "UNHEALTHY"),
            ("hhu", "UNHEALTHY"),
            ("h?h", "UNKNOWN"),
            ("h??", "UNKNOWN"),
            ("hhh", "HEALTHY"),
        ];
        for (letters, expected) in rows {
            let statuses = letters.chars().map(|letter| match letter {
                'h' => HealthStatus::Healthy,
                'u' => HealthStatus::Unhealthy,
                _ => HealthStatus::Unknown,
            });
            assert_eq!(HealthStatus::of_task(statuses).as_str(), expected, "{letters}");
        }
    }
}

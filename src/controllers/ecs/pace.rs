//! How fast the waits of a service pass.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use state::ecs::{ClusterName, ServiceKey, ServiceName};

/// The fastest pace: AWS's longest wait, 27 minutes of back-off, passes in some milliseconds.
const PACE_MAX: u32 = 100_000;

/// How many times as fast as the clock the waits of a service pass: the time until a task counts as healthy, back-off,
/// bakes, pauses and delays of hooks. What containers see of time is not touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace(NonZeroU32);

impl Pace {
    /// As fast as the clock.
    pub const REAL: Self = Self(NonZeroU32::MIN);

    /// Returns how long a wait takes that AWS would let take `wait`.
    #[must_use]
    pub fn wait(self, wait: Duration) -> Duration {
        wait / self.0.get()
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self::REAL
    }
}

impl FromStr for Pace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = text.parse::<NonZeroU32>().ok().filter(|number| number.get() <= PACE_MAX);
        number.map(Self).ok_or_else(|| format!("`{text}` is no whole number from 1 to {PACE_MAX}"))
    }
}

/// The paces of all services.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paces {
    usual: Pace,
    of: BTreeMap<ServiceKey, Pace>,
}

impl Paces {
    /// Collects what was said of single services and of all others; of what was said twice, the last counts.
    pub fn new(scales: impl IntoIterator<Item = TimeScale>) -> Self {
        let mut paces = Self::default();
        for TimeScale { service, pace } in scales {
            match service {
                Some(service) => {
                    paces.of.insert(service, pace);
                }
                None => paces.usual = pace,
            }
        }
        paces
    }

    /// Returns the pace of a service, in whatever account and region it is.
    pub fn of(&self, service: &ServiceKey) -> Pace {
        self.of.get(service).copied().unwrap_or(self.usual)
    }
}

/// What was said of one service, or of all of which nothing else was said: `N` or `CLUSTER/SERVICE=N`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeScale {
    service: Option<ServiceKey>,
    pace: Pace,
}

impl FromStr for TimeScale {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((service, pace)) = text.rsplit_once('=') else {
            return Ok(Self { service: None, pace: text.parse()? });
        };
        let key = service.split_once('/').and_then(|(cluster, name)| {
            Some(ServiceKey { cluster: ClusterName::parse(cluster)?, name: ServiceName::parse(name)? })
        });
        let key = key.ok_or_else(|| format!("`{service}` is no CLUSTER/SERVICE"))?;
        Ok(Self { service: Some(key), pace: pace.parse()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(cluster: &str, name: &str) -> ServiceKey {
        ServiceKey { cluster: ClusterName::parse(cluster).unwrap(), name: ServiceName::parse(name).unwrap() }
    }

    #[test]
    fn a_wait_passes_as_many_times_as_fast() {
        for (pace, wait_s, expected_ms) in [("1", 40, 40_000), ("60", 27 * 60, 27_000), ("100000", 1620, 16)] {
            let pace = pace.parse::<Pace>().unwrap();
            assert_eq!(pace.wait(Duration::from_secs(wait_s)).as_millis(), expected_ms, "{pace:?}");
        }
    }

    #[test]
    fn a_service_has_the_pace_that_was_said_of_it_and_else_that_of_all() {
        let paces = Paces::new(["10", "c/web=60", "c/web=61", "20"].map(|text| text.parse().unwrap()));
        let pace = |text: &str| text.parse::<Pace>().unwrap();
        assert_eq!(paces.of(&service("c", "web")), pace("61"));
        assert_eq!(paces.of(&service("d", "web")), pace("20"));
        assert_eq!(Paces::default().of(&service("c", "web")), Pace::REAL);
    }

    #[test]
    fn what_is_no_pace_is_refused() {
        for (text, why) in [
            ("0", "`0` is no whole number from 1 to 100000"),
            ("100001", "`100001` is no whole number from 1 to 100000"),
            ("1.5", "`1.5` is no whole number from 1 to 100000"),
            ("web=2", "`web` is no CLUSTER/SERVICE"),
            ("c/web=fast", "`fast` is no whole number from 1 to 100000"),
            ("c/w b=2", "`c/w b` is no CLUSTER/SERVICE"),
        ] {
            assert_eq!(text.parse::<TimeScale>().unwrap_err(), why);
        }
    }
}

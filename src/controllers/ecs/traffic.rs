//! The traffic of services: who carries out that one revision has so much of it, and another one the rest.

use std::fmt;
use std::time::Duration;

use base::{Scope, ServiceRevisionId, Timestamp};
use state::ecs::{ServiceKey, ShiftTries, Traffic, Weight};

use crate::Pace;

/// How long it takes until it is asked again whether traffic has been shifted.
const LOOK_AFTER: Duration = Duration::from_secs(1);
/// How long traffic may be under way until that counts as a failure.
const WAIT_MAX: Duration = Duration::from_secs(600);
/// How long it takes until traffic is shifted again that could not be shifted; with each failure as long again.
const RETRY_AFTER: Duration = Duration::from_secs(10);
/// How often in a row it is tried to shift traffic.
const TRIES_MAX: u32 = 5;

/// What the traffic of a service is to be. To order the same twice is to order it once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrafficOrder {
    /// The account and region of the service.
    pub scope: Scope,
    /// The service.
    pub service: ServiceKey,
    /// Which of its traffic.
    pub traffic: Traffic,
    /// Each revision's share; what is not named has none.
    pub shares: Vec<(ServiceRevisionId, Weight)>,
}

/// How far an order is carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrafficProgress {
    /// Traffic is as ordered.
    Done,
    /// It is being carried out. The order is repeated until it is done.
    UnderWay,
}

/// Traffic could not be brought to what was ordered. The text goes into the reason that the service deployment shows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TrafficError(pub String);

/// Carries out orders of traffic. It must answer at once: what takes longer is [`TrafficProgress::UnderWay`].
pub trait TrafficShift: Send + Sync + fmt::Debug {
    /// Brings the traffic of a service to what is ordered, or nearer to it.
    ///
    /// # Errors
    ///
    /// If that cannot be done now. It is tried again a few times.
    fn shift(&self, order: &TrafficOrder) -> Result<TrafficProgress, TrafficError>;
}

/// Traffic that nobody carries: the records alone say how much each revision has.
#[derive(Clone, Copy, Debug, Default)]
pub struct TrafficOnRecord;

impl TrafficShift for TrafficOnRecord {
    fn shift(&self, _: &TrafficOrder) -> Result<TrafficProgress, TrafficError> {
        Ok(TrafficProgress::Done)
    }
}

/// Whether traffic is ordered now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn<'a> {
    /// It is.
    Now,
    /// Later.
    At(Timestamp),
    /// Never again: it has failed too often. Why it did the last time.
    GivenUp(&'a str),
}

/// Says whether traffic is ordered now.
pub(crate) fn turn(tries: &ShiftTries, now: Timestamp) -> Turn<'_> {
    if tries.failures >= TRIES_MAX {
        return Turn::GivenUp(tries.obstacle.as_deref().unwrap_or_default());
    }
    tries.retry_at.filter(|at| now < *at).map_or(Turn::Now, Turn::At)
}

/// Gives orders, and returns how it goes with them: nothing is left to be tried when all are carried out.
pub(crate) fn order(
    traffic: &dyn TrafficShift,
    orders: &[TrafficOrder],
    tries: &ShiftTries,
    now: Timestamp,
    pace: Pace,
) -> Result<(), ShiftTries> {
    let progress = orders.iter().map(|order| traffic.shift(order)).collect::<Result<Vec<_>, _>>();
    after(progress.as_deref(), tries, now, pace)
}

/// Says how it goes with orders after an answer.
fn after(
    progress: Result<&[TrafficProgress], &TrafficError>,
    tries: &ShiftTries,
    now: Timestamp,
    pace: Pace,
) -> Result<(), ShiftTries> {
    let ordered_at = tries.ordered_at.unwrap_or(now);
    let is_late = now >= ordered_at.plus(pace.wait(WAIT_MAX));
    let why = match progress {
        Ok(all) if all.iter().all(|progress| *progress == TrafficProgress::Done) => return Ok(()),
        Ok(_) if !is_late => {
            let retry_at = Some(now.plus(pace.wait(LOOK_AFTER)));
            return Err(ShiftTries { ordered_at: Some(ordered_at), retry_at, ..tries.clone() });
        }
        Ok(_) => "traffic that was not shifted in time.".to_owned(),
        Err(error) => error.to_string(),
    };
    let failures = tries.failures + 1;
    let retry_at = Some(now.plus(pace.wait(RETRY_AFTER * failures)));
    Err(ShiftTries { failures, ordered_at: None, retry_at, obstacle: Some(why) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000_000);

    fn second(second: u64) -> Timestamp {
        NOW.plus(Duration::from_secs(second))
    }

    #[test]
    fn an_order_is_repeated_until_it_is_carried_out_or_has_failed_too_often() {
        use TrafficProgress::{Done, UnderWay};
        let broken = TrafficError("a broken balancer.".to_owned());
        let fresh = ShiftTries::default();
        let after = |progress, tries: &ShiftTries, now| after(progress, tries, now, Pace::REAL);
        assert_eq!(after(Ok(&[Done, Done]), &fresh, NOW), Ok(()));
        let under_way = after(Ok(&[Done, UnderWay]), &fresh, NOW).unwrap_err();
        assert_eq!(
            under_way,
            ShiftTries { ordered_at: Some(NOW), retry_at: Some(second(1)), failures: 0, obstacle: None }
        );
        let still = after(Ok(&[UnderWay]), &under_way, second(599)).unwrap_err();
        assert_eq!((still.ordered_at, still.failures), (Some(NOW), 0));
        let late = after(Ok(&[UnderWay]), &still, second(600)).unwrap_err();
        assert_eq!((late.ordered_at, late.failures, late.retry_at), (None, 1, Some(second(610))));
        assert_eq!(late.obstacle.as_deref(), Some("traffic that was not shifted in time."));
        let failed = after(Err(&broken), &late, second(610)).unwrap_err();
        assert_eq!((failed.failures, failed.retry_at), (2, Some(second(630))));
        assert_eq!(failed.obstacle.as_deref(), Some("a broken balancer."));
    }

    #[test]
    fn an_order_waits_for_its_turn() {
        let tries = |failures, retry_at| ShiftTries {
            failures,
            retry_at,
            obstacle: Some("x".to_owned()),
            ..Default::default()
        };
        assert_eq!(turn(&tries(0, None), NOW), Turn::Now);
        assert_eq!(turn(&tries(4, Some(second(1))), NOW), Turn::At(second(1)));
        assert_eq!(turn(&tries(4, Some(NOW)), NOW), Turn::Now);
        assert_eq!(turn(&tries(5, Some(second(1))), NOW), Turn::GivenUp("x"));
    }
}

//! Schedule expressions: `rate(5 minutes)`, `cron(0 12 * * ? *)`, `at(2026-01-01T09:00:00)`.

use std::time::Duration;

use base::Timestamp;
use jiff::civil::DateTime;

use crate::{Cron, CronError, Zone};

/// Whose expressions they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// Of rules on an event bus: no `at`, and the unit of a rate agrees with its number.
    Rule,
    /// Of EventBridge Scheduler.
    Scheduler,
}

/// A schedule expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    /// Every so often.
    Rate(Duration),
    /// Whenever clocks show a certain time.
    Cron(Box<Cron>),
    /// Once.
    At(DateTime),
}

/// Why a text is no schedule expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    /// It has neither form.
    #[error("neither a rate nor a cron expression")]
    Form,
    /// A rate that is not a number and a unit.
    #[error("not a rate")]
    Rate,
    /// A time that is none.
    #[error("not a time")]
    At,
    /// A cron expression that is none.
    #[error("not a cron expression: {0}")]
    Cron(#[from] CronError),
}

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    ///
    /// If it is none of the dialect.
    pub fn parse(text: &str, dialect: Dialect) -> Result<Self, ExpressionError> {
        let inside = |name: &str| text.strip_prefix(name)?.strip_prefix('(')?.strip_suffix(')');
        if let Some(rate) = inside("rate") {
            return parse_rate(rate, dialect).map(Self::Rate).ok_or(ExpressionError::Rate);
        }
        if let Some(cron) = inside("cron") {
            return Ok(Self::Cron(Box::new(Cron::parse(cron)?)));
        }
        match inside("at").filter(|_| dialect == Dialect::Scheduler) {
            Some(at) if at.len() == "yyyy-mm-ddThh:mm:ss".len() => {
                at.parse().map(Self::At).map_err(|_| ExpressionError::At)
            }
            Some(_) => Err(ExpressionError::At),
            None => Err(ExpressionError::Form),
        }
    }

    /// Returns the first time after `after`. Rates count from `anchor`, which is itself the first of their times; others
    /// are told by the clocks of a zone. None if there will be none.
    pub fn next_after(&self, zone: &Zone, anchor: Timestamp, after: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Rate(_) if after < anchor => Some(anchor),
            Self::Rate(every) => {
                let passed = after.since(anchor).as_millis();
                let every_ms = every.as_millis();
                let periods = u32::try_from(passed / every_ms + 1).ok()?;
                Some(anchor.plus(every.checked_mul(periods)?))
            }
            Self::Cron(cron) => cron.next_after(zone, after),
            Self::At(local) => zone.first_or_later(*local).filter(|at| *at > after),
        }
    }
}

impl Expression {
    /// Returns the last time after `after` and not after `until`.
    pub fn last_between(
        &self,
        zone: &Zone,
        anchor: Timestamp,
        after: Timestamp,
        until: Timestamp,
    ) -> Option<Timestamp> {
        let first = self.next_after(zone, anchor, after).filter(|first| *first <= until)?;
        if let Self::Rate(every) = self {
            let periods = u32::try_from(until.since(anchor).as_millis() / every.as_millis()).ok()?;
            return Some(anchor.plus(every.checked_mul(periods)?));
        }
        // Looked for from near the end, so that a year of minutes is not walked through.
        let near = STRETCHES.into_iter().map(|stretch| before(until, stretch)).take_while(|from| *from > first);
        let from = near.into_iter().find(|from| self.next_after(zone, anchor, *from).is_some_and(|at| at <= until));
        let mut last = from.and_then(|from| self.next_after(zone, anchor, from)).unwrap_or(first);
        while let Some(next) = self.next_after(zone, anchor, last).filter(|next| *next <= until) {
            last = next;
        }
        Some(last)
    }
}

/// How far back the last of many times is looked for.
const STRETCHES: [Duration; 4] =
    [Duration::from_hours(1), Duration::from_hours(24), Duration::from_hours(24 * 31), Duration::from_hours(24 * 366)];

fn before(at: Timestamp, by: Duration) -> Timestamp {
    Timestamp::from_millis(at.as_millis().saturating_sub(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
}

fn parse_rate(text: &str, dialect: Dialect) -> Option<Duration> {
    let (number, unit) = text.trim().split_once(' ')?;
    if number.is_empty() || !number.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let number = number.parse::<u32>().ok().filter(|number| *number > 0)?;
    let unit = unit.trim();
    let singular = unit.strip_suffix('s').unwrap_or(unit);
    // A rule with `rate(1 minutes)` or `rate(2 minute)` is refused.
    let agrees = (number == 1) == (singular == unit);
    if dialect == Dialect::Rule && !agrees {
        return None;
    }
    let minutes = match singular {
        "minute" => 1,
        "hour" => 60,
        "day" => 24 * 60,
        _ => return None,
    };
    Some(Duration::from_secs(u64::from(number) * minutes * 60))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        let at = text.parse::<jiff::Timestamp>().unwrap();
        Timestamp::from_millis(at.as_millisecond())
    }

    #[test]
    fn expressions_are_read_in_the_form_of_their_dialect() {
        for (text, of_rule, of_scheduler) in [
            ("rate(1 minute)", true, true),
            ("rate(1 minutes)", false, true),
            ("rate(5 minutes)", true, true),
            ("rate(5 minute)", false, true),
            ("rate(2 hours)", true, true),
            ("rate(7 days)", true, true),
            ("rate(0 minutes)", false, false),
            ("rate(-1 minutes)", false, false),
            ("rate(1.5 minutes)", false, false),
            ("rate(5 seconds)", false, false),
            ("rate(5)", false, false),
            ("rate()", false, false),
            ("cron(0 12 * * ? *)", true, true),
            ("cron(0 12 * * *)", false, false),
            ("at(2026-01-01T09:00:00)", false, true),
            ("at(2026-01-01T09:00)", false, false),
            ("at(2026-02-30T09:00:00)", false, false),
            ("at(2026-01-01 at 9 o'clock)", false, false),
            ("every day", false, false),
            ("", false, false),
        ] {
            assert_eq!(Expression::parse(text, Dialect::Rule).is_ok(), of_rule, "{text}");
            assert_eq!(Expression::parse(text, Dialect::Scheduler).is_ok(), of_scheduler, "{text}");
        }
    }

    #[test]
    fn a_rate_counts_from_its_anchor_whenever_it_is_asked() {
        let rate = Expression::parse("rate(5 minutes)", Dialect::Rule).unwrap();
        let anchor = at("2026-01-01T00:00:30Z");
        for (after, expected) in [
            ("2025-12-31T23:00:00Z", "2026-01-01T00:00:30Z"),
            ("2026-01-01T00:00:30Z", "2026-01-01T00:05:30Z"),
            ("2026-01-01T00:05:29.999Z", "2026-01-01T00:05:30Z"),
            ("2026-01-01T00:05:30Z", "2026-01-01T00:10:30Z"),
            ("2026-03-01T00:00:00Z", "2026-03-01T00:00:30Z"),
        ] {
            assert_eq!(rate.next_after(&Zone::UTC, anchor, at(after)), Some(at(expected)), "{after}");
        }
    }

    #[test]
    fn the_last_of_many_times_is_found() {
        let anchor = at("2026-01-01T00:00:30Z");
        for (text, after, until, expected) in [
            ("rate(5 minutes)", "2026-01-01T00:00:30Z", "2026-01-01T00:04:00Z", None),
            ("rate(5 minutes)", "2026-01-01T00:00:30Z", "2026-01-01T01:02:00Z", Some("2026-01-01T01:00:30Z")),
            ("cron(* * * * ? *)", "2026-01-01T00:00:00Z", "2027-01-01T00:00:10Z", Some("2027-01-01T00:00:00Z")),
            ("cron(0 3 * * ? *)", "2026-01-01T00:00:00Z", "2026-05-01T00:00:00Z", Some("2026-04-30T03:00:00Z")),
            ("cron(0 3 1 1 ? *)", "2026-01-01T00:00:00Z", "2029-05-01T00:00:00Z", Some("2029-01-01T03:00:00Z")),
            ("cron(0 3 * * ? *)", "2026-01-01T00:00:00Z", "2026-01-01T02:00:00Z", None),
            ("cron(0 3 * * ? *)", "2026-01-01T00:00:00Z", "2026-01-01T03:00:00Z", Some("2026-01-01T03:00:00Z")),
            ("at(2026-01-02T00:00:00)", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z", Some("2026-01-02T00:00:00Z")),
        ] {
            let expression = Expression::parse(text, Dialect::Scheduler).unwrap();
            let last = expression.last_between(&Zone::UTC, anchor, at(after), at(until));
            assert_eq!(last, expected.map(at), "{text} {until}");
        }
    }

    #[test]
    fn a_time_is_told_by_the_clocks_of_its_zone() {
        for (text, zone, expected) in [
            ("at(2026-01-01T09:00:00)", "UTC", "2026-01-01T09:00:00Z"),
            ("at(2026-01-01T09:00:00)", "Europe/Berlin", "2026-01-01T08:00:00Z"),
            ("at(2026-07-01T09:00:00)", "America/New_York", "2026-07-01T13:00:00Z"),
            // Skipped by the clocks of Berlin: an hour later, as they show it.
            ("at(2026-03-29T02:30:00)", "Europe/Berlin", "2026-03-29T01:30:00Z"),
            // Shown twice: the first time counts.
            ("at(2026-10-25T02:30:00)", "Europe/Berlin", "2026-10-25T00:30:00Z"),
        ] {
            let expression = Expression::parse(text, Dialect::Scheduler).unwrap();
            let zone = Zone::get(zone).unwrap();
            let next = expression.next_after(&zone, at("2026-01-01T00:00:00Z"), at("2025-12-01T00:00:00Z"));
            assert_eq!(next, Some(at(expected)), "{text} {zone:?}");
            assert_eq!(expression.next_after(&zone, at(expected), at(expected)), None, "{text}: once");
        }
    }

    #[test]
    fn zones_have_their_names() {
        assert!(Zone::get("Europe/Berlin").is_some() && Zone::get("UTC").is_some());
        assert!(Zone::get("Middle/Earth").is_none());
    }
}

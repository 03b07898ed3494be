//! Which of its times a schedule is to see to now.
//!
//! Times since this server began are seen to one by one, however late. Of those before, while no server was there, only the
//! last is: AWS, which is always there, would have seen to each, and a user who starts a server in the morning does not want
//! the whole night's.

use base::Timestamp;
use schedule::{Expression, Zone};

/// A schedule.
pub(super) struct Recurrence<'a> {
    /// When.
    pub(super) expression: &'a Expression,
    /// By whose clocks.
    pub(super) zone: &'a Zone,
    /// What rates count from.
    pub(super) anchor: Timestamp,
    /// The last time that was seen to, or after which times count.
    pub(super) after: Timestamp,
    /// Until when.
    pub(super) end: Option<Timestamp>,
}

/// What a schedule is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// It is to see to that time now.
    Now(Timestamp),
    /// It is to see to that time later.
    Later(Timestamp),
    /// There is nothing left to see to.
    Never,
}

impl Recurrence<'_> {
    /// Says what is to be done. `server_start` is when this server began.
    pub(super) fn due(&self, server_start: Timestamp, now: Timestamp) -> Due {
        let missed_until = server_start.min(now);
        let missed = self.expression.last_between(self.zone, self.anchor, self.after, missed_until);
        let missed = missed.filter(|at| self.is_before_end(*at));
        let next = missed.or_else(|| self.next_after(self.after));
        match next {
            Some(at) if at <= now => Due::Now(at),
            Some(at) => Due::Later(at),
            None => Due::Never,
        }
    }

    /// Returns whether that time is the last one.
    pub(super) fn is_last(&self, at: Timestamp) -> bool {
        self.next_after(at).is_none()
    }

    fn next_after(&self, after: Timestamp) -> Option<Timestamp> {
        let next = self.expression.next_after(self.zone, self.anchor, after);
        next.filter(|at| self.is_before_end(*at))
    }

    fn is_before_end(&self, at: Timestamp) -> bool {
        self.end.is_none_or(|end| at <= end)
    }
}

#[cfg(test)]
mod tests {
    use schedule::Dialect;

    use super::*;

    const MINUTE: i64 = 60_000;

    fn due(text: &str, after: i64, end: Option<i64>, server_start: i64, now: i64) -> Due {
        let at = |minutes: i64| Timestamp::from_millis(minutes * MINUTE);
        let expression = Expression::parse(text, Dialect::Scheduler).unwrap();
        let (anchor, after, end) = (at(0), at(after), end.map(at));
        let recurrence = Recurrence { expression: &expression, zone: &Zone::UTC, anchor, after, end };
        recurrence.due(at(server_start), at(now))
    }

    #[test]
    fn times_of_this_server_are_seen_to_each_and_of_those_before_only_the_last() {
        let at = |minutes: i64| Timestamp::from_millis(minutes * MINUTE);
        for (text, after, end, server_start, now, expected) in [
            // (expression, seen to until, end, start of the server, now), in minutes since 1970.
            ("rate(10 minutes)", -1, None, 0, 0, Due::Now(at(0))),
            ("rate(10 minutes)", 0, None, 0, 0, Due::Later(at(10))),
            ("rate(10 minutes)", 0, None, 0, 35, Due::Now(at(10))),
            ("rate(10 minutes)", 10, None, 0, 35, Due::Now(at(20))),
            ("rate(10 minutes)", 30, None, 0, 35, Due::Later(at(40))),
            ("rate(10 minutes)", 0, None, 95, 96, Due::Now(at(90))),
            ("rate(10 minutes)", 90, None, 95, 96, Due::Later(at(100))),
            ("rate(10 minutes)", 20, Some(35), 0, 100, Due::Now(at(30))),
            ("rate(10 minutes)", 30, Some(35), 0, 100, Due::Never),
            ("rate(10 minutes)", 0, Some(35), 95, 100, Due::Now(at(10))),
            ("cron(0 * * * ? *)", 0, None, 0, 150, Due::Now(at(60))),
            ("cron(0 * * * ? *)", 60, None, 150, 150, Due::Now(at(120))),
            ("cron(0 * * * ? *)", 120, None, 150, 150, Due::Later(at(180))),
            ("at(1970-01-01T01:00:00)", 0, None, 0, 30, Due::Later(at(60))),
            ("at(1970-01-01T01:00:00)", 0, None, 0, 60, Due::Now(at(60))),
            ("at(1970-01-01T01:00:00)", 0, None, 900, 900, Due::Now(at(60))),
            ("at(1970-01-01T01:00:00)", 60, None, 900, 900, Due::Never),
        ] {
            assert_eq!(due(text, after, end, server_start, now), expected, "{text} {after} {server_start} {now}");
        }
    }
}

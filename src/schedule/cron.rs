//! Cron in the dialect of AWS: minutes, hours, day of the month, month, day of the week, year; with `?`, `L`, `W`, `#`.

use base::Timestamp;
use jiff::ToSpan;
use jiff::civil::{Date, date};

use crate::Zone;

/// The years that an expression can name.
const YEARS: (u16, u16) = (1970, 2199);
const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// A cron expression, without its parentheses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cron {
    minutes: Vec<u16>,
    hours: Vec<u16>,
    days: Days,
    months: Vec<u16>,
    years: Vec<u16>,
}

/// Why a text is no cron expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// It has not six fields.
    #[error("it needs six fields")]
    Fields,
    /// A field is not what it can be.
    #[error("`{text}` cannot be the {name}")]
    Field {
        /// Which field.
        name: &'static str,
        /// What it says.
        text: String,
    },
    /// Not exactly one of the days of the month and of the week is `?`.
    #[error("one of the day of the month and the day of the week must be `?`")]
    Days,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Days {
    OfMonth(Vec<DayOfMonth>),
    OfWeek(Vec<DayOfWeek>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DayOfMonth {
    The(u16),
    /// `L`.
    Last,
    /// `LW`: the last day from Monday to Friday.
    LastWeekday,
    /// `15W`: the day from Monday to Friday that is nearest to the day, in the same month.
    WeekdayNear(u16),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DayOfWeek {
    /// From 1, which is Sunday.
    The(u16),
    /// `6L`: the last one in the month.
    Last(u16),
    /// `6#3`: the third one in the month.
    Nth(u16, u16),
}

impl Cron {
    /// Reads the six fields.
    ///
    /// # Errors
    ///
    /// If they are none.
    pub fn parse(text: &str) -> Result<Self, CronError> {
        let fields = text.split_whitespace().collect::<Vec<_>>();
        let [minutes, hours, day_of_month, month, day_of_week, year] = fields[..] else {
            return Err(CronError::Fields);
        };
        let list = |name, text: &str, range, names: &[&str]| {
            numbers(text, range, names).ok_or_else(|| CronError::Field { name, text: text.to_owned() })
        };
        let days = match (day_of_month, day_of_week) {
            ("?", "?") => return Err(CronError::Days),
            (text, "?") => each(text, day_of_month_items)
                .map(Days::OfMonth)
                .ok_or_else(|| CronError::Field { name: "day of the month", text: text.to_owned() })?,
            ("?", text) => each(text, day_of_week_items)
                .map(Days::OfWeek)
                .ok_or_else(|| CronError::Field { name: "day of the week", text: text.to_owned() })?,
            _ => return Err(CronError::Days),
        };
        Ok(Self {
            minutes: list("minutes", minutes, (0, 59), &[])?,
            hours: list("hours", hours, (0, 23), &[])?,
            days,
            months: list("month", month, (1, 12), &MONTHS)?,
            years: list("year", year, YEARS, &[])?,
        })
    }

    /// Returns the first time after `after` at which the clocks of a zone show what is wanted. A time that they skip is
    /// skipped, and one that they show twice counts once.
    pub(crate) fn next_after(&self, zone: &Zone, after: Timestamp) -> Option<Timestamp> {
        let start = zone.local(after)?.date();
        let from = u16::try_from(start.year()).ok()?;
        for year in self.years.iter().copied().filter(|year| *year >= from) {
            for month in &self.months {
                let first = date(i16::try_from(year).ok()?, i8::try_from(*month).ok()?, 1);
                if first.last_of_month() < start {
                    continue;
                }
                for day in 1..=first.days_in_month() {
                    let day = date(first.year(), first.month(), day);
                    if day < start || !self.days.contain(day) {
                        continue;
                    }
                    if let Some(found) = self.first_on(day, zone, after) {
                        return Some(found);
                    }
                }
            }
        }
        None
    }

    fn first_on(&self, day: Date, zone: &Zone, after: Timestamp) -> Option<Timestamp> {
        let times = self.hours.iter().flat_map(|hour| self.minutes.iter().map(move |minute| (*hour, *minute)));
        let times = times.filter_map(|(hour, minute)| {
            zone.first(day.at(i8::try_from(hour).ok()?, i8::try_from(minute).ok()?, 0, 0))
        });
        times.into_iter().find(|at| *at > after)
    }
}

impl Days {
    fn contain(&self, day: Date) -> bool {
        match self {
            Self::OfMonth(days) => days.iter().any(|each| each.is(day)),
            Self::OfWeek(days) => days.iter().any(|each| each.is(day)),
        }
    }
}

impl DayOfMonth {
    fn is(self, day: Date) -> bool {
        let wanted = match self {
            Self::The(number) => return number_of(day) == number,
            Self::Last => day.last_of_month(),
            Self::LastWeekday => nearest_weekday(day.last_of_month()),
            // In a month that has no such day there is none near it.
            Self::WeekdayNear(number) => match i8::try_from(number).ok().filter(|day_| *day_ <= day.days_in_month()) {
                Some(number) => nearest_weekday(date(day.year(), day.month(), number)),
                None => return false,
            },
        };
        day == wanted
    }
}

impl DayOfWeek {
    fn is(self, day: Date) -> bool {
        let weekday = u16::try_from(day.weekday().to_sunday_one_offset()).unwrap_or_default();
        match self {
            Self::The(wanted) => weekday == wanted,
            Self::Last(wanted) => weekday == wanted && day.day() + 7 > day.days_in_month(),
            Self::Nth(wanted, nth) => weekday == wanted && (number_of(day) - 1) / 7 + 1 == nth,
        }
    }
}

fn number_of(day: Date) -> u16 {
    u16::try_from(day.day()).unwrap_or_default()
}

/// Returns the day from Monday to Friday that is nearest to a day, in the same month.
fn nearest_weekday(day: Date) -> Date {
    let by_days = match day.weekday().to_sunday_one_offset() {
        7 if day.day() == 1 => 2,
        7 => -1,
        1 if day == day.last_of_month() => -2,
        1 => 1,
        _ => 0,
    };
    day.saturating_add(by_days.days())
}

/// Reads the items of a list.
fn each<T>(text: &str, items: impl Fn(&str) -> Option<Vec<T>>) -> Option<Vec<T>> {
    let mut all = Vec::new();
    for item in text.split(',') {
        all.extend(items(item)?);
    }
    Some(all)
}

fn day_of_month_items(item: &str) -> Option<Vec<DayOfMonth>> {
    Some(match item {
        "L" => vec![DayOfMonth::Last],
        "LW" | "WL" => vec![DayOfMonth::LastWeekday],
        _ => match item.strip_suffix('W') {
            Some(number) => vec![DayOfMonth::WeekdayNear(number_in(number, (1, 31), &[])?)],
            None => item_numbers(item, (1, 31), &[])?.into_iter().map(DayOfMonth::The).collect(),
        },
    })
}

fn day_of_week_items(item: &str) -> Option<Vec<DayOfWeek>> {
    let day = |text: &str| number_in(text, (1, 7), &DAYS);
    if item == "L" {
        return Some(vec![DayOfWeek::The(7)]);
    }
    if let Some((weekday, nth)) = item.split_once('#') {
        return Some(vec![DayOfWeek::Nth(day(weekday)?, number_in(nth, (1, 5), &[])?)]);
    }
    match item.strip_suffix('L').and_then(day) {
        Some(weekday) => Some(vec![DayOfWeek::Last(weekday)]),
        None => Some(item_numbers(item, (1, 7), &DAYS)?.into_iter().map(DayOfWeek::The).collect()),
    }
}

/// Reads a list of numbers, ranges and steps; sorted, each once.
fn numbers(text: &str, range: (u16, u16), names: &[&str]) -> Option<Vec<u16>> {
    let mut all = each(text, |item| item_numbers(item, range, names))?;
    all.sort_unstable();
    all.dedup();
    Some(all)
}

/// Reads `5`, `1-5`, `*`, `*/5`, `3/5` or `1-30/5`. A range that ends before it begins goes over the turn (unverified).
fn item_numbers(item: &str, (min, max): (u16, u16), names: &[&str]) -> Option<Vec<u16>> {
    let (span, step) = match item.split_once('/') {
        Some((span, step)) => (span, Some(number_in(step, (1, max), &[])?)),
        None => (item, None),
    };
    let (first, last) = match span.split_once('-') {
        _ if span == "*" => (min, max),
        Some((first, last)) => (number_in(first, (min, max), names)?, number_in(last, (min, max), names)?),
        None => {
            let first = number_in(span, (min, max), names)?;
            (first, if step.is_some() { max } else { first })
        }
    };
    let step = usize::from(step.unwrap_or(1));
    if first <= last {
        return Some((first..=last).step_by(step).collect());
    }
    Some((first..=max).chain(min..=last).step_by(step).collect())
}

fn number_in(text: &str, (min, max): (u16, u16), names: &[&str]) -> Option<u16> {
    if let Some(place) = names.iter().position(|name| name.eq_ignore_ascii_case(text)) {
        return u16::try_from(place + 1).ok();
    }
    let is_number = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
    let number = is_number.then(|| text.parse::<u16>().ok()).flatten()?;
    (min..=max).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        let at = text.parse::<jiff::Timestamp>().unwrap();
        Timestamp::from_millis(at.as_millisecond())
    }

    fn shown(at: Timestamp) -> String {
        jiff::Timestamp::from_millisecond(at.as_millis()).unwrap().to_string()
    }

    /// Returns the next times, as many as are expected.
    fn times(cron: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
        let (cron, zone) = (Cron::parse(cron).unwrap(), Zone::get(zone).unwrap());
        let mut found = Vec::new();
        let mut after = at(after);
        while found.len() < count {
            let Some(next) = cron.next_after(&zone, after) else { break };
            found.push(shown(next));
            after = next;
        }
        found
    }

    #[test]
    fn the_next_times_are_those_that_the_fields_say() {
        let noon = "2026-01-01T12:00:00Z"; // a Thursday
        let rows: &[(&str, &[&str])] = &[
            ("0 12 * * ? *", &["2026-01-02T12:00:00Z", "2026-01-03T12:00:00Z"]),
            ("0/15 * * * ? *", &["2026-01-01T12:15:00Z", "2026-01-01T12:30:00Z"]),
            ("*/20 13 * * ? *", &["2026-01-01T13:00:00Z", "2026-01-01T13:20:00Z"]),
            ("0 18 ? * MON-FRI *", &["2026-01-01T18:00:00Z", "2026-01-02T18:00:00Z", "2026-01-05T18:00:00Z"]),
            ("0 18 ? * 2-6 *", &["2026-01-01T18:00:00Z", "2026-01-02T18:00:00Z", "2026-01-05T18:00:00Z"]),
            ("0 18 ? * sat,sun *", &["2026-01-03T18:00:00Z", "2026-01-04T18:00:00Z"]),
            ("0 18 ? * FRI-MON *", &["2026-01-02T18:00:00Z", "2026-01-03T18:00:00Z", "2026-01-04T18:00:00Z"]),
            ("0 8 1 * ? *", &["2026-02-01T08:00:00Z", "2026-03-01T08:00:00Z"]),
            ("0 8 1 JAN,JUL ? *", &["2026-07-01T08:00:00Z", "2027-01-01T08:00:00Z"]),
            ("0 8 31 * ? *", &["2026-01-31T08:00:00Z", "2026-03-31T08:00:00Z"]),
            ("0 8 L * ? *", &["2026-01-31T08:00:00Z", "2026-02-28T08:00:00Z", "2026-03-31T08:00:00Z"]),
            ("0 8 LW * ? *", &["2026-01-30T08:00:00Z", "2026-02-27T08:00:00Z", "2026-03-31T08:00:00Z"]),
            // The 3rd of January is a Saturday, the 1st of February a Sunday, the 1st of August a Saturday.
            ("0 8 3W 1 ? *", &["2026-01-02T08:00:00Z", "2027-01-04T08:00:00Z"]),
            ("0 8 1W 2 ? *", &["2026-02-02T08:00:00Z"]),
            ("0 8 1W 8 ? *", &["2026-08-03T08:00:00Z"]),
            ("0 8 31W 2 ? 2026-2027", &[]),
            ("0 8 ? * L *", &["2026-01-03T08:00:00Z"]),
            ("0 8 ? * 6L *", &["2026-01-30T08:00:00Z", "2026-02-27T08:00:00Z"]),
            ("0 8 ? * THUL *", &["2026-01-29T08:00:00Z"]),
            ("0 8 ? * 3#2 *", &["2026-01-13T08:00:00Z", "2026-02-10T08:00:00Z"]),
            ("0 8 ? * FRI#5 *", &["2026-01-30T08:00:00Z", "2026-05-29T08:00:00Z"]),
            ("0 8 29 2 ? *", &["2028-02-29T08:00:00Z", "2032-02-29T08:00:00Z"]),
            ("0 8 30 2 ? *", &[]),
            ("0 8 * * ? 2026", &["2026-01-02T08:00:00Z"]),
            ("0 8 * * ? 2025", &[]),
            ("0 8 1 1 ? 2026/2", &["2028-01-01T08:00:00Z", "2030-01-01T08:00:00Z"]),
            ("59 23 31 12 ? 2199", &["2199-12-31T23:59:00Z"]),
            ("5,10 12 * * ? *", &["2026-01-01T12:05:00Z", "2026-01-01T12:10:00Z", "2026-01-02T12:05:00Z"]),
            ("10-20/5 12 * * ? *", &["2026-01-01T12:10:00Z", "2026-01-01T12:15:00Z", "2026-01-01T12:20:00Z"]),
            ("0 22-1 * * ? *", &["2026-01-01T22:00:00Z", "2026-01-01T23:00:00Z", "2026-01-02T00:00:00Z"]),
        ];
        for (cron, expected) in rows {
            let count = expected.len().max(1);
            assert_eq!(times(cron, "UTC", noon, count), *expected, "{cron}");
        }
    }

    #[test]
    fn a_time_that_clocks_skip_is_skipped_and_one_that_they_show_twice_counts_once() {
        let rows: &[(&str, &str, &str, &[&str])] = &[
            // Clocks go from 02:00 to 03:00 on the 29th of March.
            (
                "30 2 * * ? *",
                "Europe/Berlin",
                "2026-03-27T12:00:00Z",
                &["2026-03-28T01:30:00Z", "2026-03-30T00:30:00Z"],
            ),
            // They go from 03:00 back to 02:00 on the 25th of October.
            (
                "30 2 * * ? *",
                "Europe/Berlin",
                "2026-10-24T12:00:00Z",
                &["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"],
            ),
            // Asked in the second hour: that day's time has been.
            ("30 2 * * ? *", "Europe/Berlin", "2026-10-25T01:10:00Z", &["2026-10-26T01:30:00Z"]),
            // Noon stays noon.
            (
                "0 12 * * ? *",
                "America/New_York",
                "2026-03-07T00:00:00Z",
                &["2026-03-07T17:00:00Z", "2026-03-08T16:00:00Z"],
            ),
            // The day begins elsewhere first.
            ("0 0 * * ? *", "Asia/Tokyo", "2026-01-01T00:00:00Z", &["2026-01-01T15:00:00Z"]),
            ("0 0 1 * ? *", "Pacific/Kiritimati", "2026-01-31T09:00:00Z", &["2026-01-31T10:00:00Z"]),
        ];
        for (cron, zone, after, expected) in rows {
            assert_eq!(times(cron, zone, after, expected.len()), *expected, "{cron} {zone} {after}");
        }
    }

    #[test]
    fn what_is_no_cron_expression_is_refused() {
        for text in [
            "",
            "0 12 * * ?",
            "0 12 * * ? * *",
            "0 12 * * * *",
            "0 12 ? * ? *",
            "0 12 1 * MON *",
            "60 12 * * ? *",
            "0 24 * * ? *",
            "0 12 0 * ? *",
            "0 12 32 * ? *",
            "0 12 * 13 ? *",
            "0 12 ? * 0 *",
            "0 12 ? * 8 *",
            "0 12 ? * MON#6 *",
            "0 12 * * ? 1969",
            "0 12 * * ? 2200",
            "0 12 * * ? x",
            "+1 12 * * ? *",
            "*/0 12 * * ? *",
            "1- 12 * * ? *",
            ", 12 * * ? *",
            "L 12 * * ? *",
            "0 12 ? * 15W *",
        ] {
            assert!(Cron::parse(text).is_err(), "{text}");
        }
    }
}

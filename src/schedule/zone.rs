//! Time zones by their IANA names.

use std::fmt;

use base::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};

/// A time zone. Its rules are those of this machine, or, where that has none, those that the program was built with.
#[derive(Clone)]
pub struct Zone(TimeZone);

impl Zone {
    /// The zone of whoever names none.
    pub const UTC: Self = Self(TimeZone::UTC);

    /// Finds a zone by its name, such as `Europe/Berlin`.
    pub fn get(name: &str) -> Option<Self> {
        TimeZone::get(name).ok().map(Self)
    }

    /// Returns what clocks on the wall show.
    pub(crate) fn local(&self, at: Timestamp) -> Option<DateTime> {
        let at = jiff::Timestamp::from_millisecond(at.as_millis()).ok()?;
        Some(self.0.to_datetime(at))
    }

    /// Returns when clocks on the wall show a time first; none if they skip it.
    pub(crate) fn first(&self, local: DateTime) -> Option<Timestamp> {
        let offset = match self.0.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset,
            AmbiguousOffset::Fold { before, .. } => before,
            AmbiguousOffset::Gap { .. } => return None,
        };
        let at = offset.to_timestamp(local).ok()?;
        Some(Timestamp::from_millis(at.as_millisecond()))
    }

    /// Returns when clocks on the wall show a time first, or would if they did not skip it.
    pub(crate) fn first_or_later(&self, local: DateTime) -> Option<Timestamp> {
        let at = self.0.to_ambiguous_timestamp(local).compatible().ok()?;
        Some(Timestamp::from_millis(at.as_millisecond()))
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.iana_name().unwrap_or("a zone without a name"))
    }
}

//! The records of CloudWatch: alarms.

use std::collections::VecDeque;
use std::sync::Arc;

use base::{Arn, Scope, Timestamp};
use serde::{Deserialize, Serialize};

use crate::journal::{Journal, JournalError};
use crate::{Document, Record, Table, Tag};

/// How many items of its history an alarm keeps; the oldest go. CloudWatch keeps those of 30 days.
pub const HISTORY_MAX: usize = 100;
/// What an alarm's state says until something is known of its metric.
const UNCHECKED: &str = "Unchecked: Initial alarm creation";

/// The tables of CloudWatch.
#[derive(Debug)]
pub struct CloudWatch {
    /// Alarms by name.
    pub alarms: Table<String, Alarm>,
}

/// An alarm on a metric.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alarm {
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: Arn,
    /// What it watches and what it would do, as requests and responses say it.
    pub configuration: Document,
    /// Whether it acts when its state changes.
    pub is_acting: bool,
    /// When its configuration was last written.
    pub configured_at: Timestamp,
    /// What is known of its metric.
    pub state: AlarmState,
    /// Why it is in this state.
    pub state_reason: String,
    /// The reason as JSON, if whoever set the state gave it.
    pub state_reason_data: Option<String>,
    /// When its state was last set, to another or to the same.
    pub state_updated_at: Timestamp,
    /// When its state became what it is.
    pub state_transitioned_at: Timestamp,
    /// Its tags.
    pub tags: Vec<Tag>,
    /// What happened to it, oldest first; at most [`HISTORY_MAX`].
    pub history: VecDeque<HistoryItem>,
}

/// What is known of an alarm's metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AlarmState {
    /// It is within its threshold.
    Ok,
    /// It is beyond its threshold.
    Alarm,
    /// Too little to tell.
    InsufficientData,
}

/// Something that happened to an alarm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryItem {
    /// When.
    pub at: Timestamp,
    /// What kind of thing.
    pub kind: HistoryKind,
    /// In a few words.
    pub summary: String,
    /// In full, as JSON.
    pub data: Document,
}

/// The kinds of what happens to alarms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HistoryKind {
    /// It was made or configured anew.
    ConfigurationUpdate,
    /// Its state became another.
    StateUpdate,
}

impl Record for Alarm {}

impl CloudWatch {
    pub(crate) fn new(journal: Option<&Arc<Journal>>) -> Self {
        Self { alarms: Table::new("cloudwatch.alarms", journal) }
    }

    pub(crate) fn load(&self, journal: &Journal) -> Result<(), JournalError> {
        self.alarms.load(journal)
    }

    pub(crate) fn clear(&self) {
        self.alarms.clear();
    }

    /// Returns those of the named alarms that are in ALARM, in the order of the names. An alarm that is not there is in no
    /// state.
    pub fn ringing<'a>(&self, scope: &Scope, names: impl IntoIterator<Item = &'a String>) -> Vec<String> {
        let is_ringing =
            |name: &&String| self.alarms.get(scope, name).is_some_and(|alarm| alarm.state == AlarmState::Alarm);
        names.into_iter().filter(is_ringing).cloned().collect()
    }
}

impl Alarm {
    /// Makes an alarm of whose metric nothing is known yet.
    pub fn new(name: String, scope: &Scope, configuration: Document, now: Timestamp) -> Self {
        Self {
            arn: Self::arn_of(scope, &name),
            name,
            configuration,
            is_acting: true,
            configured_at: now,
            state: AlarmState::InsufficientData,
            state_reason: UNCHECKED.to_owned(),
            state_reason_data: None,
            state_updated_at: now,
            state_transitioned_at: now,
            tags: Vec::new(),
            history: VecDeque::new(),
        }
    }

    /// Makes the ARN of an alarm from its name.
    pub fn arn_of(scope: &Scope, name: &str) -> Arn {
        Arn::new("cloudwatch", scope, &format!("alarm:{name}"))
    }

    /// Adds to its history.
    pub fn remember(&mut self, item: HistoryItem) {
        if self.history.len() == HISTORY_MAX {
            self.history.pop_front();
        }
        self.history.push_back(item);
    }
}

impl AlarmState {
    /// Returns the state as it is on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Alarm => "ALARM",
            Self::InsufficientData => "INSUFFICIENT_DATA",
        }
    }
}

impl HistoryKind {
    /// Returns the kind as it is on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConfigurationUpdate => "ConfigurationUpdate",
            Self::StateUpdate => "StateUpdate",
        }
    }
}

#[cfg(test)]
mod tests {
    use base::{AccountId, Region};

    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000);

    fn scope() -> Scope {
        Scope::new(AccountId::DEFAULT, Region::default())
    }

    fn alarm(name: &str, state: AlarmState) -> Alarm {
        Alarm { state, ..Alarm::new(name.to_owned(), &scope(), Document::new("{}"), NOW) }
    }

    #[test]
    fn those_ring_that_are_in_alarm() {
        let state = CloudWatch::new(None);
        for (name, is) in [("a", AlarmState::Alarm), ("b", AlarmState::Ok), ("c", AlarmState::InsufficientData)] {
            state.alarms.insert(&scope(), &name.to_owned(), alarm(name, is));
        }
        let names = ["none", "c", "b", "a"].map(str::to_owned);
        assert_eq!(state.ringing(&scope(), &names), ["a"]);
    }

    #[test]
    fn the_history_keeps_what_is_newest() {
        let mut alarm = alarm("a", AlarmState::Ok);
        for number in 0..HISTORY_MAX + 3 {
            let (kind, data) = (HistoryKind::StateUpdate, Document::new("{}"));
            alarm.remember(HistoryItem { at: NOW, kind, summary: number.to_string(), data });
        }
        assert_eq!((alarm.history.len(), alarm.history[0].summary.as_str()), (HISTORY_MAX, "3"));
    }
}

//! The records of CloudWatch Logs: groups, streams, and the events in them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::{Arn, Scope, Timestamp};
use dashmap::DashMap;
use serde::{Deserialize, Serialize};

use crate::journal::{Journal, JournalError};
use crate::{Record, Table, Tag};

/// How many bytes of messages a stream keeps; beyond them the oldest events go. CloudWatch Logs has no such limit, but
/// a machine has.
pub const STREAM_BYTES_MAX: usize = 256 * 1024 * 1024;
/// What each event costs beyond its message in the accounting of CloudWatch Logs, in bytes.
pub const EVENT_OVERHEAD_BYTES: usize = 26;

/// The tables of CloudWatch Logs.
#[derive(Debug)]
pub struct Logs {
    /// Log groups by name.
    pub groups: Table<String, LogGroup>,
    /// Log streams by group and name.
    pub streams: Table<StreamName, LogStream>,
    /// The events of each stream. In memory only: the journal does not keep them.
    events: DashMap<(Scope, StreamName), Arc<Mutex<Events>>>,
}

/// A stream's name in its group.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StreamName {
    /// The group.
    pub group: String,
    /// The stream.
    pub stream: String,
}

/// A log group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogGroup {
    /// Its name.
    pub name: String,
    /// Its ARN, without the `:*` that some responses add.
    pub arn: Arn,
    /// When it was made.
    pub created_at: Timestamp,
    /// For how many days events are kept; none means for ever.
    pub retention_days: Option<i32>,
    /// The key that encrypts it.
    pub kms_key_id: Option<String>,
    /// Its class, `STANDARD` unless it was given.
    pub class: String,
    /// Whether it cannot be deleted.
    #[serde(default)]
    pub is_deletion_protected: bool,
    /// Its tags.
    pub tags: Vec<Tag>,
}

/// A log stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogStream {
    /// Its name.
    pub name: StreamName,
    /// Its ARN.
    pub arn: Arn,
    /// When it was made.
    pub created_at: Timestamp,
}

/// One event of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEvent {
    /// Its place among all events of the stream, in the order of arrival. Never given twice.
    pub sequence: u64,
    /// When it happened, in the sender's words.
    pub at: Timestamp,
    /// When it arrived.
    pub ingested_at: Timestamp,
    /// What it says.
    pub message: Arc<str>,
}

/// The events of a stream, sorted by time and then by arrival.
#[derive(Debug, Default)]
pub struct Events {
    sorted: std::collections::VecDeque<LogEvent>,
    next_sequence: u64,
    bytes: usize,
    last_ingestion: Option<Timestamp>,
}

impl Record for LogGroup {}
impl Record for LogStream {}

impl Events {
    /// Puts an event in its place. Events mostly come in order, so this is mostly a push.
    pub fn append(&mut self, at: Timestamp, ingested_at: Timestamp, message: Arc<str>) {
        let event = LogEvent { sequence: self.next_sequence, at, ingested_at, message };
        self.next_sequence += 1;
        self.bytes += event.message.len() + EVENT_OVERHEAD_BYTES;
        self.last_ingestion = Some(ingested_at);
        let place = match self.sorted.back() {
            Some(last) if last.at > at => self.sorted.partition_point(|other| other.at <= at),
            _ => self.sorted.len(),
        };
        self.sorted.insert(place, event);
        self.drop_excess();
    }

    /// Puts in a batch that is itself sorted by time. Its cost is that of the batch and of the events that are later
    /// than the batch's first.
    pub fn append_sorted(&mut self, ingested_at: Timestamp, batch: impl IntoIterator<Item = (Timestamp, Arc<str>)>) {
        let mut batch = batch.into_iter().peekable();
        let Some((first, _)) = batch.peek() else { return };
        let place = self.sorted.partition_point(|known| known.at <= *first);
        let mut later = self.sorted.split_off(place).into_iter().peekable();
        self.last_ingestion = Some(ingested_at);
        for (at, message) in batch {
            while let Some(known) = later.next_if(|known| known.at <= at) {
                self.sorted.push_back(known);
            }
            self.bytes += message.len() + EVENT_OVERHEAD_BYTES;
            self.sorted.push_back(LogEvent { sequence: self.next_sequence, at, ingested_at, message });
            self.next_sequence += 1;
        }
        self.sorted.extend(later);
        self.drop_excess();
    }

    /// Returns the sequence number that the next event will have.
    pub fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    fn drop_excess(&mut self) {
        while self.bytes > STREAM_BYTES_MAX {
            let Some(oldest) = self.sorted.pop_front() else { break };
            self.bytes -= oldest.message.len() + EVENT_OVERHEAD_BYTES;
        }
    }

    /// Returns the events in the order of their times.
    pub fn sorted(&self) -> &std::collections::VecDeque<LogEvent> {
        &self.sorted
    }

    /// Returns the size of the stream as CloudWatch Logs counts it: UTF-8 bytes and 26 for each event.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns when the last event arrived.
    pub fn last_ingestion(&self) -> Option<Timestamp> {
        self.last_ingestion
    }
}

impl Logs {
    pub(crate) fn new(journal: Option<&Arc<Journal>>) -> Self {
        Self {
            groups: Table::new("logs.groups", journal),
            streams: Table::new("logs.streams", journal),
            events: DashMap::new(),
        }
    }

    pub(crate) fn load(&self, journal: &Journal) -> Result<(), JournalError> {
        self.groups.load(journal)?;
        self.streams.load(journal)
    }

    pub(crate) fn clear(&self) {
        self.groups.clear();
        self.streams.clear();
        self.events.clear();
    }

    /// Makes a group without retention, as the `awslogs` driver and the tests do. One that is there is left as it is.
    pub fn make_group(&self, scope: &Scope, name: &str, now: Timestamp) -> (Arc<LogGroup>, bool) {
        self.groups.get_or_insert_with(scope, &name.to_owned(), || LogGroup {
            name: name.to_owned(),
            arn: Arn::new("logs", scope, &format!("log-group:{name}")),
            created_at: now,
            retention_days: None,
            kms_key_id: None,
            class: "STANDARD".to_owned(),
            is_deletion_protected: false,
            tags: Vec::new(),
        })
    }

    /// Makes a stream in a group that exists. One that is there is left as it is.
    pub fn make_stream(&self, scope: &Scope, name: &StreamName, now: Timestamp) -> (Arc<LogStream>, bool) {
        self.streams.get_or_insert_with(scope, name, || LogStream {
            name: name.clone(),
            arn: Arn::new("logs", scope, &format!("log-group:{}:log-stream:{}", name.group, name.stream)),
            created_at: now,
        })
    }

    /// Removes a group with its streams and events.
    pub fn remove_group(&self, scope: &Scope, name: &str) -> Option<Arc<LogGroup>> {
        let group = self.groups.remove(scope, &name.to_owned())?;
        let streams = self.streams_of(scope, name).map(|stream| stream.name.clone()).collect::<Vec<_>>();
        for stream in streams {
            self.remove_stream(scope, &stream);
        }
        Some(group)
    }

    /// Removes a stream with its events.
    pub fn remove_stream(&self, scope: &Scope, name: &StreamName) -> Option<Arc<LogStream>> {
        self.events.remove(&(scope.clone(), name.clone()));
        self.streams.remove(scope, name)
    }

    /// Walks the streams of a group in the order of their names.
    pub fn streams_of(&self, scope: &Scope, group: &str) -> impl Iterator<Item = Arc<LogStream>> {
        let group = group.to_owned();
        let from = StreamName { group: group.clone(), stream: String::new() };
        self.streams.walk_from(scope, from).take_while(move |(name, _)| name.group == group).map(|(_, stream)| stream)
    }

    /// Lends the events of a stream that has a record to `use_events`; none if it has none. A stream that is removed
    /// meanwhile leaves no events behind.
    pub fn with_events_of<T>(
        &self,
        scope: &Scope,
        name: &StreamName,
        use_events: impl FnOnce(&mut Events) -> T,
    ) -> Option<T> {
        self.streams.get(scope, name)?;
        let result = self.with_events(scope, name, use_events);
        if self.streams.get(scope, name).is_none() {
            self.events.remove(&(scope.clone(), name.clone()));
        }
        Some(result)
    }

    /// Returns the size of a group's events as CloudWatch Logs counts it.
    pub fn stored_bytes(&self, scope: &Scope, group: &str) -> usize {
        let streams = self.streams_of(scope, group);
        let sizes = streams.filter_map(|stream| {
            let events = self.events.get(&(scope.clone(), stream.name.clone())).map(|events| Arc::clone(&events))?;
            let bytes = lock(&events).bytes();
            Some(bytes)
        });
        sizes.sum()
    }

    /// Lends the events of a stream to `use_events`, which must be short.
    pub fn with_events<T>(&self, scope: &Scope, name: &StreamName, use_events: impl FnOnce(&mut Events) -> T) -> T {
        let events = Arc::clone(&self.events.entry((scope.clone(), name.clone())).or_default());
        use_events(&mut lock(&events))
    }
}

fn lock(events: &Mutex<Events>) -> MutexGuard<'_, Events> {
    events.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_sorted_by_time_and_then_by_arrival() {
        let mut events = Events::default();
        for (at, message) in [(5, "b"), (5, "c"), (1, "a"), (9, "e"), (5, "d")] {
            events.append(Timestamp::from_millis(at), Timestamp::from_millis(100), message.into());
        }
        let messages = events.sorted().iter().map(|event| &*event.message).collect::<Vec<_>>();
        assert_eq!(messages, ["a", "b", "c", "d", "e"]);
        assert_eq!(events.bytes(), 5 * (1 + EVENT_OVERHEAD_BYTES));
    }

    #[test]
    fn a_sorted_batch_lies_where_its_events_would_lie_one_by_one() {
        let cases: [&[&[i64]]; 5] =
            [&[&[1, 2], &[3, 4]], &[&[3, 4], &[1, 2]], &[&[1, 5, 9], &[0, 5, 5, 10]], &[&[], &[1]], &[&[2], &[]]];
        for batches in cases {
            let (mut one_by_one, mut at_once) = (Events::default(), Events::default());
            for batch in batches {
                let now = Timestamp::from_millis(100);
                let events = batch.iter().map(|at| (Timestamp::from_millis(*at), Arc::from(at.to_string())));
                events.clone().for_each(|(at, message)| one_by_one.append(at, now, message));
                at_once.append_sorted(now, events);
            }
            assert_eq!(one_by_one.sorted(), at_once.sorted(), "{batches:?}");
            assert_eq!(one_by_one.bytes(), at_once.bytes());
            assert_eq!(one_by_one.next_sequence(), at_once.next_sequence());
        }
    }

    #[test]
    fn a_stream_without_a_record_holds_no_events() {
        let (logs, scope) = (Logs::new(None), Scope::new(base::AccountId::DEFAULT, base::Region::default()));
        let name = StreamName { group: "g".to_owned(), stream: "s".to_owned() };
        let now = Timestamp::from_millis(0);
        assert!(logs.with_events_of(&scope, &name, |_| ()).is_none());
        logs.make_stream(&scope, &name, now);
        let removed = logs.with_events_of(&scope, &name, |events| {
            events.append(now, now, "x".into());
            logs.streams.remove(&scope, &name);
        });
        assert!(removed.is_some());
        logs.make_stream(&scope, &name, now);
        assert_eq!(logs.with_events_of(&scope, &name, |events| events.sorted().len()), Some(0));
        assert_eq!(logs.stored_bytes(&scope, "g"), 0);
    }

    #[test]
    fn a_group_takes_its_streams_and_events_along() {
        let (logs, scope) = (Logs::new(None), Scope::new(base::AccountId::DEFAULT, base::Region::default()));
        let now = Timestamp::from_millis(0);
        let name = StreamName { group: "g".to_owned(), stream: "s".to_owned() };
        logs.make_group(&scope, "g", now);
        logs.make_group(&scope, "g2", now);
        logs.make_stream(&scope, &name, now);
        logs.make_stream(&scope, &StreamName { group: "g2".to_owned(), stream: "s".to_owned() }, now);
        logs.with_events(&scope, &name, |events| events.append(now, now, "x".into()));
        assert!(logs.remove_group(&scope, "g").is_some());
        assert_eq!(logs.streams_of(&scope, "g").count(), 0);
        assert_eq!(logs.streams_of(&scope, "g2").count(), 1);
        assert_eq!(logs.with_events(&scope, &name, |events| events.sorted().len()), 0);
    }
}

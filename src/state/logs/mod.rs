//! The records of CloudWatch Logs: groups, streams, and the events in them.

mod events;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::{Arn, Scope, Timestamp};
use dashmap::DashMap;
use serde::{Deserialize, Serialize};

pub use events::{EVENT_OVERHEAD_BYTES, Events, LogEvent, STREAM_BYTES_MAX};

use crate::journal::{Journal, JournalError};
use crate::{Record, Table, Tag};
use events::{Batch, BatchName};

/// The journal's name for batches of events.
const BATCHES: &str = "logs.events";

/// The tables of CloudWatch Logs.
#[derive(Debug)]
pub struct Logs {
    /// Log groups by name.
    pub groups: Table<String, LogGroup>,
    /// Log streams by group and name.
    pub streams: Table<StreamName, LogStream>,
    /// The events of each stream. The journal keeps them in the batches in which they came.
    events: DashMap<(Scope, StreamName), Arc<Mutex<Events>>>,
    journal: Option<Arc<Journal>>,
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

impl Record for LogGroup {}
impl Record for LogStream {}

impl Logs {
    pub(crate) fn new(journal: Option<&Arc<Journal>>) -> Self {
        Self {
            groups: Table::new("logs.groups", journal),
            streams: Table::new("logs.streams", journal),
            events: DashMap::new(),
            journal: journal.cloned(),
        }
    }

    pub(crate) fn load(&self, journal: &Journal) -> Result<(), JournalError> {
        self.groups.load(journal)?;
        self.streams.load(journal)?;
        let mut batches = journal.rows::<BatchName, Batch>(BATCHES)?;
        // Batches go in as they came; the file sorts its keys as text.
        batches.sort_by_key(|(_, name, _)| name.first_sequence);
        for (scope, name, batch) in batches {
            let events = Arc::clone(&self.events.entry((scope, name.stream.clone())).or_default());
            lock(&events).restore(name.first_sequence, batch);
        }
        Ok(())
    }

    pub(crate) fn clear(&self) {
        self.groups.clear();
        for (scope, stream) in self.streams.keys() {
            self.remove_stream(&scope, &stream);
        }
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
        let stream = self.streams.remove(scope, name);
        self.remove_events(scope, name);
        stream
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
            self.remove_events(scope, name);
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
        let mut events = lock(&events);
        let result = use_events(&mut events);
        let (first_sequence, batch) = events.take_batch();
        if let Some(journal) = self.journal.as_ref().filter(|_| !batch.is_empty()) {
            let forgotten = events.note_batch(first_sequence, batch.bytes());
            let row = |first_sequence| BatchName { stream: name.clone(), first_sequence };
            journal.submit(BATCHES, scope, &row(first_sequence), Some(Arc::new(batch)));
            for first_sequence in forgotten {
                journal.submit::<_, Batch>(BATCHES, scope, &row(first_sequence), None);
            }
        }
        result
    }

    fn remove_events(&self, scope: &Scope, name: &StreamName) {
        let Some((_, events)) = self.events.remove(&(scope.clone(), name.clone())) else { return };
        let forgotten = lock(&events).forget_batches();
        if let Some(journal) = &self.journal {
            for first_sequence in forgotten {
                let row = BatchName { stream: name.clone(), first_sequence };
                journal.submit::<_, Batch>(BATCHES, scope, &row, None);
            }
        }
    }
}

fn lock(events: &Mutex<Events>) -> MutexGuard<'_, Events> {
    events.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn events_come_back_after_a_restart_and_removed_ones_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.redb");
        let scope = Scope::new(base::AccountId::DEFAULT, base::Region::default());
        let name = |stream: &str| StreamName { group: "g".to_owned(), stream: stream.to_owned() };
        let at = Timestamp::from_millis;
        {
            let state = crate::State::open(&path).unwrap();
            for stream in ["kept", "removed"] {
                state.logs.make_stream(&scope, &name(stream), at(0));
                // More batches than ten, so that their order as text is not their order as numbers.
                for n in 0..12 {
                    state.logs.with_events_of(&scope, &name(stream), |events| {
                        events.append(at(n), at(n), format!("{stream} {n}").into());
                        events.append(at(n), at(n), "again".into());
                    });
                }
            }
            state.logs.remove_stream(&scope, &name("removed"));
            state.flush().unwrap();
        }
        let state = crate::State::open(&path).unwrap();
        let kept = state.logs.with_events_of(&scope, &name("kept"), |events| {
            let messages = events.sorted().iter().map(|event| event.message.to_string()).collect::<Vec<_>>();
            (messages, events.next_sequence(), events.last_ingestion())
        });
        let messages = (0..12).flat_map(|n| [format!("kept {n}"), "again".to_owned()]).collect::<Vec<_>>();
        assert_eq!(kept, Some((messages, 24, Some(at(11)))));
        state.logs.make_stream(&scope, &name("removed"), at(0));
        assert_eq!(state.logs.with_events_of(&scope, &name("removed"), |events| events.sorted().len()), Some(0));
    }
}

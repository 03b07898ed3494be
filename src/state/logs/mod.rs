//! The records of CloudWatch Logs: groups, streams, and the events in them.

mod events;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::{Arn, Scope, Timestamp};
use dashmap::DashMap;
use serde::{Deserialize, Serialize};

pub use events::{EVENT_OVERHEAD_BYTES, Events, LogEvent, STREAM_BYTES_MAX};

use crate::journal::{Journal, JournalError};
use crate::{Record, Table, Tag};
use events::{Batch, BatchName};

/// How many bytes of messages all streams together keep, as CloudWatch Logs counts them; beyond them the oldest events
/// go, whichever stream they are in. CloudWatch Logs has no such limit, but a machine has.
pub const LOGS_BYTES_MAX: usize = 1024 * 1024 * 1024;
/// The part of the limit that is made free at a time, so that not every event has an oldest one looked for.
const EVICTED_PART: usize = 16;
/// What a day of retention is.
const DAY: Duration = Duration::from_hours(24);

/// The journal's name for batches of events.
const BATCHES: &str = "logs.events";

/// The tables of CloudWatch Logs.
#[derive(Debug)]
pub struct Logs {
    /// Log groups by name.
    pub groups: Table<String, LogGroup>,
    /// Log streams by group and name.
    pub streams: Table<StreamName, LogStream>,
    /// Policies of the account by name; those of one group are the group's.
    pub resource_policies: Table<String, ResourcePolicy>,
    /// The events of each stream. The journal keeps them in the batches in which they came.
    events: DashMap<(Scope, StreamName), Arc<Mutex<Events>>>,
    /// The bytes of all streams, at most [`LOGS_BYTES_MAX`] but for what is being put in right now.
    bytes: AtomicUsize,
    bytes_max: usize,
    /// Held while events are evicted.
    evicting: Mutex<()>,
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
    /// The policy of this group alone.
    #[serde(default)]
    pub policy: Option<ResourcePolicy>,
}

/// Who else may write: kept and shown, not evaluated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourcePolicy {
    /// Its name.
    pub name: String,
    /// The policy, as JSON.
    pub document: String,
    /// When it was written last.
    pub updated_at: Timestamp,
    /// What its last change is called; none in policies of the account.
    pub revision: Option<String>,
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
impl Record for ResourcePolicy {}

impl Logs {
    pub(crate) fn new(journal: Option<&Arc<Journal>>) -> Self {
        Self {
            groups: Table::new("logs.groups", journal),
            streams: Table::new("logs.streams", journal),
            resource_policies: Table::new("logs.resource_policies", journal),
            events: DashMap::new(),
            bytes: AtomicUsize::new(0),
            bytes_max: LOGS_BYTES_MAX,
            evicting: Mutex::default(),
            journal: journal.cloned(),
        }
    }

    pub(crate) fn load(&self, journal: &Journal) -> Result<(), JournalError> {
        self.groups.load(journal)?;
        self.streams.load(journal)?;
        self.resource_policies.load(journal)?;
        let mut batches = journal.rows::<BatchName, Batch>(BATCHES)?;
        // Batches go in as they came; the file sorts its keys as text.
        batches.sort_by_key(|(_, name, _)| name.first_sequence);
        for (scope, name, batch) in batches {
            let events = Arc::clone(&self.events.entry((scope, name.stream.clone())).or_default());
            self.account(&mut lock(&events), |events| events.restore(name.first_sequence, batch));
        }
        self.evict();
        Ok(())
    }

    pub(crate) fn clear(&self) {
        self.groups.clear();
        self.resource_policies.clear();
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
            policy: None,
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
        let result = self.account(&mut events, use_events);
        let (first_sequence, batch) = events.take_batch();
        if let Some(journal) = self.journal.as_ref().filter(|_| !batch.is_empty()) {
            let forgotten = events.note_batch(first_sequence, &batch);
            let row = BatchName { stream: name.clone(), first_sequence };
            journal.submit(BATCHES, scope, &row, Some(Arc::new(batch)));
            self.forget(scope, name, forgotten);
        }
        drop(events);
        self.evict();
        result
    }

    /// Drops the events that a group's retention lets go of, and returns how long it keeps them; none if for ever, or if
    /// there is no such group.
    pub fn expire(&self, scope: &Scope, group: &str, now: Timestamp) -> Option<Duration> {
        let days = self.groups.get(scope, &group.to_owned())?.retention_days?;
        let kept = DAY * u32::try_from(days).ok()?;
        let oldest = Timestamp::from_millis(now.as_millis().saturating_sub(i64::try_from(kept.as_millis()).ok()?));
        for stream in self.streams_of(scope, group) {
            self.shrink(scope, &stream.name, |events| events.drop_before(oldest));
        }
        Some(kept)
    }

    /// Takes events out of a stream, and has the journal forget the batches of which none is left.
    fn shrink<T: Default>(&self, scope: &Scope, name: &StreamName, shrink: impl FnOnce(&mut Events) -> T) -> T {
        let known = self.events.get(&(scope.clone(), name.clone())).map(|events| Arc::clone(&events));
        let Some(events) = known else { return T::default() };
        let mut events = lock(&events);
        let result = self.account(&mut events, shrink);
        let emptied = events.take_emptied_batches();
        self.forget(scope, name, emptied);
        result
    }

    /// Makes room once the streams together have more than they may.
    fn evict(&self) {
        if self.bytes.load(Ordering::Relaxed) <= self.bytes_max {
            return;
        }
        // One at a time does it for all.
        let Ok(_alone) = self.evicting.try_lock() else { return };
        let target = self.bytes_max - self.bytes_max / EVICTED_PART;
        let streams = self.events.iter().map(|entry| (entry.key().clone(), Arc::clone(entry.value())));
        let streams = streams.collect::<Vec<_>>().into_iter();
        let oldest = |((scope, name), events): ((Scope, StreamName), Arc<Mutex<Events>>)| {
            Some(Reverse((lock(&events).oldest()?, scope, name)))
        };
        let mut streams = streams.filter_map(oldest).collect::<BinaryHeap<_>>();
        while self.bytes.load(Ordering::Relaxed) > target
            && let Some(Reverse((_, scope, name))) = streams.pop()
        {
            // All that is older than any event of the other streams, but no more than has to go.
            let until = streams.peek().map(|Reverse((at, _, _))| *at);
            let next = self.shrink(&scope, &name, |events| {
                let mut excess = self.bytes.load(Ordering::Relaxed).saturating_sub(target);
                while excess > 0 && events.oldest().is_some_and(|at| until.is_none_or(|until| at <= until)) {
                    excess = excess.saturating_sub(events.drop_oldest_time());
                }
                events.oldest()
            });
            streams.extend(next.map(|at| Reverse((at, scope, name))));
        }
    }

    /// Counts what a use of events, which are locked, adds to the whole or takes from it.
    fn account<T>(&self, events: &mut Events, use_events: impl FnOnce(&mut Events) -> T) -> T {
        let before = events.bytes();
        let result = use_events(events);
        if !events.is_removed() {
            let after = events.bytes();
            self.bytes.fetch_add(after.saturating_sub(before), Ordering::Relaxed);
            self.bytes.fetch_sub(before.saturating_sub(after), Ordering::Relaxed);
        }
        result
    }

    fn forget(&self, scope: &Scope, stream: &StreamName, batches: Vec<u64>) {
        let Some(journal) = &self.journal else { return };
        for first_sequence in batches {
            let row = BatchName { stream: stream.clone(), first_sequence };
            journal.submit::<_, Batch>(BATCHES, scope, &row, None);
        }
    }

    fn remove_events(&self, scope: &Scope, name: &StreamName) {
        let Some((_, events)) = self.events.remove(&(scope.clone(), name.clone())) else { return };
        let mut events = lock(&events);
        self.bytes.fetch_sub(events.bytes(), Ordering::Relaxed);
        let forgotten = events.forget_batches();
        drop(events);
        self.forget(scope, name, forgotten);
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

    fn messages(logs: &Logs, scope: &Scope, name: &StreamName) -> Vec<String> {
        logs.with_events(scope, name, |events| events.sorted().iter().map(|event| event.message.to_string()).collect())
    }

    #[test]
    fn beyond_the_limit_of_all_streams_the_oldest_events_go() {
        let (mut logs, scope) = (Logs::new(None), Scope::new(base::AccountId::DEFAULT, base::Region::default()));
        let event = 1 + EVENT_OVERHEAD_BYTES;
        logs.bytes_max = 16 * event;
        let name = |stream: &str| StreamName { group: "g".to_owned(), stream: stream.to_owned() };
        let put = |stream: &str, at: i64| {
            let at = Timestamp::from_millis(at);
            logs.make_stream(&scope, &name(stream), at);
            logs.with_events_of(&scope, &name(stream), |events| events.append(at, at, "x".into()));
        };
        for at in 0..8 {
            put("even", at * 2);
            put("odd", at * 2 + 1);
        }
        put("old", 0);
        // A sixteenth of the limit is free then: two events of time 0 went.
        assert_eq!(logs.bytes.load(Ordering::Relaxed), 15 * event);
        let left = ["even", "odd", "old"].map(|stream| messages(&logs, &scope, &name(stream)).len());
        assert_eq!(left, [7, 8, 0]);
        logs.remove_stream(&scope, &name("odd"));
        assert_eq!(logs.bytes.load(Ordering::Relaxed), 7 * event);
    }

    #[test]
    fn a_group_drops_what_its_retention_lets_go_of_for_good() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.redb");
        let scope = Scope::new(base::AccountId::DEFAULT, base::Region::default());
        let name = StreamName { group: "g".to_owned(), stream: "s".to_owned() };
        let day = |days: u32| Timestamp::from_millis(0).plus(DAY * days);
        {
            let state = crate::State::open(&path).unwrap();
            state.logs.make_group(&scope, "g", day(0));
            state.logs.make_stream(&scope, &name, day(0));
            for at in [0, 1, 2] {
                state.logs.with_events_of(&scope, &name, |events| {
                    events.append(day(at), day(at), format!("day {at}").into());
                });
            }
            assert_eq!(state.logs.expire(&scope, "g", day(3)), None);
            state.logs.groups.update(&scope, &"g".to_owned(), |group| group.retention_days = Some(2));
            assert_eq!(state.logs.expire(&scope, "g", day(3)), Some(2 * DAY));
            assert_eq!(messages(&state.logs, &scope, &name), ["day 1", "day 2"]);
            state.flush().unwrap();
        }
        let state = crate::State::open(&path).unwrap();
        assert_eq!(messages(&state.logs, &scope, &name), ["day 1", "day 2"]);
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

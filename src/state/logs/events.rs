//! The events of a stream, and the batches in which the journal keeps them.

use std::collections::VecDeque;
use std::sync::Arc;

use base::Timestamp;
use serde::{Deserialize, Serialize};

use super::StreamName;
use crate::Record;

/// How many bytes of messages a stream keeps; beyond them the oldest events go. CloudWatch Logs has no such limit, but
/// a machine has.
pub const STREAM_BYTES_MAX: usize = 256 * 1024 * 1024;
/// What each event costs beyond its message in the accounting of CloudWatch Logs, in bytes.
pub const EVENT_OVERHEAD_BYTES: usize = 26;

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
    sorted: VecDeque<LogEvent>,
    next_sequence: u64,
    bytes: usize,
    last_ingestion: Option<Timestamp>,
    /// What has come since the journal was last given a batch.
    fresh: Vec<LogEvent>,
    /// The batches that the journal has, in the order in which they came.
    batches: VecDeque<Kept>,
    batch_bytes: usize,
    is_removed: bool,
}

/// A batch that the journal has.
#[derive(Debug)]
struct Kept {
    first_sequence: u64,
    bytes: usize,
    /// When the last of its events happened.
    newest: Timestamp,
}

/// The journal's key of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct BatchName {
    pub(super) stream: StreamName,
    pub(super) first_sequence: u64,
}

/// Events as they came in together: time, time of arrival, message.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Batch(Vec<(Timestamp, Timestamp, Arc<str>)>);

impl Record for Batch {}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.0.iter().map(|(_, _, message)| message.len() + EVENT_OVERHEAD_BYTES).sum()
    }

    fn kept(&self, first_sequence: u64) -> Option<Kept> {
        let newest = self.0.iter().map(|(at, _, _)| *at).max()?;
        Some(Kept { first_sequence, bytes: self.bytes(), newest })
    }
}

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
        self.fresh.push(event.clone());
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
            let event = LogEvent { sequence: self.next_sequence, at, ingested_at, message };
            self.fresh.push(event.clone());
            self.sorted.push_back(event);
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
        while self.bytes > STREAM_BYTES_MAX && self.drop_oldest() {}
    }

    fn drop_oldest(&mut self) -> bool {
        let Some(oldest) = self.sorted.pop_front() else { return false };
        self.bytes -= oldest.message.len() + EVENT_OVERHEAD_BYTES;
        true
    }

    /// Drops the events that happened before a time.
    pub(super) fn drop_before(&mut self, time: Timestamp) {
        while self.sorted.front().is_some_and(|oldest| oldest.at < time) && self.drop_oldest() {}
    }

    /// Drops the oldest event and those of its time, and returns how many bytes that made free.
    pub(super) fn drop_oldest_time(&mut self) -> usize {
        let before = self.bytes;
        if let Some(time) = self.oldest() {
            while self.oldest() == Some(time) && self.drop_oldest() {}
        }
        before - self.bytes
    }

    /// Returns when the oldest event happened.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        self.sorted.front().map(|event| event.at)
    }

    /// Returns whether its stream was removed: what comes now is for nobody.
    pub(super) fn is_removed(&self) -> bool {
        self.is_removed
    }

    /// Returns the batches that the journal need not keep any longer, because none of their events is left. The last one
    /// stays: it tells a later process how far the sequence numbers have come.
    pub(super) fn take_emptied_batches(&mut self) -> Vec<u64> {
        let (oldest, last) = (self.oldest(), self.batches.back().map(|batch| batch.first_sequence));
        let mut emptied = Vec::new();
        self.batches.retain(|batch| {
            let is_last = last == Some(batch.first_sequence);
            let is_kept = is_last || oldest.is_some_and(|oldest| batch.newest >= oldest);
            if !is_kept {
                emptied.push(batch.first_sequence);
            }
            is_kept
        });
        self.batch_bytes = self.batches.iter().map(|batch| batch.bytes).sum();
        emptied
    }

    /// Returns the events in the order of their times.
    pub fn sorted(&self) -> &VecDeque<LogEvent> {
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

    /// Takes what has come since the last call, with the first one's sequence number.
    pub(super) fn take_batch(&mut self) -> (u64, Batch) {
        let fresh = std::mem::take(&mut self.fresh);
        let first_sequence = fresh.first().map_or(self.next_sequence, |event| event.sequence);
        if self.is_removed {
            return (first_sequence, Batch::default());
        }
        (first_sequence, Batch(fresh.into_iter().map(|event| (event.at, event.ingested_at, event.message)).collect()))
    }

    /// Notes that the journal has a batch. Returns the batches that it need not keep any longer.
    pub(super) fn note_batch(&mut self, first_sequence: u64, batch: &Batch) -> Vec<u64> {
        self.batch_bytes += batch.bytes();
        self.batches.extend(batch.kept(first_sequence));
        let mut forgotten = Vec::new();
        while self.batches.front().is_some_and(|first| self.batch_bytes - first.bytes >= STREAM_BYTES_MAX)
            && let Some(first) = self.batches.pop_front()
        {
            self.batch_bytes -= first.bytes;
            forgotten.push(first.first_sequence);
        }
        forgotten
    }

    /// Gives the batches of a removed stream, and takes no more.
    pub(super) fn forget_batches(&mut self) -> Vec<u64> {
        self.is_removed = true;
        self.batches.drain(..).map(|batch| batch.first_sequence).collect()
    }

    /// Puts in a batch that the journal has, after those that came before it.
    pub(super) fn restore(&mut self, first_sequence: u64, batch: Batch) {
        self.next_sequence = first_sequence;
        self.note_batch(first_sequence, &batch);
        for (at, ingested_at, message) in batch.0 {
            self.append(at, ingested_at, message);
        }
        self.fresh.clear();
    }
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
}

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
    /// The batches that the journal has, by their first sequence number, with their sizes in bytes.
    batches: VecDeque<(u64, usize)>,
    batch_bytes: usize,
    is_removed: bool,
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
        while self.bytes > STREAM_BYTES_MAX {
            let Some(oldest) = self.sorted.pop_front() else { break };
            self.bytes -= oldest.message.len() + EVENT_OVERHEAD_BYTES;
        }
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
    pub(super) fn note_batch(&mut self, first_sequence: u64, bytes: usize) -> Vec<u64> {
        self.batches.push_back((first_sequence, bytes));
        self.batch_bytes += bytes;
        let mut forgotten = Vec::new();
        while let Some((first, bytes)) = self.batches.front().copied()
            && self.batch_bytes - bytes >= STREAM_BYTES_MAX
        {
            self.batches.pop_front();
            self.batch_bytes -= bytes;
            forgotten.push(first);
        }
        forgotten
    }

    /// Gives the batches of a removed stream, and takes no more.
    pub(super) fn forget_batches(&mut self) -> Vec<u64> {
        self.is_removed = true;
        self.batches.drain(..).map(|(first_sequence, _)| first_sequence).collect()
    }

    /// Puts in a batch that the journal has, after those that came before it.
    pub(super) fn restore(&mut self, first_sequence: u64, batch: Batch) {
        self.next_sequence = first_sequence;
        self.batches.push_back((first_sequence, batch.bytes()));
        self.batch_bytes += batch.bytes();
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

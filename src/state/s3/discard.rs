//! Files that no row names any more: each goes once the journal has the removal of its row, and nobody reads it.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::{BlobId, Piece, S3};

/// The files that are to go.
#[derive(Default)]
pub(super) struct Discarded {
    /// Each with the moment of the journal that must be kept before it may go: a server that is killed earlier comes back
    /// with the row.
    waiting: Mutex<VecDeque<(u64, BlobId)>>,
    /// How often each file is held by somebody who reads it.
    held: Mutex<HashMap<BlobId, usize>>,
    watcher: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl fmt::Debug for Discarded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Discarded").field("waiting", &self.waiting).field("held", &self.held).finish_non_exhaustive()
    }
}

/// Files that do not go while this exists.
#[derive(Debug)]
pub struct Held {
    discarded: Arc<Discarded>,
    blobs: Vec<BlobId>,
}

impl Discarded {
    fn wake(&self) {
        if let Some(watcher) = self.watcher.get() {
            watcher();
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut held = self.discarded.held.lock().unwrap_or_else(PoisonError::into_inner);
        for blob in &self.blobs {
            match held.get_mut(blob) {
                Some(count) if *count > 1 => *count -= 1,
                _ => drop(held.remove(blob)),
            }
        }
        drop(held);
        self.discarded.wake();
    }
}

impl S3 {
    /// Has `watcher` called whenever there may be something to [collect](S3::collect). It must return at once.
    ///
    /// # Panics
    ///
    /// If there is a watcher already.
    pub fn watch_discarded(&self, watcher: impl Fn() + Send + Sync + 'static) {
        assert!(self.discarded.watcher.set(Box::new(watcher)).is_ok(), "discarded files have a watcher already");
    }

    /// Keeps files that are to be read. One that has gone before is not there.
    pub fn hold(&self, pieces: &[Piece]) -> Held {
        let mut held = self.discarded.held.lock().unwrap_or_else(PoisonError::into_inner);
        let blobs = pieces.iter().map(|piece| piece.blob.clone()).collect::<Vec<_>>();
        for blob in &blobs {
            *held.entry(blob.clone()).or_default() += 1;
        }
        Held { discarded: Arc::clone(&self.discarded), blobs }
    }

    /// Removes the files that no row has named for long enough. Blocks on the disk. Returns whether there are any left whose
    /// time is yet to come; for those that somebody holds, the watcher is called.
    pub fn collect(&self) -> bool {
        let is_due = |at: u64| self.journal.as_ref().is_none_or(|journal| journal.has_written(at));
        let waiting = || self.discarded.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kept = Vec::new();
        loop {
            let Some((at, blob)) = waiting().pop_front_if(|(at, _)| is_due(*at)) else { break };
            // Locked until it is gone: whoever holds it from now on finds that it is.
            let held = self.discarded.held.lock().unwrap_or_else(PoisonError::into_inner);
            if held.contains_key(&blob) {
                kept.push((at, blob));
            } else {
                self.blobs.remove(&blob);
            }
        }
        let mut waiting = waiting();
        let has_more = !waiting.is_empty();
        for entry in kept.into_iter().rev() {
            waiting.push_front(entry);
        }
        has_more
    }

    /// Discards bytes that no row names any more, or that were received for a row which is not made after all.
    pub fn discard(&self, pieces: &[Piece]) {
        if pieces.is_empty() {
            return;
        }
        let at = self.journal.as_ref().map_or(0, |journal| journal.submitted());
        let mut waiting = self.discarded.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.extend(pieces.iter().map(|piece| (at, piece.blob.clone())));
        drop(waiting);
        self.discarded.wake();
    }
}

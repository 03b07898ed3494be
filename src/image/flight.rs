//! Pulls under way: whoever wants what is being fetched waits for it, and what nobody waits for any more ends.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use node::{Image, ImageError, Platform, ProgressSink, PullProgress, RegistryCredentials};
use tokio::sync::watch;
use tracing::Instrument;

use crate::origin::Waiting;
use crate::reference::Reference;

type Outcome = Result<Arc<Image>, ImageError>;

/// What makes two pulls the same. Who has no access must not get an image because somebody else has.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct FlightKey {
    pub(crate) from: &'static str,
    pub(crate) reference: Reference,
    pub(crate) platform: Platform,
    pub(crate) credentials: Option<RegistryCredentials>,
}

/// All pulls under way.
#[derive(Default)]
pub(crate) struct Flights {
    running: Mutex<HashMap<FlightKey, (u64, Weak<Flight>)>>,
    next: AtomicU64,
}

/// One pull. It ends when it is dropped.
struct Flight {
    outcome: watch::Receiver<Option<Outcome>>,
    progress: watch::Receiver<PullProgress>,
    _waiting: watch::Sender<()>,
}

impl Flights {
    /// Waits for the pull of `key`, which `begin` starts if it is not under way.
    pub(crate) async fn join<F>(
        self: &Arc<Self>,
        key: FlightKey,
        sink: Option<&ProgressSink>,
        begin: impl FnOnce(Waiting, watch::Sender<PullProgress>) -> F,
    ) -> Outcome
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let reference = key.reference.to_string();
        let flight = self.find_or_begin(key, begin);
        let (mut outcome, mut progress) = (flight.outcome.clone(), flight.progress.clone());
        loop {
            tokio::select! {
                biased;
                ended = outcome.wait_for(Option::is_some) => {
                    // Without an outcome it panicked, which was told where it did.
                    let outcome = ended.ok().and_then(|outcome| outcome.clone());
                    return outcome.unwrap_or(Err(ImageError::Cancelled { reference }));
                }
                Ok(()) = progress.changed() => {
                    if let Some(sink) = sink {
                        sink(&progress.borrow_and_update());
                    }
                }
            }
        }
    }

    fn find_or_begin<F>(
        self: &Arc<Self>,
        key: FlightKey,
        begin: impl FnOnce(Waiting, watch::Sender<PullProgress>) -> F,
    ) -> Arc<Flight>
    where
        F: Future<Output = Outcome> + Send + 'static,
    {
        let mut running = self.lock();
        if let Some(flight) = running.get(&key).and_then(|(_, flight)| flight.upgrade()) {
            return flight;
        }
        let (keeper, waiting) = Waiting::new();
        let (tell, outcome) = watch::channel(None);
        let (advance, progress) = watch::channel(PullProgress::default());
        let work = begin(waiting.clone(), advance);
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (all, ended, reference) = (Arc::clone(self), key.clone(), key.reference.to_string());
        let run = async move {
            let outcome = tokio::select! {
                outcome = work => outcome,
                () = waiting.over() => Err(ImageError::Cancelled { reference }),
            };
            all.end(&ended, id);
            // Nobody may be left to hear it.
            _ = tell.send(Some(outcome));
        };
        tokio::spawn(run.in_current_span());
        let flight = Arc::new(Flight { outcome, progress, _waiting: keeper });
        running.insert(key, (id, Arc::downgrade(&flight)));
        flight
    }

    /// Forgets a pull that has ended: the next one asks anew.
    fn end(&self, key: &FlightKey, id: u64) {
        let mut running = self.lock();
        if running.get(key).is_some_and(|(known, _)| *known == id) {
            running.remove(key);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<FlightKey, (u64, Weak<Flight>)>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

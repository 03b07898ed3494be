//! The reconciler of images that tasks wait for: pulls them beside the tasks' own steps.
//!
//! A pull may take minutes. A step of the task that waited for it would hold its place for as long, and would not see
//! that the task is to stop.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::try_join_all;
use node::{Image, Images};
use reconcile::{Key, Reconciler, Step};
use tokio::sync::oneshot;

use super::start::{Failure, Wanted};
use super::{PULLS, TASKS, reason};
use crate::World;

/// How many tasks may wait for images at once; further ones wait for their turn. How many images are fetched at once is the
/// node's own affair.
const STEPS_MAX: usize = 1024;

/// The images of a task's containers, by their places.
pub(super) type Pulled = Vec<(usize, Arc<Image>)>;

type Pulling = Pin<Box<dyn Future<Output = Result<Pulled, Failure>> + Send>>;

/// Pulls the images that tasks wait for.
pub(crate) struct PullReconciler {
    world: World,
    pulls: Arc<Pulls>,
}

/// The pulls of tasks that have not started all their containers. Nothing of them is in the records: after a restart they
/// begin anew.
#[derive(Default)]
pub(crate) struct Pulls {
    known: Mutex<HashMap<Key, Pull>>,
}

/// How far the pull of a task's images is.
enum Pull {
    /// It is yet to get its turn.
    Waiting(Pulling),
    /// It is under way, until this is dropped.
    Running { _keeper: oneshot::Sender<()> },
    /// It is over. The images are held for the containers that start later.
    Ended(Result<Pulled, Failure>),
}

#[async_trait]
impl Reconciler for PullReconciler {
    fn name(&self) -> &'static str {
        PULLS
    }

    fn candidates(&self) -> Vec<Key> {
        self.pulls.lock().keys().cloned().collect()
    }

    async fn step(&self, key: &Key) -> Step {
        let Some((pulling, mut given_up)) = self.pulls.begin(key) else { return Step::Settled };
        let ended = tokio::select! {
            ended = pulling => ended,
            _ = &mut given_up => return Step::Settled,
        };
        if self.pulls.end(key, ended) {
            self.world.wakeups.wake(TASKS, key.clone());
        }
        Step::Settled
    }

    fn steps_max(&self) -> usize {
        STEPS_MAX
    }
}

impl PullReconciler {
    pub(crate) fn new(world: World, pulls: Arc<Pulls>) -> Self {
        Self { world, pulls }
    }
}

impl Pulls {
    /// Returns the images of a task, or why it has none; nothing while they are being pulled, and then the task is woken.
    pub(super) fn get(
        &self,
        world: &World,
        key: &Key,
        wanted: impl FnOnce() -> Result<Vec<Wanted>, Failure>,
    ) -> Option<Result<Pulled, Failure>> {
        match self.lock().get(key) {
            Some(Pull::Ended(ended)) => return Some(ended.clone()),
            Some(Pull::Waiting(_) | Pull::Running { .. }) => return None,
            None => {}
        }
        let mut pulling: Pulling = match wanted() {
            Ok(wanted) => Box::pin(pull(Arc::clone(&world.node.images), wanted, key.clone())),
            Err(failure) => return Some(Err(failure)),
        };
        // What is on the node needs no second step.
        let ended = (&mut pulling).now_or_never();
        let pull = ended.clone().map_or(Pull::Waiting(pulling), Pull::Ended);
        self.lock().insert(key.clone(), pull);
        if ended.is_none() {
            world.wakeups.wake(PULLS, key.clone());
        }
        ended
    }

    /// Returns how the pull of a task's images has ended, if it has.
    pub(super) fn ended(&self, key: &Key) -> Option<Result<Pulled, Failure>> {
        match self.lock().get(key) {
            Some(Pull::Ended(ended)) => Some(ended.clone()),
            Some(Pull::Waiting(_) | Pull::Running { .. }) | None => None,
        }
    }

    /// Says whether the images of a task are being pulled.
    pub(super) fn is_pulling(&self, key: &Key) -> bool {
        matches!(self.lock().get(key), Some(Pull::Waiting(_) | Pull::Running { .. }))
    }

    /// Lets go of a task's images, and ends their pull.
    pub(super) fn forget(&self, key: &Key) {
        // What is dropped may wake somebody: not under the lock.
        let forgotten = self.lock().remove(key);
        drop(forgotten);
    }

    /// Ends all pulls.
    pub(crate) fn give_up(&self) {
        let forgotten = std::mem::take(&mut *self.lock());
        drop(forgotten);
    }

    fn begin(&self, key: &Key) -> Option<(Pulling, oneshot::Receiver<()>)> {
        let mut known = self.lock();
        let pull = known.get_mut(key).filter(|pull| matches!(pull, Pull::Waiting(_)))?;
        let (keeper, given_up) = oneshot::channel();
        match std::mem::replace(pull, Pull::Running { _keeper: keeper }) {
            Pull::Waiting(pulling) => Some((pulling, given_up)),
            Pull::Running { .. } | Pull::Ended(_) => None,
        }
    }

    /// Notes how a pull has ended. Says whether the task still waits for it.
    fn end(&self, key: &Key, ended: Result<Pulled, Failure>) -> bool {
        match self.lock().get_mut(key) {
            Some(pull @ Pull::Running { .. }) => {
                *pull = Pull::Ended(ended);
                true
            }
            Some(Pull::Waiting(_) | Pull::Ended(_)) | None => false,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Pull>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Pulls images beside each other, up to the first that fails.
async fn pull(images: Arc<dyn Images>, wanted: Vec<Wanted>, key: Key) -> Result<Pulled, Failure> {
    try_join_all(wanted.into_iter().map(|(place, request)| {
        let (images, key) = (&images, &key);
        async move {
            let pulled = images.pull(&request).await.map_err(|error| {
                let (image, why) = (&request.reference, reason::cannot_pull(&error));
                tracing::warn!(task = %key, why, "no image; `neargate image load FILE --name {image}` brings it");
                Failure { container: Some(place), why }
            });
            Ok((place, pulled?))
        }
    }))
    .await
}

//! The reconciler of S3's files: removes those that no object has any more, so that deleting gives space back.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base::{AccountId, Region, Scope};
use reconcile::{Key, Reconciler, Step, Wakeups};
use state::State;

use crate::World;

const DISCARDED: &str = "s3.discarded";
/// How long after a look it is looked again whether the journal has what files wait for.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// Removes discarded files. It has one key: the store.
pub(crate) struct DiscardReconciler {
    world: World,
}

#[async_trait]
impl Reconciler for DiscardReconciler {
    fn name(&self) -> &'static str {
        DISCARDED
    }

    fn candidates(&self) -> Vec<Key> {
        vec![store_key()]
    }

    async fn step(&self, _key: &Key) -> Step {
        let state = Arc::clone(&self.world.state);
        match tokio::task::spawn_blocking(move || state.s3.collect()).await {
            Ok(true) => Step::At(self.world.clock.now().plus(LOOK_AGAIN_AFTER)),
            Ok(false) => Step::Settled,
            Err(error) => Step::Failed { why: error.to_string() },
        }
    }
}

impl DiscardReconciler {
    pub(crate) fn new(world: World) -> Self {
        Self { world }
    }
}

/// Wakes the reconciler when a file is discarded.
pub(crate) fn watch_discarded(state: &State, wakeups: &Wakeups) {
    let wakeups = wakeups.clone();
    state.s3.watch_discarded(move || wakeups.wake(DISCARDED, store_key()));
}

fn store_key() -> Key {
    Key::new(Scope::new(AccountId::DEFAULT, Region::default()), "store")
}

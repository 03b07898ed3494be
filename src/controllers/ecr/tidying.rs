//! The reconciler of the registries' files: removes those that nothing names any more, so that deleting gives space back,
//! and what was left behind by clients that went away.

use std::sync::Arc;

use async_trait::async_trait;
use base::{AccountId, Region, Scope};
use reconcile::{Key, Reconciler, Step, Wakeups};
use state::State;

use crate::World;

const TIDYING: &str = "ecr.tidying";

/// Removes what nobody wants any more. It has one key: the store.
pub(crate) struct TidyingReconciler {
    world: World,
}

#[async_trait]
impl Reconciler for TidyingReconciler {
    fn name(&self) -> &'static str {
        TIDYING
    }

    fn candidates(&self) -> Vec<Key> {
        vec![store_key()]
    }

    async fn step(&self, _key: &Key) -> Step {
        let (state, now) = (Arc::clone(&self.world.state), self.world.clock.now());
        match tokio::task::spawn_blocking(move || state.ecr.tidy_up(now)).await {
            Ok(Some(again_at)) => Step::At(again_at),
            Ok(None) => Step::Settled,
            Err(error) => Step::Failed { why: error.to_string() },
        }
    }
}

impl TidyingReconciler {
    pub(crate) fn new(world: World) -> Self {
        Self { world }
    }
}

/// Wakes the reconciler when there is something that goes, or is to go one day.
pub(crate) fn watch_for_tidying(state: &State, wakeups: &Wakeups) {
    let wakeups = wakeups.clone();
    state.ecr.watch_for_tidying(move || wakeups.wake(TIDYING, store_key()));
}

fn store_key() -> Key {
    Key::new(Scope::new(AccountId::DEFAULT, Region::default()), "store")
}

//! The reconciler of log groups: drops the events that their retention lets go of.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base::Scope;
use reconcile::{Key, Reconciler, Step, Wakeups};
use state::State;

use crate::World;

const RETENTION: &str = "logs.retention";
/// How often a group is looked at. CloudWatch Logs takes up to 72 hours to delete what has expired.
const LOOK_EVERY: Duration = Duration::from_secs(3600);

/// Drops expired events of each group that has a retention.
pub(crate) struct RetentionReconciler {
    world: World,
}

#[async_trait]
impl Reconciler for RetentionReconciler {
    fn name(&self) -> &'static str {
        RETENTION
    }

    fn candidates(&self) -> Vec<Key> {
        let groups = &self.world.state.logs.groups;
        groups.keys().into_iter().map(|(scope, group)| Key::new(scope, group)).collect()
    }

    async fn step(&self, key: &Key) -> Step {
        let now = self.world.clock.now();
        match self.world.state.logs.expire(&key.scope, &key.name, now) {
            None => Step::Settled,
            Some(_) => Step::At(now.plus(LOOK_EVERY)),
        }
    }
}

impl RetentionReconciler {
    pub(crate) fn new(world: World) -> Self {
        Self { world }
    }
}

/// Wakes the reconciler when a group is made or its retention changes.
pub(crate) fn watch_log_groups(state: &Arc<State>, wakeups: &Wakeups) {
    let wakeups = wakeups.clone();
    let wake = move |scope: &Scope, group: &String| wakeups.wake(RETENTION, Key::new(scope.clone(), group.clone()));
    state.logs.groups.watch(wake);
}

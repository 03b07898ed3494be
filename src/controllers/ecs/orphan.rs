//! Sandboxes that no task's record knows: left by a server that was killed, or by a reset. They are taken away.

use std::collections::{BTreeSet, HashSet};

use async_trait::async_trait;
use base::{AccountId, Region, Scope, TaskId};
use reconcile::{Key, Reconciler, Step};

use super::ORPHANS;
use crate::World;

/// Removes what is on the node and in no record. It has one key: the node.
pub(crate) struct OrphanReconciler {
    world: World,
}

#[async_trait]
impl Reconciler for OrphanReconciler {
    fn name(&self) -> &'static str {
        ORPHANS
    }

    fn candidates(&self) -> Vec<Key> {
        vec![node_key()]
    }

    async fn step(&self, _key: &Key) -> Step {
        match remove_orphans(&self.world).await {
            Ok(()) => Step::Settled,
            Err(why) => Step::Failed { why },
        }
    }
}

impl OrphanReconciler {
    pub(crate) fn new(world: World) -> Self {
        Self { world }
    }
}

/// Returns the driver's key for the node as a whole.
pub(crate) fn node_key() -> Key {
    Key::new(Scope::new(AccountId::DEFAULT, Region::default()), "node")
}

/// Takes every sandbox away that no task knows. What it cannot take away it says, after it has tried all.
pub(crate) async fn remove_orphans(world: &World) -> Result<(), String> {
    let (runtime, network) = (&world.node.runtime, &world.node.network);
    // The node is asked first: a task's record is there before its sandbox, so a new one is never taken for an orphan.
    let mut sandboxes = BTreeSet::new();
    sandboxes.extend(runtime.sandboxes().await.map_err(|error| error.to_string())?);
    sandboxes.extend(network.sandboxes().await.map_err(|error| error.to_string())?);
    let mut known = world.state.ecs.tasks.keys().into_iter().map(|(_, task)| task.id).collect::<HashSet<TaskId>>();
    // A container instance that this machine plays is a sandbox without containers.
    let instances = world.state.ecs.container_instances.keys().into_iter();
    known.extend(instances.map(|(_, instance)| super::instance::sandbox_of(&instance.id)));
    let mut failures = Vec::new();
    for sandbox in sandboxes.iter().filter(|sandbox| !known.contains(sandbox)) {
        tracing::info!(%sandbox, "removing a sandbox that no task knows");
        if let Err(error) = runtime.remove_sandbox(sandbox).await {
            failures.push(error.to_string());
        }
        if let Err(error) = network.detach(sandbox).await {
            failures.push(error.to_string());
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(failures.join("; ")) }
}

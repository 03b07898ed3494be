//! A node without a machine: nothing runs, yet everything is told as if it did.
//!
//! What becomes of a container is said by its [`Fate`]: a script in the environment variable [`SCRIPT_VARIABLE`], so that
//! any client can write one, or a fate that a test sets. Everything is planned by the clock and looked up when asked, so
//! what the traits tell is right at every moment. Only events and delays need somebody to notice that time has passed:
//! [`SimulatedNode::run`] under a clock that runs, or [`SimulatedNode::fire_due`] after a manual clock was advanced.

mod container;
mod exec;
mod fate;
mod http;
mod images;
mod network;
mod reference;
mod runtime;
mod schedule;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::{Clock, ContainerId, TaskId};
use tokio::sync::Notify;

pub use fate::{End, ExecFate, Fate, FateError, Output, Reaction, SCRIPT_VARIABLE};
pub use images::MISSING_REGISTRY;

use self::container::Container;
use self::images::Store;
use self::network::{Bridged, Joined};
use self::reference::Reference;
use self::schedule::Schedule;
use crate::{EventSink, ForwardBatch, ImageError, Node, SandboxSpec};

/// A node that plays tasks by script.
pub struct SimulatedNode {
    clock: Arc<dyn Clock>,
    events: EventSink,
    world: Mutex<World>,
    /// Tells [`SimulatedNode::run`] that something is planned that was not before.
    planned: Notify,
}

/// Everything that there is on the node.
#[derive(Default)]
struct World {
    sandboxes: BTreeMap<TaskId, SandboxSpec>,
    containers: BTreeMap<ContainerId, Container>,
    joined: BTreeMap<TaskId, Joined>,
    /// Those behind others.
    bridged: BTreeMap<TaskId, Bridged>,
    store: Store,
    http: http::Http,
    schedule: Schedule,
    trouble: Trouble,
    /// Processes in containers that do not end by themselves.
    hanging: Vec<exec::Hanging>,
    /// What log routers were handed, the last batches only.
    forwarded: VecDeque<(ContainerId, ForwardBatch)>,
}

/// What tests have arranged to happen.
#[derive(Default)]
struct Trouble {
    fates: HashMap<String, Fate>,
    next_start_failure: Option<String>,
    next_attach_failure: Option<String>,
    start_delay: Duration,
    attach_delay: Duration,
}

impl SimulatedNode {
    /// Makes an empty node that tells `events` what happens by `clock`.
    pub fn new(clock: Arc<dyn Clock>, events: EventSink) -> Arc<Self> {
        Arc::new(Self { clock, events, world: Mutex::default(), planned: Notify::new() })
    }

    /// Returns the node as controllers know it.
    pub fn node(self: &Arc<Self>) -> Node {
        Node { runtime: self.clone(), network: self.clone(), images: self.clone(), http: self.clone() }
    }

    /// Lists what has not been taken away, a line each: sandboxes, containers, network attachments.
    pub fn leftovers(&self) -> Vec<String> {
        let world = self.world();
        let containers =
            world.containers.iter().map(|(id, container)| format!("container {id} of {}", container.sandbox));
        let joined = world.joined.iter().map(|(id, joined)| format!("interface {} of {id}", joined.eni.id));
        let bridged = world.bridged.iter().map(|(id, bridge)| format!("bridge of {} to {id}", bridge.spec.gateway));
        let sandboxes = world.sandboxes.keys().map(|id| format!("sandbox {id}"));
        containers.chain(joined).chain(bridged).chain(sandboxes).collect()
    }

    /// Returns what log routers were handed.
    pub fn forwarded(&self) -> Vec<(ContainerId, ForwardBatch)> {
        self.world().forwarded.iter().cloned().collect()
    }

    /// Says what becomes of containers of that name from now on, whatever their environment says.
    pub fn set_fate(&self, container_name: &str, fate: Fate) {
        self.world().trouble.fates.insert(container_name.to_owned(), fate);
    }

    /// Makes the next start of a container fail.
    pub fn fail_next_start(&self, message: &str) {
        self.world().trouble.next_start_failure = Some(message.to_owned());
    }

    /// Makes the next attachment to a network fail.
    pub fn fail_next_attach(&self, message: &str) {
        self.world().trouble.next_attach_failure = Some(message.to_owned());
    }

    /// Makes every start of a container take that long.
    pub fn delay_starts(&self, by: Duration) {
        self.world().trouble.start_delay = by;
    }

    /// Makes every attachment to a network take that long.
    pub fn delay_attaches(&self, by: Duration) {
        self.world().trouble.attach_delay = by;
    }

    /// Makes every pull of an image take that long.
    pub fn delay_pulls(&self, reference: &str, by: Duration) -> Result<(), ImageError> {
        let reference = Reference::parse(reference)?;
        self.world().store.delay(reference, by);
        Ok(())
    }

    /// Makes an image one that does not exist, until it is loaded.
    pub fn forget_image(&self, reference: &str) -> Result<(), ImageError> {
        let reference = Reference::parse(reference)?;
        self.world().store.forget(reference);
        Ok(())
    }

    /// Returns the world. A panic elsewhere cannot leave it half-changed: no caller's code runs under the lock.
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for SimulatedNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimulatedNode").field("leftovers", &self.leftovers()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

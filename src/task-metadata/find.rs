//! Which task asks: the one whose interface has the address that the request comes from.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use base::{Scope, VpcId};
use state::State;
use state::ecs::{Task, TaskKey, TaskStatus};

/// Where a request comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    /// The VPC.
    pub vpc: VpcId,
    /// The address in it.
    pub address: Ipv4Addr,
}

/// Finds tasks by their addresses.
#[derive(Default)]
pub(crate) struct Finder {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// The generation of the table of tasks that the index was made from.
    generation: u64,
    tasks: HashMap<Peer, (Scope, TaskKey)>,
}

impl Finder {
    /// Returns the task that has the address now, with its account and region.
    pub(crate) fn find(&self, state: &State, peer: &Peer) -> Option<(Scope, Arc<Task>)> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.tasks.get(peer).and_then(|(scope, key)| current(state, scope, key, peer)) {
            return Some(found);
        }
        let generation = state.ecs.tasks.generation();
        if known.generation != generation || known.tasks.is_empty() {
            *known = Known { generation, tasks: index(state) };
        }
        let (scope, key) = known.tasks.get(peer)?;
        current(state, scope, key, peer)
    }
}

/// Returns the task if it still has the address.
fn current(state: &State, scope: &Scope, key: &TaskKey, peer: &Peer) -> Option<(Scope, Arc<Task>)> {
    let task = state.ecs.tasks.get(scope, key)?;
    (peer_of(state, scope, &task).as_ref() == Some(peer)).then(|| (scope.clone(), task))
}

/// Returns where the requests of a task come from; none if it has no interface, or none any more.
fn peer_of(state: &State, scope: &Scope, task: &Task) -> Option<Peer> {
    if task.last_status == TaskStatus::Stopped {
        return None;
    }
    let interface = state.ec2.network_interfaces.get(scope, task.eni.as_ref()?.interface.as_ref()?)?;
    Some(Peer { vpc: interface.vpc.clone(), address: interface.address })
}

fn index(state: &State) -> HashMap<Peer, (Scope, TaskKey)> {
    let tasks = state.ecs.tasks.keys().into_iter().filter_map(|(scope, key)| {
        let task = state.ecs.tasks.get(&scope, &key)?;
        Some((peer_of(state, &scope, &task)?, (scope, key)))
    });
    tasks.collect()
}

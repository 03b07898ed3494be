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

/// Returns the task on the container instance that has the address: several share it, so that it is told by the id that
/// the request's path names, its container's or that of its credentials.
pub(crate) fn on_instance(state: &State, peer: &Peer, named: &str) -> Option<(Scope, Arc<Task>)> {
    let table = &state.ecs.container_instances;
    let is_its = |task: &Task| {
        let credentials = task.credentials.iter().chain(&task.execution_credentials);
        let mut ids = task.containers.iter().map(|container| container.id.as_str()).chain(credentials.map(|c| &*c.id));
        task.last_status != TaskStatus::Stopped && ids.any(|id| id == named)
    };
    table.keys().into_iter().find_map(|(scope, key)| {
        let instance = table.get(&scope, &key)?;
        let interface = instance.host.as_ref()?.interface.as_ref()?;
        let interface = state.ec2.network_interfaces.get(&scope, interface)?;
        let has_address = interface.vpc == peer.vpc && interface.address == peer.address;
        let task = state.ecs.tasks_on(&scope, &instance).into_iter().find(|task| has_address && is_its(task))?;
        Some((scope, task))
    })
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

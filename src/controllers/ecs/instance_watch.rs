//! Who is woken when a container instance changes: the services that place tasks in its cluster, and those that wait for
//! room on it.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::{Scope, TaskId};
use reconcile::{Key, Wakeups};
use state::State;
use state::ecs::{
    Attribute, ClusterName, ContainerInstance, ContainerInstanceKey, DeploymentController, InstanceStatus, LaunchType,
    Resources, Service, ServiceStatus,
};

use super::{INSTANCES, SERVICES, instance, service};

/// Follows the table of container instances.
#[derive(Default)]
pub(crate) struct InstanceWatch {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    instances: HashMap<(Scope, ContainerInstanceKey), Seen>,
    /// The services that wait for room, by cluster. Each asks again when it is woken and still finds none.
    waiting: HashMap<(Scope, ClusterName), BTreeSet<Key>>,
}

/// What of an instance was last seen.
struct Seen {
    face: Face,
    claims: BTreeSet<TaskId>,
}

/// What of an instance decides whether tasks belong there, but for what is taken of it.
#[derive(PartialEq, Eq)]
struct Face {
    status: InstanceStatus,
    is_agent_connected: bool,
    attributes: Vec<Attribute>,
    resources: Resources,
    capacity_provider: Option<String>,
}

/// What a change of an instance means to services.
enum Change {
    /// Tasks may belong there that did not before, or the other way round.
    Face,
    /// Something of it was given back.
    Room,
    /// Nothing.
    None,
}

impl InstanceWatch {
    /// Wakes whoever is concerned by a change of an instance.
    pub(crate) fn watch(self: &Arc<Self>, state: &Arc<State>, wakeups: &Wakeups) {
        let (watch, wakeups, tables) = (Arc::clone(self), wakeups.clone(), Arc::downgrade(state));
        state.ecs.container_instances.watch(move |scope, key| {
            let Some(state) = tables.upgrade() else { return };
            let row = state.ecs.container_instances.get(scope, key);
            wakeups.wake(INSTANCES, instance::key_of(scope, key));
            let change = watch.known().note(scope, key, row.as_deref());
            match change {
                Change::Face => {
                    let services = state.ecs.services_of(scope, &key.cluster);
                    for service in services.filter(|service| places_tasks(service)) {
                        wakeups.wake(SERVICES, service::driver_key(scope, &service.key));
                    }
                }
                Change::Room => {}
                Change::None => return,
            }
            let waiting = watch.known().waiting.remove(&(scope.clone(), key.cluster.clone()));
            waiting.into_iter().flatten().for_each(|service| wakeups.wake(SERVICES, service));
        });
    }

    /// Has a service woken when there may be room for a task of it.
    pub(super) fn wait(&self, scope: &Scope, cluster: &ClusterName, service: Key) {
        self.known().waiting.entry((scope.clone(), cluster.clone())).or_default().insert(service);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn note(&mut self, scope: &Scope, key: &ContainerInstanceKey, row: Option<&ContainerInstance>) -> Change {
        let place = (scope.clone(), key.clone());
        let Some(row) = row else {
            return if self.instances.remove(&place).is_some() { Change::Face } else { Change::None };
        };
        let face = Face {
            status: row.status,
            is_agent_connected: row.is_agent_connected,
            attributes: row.attributes.clone(),
            resources: row.resources.clone(),
            capacity_provider: row.capacity_provider.clone(),
        };
        let claims = row.claims.keys().cloned().collect::<BTreeSet<_>>();
        let before = self.instances.insert(place, Seen { face, claims });
        let now = self.instances.get(&(scope.clone(), key.clone()));
        match (before, now) {
            (Some(before), Some(now)) if before.face == now.face => {
                if before.claims.is_subset(&now.claims) {
                    Change::None
                } else {
                    Change::Room
                }
            }
            _ => Change::Face,
        }
    }
}

/// Whether tasks of a service are placed on container instances.
fn places_tasks(service: &Service) -> bool {
    if service.status != ServiceStatus::Active {
        return false;
    }
    let on_instances = |workload: &state::ecs::Workload| workload.capacity.launch_type() != LaunchType::Fargate;
    // Task sets say themselves where their tasks run.
    service.controller == DeploymentController::External || service.workload.as_ref().is_some_and(on_instances)
}

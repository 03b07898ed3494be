//! Which task a sandbox belongs to: the node speaks of sandboxes, the records of tasks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base::{Scope, TaskId};
use node::Event;
use reconcile::{Key, Wakeups};
use state::State;
use state::ecs::TaskKey;

use super::health_reconciler::has_checks;
use super::{HEALTH, LOGS, SERVICES, TASKS, key_of, service};

/// Finds the driver's key of a sandbox. Filled from the table of tasks, so it holds exactly the tasks that are known.
#[derive(Default)]
pub(crate) struct SandboxIndex {
    keys: Mutex<HashMap<TaskId, Key>>,
}

impl SandboxIndex {
    /// Follows the table of tasks: each change wakes the task's reconciler, and that of its service.
    pub(crate) fn watch(self: &Arc<Self>, state: &Arc<State>, wakeups: &Wakeups) {
        for (scope, task) in state.ecs.tasks.keys() {
            self.learn(&scope, &task);
        }
        let (index, wakeups, tasks) = (Arc::clone(self), wakeups.clone(), Arc::downgrade(state));
        state.ecs.tasks.watch(move |scope, task| {
            let known = tasks.upgrade().and_then(|state| state.ecs.tasks.get(scope, task));
            let Some(known) = known else {
                let forgotten = index.keys().remove(&task.id);
                // It has something to forget, too.
                forgotten.into_iter().for_each(|key| {
                    wakeups.wake(HEALTH, key.clone());
                    wakeups.wake(LOGS, key);
                });
                return;
            };
            let key = index.learn(scope, task);
            if has_checks(&known) {
                wakeups.wake(HEALTH, key.clone());
            }
            wakeups.wake(TASKS, key);
            if let Some(service) = service::key_of_task(scope, &known) {
                wakeups.wake(SERVICES, service);
            }
        });
    }

    /// Wakes whoever is concerned by an event of the node. One of an unknown sandbox concerns nobody.
    pub(crate) fn dispatch(&self, wakeups: &Wakeups, event: &Event) {
        match event {
            Event::Exited { sandbox, .. } => {
                if let Some(key) = self.find(sandbox) {
                    wakeups.wake(LOGS, key.clone());
                    wakeups.wake(TASKS, key);
                }
            }
            Event::Output { sandbox, .. } => {
                if let Some(key) = self.find(sandbox) {
                    wakeups.wake(LOGS, key);
                }
            }
        }
    }

    fn find(&self, sandbox: &TaskId) -> Option<Key> {
        self.keys().get(sandbox).cloned()
    }

    fn learn(&self, scope: &Scope, task: &TaskKey) -> Key {
        self.keys().entry(task.id.clone()).or_insert_with(|| key_of(scope, task)).clone()
    }

    fn keys(&self) -> MutexGuard<'_, HashMap<TaskId, Key>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! The reconciler of health: runs health checks in containers and writes down what they find.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use base::{ContainerId, Scope, Timestamp};
use node::{Exec, ExecInput, ExecOutput, ExecSpec};
use reconcile::{Key, Reconciler, Step};
use state::ecs::{Container, HealthCheck, Task, TaskKey};
use tokio::task::AbortHandle;

use super::health::{self, OUTPUT_BYTES_MAX, Outcome};
use super::{HEALTH, key_of, task_of};
use crate::World;

/// Checks containers. A check runs by itself, so that no step waits for it: a task whose check hangs still stops at once.
pub(crate) struct HealthReconciler {
    world: World,
    probes: Arc<Probes>,
}

/// The checks of containers whose tasks are known, by container. Nothing of them is in the records: after a restart each
/// container is checked an interval after that.
#[derive(Default)]
struct Probes {
    known: Mutex<HashMap<ContainerId, Probe>>,
}

/// Where a container's checks are.
enum Probe {
    /// One runs.
    Running {
        /// Ends it.
        abort: AbortHandle,
    },
    /// One has ended, and its outcome is yet to be written down.
    Ended(Ended),
    /// The last one has ended then.
    Idle { checked_at: Timestamp },
}

/// A check that has ended.
struct Ended {
    outcome: Outcome,
    began: Timestamp,
    at: Timestamp,
}

#[async_trait]
impl Reconciler for HealthReconciler {
    fn name(&self) -> &'static str {
        HEALTH
    }

    fn candidates(&self) -> Vec<Key> {
        let tasks = &self.world.state.ecs.tasks;
        let is_checked = |(scope, key): &(Scope, TaskKey)| tasks.get(scope, key).is_some_and(|task| has_checks(&task));
        tasks.keys().into_iter().filter(is_checked).map(|(scope, task)| key_of(&scope, &task)).collect()
    }

    async fn step(&self, key: &Key) -> Step {
        let Some(name) = task_of(key) else { return Step::Settled };
        let Some(task) = self.world.state.ecs.tasks.get(&key.scope, &name) else {
            self.forget(|container| container.as_str().starts_with(name.id.as_str()));
            return Step::Settled;
        };
        if task.launch.has_agent() {
            // Its agent checks it.
            return Step::Settled;
        }
        let Some(definition) = self.world.state.ecs.task_definitions.get(&key.scope, &task.definition) else {
            return Step::Settled;
        };
        let mut next = None::<Timestamp>;
        for container in &task.containers {
            let check = definition.containers.iter().find(|known| known.name == container.name);
            let Some(check) = check.and_then(|known| known.health_check.as_ref()) else { continue };
            let at = self.look_after(key, &task, container, check);
            next = next.into_iter().chain(at).min();
        }
        next.map_or(Step::Settled, Step::At)
    }
}

impl HealthReconciler {
    pub(crate) fn new(world: World) -> Self {
        Self { world, probes: Arc::default() }
    }

    /// Writes down what a check has found, starts the next one when it is due, and returns when it will be.
    fn look_after(&self, key: &Key, task: &Task, container: &Container, check: &HealthCheck) -> Option<Timestamp> {
        let now = self.world.clock.now();
        if health::next_at(task, container, check, None).is_none() {
            self.forget(|known| *known == container.id);
            return None;
        }
        if let Some(ended) = self.probes.take_ended(&container.id) {
            // What a run has left that is over says nothing of the one that is on.
            if container.restarted_at.is_none_or(|restarted_at| ended.began >= restarted_at) {
                self.note(key, task, container, check, &ended);
            }
        }
        if self.probes.is_running(&container.id) {
            return None;
        }
        let checked_at = self.probes.checked_at(&container.id, self.world.started_at);
        let due = health::next_at(task, container, check, checked_at)?;
        if now < due {
            return Some(due);
        }
        self.start(key, container, check, now);
        None
    }

    fn note(&self, key: &Key, task: &Task, container: &Container, check: &HealthCheck, ended: &Ended) {
        let Some(before) = &container.health else { return };
        let found = health::after(container, before, check, &ended.outcome, ended.began, ended.at);
        if found == *before {
            return;
        }
        if found.status != before.status {
            let status = found.status.as_str();
            tracing::info!(task = %task.key.id, container = %container.name, status, "a container's health has changed");
        }
        self.world.state.ecs.update_task(&key.scope, &task.key, |task| {
            if let Some(known) = task.containers.iter_mut().find(|known| known.id == container.id) {
                known.health = Some(found);
            }
        });
    }

    fn start(&self, key: &Key, container: &Container, check: &HealthCheck, began: Timestamp) {
        let spec =
            ExecSpec { container: container.id.clone(), args: check.command.clone(), user: None, terminal: None };
        let timeout = Duration::from_secs(u64::from(check.timeout_s));
        let (world, probes, key, id) =
            (self.world.clone(), Arc::clone(&self.probes), key.clone(), container.id.clone());
        // Locked over both: a check that ends at once must find itself running, or it would count as running for ever.
        let mut known = self.probes.known();
        let probe = tokio::spawn(async move {
            let outcome = run(&world, &spec, began.plus(timeout)).await;
            probes.end(&id, Ended { outcome, began, at: world.clock.now() });
            world.wakeups.wake(HEALTH, key);
        });
        known.insert(container.id.clone(), Probe::Running { abort: probe.abort_handle() });
    }

    fn forget(&self, is_gone: impl Fn(&ContainerId) -> bool) {
        self.probes.known().retain(|container, probe| {
            let is_gone = is_gone(container);
            if let Probe::Running { abort } = probe
                && is_gone
            {
                abort.abort();
            }
            !is_gone
        });
    }
}

impl Drop for HealthReconciler {
    fn drop(&mut self) {
        self.forget(|_| true);
    }
}

impl Probes {
    fn known(&self) -> MutexGuard<'_, HashMap<ContainerId, Probe>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that a check has ended, unless nobody waits for it any more.
    fn end(&self, container: &ContainerId, ended: Ended) {
        if let Some(probe) = self.known().get_mut(container) {
            *probe = Probe::Ended(ended);
        }
    }

    fn take_ended(&self, container: &ContainerId) -> Option<Ended> {
        let mut known = self.known();
        let probe = known.get_mut(container)?;
        let Probe::Ended(Ended { at, .. }) = *probe else { return None };
        match std::mem::replace(probe, Probe::Idle { checked_at: at }) {
            Probe::Ended(ended) => Some(ended),
            Probe::Running { .. } | Probe::Idle { .. } => None,
        }
    }

    fn is_running(&self, container: &ContainerId) -> bool {
        matches!(self.known().get(container), Some(Probe::Running { .. }))
    }

    /// Returns when a container was last checked; one that an earlier server has started counts as checked when this one
    /// began.
    fn checked_at(&self, container: &ContainerId, server_began: Timestamp) -> Option<Timestamp> {
        match self.known().get(container) {
            Some(Probe::Idle { checked_at }) => Some(*checked_at),
            Some(Probe::Running { .. } | Probe::Ended(_)) | None => Some(server_began),
        }
    }
}

/// Returns whether any container of a task has a health check.
pub(crate) fn has_checks(task: &Task) -> bool {
    task.containers.iter().any(|container| container.health.is_some())
}

/// Runs one check until it ends, or until `deadline`: then it is dropped, and so killed.
async fn run(world: &World, spec: &ExecSpec, deadline: Timestamp) -> Outcome {
    let checking = async {
        match world.node.runtime.exec(spec).await {
            Ok(exec) => collect(exec).await,
            Err(error) => Outcome::Failed { why: error.message },
        }
    };
    tokio::select! {
        biased;
        outcome = checking => outcome,
        () = world.timer.sleep_until(deadline) => Outcome::TimedOut,
    }
}

/// Reads what a check writes, no more of it than is kept, until it has ended.
async fn collect(mut exec: Exec) -> Outcome {
    // It has nothing to read; one that has ended already takes no notice.
    let _ = exec.input.send(ExecInput::End).await;
    let mut written = Vec::new();
    while let Some(piece) = exec.output.recv().await {
        match piece {
            ExecOutput::Stdout(bytes) | ExecOutput::Stderr(bytes) => {
                let room = OUTPUT_BYTES_MAX.saturating_sub(written.len()).min(bytes.len());
                written.extend_from_slice(&bytes[..room]);
            }
            ExecOutput::Exited(code) => {
                let output = String::from_utf8_lossy(&written).into_owned();
                return Outcome::Ended { code, output };
            }
        }
    }
    Outcome::Failed { why: "the health check was lost".to_owned() }
}

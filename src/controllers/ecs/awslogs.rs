//! The `awslogs` log driver: from the output of containers to CloudWatch Logs.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use base::{ContainerId, Region, Scope};
use node::{OutputLine, OutputPage};
use reconcile::{Key, Reconciler, Step};
use state::Moment;
use state::ecs::{AwsLogs, Container, ContainerLog, Task, TaskDefinition, TaskStatus};
use state::logs::StreamName;

use super::task::log_of;
use super::{LOGS, TASKS, key_of, reason, task_of};
use crate::World;

/// How much output is read at a time, so that the containers of a task, and the tasks, take turns.
const READ_BYTES_MAX: usize = 1024 * 1024;
/// How long after a delivery it is looked again whether it would survive a kill, so that its space can be given back.
const RELEASE_AGAIN_AFTER: Duration = Duration::from_millis(5);

/// Delivers output. A container whose definition names no log that runs here has its output read and dropped, so that it
/// never waits for a reader.
pub(crate) struct LogReconciler {
    world: World,
    /// What was delivered and takes up space still: of running containers only.
    unreleased: Mutex<HashMap<ContainerId, (Moment, u64)>>,
}

#[async_trait]
impl Reconciler for LogReconciler {
    fn name(&self) -> &'static str {
        LOGS
    }

    fn candidates(&self) -> Vec<Key> {
        self.world.state.ecs.tasks.keys().iter().map(|(scope, task)| key_of(scope, task)).collect()
    }

    async fn step(&self, key: &Key) -> Step {
        let Some(name) = task_of(key) else { return Step::Settled };
        let Some(task) = self.world.state.ecs.tasks.get(&key.scope, &name) else {
            self.unreleased().retain(|container, _| !container.as_str().starts_with(name.id.as_str()));
            return Step::Settled;
        };
        if task.launch.container_instance().is_some() {
            // The agent of its instance delivers its output.
            return Step::Settled;
        }
        let Some(definition) = self.world.state.ecs.task_definitions.get(&key.scope, &task.definition) else {
            return Step::Settled;
        };
        let (mut has_more, mut is_released) = (false, true);
        for container in &task.containers {
            match self.release(container).await {
                // One page at a time is on its way into the journal, so that output cannot crowd out everything else.
                Ok(false) => is_released = false,
                Ok(true) => match self.deliver(&key.scope, &task, &definition, container).await {
                    Ok(more) => has_more |= more,
                    Err(error) => return Step::Failed { why: error.to_string() },
                },
                Err(error) => return Step::Failed { why: error.to_string() },
            }
        }
        if has_more {
            return Step::Again;
        }
        // A task that stops waits for its last line. The record is read again: it may have changed since the delivery.
        let task = self.world.state.ecs.tasks.get(&key.scope, &task.key);
        if task.is_some_and(|task| task.last_status == TaskStatus::Stopping) {
            self.world.wakeups.wake(TASKS, key.clone());
        }
        if is_released { Step::Settled } else { Step::At(self.world.clock.now().plus(RELEASE_AGAIN_AFTER)) }
    }
}

impl LogReconciler {
    pub(crate) fn new(world: World) -> Self {
        Self { world, unreleased: Mutex::default() }
    }

    /// Delivers one page of a container's output. True means that there was some, so there may be more.
    async fn deliver(
        &self,
        scope: &Scope,
        task: &Task,
        definition: &TaskDefinition,
        container: &Container,
    ) -> Result<bool, node::RuntimeError> {
        let runtime = &self.world.node.runtime;
        let from = delivered(&self.world, scope, &container.id);
        let OutputPage { lines, next } = runtime.read_output(&container.id, from, READ_BYTES_MAX).await?;
        if next == from {
            return Ok(false);
        }
        // The lines and how far they go are kept together: a killed server neither loses lines nor repeats them.
        self.world.state.together(|| {
            if let Some(log) = log_of(definition, container) {
                self.append(scope, log, &stream_name(log, task, container), &lines);
            }
            self.world.state.ecs.container_logs.insert(scope, &container.id, ContainerLog { delivered: next });
        });
        self.unreleased().insert(container.id.clone(), (self.world.state.moment(), next));
        Ok(true)
    }

    /// Gives the space of delivered output back once the delivery would survive a kill. False means that it would not
    /// yet.
    async fn release(&self, container: &Container) -> Result<bool, node::RuntimeError> {
        let Some((moment, up_to)) = self.unreleased().get(&container.id).copied() else { return Ok(true) };
        if !self.world.state.is_kept(moment) {
            return Ok(false);
        }
        self.unreleased().remove(&container.id);
        self.world.node.runtime.release_output(&container.id, up_to).await?;
        Ok(true)
    }

    fn unreleased(&self) -> MutexGuard<'_, HashMap<ContainerId, (Moment, u64)>> {
        self.unreleased.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn append(&self, scope: &Scope, log: &AwsLogs, name: &StreamName, lines: &[OutputLine]) {
        let scope = scope_of(scope, log);
        let logs = &self.world.state.logs;
        let now = self.world.clock.now();
        let appended = logs.with_events_of(&scope, name, |events| {
            // Empty lines are no events: PutLogEvents refuses them, and the driver leaves them out.
            for line in lines.iter().filter(|line| !line.bytes.is_empty()) {
                events.append(line.at, now, String::from_utf8_lossy(&line.bytes).into());
            }
        });
        if appended.is_none() {
            // A stream that was deleted under a running task takes the task's further output with it, as in AWS.
            tracing::debug!(stream = %name.stream, "output dropped: its log stream is gone");
        }
    }
}

/// Makes the log streams of a task before its containers start. Fails, in AWS's words, if a group is missing.
pub(super) fn prepare(world: &World, scope: &Scope, task: &Task, definition: &TaskDefinition) -> Result<(), String> {
    let (logs, now) = (&world.state.logs, world.clock.now());
    for container in &task.containers {
        let Some(log) = log_of(definition, container) else { continue };
        let scope = scope_of(scope, log);
        if log.creates_group {
            logs.make_group(&scope, &log.group, now);
        }
        if logs.groups.get(&scope, &log.group).is_none() {
            return Err(reason::no_log_group());
        }
        logs.make_stream(&scope, &stream_name(log, task, container), now);
    }
    Ok(())
}

/// Returns up to where a container's output has been delivered.
pub(super) fn delivered(world: &World, scope: &Scope, container: &ContainerId) -> u64 {
    world.state.ecs.container_logs.get(scope, container).map_or(0, |log| log.delivered)
}

/// `<prefix>/<container name>/<task id>`; without a prefix, the container's id.
fn stream_name(log: &AwsLogs, task: &Task, container: &Container) -> StreamName {
    let stream = match &log.stream_prefix {
        Some(prefix) => format!("{prefix}/{}/{}", container.name, task.key.id),
        None => container.id.to_string(),
    };
    StreamName { group: log.group.clone(), stream }
}

/// The driver may write to another region than the task's own.
fn scope_of(scope: &Scope, log: &AwsLogs) -> Scope {
    let region = Region::parse(&log.region).unwrap_or_else(|| scope.region.clone());
    Scope::new(scope.account, region)
}

//! The `awslogs` log driver: what is made before a container starts, and how events come into CloudWatch Logs.

pub(super) mod assembler;
mod event_start;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use base::{Region, Scope};
use state::ecs::{AwsLogs, Container, EventStart, LogConfiguration, Task, TaskDefinition};
use state::logs::StreamName;

use self::assembler::Event;
use self::event_start::Pattern;
use super::log_delivery::Source;
use super::reason;
use crate::World;

/// How many compiled patterns are kept.
const PATTERNS_MAX: usize = 256;

/// Compiled patterns, so that each is compiled once and not for each page.
#[derive(Default)]
pub(super) struct Patterns {
    known: Mutex<HashMap<EventStart, Arc<Pattern>>>,
}

impl Patterns {
    /// Returns a pattern; none if it is not one, which keeps a task from starting.
    pub(super) fn get(&self, start: &EventStart) -> Option<Arc<Pattern>> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pattern) = known.get(start) {
            return Some(Arc::clone(pattern));
        }
        let pattern = Arc::new(Pattern::new(start).ok()?);
        if known.len() == PATTERNS_MAX {
            known.clear();
        }
        known.insert(start.clone(), Arc::clone(&pattern));
        Some(pattern)
    }
}

/// Makes the log streams of a task before its containers start. Fails, in AWS's words, if a group is missing.
pub(super) fn prepare(world: &World, scope: &Scope, task: &Task, definition: &TaskDefinition) -> Result<(), String> {
    let (logs, now) = (&world.state.logs, world.clock.now());
    for container in &task.containers {
        let Some(log) = log_of(definition, container) else { continue };
        if let Some(Err(error)) = log.event_start.as_ref().map(Pattern::new) {
            return Err(reason::no_log_pattern(&error));
        }
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

/// Appends events to a container's log stream.
pub(super) fn append(world: &World, source: &Source<'_>, log: &AwsLogs, events: Vec<Event>) {
    let name = stream_name(log, source.task, source.container);
    let now = world.clock.now();
    let appended = world.state.logs.with_events_of(&scope_of(source.scope, log), &name, |known| {
        for Event { at, message } in events {
            known.append(at, now, message.into());
        }
    });
    if appended.is_none() {
        // A stream that was deleted under a running task takes the task's further output with it, as in AWS.
        tracing::debug!(stream = %name.stream, "output dropped: its log stream is gone");
    }
}

/// Returns where a container's output goes, if it goes to CloudWatch Logs.
fn log_of<'a>(definition: &'a TaskDefinition, container: &Container) -> Option<&'a AwsLogs> {
    let definition = definition.containers.iter().find(|known| known.name == container.name)?;
    match definition.log.as_ref()? {
        LogConfiguration::AwsLogs(log) => Some(log),
        LogConfiguration::Splunk(_) | LogConfiguration::FireLens(_) | LogConfiguration::Other { .. } => None,
    }
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

//! Sandboxes and containers that do not exist.

use std::sync::Arc;

use async_trait::async_trait;
use base::{ContainerId, TaskId};

use super::container::Container;
use super::fate::{Fate, SCRIPT_VARIABLE};
use super::schedule::Due;
use super::{SimulatedNode, World};
use crate::{ContainerSpec, ContainerState, OutputPage, Runtime, RuntimeError, RuntimeErrorKind, SandboxSpec, Signal};

#[async_trait]
impl Runtime for SimulatedNode {
    async fn create_sandbox(&self, spec: &SandboxSpec) -> Result<(), RuntimeError> {
        let mut world = self.world();
        if world.sandboxes.contains_key(&spec.id) {
            return Ok(());
        }
        if let Some(namespace) = &spec.network_namespace
            && world.joined.get(&spec.id).is_none_or(|joined| joined.attachment.namespace != *namespace)
        {
            let message = format!("{} is not its network namespace", namespace.display());
            return Err(error(RuntimeErrorKind::Internal, "join the network namespace", spec.id.as_str(), message));
        }
        world.sandboxes.insert(spec.id.clone(), spec.clone());
        Ok(())
    }

    async fn start_container(&self, spec: &ContainerSpec) -> Result<(), RuntimeError> {
        let delay = self.world().trouble.start_delay;
        self.delay(delay).await;
        self.world().start(spec, self.clock.now())?;
        self.planned.notify_one();
        self.fire_due();
        Ok(())
    }

    async fn signal_container(&self, container: &ContainerId, signal: Signal) -> Result<(), RuntimeError> {
        let mut world = self.world();
        let Some(known) = world.containers.get_mut(container) else { return Ok(()) };
        let has_new_end = known.signal(signal, self.clock.now());
        if let Some(at) = known.end_at().filter(|_| has_new_end) {
            world.schedule.plan(at, Due::End(container.clone()));
        }
        drop(world);
        self.planned.notify_one();
        self.fire_due();
        Ok(())
    }

    async fn container(&self, container: &ContainerId) -> Option<ContainerState> {
        self.world().containers.get(container).map(|known| known.state(self.clock.now()))
    }

    async fn read_output(
        &self,
        container: &ContainerId,
        from: u64,
        bytes_max: usize,
    ) -> Result<OutputPage, RuntimeError> {
        let nothing = OutputPage { lines: Vec::new(), next: from };
        let world = self.world();
        Ok(world.containers.get(container).map_or(nothing, |known| known.read(from, bytes_max, self.clock.now())))
    }

    /// Only checks the offset: a script's output is short enough to keep.
    async fn release_output(&self, container: &ContainerId, up_to: u64) -> Result<(), RuntimeError> {
        let world = self.world();
        let Some(known) = world.containers.get(container) else { return Ok(()) };
        let output_end = known.state(self.clock.now()).output_end;
        if up_to > output_end {
            let message = format!("{up_to} is behind its end, {output_end}");
            return Err(error(RuntimeErrorKind::Internal, "release the output", container.as_str(), message));
        }
        Ok(())
    }

    async fn remove_sandbox(&self, sandbox: &TaskId) -> Result<(), RuntimeError> {
        let mut world = self.world();
        world.containers.retain(|_, container| container.sandbox != *sandbox);
        world.sandboxes.remove(sandbox);
        Ok(())
    }

    async fn sandboxes(&self) -> Result<Vec<TaskId>, RuntimeError> {
        Ok(self.world().sandboxes.keys().cloned().collect())
    }
}

impl World {
    fn start(&mut self, spec: &ContainerSpec, now: base::Timestamp) -> Result<(), RuntimeError> {
        if self.containers.contains_key(&spec.id) {
            return Ok(());
        }
        let create_error = |message| error(RuntimeErrorKind::Create, "make the container", &spec.name, message);
        if !self.sandboxes.contains_key(&spec.sandbox) {
            return Err(create_error(format!("there is no sandbox {}", spec.sandbox)));
        }
        if spec.args.is_empty() {
            return Err(create_error("there is no program to run".to_owned()));
        }
        let fate = self.fate(spec).map_err(create_error)?;
        if let Some(message) = fate.create_failure {
            return Err(create_error(message));
        }
        if let Some(message) = self.trouble.next_start_failure.take().or_else(|| fate.start_failure.clone()) {
            return Err(error(RuntimeErrorKind::Start, "start the process", &spec.name, message));
        }
        let container = Container::start(spec.sandbox.clone(), Arc::clone(&spec.root.image), fate, now);
        let (outputs, end) = container.plan();
        for at in outputs {
            self.schedule.plan(at, Due::Output(spec.id.clone()));
        }
        if let Some(at) = end {
            self.schedule.plan(at, Due::End(spec.id.clone()));
        }
        self.containers.insert(spec.id.clone(), container);
        Ok(())
    }

    fn fate(&self, spec: &ContainerSpec) -> Result<Fate, String> {
        if let Some(fate) = self.trouble.fates.get(&spec.name) {
            return Ok(fate.clone());
        }
        // The last of several variables of one name counts, as in a shell.
        let mut values = spec.env.iter().rev().filter_map(|pair| pair.strip_prefix(SCRIPT_VARIABLE)?.strip_prefix('='));
        values
            .next()
            .map_or_else(|| Ok(Fate::default()), |script| Fate::parse(script).map_err(|error| error.to_string()))
    }
}

fn error(kind: RuntimeErrorKind, action: &'static str, subject: &str, message: String) -> RuntimeError {
    RuntimeError { kind, action, subject: subject.to_owned(), message }
}

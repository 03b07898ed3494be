//! Sandboxes and containers that do not exist.

use std::sync::Arc;

use async_trait::async_trait;
use base::{ContainerId, TaskId, Timestamp};

use super::container::Container;
use super::exec;
use super::fate::{Fate, SCRIPT_VARIABLE};
use super::schedule::Due;
use super::{SimulatedNode, World};
use crate::{
    ContainerSpec, ContainerState, ContainerStats, Exec, ExecSpec, ForwardBatch, OutputPage, Runtime, RuntimeError,
    RuntimeErrorKind, SandboxSpec, Signal,
};

/// How many batches are remembered that log routers were handed.
const FORWARDED_MAX: usize = 1_000;

#[async_trait]
impl Runtime for SimulatedNode {
    async fn create_sandbox(&self, spec: &SandboxSpec) -> Result<(), RuntimeError> {
        let mut world = self.world();
        if world.sandboxes.contains_key(&spec.id) {
            return Ok(());
        }
        if let Some(namespace) = &spec.network_namespace
            && !world.has_namespace(&spec.id, namespace)
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

    async fn restart_container(&self, container: &ContainerId, ended_at: Timestamp) -> Result<(), RuntimeError> {
        let now = self.clock.now();
        let mut world = self.world();
        let Some(known) = world.containers.get_mut(container) else {
            let message = "there is no such container".to_owned();
            return Err(error(RuntimeErrorKind::Internal, "restart the process", container.as_str(), message));
        };
        if known.restart(ended_at, now) {
            let plan = known.plan();
            world.plan(container, plan);
        }
        drop(world);
        self.planned.notify_one();
        self.fire_due();
        Ok(())
    }

    /// Starts nothing; tells what the container's script says of such processes.
    async fn exec(&self, spec: &ExecSpec) -> Result<Exec, RuntimeError> {
        let mut world = self.world();
        let fate = world.containers.get(&spec.container).and_then(|container| container.exec(self.clock.now()));
        let Some(fate) = fate else {
            let message = "the container does not run".to_owned();
            return Err(error(RuntimeErrorKind::Internal, "start a process", spec.container.as_str(), message));
        };
        let (started, endless) = exec::start(&fate);
        world.hanging.retain(exec::Hanging::is_awaited);
        world.hanging.extend(endless.map(|ends| exec::Hanging { container: spec.container.clone(), ends }));
        Ok(started)
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

    /// Takes what is handed to a container that runs, whatever it is.
    async fn forward_output(&self, router: &ContainerId, batch: &ForwardBatch) -> Result<(), RuntimeError> {
        let mut world = self.world();
        let runs = world.containers.get(router).is_some_and(|known| known.state(self.clock.now()).exit.is_none());
        if !runs {
            let message = "the container does not run".to_owned();
            return Err(error(RuntimeErrorKind::Internal, "hand output to the log router", router.as_str(), message));
        }
        if world.forwarded.len() == FORWARDED_MAX {
            world.forwarded.pop_front();
        }
        world.forwarded.push_back((router.clone(), batch.clone()));
        Ok(())
    }

    async fn remove_sandbox(&self, sandbox: &TaskId) -> Result<(), RuntimeError> {
        let mut world = self.world();
        let is_gone = |id: &ContainerId| world.containers.get(id).is_some_and(|known| known.sandbox == *sandbox);
        let gone = world.hanging.iter().map(|hanging| is_gone(&hanging.container)).collect::<Vec<_>>();
        let mut gone = gone.into_iter();
        world.hanging.retain(|_| !gone.next().unwrap_or_default());
        world.containers.retain(|_, container| container.sandbox != *sandbox);
        world.sandboxes.remove(sandbox);
        Ok(())
    }

    /// Nothing is used, so nothing is counted.
    async fn stats(&self, container: &ContainerId) -> Option<ContainerStats> {
        let now = self.clock.now();
        let world = self.world();
        let known = world.containers.get(container)?;
        known.state(now).exit.is_none().then(|| ContainerStats {
            at: now,
            cpu_total_ns: 0,
            cpu_user_ns: 0,
            cpu_system_ns: 0,
            cpu_by_processor_ns: Vec::new(),
            machine_cpu_ns: 0,
            processors: 1,
            periods: 0,
            throttled_periods: 0,
            throttled_ns: 0,
            memory_bytes: 0,
            memory_max_bytes: 0,
            memory_limit_bytes: None,
            memory: std::collections::BTreeMap::new(),
            pids: 1,
            block_io: Vec::new(),
        })
    }

    async fn storage_used(&self, sandbox: &TaskId) -> Option<u64> {
        self.world().sandboxes.contains_key(sandbox).then_some(0)
    }

    async fn sandboxes(&self) -> Result<Vec<TaskId>, RuntimeError> {
        Ok(self.world().sandboxes.keys().cloned().collect())
    }
}

impl World {
    fn start(&mut self, spec: &ContainerSpec, now: Timestamp) -> Result<(), RuntimeError> {
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
        let plan = container.plan();
        self.containers.insert(spec.id.clone(), container);
        self.plan(&spec.id, plan);
        Ok(())
    }

    fn plan(&mut self, container: &ContainerId, (outputs, end): (Vec<Timestamp>, Option<Timestamp>)) {
        for at in outputs {
            self.schedule.plan(at, Due::Output(container.clone()));
        }
        if let Some(at) = end {
            self.schedule.plan(at, Due::End(container.clone()));
        }
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

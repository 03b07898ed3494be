//! The reconciler of tasks: carries out what [`plan::next`] says.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base::{Scope, Timestamp};
use node::{ContainerState, Image, RuntimeError, RuntimeErrorKind, Signal};
use reconcile::{Key, Reconciler, Step};
use state::ecs::{
    AttachmentStatus, Container, ContainerStatus, LogConfiguration, StopCode, StopRequest, Task, TaskDefinition,
    TaskKey, TaskStatus,
};

use super::plan::{self, Action, KILL_AGAIN_AFTER, Output};
use super::{ORPHANS, TASKS, awslogs, key_of, launch, network_interface, reason, service, task_of};
use crate::World;

/// How many actions one step carries out before others get their turn. A task's whole life has fewer than twenty.
const ACTIONS_PER_STEP_MAX: usize = 32;

/// How long the output of containers that have ended is waited for before the task is taken away without it: output that
/// cannot be read must not keep a task for ever.
const OUTPUT_WAIT_MAX: Duration = Duration::from_secs(60);

/// Walks each task from PROVISIONING to STOPPED.
pub(crate) struct TaskReconciler {
    world: World,
}

/// The record went away while a step worked on it: a reset. What the step put on the node is an orphan then.
struct Gone;

#[async_trait]
impl Reconciler for TaskReconciler {
    fn name(&self) -> &'static str {
        TASKS
    }

    fn candidates(&self) -> Vec<Key> {
        self.world.state.ecs.tasks.keys().iter().map(|(scope, task)| key_of(scope, task)).collect()
    }

    async fn step(&self, key: &Key) -> Step {
        let Some(name) = task_of(key) else { return Step::Settled };
        let task = OneTask { world: &self.world, scope: &key.scope, key: name };
        for _ in 0..ACTIONS_PER_STEP_MAX {
            match task.act().await {
                Ok(Some(step)) => return step,
                Ok(None) => {}
                Err(Gone) => {
                    self.world.wakeups.wake(ORPHANS, super::orphan::node_key());
                    return Step::Settled;
                }
            }
        }
        Step::Again
    }
}

impl TaskReconciler {
    pub(crate) fn new(world: World) -> Self {
        Self { world }
    }
}

struct OneTask<'a> {
    world: &'a World,
    scope: &'a Scope,
    key: TaskKey,
}

impl OneTask<'_> {
    /// Carries out one action. None means that there may be another one right now.
    async fn act(&self) -> Result<Option<Step>, Gone> {
        let Some(known) = self.world.state.ecs.tasks.get(self.scope, &self.key) else { return Err(Gone) };
        let task = self.observe(known).await?;
        let output = self.output(&task).await;
        match plan::next(&task, output, self.now()) {
            Action::Provision => self.provision(&task).await?,
            Action::Launch => self.launch(&task).await?,
            Action::Enter(status) => self.enter(status)?,
            Action::Terminate => self.terminate(&task).await?,
            Action::Kill => return Ok(Some(self.kill(&task).await)),
            Action::TearDown => return self.tear_down(&task).await,
            Action::Forget => {
                self.forget(&task);
                return Ok(Some(Step::Settled));
            }
            Action::Wait => return Ok(Some(Step::Settled)),
            Action::WaitUntil(at) => return Ok(Some(Step::At(at))),
        }
        Ok(None)
    }

    /// Writes the ends of containers into the record. The end of an essential one asks the task to stop.
    async fn observe(&self, task: Arc<Task>) -> Result<Arc<Task>, Gone> {
        if task.launch.container_instance().is_some() {
            return Ok(task);
        }
        if !matches!(task.last_status, TaskStatus::Running | TaskStatus::Deactivating | TaskStatus::Stopping) {
            return Ok(task);
        }
        let mut ended = Vec::new();
        for container in task.containers.iter().filter(|container| container.status == ContainerStatus::Running) {
            match self.world.node.runtime.container(&container.id).await {
                Some(ContainerState { exit: None, .. }) => {}
                Some(ContainerState { exit: Some(exit), .. }) => ended.push((container.id.clone(), Some(exit))),
                None => ended.push((container.id.clone(), None)),
            }
        }
        if ended.is_empty() {
            return Ok(task);
        }
        let now = self.now();
        self.update(|task| {
            for (id, exit) in ended {
                let Some(container) = task.containers.iter_mut().find(|container| container.id == id) else { continue };
                let at = exit.as_ref().map_or(now, |exit| exit.at);
                container.status = ContainerStatus::Stopped;
                container.finished_at = Some(at);
                container.exit_code = exit.as_ref().map(|exit| exit.code);
                container.reason = match exit {
                    Some(exit) if exit.is_oom_killed => Some(reason::OUT_OF_MEMORY.to_owned()),
                    Some(_) => None,
                    None => Some(reason::vanished()),
                };
                if container.is_essential {
                    task.execution_stopped_at.get_or_insert(at);
                    task.stop(StopRequest {
                        code: StopCode::EssentialContainerExited,
                        reason: reason::ESSENTIAL_EXITED.to_owned(),
                        at: now,
                    });
                }
            }
        })
    }

    async fn provision(&self, task: &Task) -> Result<(), Gone> {
        let now = self.now();
        let Some(network) = &task.network else {
            return self.enter(TaskStatus::Pending);
        };
        // The interface's record and the task's are kept together, so that neither is without the other after a kill.
        let made = self.world.state.together(|| {
            // An interface that an earlier process has made, and not attached, is taken on.
            let eni = match task.eni.as_ref().filter(|eni| eni.interface.is_some()) {
                Some(eni) => eni.clone(),
                None => network_interface::make(self.world, self.scope, task, network)?,
            };
            let zone = network_interface::zone_of(self.world, self.scope, &eni.subnet);
            let recorded = self.update(|task| {
                task.availability_zone.clone_from(&zone);
                task.eni = Some(eni.clone());
            });
            Ok::<_, String>((eni, recorded))
        });
        let (mut eni, recorded) = match made {
            Ok(made) => made,
            Err(why) => return self.fail(&why),
        };
        let Some(spec) = recorded.ok().and_then(|_| network_interface::spec(self.world, self.scope, &eni)) else {
            network_interface::remove(self.world, self.scope, &eni);
            return Err(Gone);
        };
        if let Err(error) = self.world.node.network.attach(&self.key.id, &spec).await {
            tracing::warn!(task = %self.key.id, error = %reason::cannot_attach(&error), "no network interface");
            return self.fail(&reason::cannot_attach(&error));
        }
        eni.status = AttachmentStatus::Attached;
        self.update(|task| {
            task.eni = Some(eni);
            task.connectivity_at = Some(now);
            task.last_status = TaskStatus::Pending;
        })?;
        Ok(())
    }

    async fn launch(&self, task: &Task) -> Result<(), Gone> {
        let definition = self.world.state.ecs.task_definitions.get(self.scope, &task.definition).ok_or(Gone)?;
        if let Err(why) = awslogs::prepare(self.world, self.scope, task, &definition) {
            return self.fail(&why);
        }
        let Some(images) = self.pull(task, &definition).await? else { return Ok(()) };
        let attached = match task.eni.as_ref().and_then(|eni| network_interface::spec(self.world, self.scope, eni)) {
            None => Ok(None),
            Some(spec) => self.world.node.network.attach(&self.key.id, &spec).await.map(Some),
        };
        let namespace = match attached {
            Ok(attachment) => attachment.map(|attachment| attachment.namespace),
            Err(error) => return self.fail(&reason::cannot_attach(&error)),
        };
        let sandbox = launch::sandbox(task, &self.scope.region, namespace);
        if let Err(error) = self.world.node.runtime.create_sandbox(&sandbox).await {
            return self.fail(&reason::cannot_run(&error));
        }
        for (container, image) in task.containers.iter().zip(&images) {
            // A stop may have been asked for while an image was pulled or another container started.
            if self.is_to_stop()? {
                return Ok(());
            }
            if let Err(error) = self.start(task, container, &definition, image).await? {
                let why = reason::cannot_run(&error);
                self.set_reason(container, &why)?;
                return self.fail(&why);
            }
        }
        let now = self.now();
        self.update(|task| {
            task.started_at = Some(now);
            task.last_status = TaskStatus::Running;
        })?;
        Ok(())
    }

    /// Finds the images of all containers, or fails the task.
    async fn pull(&self, task: &Task, definition: &TaskDefinition) -> Result<Option<Vec<Arc<Image>>>, Gone> {
        let started = self.now();
        self.update(|task| {
            task.pull_started_at.get_or_insert(started);
        })?;
        let mut images = Vec::new();
        for container in &definition.containers {
            match self.world.node.images.pull(&container.image).await {
                Ok(image) => images.push(image),
                Err(error) => {
                    let why = reason::cannot_pull(&error);
                    tracing::warn!(
                        task = %self.key.id, %error,
                        "no image; `neargate image load FILE --name {}` brings it", container.image
                    );
                    if let Some(container) = task.containers.iter().find(|known| known.name == container.name) {
                        self.set_reason(container, &why)?;
                    }
                    return self.fail(&why).map(|()| None);
                }
            }
        }
        let stopped = self.now();
        self.update(|task| {
            task.pull_stopped_at.get_or_insert(stopped);
            for (container, image) in task.containers.iter_mut().zip(&images) {
                container.image_digest = Some(image.digest.clone());
            }
        })?;
        Ok(Some(images))
    }

    async fn start(
        &self,
        task: &Task,
        container: &Container,
        definition: &TaskDefinition,
        image: &Arc<Image>,
    ) -> Result<Result<(), RuntimeError>, Gone> {
        let Some(of_container) = definition.containers.iter().find(|known| known.name == container.name) else {
            return Err(Gone);
        };
        let spec = launch::container(task, container, of_container, image, &self.scope.region);
        if spec.args.is_empty() {
            return Ok(Err(RuntimeError {
                kind: RuntimeErrorKind::Create,
                action: "make the container",
                subject: container.name.clone(),
                message: "no command specified".to_owned(),
            }));
        }
        if let Err(error) = self.world.node.runtime.start_container(&spec).await {
            return Ok(Err(error));
        }
        let now = self.now();
        self.update(|task| {
            if let Some(known) = task.containers.iter_mut().find(|known| known.id == container.id) {
                known.status = ContainerStatus::Running;
                known.started_at.get_or_insert(now);
            }
        })?;
        Ok(Ok(()))
    }

    async fn terminate(&self, task: &Task) -> Result<(), Gone> {
        for container in running(task).filter(|container| container.stop_signalled_at.is_none()) {
            self.signal(container, Signal::TERM).await;
            let now = self.now();
            self.update(|task| {
                if let Some(known) = task.containers.iter_mut().find(|known| known.id == container.id) {
                    known.stop_signalled_at = Some(now);
                }
            })?;
        }
        Ok(())
    }

    async fn kill(&self, task: &Task) -> Step {
        let now = self.now();
        for container in running(task).filter(|container| plan::kill_at(container).is_some_and(|at| now >= at)) {
            self.signal(container, Signal::KILL).await;
        }
        // Its end is an event. Should that fail to come, the signal is sent again.
        Step::At(now.plus(KILL_AGAIN_AFTER))
    }

    async fn tear_down(&self, task: &Task) -> Result<Option<Step>, Gone> {
        if let Err(error) = self.world.node.runtime.remove_sandbox(&self.key.id).await {
            return Ok(Some(Step::Failed { why: error.to_string() }));
        }
        if let Err(error) = self.world.node.network.detach(&self.key.id).await {
            return Ok(Some(Step::Failed { why: error.to_string() }));
        }
        if let Some(eni) = &task.eni {
            network_interface::remove(self.world, self.scope, eni);
        }
        let now = self.now();
        self.update(|task| {
            task.stopped_at = Some(now);
            task.last_status = TaskStatus::Stopped;
            for container in &mut task.containers {
                container.status = ContainerStatus::Stopped;
            }
            if let Some(eni) = &mut task.eni {
                eni.status = AttachmentStatus::Deleted;
            }
        })?;
        self.forget_output(task);
        Ok(None)
    }

    fn forget(&self, task: &Task) {
        self.forget_output(task);
        if let Some(token) = &task.client_token {
            self.world.state.ecs.run_tokens.remove(self.scope, token);
        }
        self.world.state.ecs.tasks.remove(self.scope, &self.key);
        service::forget_membership(&self.world.state, self.scope, task);
    }

    fn forget_output(&self, task: &Task) {
        for container in &task.containers {
            self.world.state.ecs.container_logs.remove(self.scope, &container.id);
        }
    }

    fn enter(&self, status: TaskStatus) -> Result<(), Gone> {
        self.update(|task| {
            task.last_status = status;
            if let (TaskStatus::Deprovisioning, Some(eni)) = (status, &mut task.eni) {
                eni.status = AttachmentStatus::Detaching;
            }
        })?;
        Ok(())
    }

    fn fail(&self, why: &str) -> Result<(), Gone> {
        let stop = StopRequest { code: StopCode::TaskFailedToStart, reason: why.to_owned(), at: self.now() };
        self.update(|task| task.stop(stop))?;
        Ok(())
    }

    fn set_reason(&self, container: &Container, why: &str) -> Result<(), Gone> {
        self.update(|task| {
            if let Some(known) = task.containers.iter_mut().find(|known| known.id == container.id) {
                known.status = ContainerStatus::Stopped;
                known.reason = Some(why.to_owned());
            }
        })?;
        Ok(())
    }

    async fn signal(&self, container: &Container, signal: Signal) {
        if let Err(error) = self.world.node.runtime.signal_container(&container.id, signal).await {
            tracing::warn!(task = %self.key.id, container = %container.name, %error, "cannot signal");
        }
    }

    /// Finds out whether the output of containers that have ended is in its logs.
    async fn output(&self, task: &Task) -> Output {
        let ended = task.containers.iter().filter_map(|container| container.finished_at).max();
        // Nothing was delivered while no server ran: the wait begins anew with this one.
        let since = ended.map_or(self.world.started_at, |at| at.max(self.world.started_at));
        let awaited = Output::AwaitedUntil(since.plus(OUTPUT_WAIT_MAX));
        if task.last_status != TaskStatus::Stopping {
            return awaited;
        }
        for container in task.containers.iter().filter(|container| container.started_at.is_some()) {
            let Some(state) = self.world.node.runtime.container(&container.id).await else { continue };
            if awslogs::delivered(self.world, self.scope, &container.id) < state.output_end {
                return awaited;
            }
        }
        Output::Delivered
    }

    fn is_to_stop(&self) -> Result<bool, Gone> {
        self.world.state.ecs.tasks.get(self.scope, &self.key).map(|task| task.stop.is_some()).ok_or(Gone)
    }

    fn update(&self, change: impl FnOnce(&mut Task)) -> Result<Arc<Task>, Gone> {
        self.world.state.ecs.update_task(self.scope, &self.key, change).ok_or(Gone)
    }

    fn now(&self) -> Timestamp {
        self.world.clock.now()
    }
}

fn running(task: &Task) -> impl Iterator<Item = &Container> {
    task.containers.iter().filter(|container| container.status == ContainerStatus::Running)
}

/// Returns where a container's output goes, if it goes to CloudWatch Logs.
pub(super) fn log_of<'a>(definition: &'a TaskDefinition, container: &Container) -> Option<&'a state::ecs::AwsLogs> {
    let definition = definition.containers.iter().find(|known| known.name == container.name)?;
    match definition.log.as_ref()? {
        LogConfiguration::AwsLogs(log) => Some(log),
        LogConfiguration::Other { .. } => None,
    }
}

//! The reconciler of tasks: carries out what [`plan::next`] says.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base::{Scope, Timestamp};
use node::{ContainerState, PullBehavior, Signal};
use reconcile::{Key, Reconciler, Step};
use state::ecs::{
    AttachmentStatus, Container, ContainerDefinition, ContainerHealth, ContainerStatus, StopCode, StopRequest, Task,
    TaskDefinition, TaskKey, TaskStatus,
};

use super::credentials::{self, Given};
use super::order::Obstacle;
use super::plan::{self, Action, KILL_AGAIN_AFTER, Known, Output};
use super::pull::Pulls;
use super::splunk::{self, Readiness, Verifications};
use super::start::{self, Failure, Prepared, Start};
use super::{ORPHANS, TASKS, ending, firelens, key_of, log_delivery, network_interface, reason, service, task_of};
use crate::World;

/// How many actions one step carries out before others get their turn. A task's whole life has fewer than twenty.
const ACTIONS_PER_STEP_MAX: usize = 32;

/// How long the output of containers that have ended is waited for before the task is taken away without it: output that
/// cannot be read must not keep a task for ever.
const OUTPUT_WAIT_MAX: Duration = Duration::from_secs(60);

/// The exit code of a container that was given up before it started: the agent's, which is that of SIGTERM.
const CODE_ABANDONED: i32 = 143;

/// Walks each task from PROVISIONING to STOPPED.
pub(crate) struct TaskReconciler {
    world: World,
    verifications: Verifications,
    pulls: Arc<Pulls>,
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
        let task = OneTask {
            world: &self.world,
            verifications: &self.verifications,
            pulls: &self.pulls,
            scope: &key.scope,
            key: name,
        };
        for _ in 0..ACTIONS_PER_STEP_MAX {
            match task.act().await {
                Ok(Some(step)) => return step,
                Ok(None) => {}
                Err(Gone) => {
                    self.verifications.forget(&task.key.id);
                    self.pulls.forget(key);
                    self.world.wakeups.wake(ORPHANS, super::orphan::node_key());
                    return Step::Settled;
                }
            }
        }
        Step::Again
    }
}

impl TaskReconciler {
    pub(crate) fn new(world: World, pulls: Arc<Pulls>) -> Self {
        Self { world, verifications: Verifications::default(), pulls }
    }
}

struct OneTask<'a> {
    world: &'a World,
    verifications: &'a Verifications,
    pulls: &'a Pulls,
    scope: &'a Scope,
    key: TaskKey,
}

impl OneTask<'_> {
    /// Carries out one action. None means that there may be another one right now.
    async fn act(&self) -> Result<Option<Step>, Gone> {
        let Some(task) = self.world.state.ecs.tasks.get(self.scope, &self.key) else { return Err(Gone) };
        if task.stop.is_some() {
            self.pulls.forget(&self.key());
        }
        let definition = self.world.state.ecs.task_definitions.get(self.scope, &task.definition);
        let definitions = definition.as_ref().map_or(&[][..], |definition| &definition.containers);
        let task = self.observe(task, definitions).await?;
        let output = self.output(&task).await;
        let renew_at = credentials::renew_at(self.world, &task);
        match plan::next(Known { task: &task, definitions, output, renew_at }, self.now()) {
            Action::Provision => self.provision(&task).await?,
            Action::Launch(_) if self.pulls.is_pulling(&self.key()) => return Ok(Some(Step::Settled)),
            Action::Launch(places) => {
                if let Some(step) = self.launch(&task, definition.as_deref().ok_or(Gone)?, &places).await? {
                    return Ok(Some(step));
                }
            }
            Action::Abandon(place, obstacle) => self.abandon(&task, place, obstacle)?,
            Action::Restart(place) => self.restart(&task, place).await?,
            Action::RenewCredentials => {
                self.give_credentials(&task, definition.as_deref().ok_or(Gone)?, true)?;
            }
            Action::Enter(status) => self.enter(status)?,
            Action::Terminate(places) => {
                let awaited = self.without_routers(&task, definition.as_deref(), places, output).await;
                match awaited {
                    Ok(places) => self.terminate(&task, &places).await?,
                    Err(step) => return Ok(Some(step)),
                }
            }
            Action::Kill(places) => return Ok(Some(self.kill(&task, &places).await)),
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

    /// Writes the ends of containers into the record.
    async fn observe(&self, task: Arc<Task>, definitions: &[ContainerDefinition]) -> Result<Arc<Task>, Gone> {
        if task.launch.has_agent() {
            return Ok(task);
        }
        if matches!(task.last_status, TaskStatus::Provisioning | TaskStatus::Deprovisioning | TaskStatus::Stopped) {
            return Ok(task);
        }
        let mut ended = Vec::new();
        for container in task.containers.iter().filter(|container| container.status == ContainerStatus::Running) {
            match self.world.node.runtime.container(&container.id).await {
                Some(ContainerState { exit: None, .. }) => {}
                // It is being started again after that end, unless the task is to stop.
                Some(ContainerState { exit: Some(exit), .. })
                    if container.restarting_after == Some(exit.at) && task.stop.is_none() => {}
                Some(ContainerState { exit: Some(exit), .. }) => ended.push((container, Some(exit))),
                None => ended.push((container, None)),
            }
        }
        if ended.is_empty() {
            return Ok(task);
        }
        let now = self.now();
        self.update(|task| {
            for (container, exit) in ended {
                let policy = definitions.iter().find(|known| known.name == container.name);
                let policy = policy.and_then(|known| known.restart_policy.as_ref());
                ending::note(task, &container.id, policy, exit.as_ref(), now);
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

    /// Starts containers. Returns when it is to be tried again if that cannot be now.
    async fn launch(&self, task: &Task, definition: &TaskDefinition, places: &[usize]) -> Result<Option<Step>, Gone> {
        match splunk::prepare(self.world, self.verifications, self.scope, task, definition, places) {
            Ok(Readiness::Ready) => {}
            Ok(Readiness::FindingOut) => return Ok(Some(Step::Settled)),
            Ok(Readiness::Crowded) => return Ok(Some(Step::At(self.now().plus(splunk::PLACE_AGAIN_AFTER)))),
            Err(why) => return self.fail(&why).map(|()| None),
        }
        self.start(task, definition, places).await
    }

    /// Starts containers. The step is what to do while their images are pulled.
    async fn start(&self, task: &Task, definition: &TaskDefinition, places: &[usize]) -> Result<Option<Step>, Gone> {
        let task = self.give_credentials(task, definition, false)?;
        let start = Start { world: self.world, scope: self.scope, task: &task, definition };
        let prepared = match self.prepare(&start, places).await? {
            Some(Ok(prepared)) => prepared,
            // The end of the pull wakes the task.
            None => return Ok(Some(Step::Settled)),
            Some(Err(failure)) => {
                if let Some(container) = failure.container.and_then(|place| task.containers.get(place)) {
                    self.set_reason(container, &failure.why)?;
                }
                return self.fail(&failure.why).map(|()| None);
            }
        };
        for prepared in prepared {
            // A stop may have been asked for while an image was pulled or another container started.
            if self.is_to_stop()? {
                return Ok(None);
            }
            let Some(container) = task.containers.get(prepared.place) else { continue };
            let stop_signal = start::stop_signal(&prepared.image);
            match start.start(prepared).await {
                Ok(()) => self.note_start(container, stop_signal)?,
                Err(error) => {
                    let why = reason::cannot_run(&error);
                    tracing::warn!(task = %self.key.id, container = %container.name, %why, "a container did not start");
                    self.set_reason(container, &why)?;
                    if container.is_essential {
                        return self.fail(&why).map(|()| None);
                    }
                }
            }
        }
        Ok(None)
    }

    /// Finds everything that containers need to start; nothing while images are pulled. The first time the images of all
    /// of them, so that none starts if one cannot.
    async fn prepare(
        &self,
        start: &Start<'_>,
        places: &[usize],
    ) -> Result<Option<Result<Vec<Prepared>, Failure>>, Gone> {
        let fetched = match start.fetch(places).await {
            Ok(fetched) => fetched,
            Err(failure) => return Ok(Some(Err(failure))),
        };
        let is_first = start.task.pull_stopped_at.is_none();
        if is_first {
            let began = self.now();
            self.update(|task| {
                task.pull_started_at.get_or_insert(began);
            })?;
        }
        // What was pulled for the task once is not asked for again, should this be a server that was restarted.
        let behavior = if is_first { self.world.settings.pull_behavior } else { PullBehavior::PreferCached };
        let all = (0..start.task.containers.len()).collect::<Vec<_>>();
        let mut images = self.pulls.get(self.world, &self.key(), || start.wanted(&all, behavior));
        let mut made = None;
        if images.is_none() {
            // Made while registries answer. What fails of it fails again below, should there be images.
            made = start.make_sandbox().await.ok();
            // An image that only had to be asked for may be here by now.
            images = self.pulls.ended(&self.key());
        }
        let images = match images {
            None => return Ok(None),
            Some(Ok(images)) => images,
            Some(Err(failure)) => return Ok(Some(Err(failure))),
        };
        if is_first {
            let ended = self.now();
            self.update(|task| {
                task.pull_stopped_at.get_or_insert(ended);
                for (place, image) in &images {
                    if let Some(container) = task.containers.get_mut(*place) {
                        container.image_digest = Some(image.digest.clone());
                    }
                }
            })?;
        }
        let made = match made {
            Some(hosts) => Ok(hosts),
            None => start.make_sandbox().await,
        };
        Ok(Some(made.map(|hosts| start.prepared(fetched, &images, &hosts))))
    }

    /// Gives the task credentials of its roles, those that it lacks or all anew.
    fn give_credentials(&self, task: &Task, definition: &TaskDefinition, is_renewal: bool) -> Result<Arc<Task>, Gone> {
        // The sessions and the task that names them are kept together.
        self.world.state.together(|| {
            let given = credentials::give(self.world, self.scope, task, definition, is_renewal);
            let Given { task: of_task, execution } = given;
            self.update(|task| {
                task.credentials = of_task;
                task.execution_credentials = execution;
            })
        })
    }

    fn note_start(&self, container: &Container, stop_signal: Option<i32>) -> Result<(), Gone> {
        let now = self.now();
        self.update_container(container, |known| {
            known.status = ContainerStatus::Running;
            known.started_at.get_or_insert(now);
            known.stop_signal = stop_signal;
            known.health = known.health.take().map(|_| ContainerHealth::new(now));
        })
    }

    /// Gives a container up that can never start.
    fn abandon(&self, task: &Task, place: usize, obstacle: Obstacle) -> Result<(), Gone> {
        let Some(container) = task.containers.get(place) else { return Ok(()) };
        let why = reason::cannot_depend(task, container, obstacle);
        self.update_container(container, |known| {
            known.status = ContainerStatus::Stopped;
            known.exit_code = Some(CODE_ABANDONED);
            known.reason = Some(why.clone());
        })?;
        if container.is_essential { self.fail(&why) } else { Ok(()) }
    }

    /// Starts a container again that has ended.
    async fn restart(&self, task: &Task, place: usize) -> Result<(), Gone> {
        let Some(container) = task.containers.get(place) else { return Ok(()) };
        let Some(ended_at) = container.restarting_after else { return Ok(()) };
        let restarted = self.world.node.runtime.restart_container(&container.id, ended_at).await;
        let now = self.now();
        match restarted {
            Ok(()) => self.update_container(container, |known| {
                known.restarting_after = None;
                known.restarted_at = Some(now);
                known.health = known.health.take().map(|_| ContainerHealth::new(now));
            }),
            Err(error) => {
                let why = reason::cannot_run(&error);
                tracing::warn!(task = %self.key.id, container = %container.name, %why, "a container did not restart");
                self.update(|task| ending::note(task, &container.id, None, None, now))?;
                self.set_reason(container, &why)
            }
        }
    }

    /// Leaves out log routers that have output to come, for as long as output is waited for. The step is what to do if
    /// nothing is left.
    async fn without_routers(
        &self,
        task: &Task,
        definition: Option<&TaskDefinition>,
        places: Vec<usize>,
        output: Output,
    ) -> Result<Vec<usize>, Step> {
        let (Some(definition), Output::AwaitedUntil(until)) = (definition, output) else { return Ok(places) };
        if self.now() >= until {
            return Ok(places);
        }
        let mut left = Vec::with_capacity(places.len());
        for place in places {
            if !firelens::is_awaited(self.world, self.scope, task, definition, place).await {
                left.push(place);
            }
        }
        if left.is_empty() { Err(Step::At(until)) } else { Ok(left) }
    }

    async fn terminate(&self, task: &Task, places: &[usize]) -> Result<(), Gone> {
        self.keep().await;
        for container in places.iter().filter_map(|place| task.containers.get(*place)) {
            self.signal(container, container.stop_signal.map_or(Signal::TERM, Signal)).await;
            let now = self.now();
            self.update_container(container, |known| known.stop_signalled_at = Some(now))?;
        }
        Ok(())
    }

    /// Waits until the journal has what the records say. A server that is killed after a signal, and knows nothing of what
    /// asked for it afterwards, would take the container's end for the container's own; one that is killed after it has
    /// removed a sandbox would not know how its containers ended.
    async fn keep(&self) {
        if self.world.state.is_kept(self.world.state.moment()) {
            return;
        }
        let state = Arc::clone(&self.world.state);
        match tokio::task::spawn_blocking(move || state.flush()).await {
            Ok(Ok(())) => {}
            // The end is still wanted.
            Ok(Err(error)) => tracing::warn!(task = %self.key.id, %error, "the end of a task is not kept"),
            Err(error) => tracing::error!(task = %self.key.id, %error, "waiting for the journal failed"),
        }
    }

    async fn kill(&self, task: &Task, places: &[usize]) -> Step {
        for container in places.iter().filter_map(|place| task.containers.get(*place)) {
            self.signal(container, Signal::KILL).await;
        }
        // Its end is an event. Should that fail to come, the signal is sent again.
        Step::At(self.now().plus(KILL_AGAIN_AFTER))
    }

    async fn tear_down(&self, task: &Task) -> Result<Option<Step>, Gone> {
        self.keep().await;
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
            task.credentials = None;
            task.execution_credentials = None;
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
        self.verifications.forget(&task.key.id);
        for container in &task.containers {
            self.world.state.ecs.container_logs.remove(self.scope, &container.id);
        }
    }

    fn enter(&self, status: TaskStatus) -> Result<(), Gone> {
        let now = self.now();
        if status != TaskStatus::Pending {
            // Nothing is left to start.
            self.pulls.forget(&self.key());
        }
        self.update(|task| {
            task.last_status = status;
            if status == TaskStatus::Running {
                task.started_at.get_or_insert(now);
            }
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
        self.update_container(container, |known| {
            known.status = ContainerStatus::Stopped;
            known.reason = Some(why.to_owned());
        })
    }

    fn update_container(&self, container: &Container, change: impl FnOnce(&mut Container)) -> Result<(), Gone> {
        self.update(|task| {
            if let Some(known) = task.containers.iter_mut().find(|known| known.id == container.id) {
                change(known);
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
            if !log_delivery::is_delivered(&self.world.state, self.scope, &container.id, state.output_end) {
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

    fn key(&self) -> Key {
        key_of(self.scope, &self.key)
    }

    fn now(&self) -> Timestamp {
        self.world.clock.now()
    }
}

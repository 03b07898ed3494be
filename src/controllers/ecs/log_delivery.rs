//! From the output of containers to where their definition sends it, whatever the log driver.
//!
//! How far output was delivered is a record of its own, written together with what was delivered to CloudWatch Logs, or
//! after somebody else has acknowledged it. So a killed server loses nothing, and what it had yet to hear about is sent
//! twice at worst.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use base::{Arn, ContainerId, Scope, Timestamp};
use futures_util::future::{BoxFuture, join_all};
use node::{OutputPage, RuntimeError};
use reconcile::{Key, Reconciler, Step};
use state::ecs::{
    AccountSettingKey, AwsLogs, Container, ContainerDefinition, ContainerLog, DeliveryMode, LogConfiguration, Task,
    TaskDefinition, TaskStatus,
};
use state::{Moment, State};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::awslogs::assembler::{Assembler, grows_until};
use super::errand::Errands;
use super::{LOGS, TASKS, awslogs, firelens, key_of, splunk, task_of};
use crate::World;

/// How much output is read at a time, so that the containers of a task, and the tasks, take turns.
const READ_BYTES_MAX: usize = 1024 * 1024;
/// How long after a failure the same lines are sent again; twice as long after each further one.
const RETRY_AFTER: Duration = Duration::from_millis(100);
/// How many routers may be taking lines at a time, and how many of those that did not take their last ones: some that do not
/// answer leave places to the others.
const ROUTERS_MAX: usize = 48;
const SILENT_ROUTERS_MAX: usize = 16;
/// The longest time between two tries.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(5);
/// The account setting that says what happens to output that comes too fast.
const MODE_SETTING: &str = "defaultLogDriverMode";

/// Delivers output. A container whose definition names no log that runs here has its output read and dropped, so that it
/// never waits for a reader.
pub(crate) struct LogReconciler {
    world: World,
    patterns: awslogs::Patterns,
    senders: splunk::Senders,
    routers: Arc<Semaphore>,
    silent_routers: Arc<Semaphore>,
    /// What receivers are taking now that may be slow.
    sending: Errands<Sent>,
    /// What was delivered and takes up space still: of running containers only.
    unreleased: Mutex<HashMap<ContainerId, (Moment, u64)>>,
    /// The tasks that look again when the journal has come so far.
    unkept: Arc<Mutex<HashSet<Key>>>,
    /// Whose output was not taken.
    obstacles: Mutex<HashMap<ContainerId, Obstacle>>,
}

/// What came of sending a page.
struct Sent {
    from: u64,
    next: u64,
    taken: Result<(), String>,
}

/// The right to send a page to a receiver that may be slow.
enum Turn {
    Splunk(splunk::Turn),
    Router(OwnedSemaphorePermit),
}

/// Output that was not taken.
#[derive(Clone, Copy)]
struct Obstacle {
    tries: u32,
    retry_at: Timestamp,
}

/// A container whose output is delivered.
pub(super) struct Source<'a> {
    pub(super) scope: &'a Scope,
    pub(super) task: &'a Task,
    pub(super) definition: &'a TaskDefinition,
    pub(super) container: &'a Container,
}

/// How far the delivery of one container has come.
enum Progress {
    /// There may be more right now.
    More,
    /// Nothing is to be done before that time, unless something happens.
    Until(Timestamp),
    /// Nothing is to be done.
    Done,
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
            self.forget(name.id.as_str());
            return Step::Settled;
        };
        if task.launch.has_agent() {
            // The agent of its instance delivers its output.
            return Step::Settled;
        }
        let Some(definition) = self.world.state.ecs.task_definitions.get(&key.scope, &task.definition) else {
            return Step::Settled;
        };
        // One that is slow to take its output holds none of the others up.
        let advances = task.containers.iter().map(|container| {
            let (scope, task, definition) = (&key.scope, &*task, &*definition);
            self.advance(Source { scope, task, definition, container })
        });
        let (mut has_more, mut until) = (false, None::<Timestamp>);
        for progress in join_all(advances).await {
            match progress {
                Ok(Progress::More) => has_more = true,
                Ok(Progress::Until(at)) => until = until.into_iter().chain([at]).min(),
                Ok(Progress::Done) => {}
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
        until.map_or(Step::Settled, Step::At)
    }
}

impl LogReconciler {
    pub(crate) fn new(world: World) -> Self {
        let senders = splunk::Senders::new(world.clone());
        Self {
            world,
            senders,
            routers: Arc::new(Semaphore::new(ROUTERS_MAX)),
            silent_routers: Arc::new(Semaphore::new(SILENT_ROUTERS_MAX)),
            sending: Errands::default(),
            patterns: awslogs::Patterns::default(),
            unreleased: Mutex::default(),
            unkept: Arc::default(),
            obstacles: Mutex::default(),
        }
    }

    /// Delivers one page of a container's output. One page at a time is on its way into the journal, so that output cannot
    /// crowd out everything else.
    async fn advance(&self, source: Source<'_>) -> Result<Progress, RuntimeError> {
        let container = &source.container.id;
        let now = self.world.clock.now();
        if !self.release(container).await? {
            self.look_again(&source);
            return Ok(Progress::Done);
        }
        if let Some(retry_at) = self.obstacles().get(container).map(|obstacle| obstacle.retry_at)
            && now < retry_at
        {
            return Ok(Progress::Until(retry_at));
        }
        if self.sending.is_under_way(container) {
            return Ok(Progress::Done);
        }
        let known = log_record(&self.world.state, source.scope, container);
        if let Some(sent) = self.sending.take(container).filter(|sent| sent.from == known.delivered) {
            return Ok(self.conclude(&source, sent));
        }
        let turn = match self.turn(&source) {
            Ok(turn) => turn,
            Err(progress) => return Ok(progress),
        };
        let page = self.world.node.runtime.read_output(container, known.delivered, READ_BYTES_MAX).await?;
        let next = page.next;
        if next == known.delivered && known.pending.is_none() {
            return Ok(Progress::Done);
        }
        if let Some(LogConfiguration::AwsLogs(log)) = source.log() {
            return self.append(source, log, known, page).await;
        }
        let from = known.delivered;
        let Some(turn) = turn else { return Ok(self.conclude(&source, Sent { from, next, taken: Ok(()) })) };
        self.send(&source, turn, from, page);
        Ok(Progress::Done)
    }

    /// Lets a container have its turn with its receiver, if that is one that may be slow.
    fn turn(&self, source: &Source<'_>) -> Result<Option<Turn>, Progress> {
        let turn = match source.log() {
            Some(LogConfiguration::Splunk(log)) => match self.senders.turn(source, log) {
                Ok(turn) => turn.map(Turn::Splunk),
                Err(why) => return Err(Progress::Until(self.note_obstacle(source, &why))),
            },
            Some(LogConfiguration::FireLens(_)) => {
                let is_silent = self.obstacles().contains_key(&source.container.id);
                let places = if is_silent { &self.silent_routers } else { &self.routers };
                Arc::clone(places).try_acquire_owned().ok().map(Turn::Router)
            }
            Some(LogConfiguration::AwsLogs(_) | LogConfiguration::Other { .. }) | None => return Ok(None),
        };
        let now = self.world.clock.now();
        turn.map(Some).ok_or_else(|| Progress::Until(now.plus(splunk::PLACE_AGAIN_AFTER)))
    }

    /// Sends a page, beside the steps; the container's next step after it learns what came of it.
    fn send(&self, source: &Source<'_>, turn: Turn, from: u64, page: OutputPage) {
        let OutputPage { next, lines } = page;
        let work: BoxFuture<'static, Result<(), String>> = match turn {
            Turn::Splunk(turn) => Box::pin(turn.send(from, lines)),
            Turn::Router(place) => match firelens::batch(source, from, lines) {
                None => Box::pin(std::future::ready(Ok(()))),
                Some((router, batch)) => {
                    let runtime = Arc::clone(&self.world.node.runtime);
                    Box::pin(async move {
                        let _place = place;
                        runtime.forward_output(&router, &batch).await.map_err(|error| error.to_string())
                    })
                }
            },
        };
        let (wakeups, key) = (self.world.wakeups.clone(), key_of(source.scope, &source.task.key));
        let sent = async move { Sent { from, next, taken: work.await } };
        self.sending.begin(&source.container.id, sent, move || wakeups.wake(LOGS, key));
    }

    /// Notes what came of sending a page.
    fn conclude(&self, source: &Source<'_>, sent: Sent) -> Progress {
        if let Err(why) = &sent.taken {
            return Progress::Until(self.note_obstacle(source, why));
        }
        let container = &source.container.id;
        self.obstacles().remove(container);
        self.note(source, ContainerLog { delivered: sent.next, pending: None });
        self.await_release(container, sent.next);
        Progress::More
    }

    /// Appends a page to a container's log stream.
    async fn append(
        &self,
        source: Source<'_>,
        log: &AwsLogs,
        known: ContainerLog,
        page: OutputPage,
    ) -> Result<Progress, RuntimeError> {
        let container = &source.container.id;
        let has_new = page.next != known.delivered;
        let state = self.world.node.runtime.container(container).await;
        let is_over = !has_new && state.is_none_or(|state| state.exit.is_some() && state.output_end <= page.next);
        let pattern = log.event_start.as_ref().and_then(|start| self.patterns.get(start));
        let mut assembler = Assembler::new(pattern.as_deref(), known.pending);
        page.lines.iter().for_each(|line| assembler.take(line.at, &line.bytes));
        if is_over {
            assembler.flush();
        } else if !has_new {
            assembler.flush_late(self.world.clock.now());
        }
        let (events, pending) = assembler.finish();
        let until = pending.as_ref().map(grows_until);
        if has_new || !events.is_empty() {
            // The lines and how far they go are kept together: a killed server neither loses lines nor repeats them.
            self.world.state.together(|| {
                awslogs::append(&self.world, &source, log, events);
                self.note(&source, ContainerLog { delivered: page.next, pending });
            });
        }
        if has_new {
            self.await_release(container, page.next);
            return Ok(Progress::More);
        }
        Ok(until.map_or(Progress::Done, Progress::Until))
    }

    /// Gives the space of delivered output back once the delivery would survive a kill. False means that it would not
    /// yet.
    async fn release(&self, container: &ContainerId) -> Result<bool, RuntimeError> {
        let Some((moment, up_to)) = self.unreleased().get(container).copied() else { return Ok(true) };
        if !self.world.state.is_kept(moment) {
            return Ok(false);
        }
        self.unreleased().remove(container);
        self.world.node.runtime.release_output(container, up_to).await?;
        Ok(true)
    }

    /// Looks again when the journal has come so far. One wait at a time is for all tasks: the journal tells nobody whose
    /// records it has written.
    fn look_again(&self, source: &Source<'_>) {
        let mut waiting = keys(&self.unkept);
        let is_under_way = !waiting.is_empty();
        waiting.insert(key_of(source.scope, &source.task.key));
        drop(waiting);
        if is_under_way {
            return;
        }
        let (state, wakeups, unkept) =
            (Arc::clone(&self.world.state), self.world.wakeups.clone(), Arc::clone(&self.unkept));
        tokio::task::spawn_blocking(move || {
            let kept = state.flush();
            let waiting = std::mem::take(&mut *keys(&unkept));
            match kept {
                Ok(()) => waiting.into_iter().for_each(|key| wakeups.wake(LOGS, key)),
                // The journal takes nothing any more: to ask it again at once would be a hot loop.
                Err(error) => tracing::error!(%error, "output that was delivered keeps its room"),
            }
        });
    }

    fn await_release(&self, container: &ContainerId, up_to: u64) {
        self.unreleased().insert(container.clone(), (self.world.state.moment(), up_to));
    }

    fn note(&self, source: &Source<'_>, log: ContainerLog) {
        self.world.state.ecs.container_logs.insert(source.scope, &source.container.id, log);
    }

    /// Notes that output was not taken, and returns when it is tried again.
    fn note_obstacle(&self, source: &Source<'_>, why: &str) -> Timestamp {
        let container = source.container;
        let mut obstacles = self.obstacles();
        let tries = obstacles.get(&container.id).map_or(0, |obstacle| obstacle.tries);
        let retry_at = self.world.clock.now().plus(retry_after(tries));
        obstacles.insert(container.id.clone(), Obstacle { tries: tries.saturating_add(1), retry_at });
        drop(obstacles);
        let (task, container) = (&source.task.key.id, &container.name);
        if tries == 0 {
            tracing::info!(%task, container, why, "output is not taken; it is tried again");
        } else {
            tracing::debug!(%task, container, why, tries, "output is not taken");
        }
        retry_at
    }

    /// Forgets the containers of a task that is gone.
    fn forget(&self, task: &str) {
        let is_left = |container: &ContainerId| !container.as_str().starts_with(task);
        self.unreleased().retain(|container, _| is_left(container));
        self.obstacles().retain(|container, _| is_left(container));
        self.senders.retain(is_left);
        self.sending.retain(is_left);
    }

    fn unreleased(&self) -> MutexGuard<'_, HashMap<ContainerId, (Moment, u64)>> {
        self.unreleased.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn obstacles(&self) -> MutexGuard<'_, HashMap<ContainerId, Obstacle>> {
        self.obstacles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn keys(unkept: &Mutex<HashSet<Key>>) -> MutexGuard<'_, HashSet<Key>> {
    unkept.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'a> Source<'a> {
    /// Returns the container's definition.
    pub(super) fn container_definition(&self) -> Option<&'a ContainerDefinition> {
        self.definition.containers.iter().find(|known| known.name == self.container.name)
    }

    fn log(&self) -> Option<&'a LogConfiguration> {
        self.container_definition()?.log.as_ref()
    }
}

/// Says whether all of a container's output has come where it was sent to.
pub(super) fn is_delivered(state: &State, scope: &Scope, container: &ContainerId, output_end: u64) -> bool {
    let known = log_record(state, scope, container);
    known.delivered >= output_end && known.pending.is_none()
}

/// Returns how far a container's output may run ahead of its delivery before lines are dropped; none means that it waits.
pub(super) fn buffer_bytes(state: &State, scope: &Scope, container: &ContainerDefinition) -> Option<u64> {
    let delivery = container.log.as_ref()?.delivery()?;
    let mode = delivery.mode.or_else(|| account_mode(state, scope)).unwrap_or(DeliveryMode::DEFAULT);
    match mode {
        DeliveryMode::Blocking => None,
        DeliveryMode::NonBlocking => Some(delivery.buffer_bytes),
    }
}

fn account_mode(state: &State, scope: &Scope) -> Option<DeliveryMode> {
    let key = AccountSettingKey { principal: Arn::global("iam", scope, "root"), name: MODE_SETTING.to_owned() };
    DeliveryMode::parse(&state.ecs.account_settings.get(scope, &key)?.value)
}

fn log_record(state: &State, scope: &Scope, container: &ContainerId) -> ContainerLog {
    let known = state.ecs.container_logs.get(scope, container);
    known.map_or_else(ContainerLog::default, |known| ContainerLog::clone(&known))
}

fn retry_after(tries: u32) -> Duration {
    RETRY_AFTER.saturating_mul(2_u32.saturating_pow(tries)).min(RETRY_AFTER_MAX)
}

#[cfg(test)]
mod tests {
    use base::{AccountId, Region};
    use state::ecs::{AccountSetting, Delivery, FireLens};

    use super::*;
    use crate::ecs::samples;

    #[test]
    fn tries_come_less_and_less_often() {
        let delays = [0, 1, 2, 5, 6, 60, u32::MAX].map(|tries| retry_after(tries).as_millis());
        assert_eq!(delays, [100, 200, 400, 3200, 5000, 5000, 5000]);
    }

    #[test]
    fn output_that_comes_too_fast_is_dropped_unless_somebody_says_otherwise() {
        let (state, scope) = (State::in_memory(), Scope::new(AccountId::DEFAULT, Region::default()));
        let buffer = |mode| {
            let delivery = Delivery { mode, buffer_bytes: 7 };
            let log = FireLens { options: Default::default(), secret_options: Vec::new(), delivery };
            let log = Some(LogConfiguration::FireLens(log));
            buffer_bytes(&state, &scope, &ContainerDefinition { log, ..samples::container("app") })
        };
        let both = [Some(DeliveryMode::Blocking), Some(DeliveryMode::NonBlocking)];
        assert_eq!(buffer(None), Some(7));
        assert_eq!(both.map(buffer), [None, Some(7)]);
        let key = AccountSettingKey { principal: Arn::global("iam", &scope, "root"), name: MODE_SETTING.to_owned() };
        state.ecs.account_settings.insert(&scope, &key, AccountSetting { value: "blocking".to_owned() });
        assert_eq!(buffer(None), None);
        assert_eq!(both.map(buffer), [None, Some(7)]);
        assert_eq!(buffer_bytes(&state, &scope, &samples::container("app")), None, "nobody is to hear of it");
    }
}

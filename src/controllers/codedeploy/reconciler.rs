//! The reconciler of CodeDeploy's deployments: carries out what [`plan::next`] says.

use std::sync::Arc;

use async_trait::async_trait;
use base::{Arn, Scope, Timestamp};
use reconcile::{Key, Reconciler, Step, Wakeups};
use state::State;
use state::codedeploy::{
    Deployment, DeploymentStatus, LifecycleEvent, LifecycleStatus, NoAppSpec, Observed, OpenDeployments, Stage,
    StopWanted, Wanted,
};
use state::ecs::{
    Creation, DeploymentController, Service, ServiceKey, ServiceStatus, ShiftTries, TaskSet, TaskSetKey, TaskSetStatus,
    Traffic, Weight,
};

use super::hook::HookCalls;
use super::plan::{self, Action, Failure, Seen, Victim};
use super::{DEPLOYMENTS, reason, replacement};
use crate::ecs::traffic::{self, TrafficOrder};
use crate::{Pace, World};

/// How many things one step does before others get their turn.
const ACTIONS_PER_STEP_MAX: usize = 20;

/// Walks deployments through their stages.
pub(crate) struct DeploymentReconciler {
    world: World,
    calls: HookCalls,
}

#[async_trait]
impl Reconciler for DeploymentReconciler {
    fn name(&self) -> &'static str {
        DEPLOYMENTS
    }

    fn candidates(&self) -> Vec<Key> {
        let table = &self.world.state.codedeploy.deployments;
        let is_open = |(scope, id): &(Scope, String)| {
            table.get(scope, id).is_some_and(|deployment| !deployment.observed.status.is_final())
        };
        table.keys().into_iter().filter(is_open).map(|(scope, id)| Key::new(scope, id)).collect()
    }

    async fn step(&self, key: &Key) -> Step {
        let one = OneDeployment { world: &self.world, scope: &key.scope, id: key.name.to_string(), calls: &self.calls };
        for _ in 0..ACTIONS_PER_STEP_MAX {
            if let Some(step) = one.step().await {
                return step;
            }
        }
        Step::Again
    }
}

impl DeploymentReconciler {
    pub(crate) fn new(world: World) -> Self {
        Self { world, calls: HookCalls::default() }
    }
}

/// Follows the table of deployments.
pub(crate) fn watch_deployments(state: &Arc<State>, wakeups: &Wakeups) {
    let waker = wakeups.clone();
    state.codedeploy.deployments.watch(move |scope, id| waker.wake(DEPLOYMENTS, Key::new(scope.clone(), id.as_str())));
}

/// Wakes deployments that are not over.
pub(crate) fn wake_deployments(state: &State, wakeups: &Wakeups, scope: &Scope, which: OpenDeployments<'_>) {
    for deployment in state.codedeploy.open_deployments(scope, which) {
        wakeups.wake(DEPLOYMENTS, Key::new(scope.clone(), deployment.id.as_str()));
    }
}

pub(super) struct OneDeployment<'a> {
    pub(super) world: &'a World,
    pub(super) scope: &'a Scope,
    pub(super) id: String,
    /// The functions that are being called.
    pub(super) calls: &'a HookCalls,
}

impl OneDeployment<'_> {
    /// Does one thing; none if there may be more to do at once.
    async fn step(&self) -> Option<Step> {
        let state = &self.world.state;
        let is_calling = self.known().is_some_and(|known| self.follow_call(&known));
        let Some(deployment) = self.known() else { return Some(Step::Settled) };
        let (key, ecs) = (&deployment.settings.service, &state.ecs);
        let is_deployed = |service: &Arc<Service>| {
            service.status == ServiceStatus::Active && service.controller == DeploymentController::CodeDeploy
        };
        let service = ecs.services.get(self.scope, key).filter(is_deployed);
        let task_sets = ecs.task_sets_of(self.scope, key).collect::<Vec<_>>();
        let origin = deployment.rolls_back.as_ref().unwrap_or(&deployment.id);
        let observed = &deployment.observed;
        let original = task_sets.iter().find(|task_set| observed.original.as_ref() == Some(&task_set.key.id));
        let replacement = task_sets.iter().find(|task_set| task_set.external_id.as_ref() == Some(origin));
        let definition = deployment.app_spec();
        let definition = definition.and_then(|spec| ecs.task_definitions.get(self.scope, &spec.definition));
        let alarms = state.cloudwatch.ringing(self.scope, &deployment.settings.alarms);
        let seen = Seen {
            has_service: service.is_some(),
            has_definition: definition.is_some(),
            lack: deployment
                .spec
                .as_ref()
                .zip(definition.as_deref())
                .and_then(|(spec, known)| replacement::lack(spec, known)),
            original: original.map(|task_set| &**task_set),
            replacement: replacement.map(|task_set| &**task_set),
            alarm: alarms.first().map(String::as_str),
            has_functions: self.world.settings.lambda_endpoint.is_some(),
            is_calling,
        };
        match plan::next(&deployment, &seen, self.pace(&deployment), self.now()) {
            Action::Nothing => return Some(Step::Settled),
            Action::WaitUntil(at) => return Some(Step::At(at)),
            Action::AwaitWord(at) => {
                if observed.status != DeploymentStatus::Ready {
                    self.observe_at(|observed, _| observed.status = DeploymentStatus::Ready);
                }
                return Some(Step::At(at));
            }
            Action::ReadSpec => self.read_spec(&deployment).await,
            Action::BeginHook(event) => self.begin_hook(&deployment, event),
            Action::CallHook(event) => self.call_hook(&deployment, event),
            Action::SkipHook(event, next) => self.skip_hook(event, next),
            Action::Begin => self.begin(&deployment, &task_sets),
            Action::Install => {
                if let (Some(service), Some(original), Some(spec), Some(definition)) =
                    (&service, original, deployment.app_spec(), &definition)
                {
                    let workload = replacement::workload(&original.workload, spec, definition, &deployment.settings);
                    self.install(service, workload);
                } else {
                    self.give_up(&deployment, Failure::NoService, None);
                }
            }
            Action::Enter(stage) => self.enter(stage),
            Action::Bring(kind, percent) => self.bring(&deployment, kind, percent),
            Action::Promote => self.promote(key, seen.replacement),
            Action::GoBack => {
                self.promote(key, seen.original);
                self.observe_at(|observed, now| {
                    observed.stage = Stage::Terminate;
                    observed.stage_since = now;
                    set_event(observed, "AllowTraffic", LifecycleStatus::Succeeded, now);
                });
            }
            Action::Delete(Victim::Original) => self.delete(seen.original),
            Action::Delete(Victim::Replacement) => self.delete(seen.replacement),
            Action::Succeed => self.end(DeploymentStatus::Succeeded, None),
            Action::GiveUp(failure) => self.give_up(&deployment, failure, seen.alarm),
        }
        None
    }

    /// Reads what it deploys, once: it is kept, so that the object may change or go meanwhile.
    async fn read_spec(&self, deployment: &Deployment) {
        let Some(object) = deployment.object.clone() else { return };
        let (state, region) = (Arc::clone(&self.world.state), self.scope.region.clone());
        let read = tokio::task::spawn_blocking(move || object.read(&state.s3, &region)).await;
        let spec = read.unwrap_or_else(|error| Err(NoAppSpec::Unreadable(error.to_string())));
        match spec {
            Ok(spec) => self.observe_at(|observed, _| observed.spec = Some(spec)),
            Err(NoAppSpec::Missing) => self.give_up(deployment, Failure::NoSpec, None),
            Err(NoAppSpec::Unreadable(why) | NoAppSpec::Invalid(why)) => {
                self.give_up(deployment, Failure::InvalidSpec, Some(&why));
            }
        }
    }

    /// Begins: what earlier deployments have left of the service, and is not in use, goes.
    fn begin(&self, deployment: &Deployment, task_sets: &[Arc<TaskSet>]) {
        let Some(primary) = task_sets.iter().find(|task_set| task_set.status == TaskSetStatus::Primary) else {
            return self.give_up(deployment, Failure::NoService, None);
        };
        let taken_back =
            deployment.rolls_back.as_ref().and_then(|id| self.world.state.codedeploy.deployments.get(self.scope, id));
        if taken_back.is_none() {
            for stale in task_sets.iter().filter(|task_set| task_set.status == TaskSetStatus::Active) {
                self.delete(Some(stale));
            }
        }
        let original = match &taken_back {
            Some(other) => other.observed.original.clone(),
            None => Some(primary.key.id.clone()),
        };
        let names = event_names(deployment);
        self.observe_at(|observed, now| {
            observed.status = DeploymentStatus::InProgress;
            observed.started_at.get_or_insert(now);
            observed.original = original;
            let event = |name: &&str| LifecycleEvent {
                name: (*name).to_owned(),
                status: LifecycleStatus::Pending,
                message: None,
                started_at: None,
                ended_at: None,
            };
            observed.events = names.iter().map(event).collect();
            observed.stage = Stage::BeforeInstall;
            observed.stage_since = now;
            if let Some(other) = &taken_back {
                observed.replacement = other.observed.replacement.clone();
                observed.weight = other.observed.weight;
                observed.has_test_traffic = other.observed.has_test_traffic;
                observed.stage = Stage::AllowTraffic;
                set_event(observed, "AllowTraffic", LifecycleStatus::InProgress, now);
            }
        });
    }

    fn install(&self, service: &Service, workload: state::ecs::Workload) {
        let key = TaskSetKey { service: service.key.clone(), id: self.world.ids.service_revision() };
        let path = format!("task-set/{}/{}/ecs-svc/{}", service.key.cluster, service.key.name, key.id);
        let now = self.now();
        let task_set = TaskSet {
            key: key.clone(),
            arn: Arn::new("ecs", self.scope, &path),
            status: TaskSetStatus::Active,
            creation: Creation { client_token: None, request: 0 },
            external_id: Some(self.id.clone()),
            workload,
            scale_percent: 100.0,
            tags: Vec::new(),
            created_at: now,
            updated_at: now,
            is_steady: false,
            steady_at: now,
        };
        self.world.state.ecs.task_sets.insert(self.scope, &key, task_set);
        self.observe_at(|observed, _| observed.replacement = Some(key.id.clone()));
    }

    /// Goes on to a stage: the lifecycle event of the last one is over, and that of the next one begins.
    pub(super) fn enter(&self, stage: Stage) {
        self.observe_at(|observed, now| {
            observed.status = DeploymentStatus::InProgress;
            if let Some(last) = event_of(observed.stage) {
                let event = observed.events.iter().find(|event| event.name == last);
                match event.map(|event| event.status) {
                    Some(LifecycleStatus::InProgress) => set_event(observed, last, LifecycleStatus::Succeeded, now),
                    // No function was to be called.
                    Some(LifecycleStatus::Pending) => set_event(observed, last, LifecycleStatus::Skipped, now),
                    Some(LifecycleStatus::Succeeded | LifecycleStatus::Failed | LifecycleStatus::Skipped) | None => {}
                }
            }
            if let Some(next) = event_of(stage).filter(|_| stage.hook().is_none()) {
                set_event(observed, next, LifecycleStatus::InProgress, now);
            }
            observed.tries = ShiftTries::default();
            observed.stage = stage;
            observed.stage_since = now;
        });
    }

    /// Orders that the replacement gets a share of a kind of traffic, and writes what came of it.
    fn bring(&self, deployment: &Deployment, kind: Traffic, percent: u32) {
        let observed = &deployment.observed;
        let weight = Weight::of_tenths(u16::try_from(percent * 10).unwrap_or(u16::MAX));
        let shares = [(&observed.replacement, weight), (&observed.original, weight.rest())];
        let order = TrafficOrder {
            scope: self.scope.clone(),
            service: deployment.settings.service.clone(),
            traffic: kind,
            shares: shares.into_iter().filter_map(|(id, weight)| Some((id.clone()?, weight))).collect(),
        };
        let (now, pace) = (self.now(), self.pace(deployment));
        let ordered = traffic::order(&*self.world.traffic, &[order], &observed.tries, now, pace);
        match &ordered {
            Ok(()) => tracing::info!(deployment = %self.id, ?kind, percent, "traffic was shifted"),
            Err(tries) => tracing::debug!(deployment = %self.id, ?kind, percent, ?tries, "traffic is not shifted yet"),
        }
        let is_back = deployment.rolls_back.is_some();
        self.observe_at(|observed, _| {
            if ordered.is_ok() {
                match kind {
                    Traffic::Production => observed.weight = percent,
                    Traffic::Test => observed.has_test_traffic = percent > 0,
                }
                if is_back || kind == Traffic::Production {
                    observed.parts += 1;
                }
            }
            observed.tries = ordered.err().unwrap_or_default();
        });
    }

    fn promote(&self, service: &ServiceKey, task_set: Option<&TaskSet>) {
        if let Some(task_set) = task_set.filter(|task_set| task_set.key.service == *service) {
            self.world.state.ecs.promote_task_set(self.scope, &task_set.key, self.now());
        }
    }

    fn delete(&self, task_set: Option<&TaskSet>) {
        let Some(task_set) = task_set else { return };
        let now = self.now();
        self.world.state.ecs.task_sets.update(self.scope, &task_set.key, |task_set| {
            // The one that takes the traffic stays: somebody has made it that since.
            if task_set.status == TaskSetStatus::Active {
                task_set.status = TaskSetStatus::Draining;
                task_set.scale_percent = 0.0;
                task_set.updated_at = now;
            }
        });
    }

    /// Ends a deployment that does not go on; one that takes it back is made before, so that a kill between loses neither.
    fn give_up(&self, deployment: &Deployment, failure: Failure, detail: Option<&str>) {
        let (code, message) = reason::words(failure, deployment, detail);
        let wishes = deployment.settings.rollback;
        let (status, rolls_back) = match failure {
            Failure::Stopped => {
                (DeploymentStatus::Stopped, deployment.wanted.stop == Some(StopWanted { rolls_back: true }))
            }
            Failure::Alarm => (DeploymentStatus::Stopped, wishes.on_alarm),
            Failure::NotContinued => (DeploymentStatus::Stopped, wishes.on_failure),
            Failure::NoService => (DeploymentStatus::Failed, false),
            Failure::NoSpec
            | Failure::InvalidSpec
            | Failure::NoDefinition
            | Failure::Lacks(_)
            | Failure::ReplacementGone
            | Failure::NotStable
            | Failure::HookFailed
            | Failure::HookTimedOut
            | Failure::HookNotCalled
            | Failure::Traffic => (DeploymentStatus::Failed, wishes.on_failure),
        };
        // Once the original tasks end there is nothing to go back to.
        let has_original = deployment.observed.original.is_some() && deployment.observed.stage < Stage::Terminate;
        if rolls_back && has_original && deployment.rolls_back.is_none() {
            self.take_back(deployment);
        }
        if let Some(execution) = deployment.observed.hooks.last()
            && let Some(what) = reason::of_hook(failure, execution)
        {
            self.observe_at(|observed, _| {
                let event = observed.events.iter_mut().find(|event| event.name == execution.event);
                event.into_iter().for_each(|event| event.message = Some(what.clone()));
            });
        }
        self.end(status, Some((code.to_owned(), message)));
    }

    fn take_back(&self, deployment: &Deployment) {
        let table = &self.world.state.codedeploy.deployments;
        let new_id = Deployment::new_id(&self.world.ids);
        self.observe_at(|observed, _| {
            observed.rolled_back_by.get_or_insert(new_id);
        });
        let known = self.known().and_then(|known| known.observed.rolled_back_by.clone());
        let Some(id) = known.filter(|id| table.get(self.scope, id).is_none()) else { return };
        let rollback = Deployment {
            id: id.clone(),
            spec: None,
            object: None,
            rolls_back: Some(self.id.clone()),
            description: None,
            created_at: self.now(),
            wanted: Wanted::default(),
            observed: Observed::new(self.now()),
            ..deployment.clone()
        };
        table.insert(self.scope, &id, rollback);
    }

    fn end(&self, status: DeploymentStatus, error: Option<(String, String)>) {
        self.observe_at(|observed, now| {
            observed.status = status;
            observed.completed_at = Some(now);
            observed.stage = Stage::End;
            observed.stage_since = now;
            for event in &mut observed.events {
                match event.status {
                    LifecycleStatus::InProgress => event.status = LifecycleStatus::Failed,
                    LifecycleStatus::Pending => event.status = LifecycleStatus::Skipped,
                    LifecycleStatus::Succeeded | LifecycleStatus::Failed | LifecycleStatus::Skipped => continue,
                }
                event.ended_at = Some(now);
            }
            if error.is_some() {
                observed.error = error;
            }
        });
    }

    pub(super) fn observe_at(&self, change: impl FnOnce(&mut Observed, Timestamp)) {
        let now = self.now();
        self.world.state.codedeploy.deployments.update(self.scope, &self.id, |row| change(&mut row.observed, now));
    }

    fn known(&self) -> Option<Arc<Deployment>> {
        self.world.state.codedeploy.deployments.get(self.scope, &self.id)
    }

    pub(super) fn pace(&self, deployment: &Deployment) -> Pace {
        self.world.settings.pace_of(&deployment.settings.service)
    }

    pub(super) fn now(&self) -> Timestamp {
        self.world.clock.now()
    }
}

/// Names the lifecycle event of a stage.
fn event_of(stage: Stage) -> Option<&'static str> {
    match stage {
        Stage::Install => Some("Install"),
        Stage::AllowTestTraffic => Some("AllowTestTraffic"),
        Stage::AllowTraffic => Some("AllowTraffic"),
        other => other.hook(),
    }
}

/// Names the lifecycle events of a deployment, in their order.
fn event_names(deployment: &Deployment) -> &'static [&'static str] {
    if deployment.settings.has_test_route {
        &[
            "BeforeInstall",
            "Install",
            "AfterInstall",
            "AllowTestTraffic",
            "AfterAllowTestTraffic",
            "BeforeAllowTraffic",
            "AllowTraffic",
            "AfterAllowTraffic",
        ]
    } else {
        &["BeforeInstall", "Install", "AfterInstall", "BeforeAllowTraffic", "AllowTraffic", "AfterAllowTraffic"]
    }
}

pub(super) fn set_event(observed: &mut Observed, name: &str, status: LifecycleStatus, now: Timestamp) {
    let Some(event) = observed.events.iter_mut().find(|event| event.name == name) else { return };
    event.status = status;
    event.started_at.get_or_insert(now);
    if status != LifecycleStatus::InProgress {
        event.ended_at = Some(now);
    }
}

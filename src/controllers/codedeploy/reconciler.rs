//! The reconciler of CodeDeploy's deployments: carries out what [`plan::next`] says.

use std::sync::Arc;

use async_trait::async_trait;
use base::{Arn, Scope, Timestamp};
use reconcile::{Key, Reconciler, Step, Wakeups};
use serde_json::Value;
use state::State;
use state::codedeploy::{
    AppSpec, Deployment, DeploymentStatus, LifecycleEvent, LifecycleStatus, Observed, Stage, StopWanted, Wanted,
};
use state::ecs::{
    Creation, DeploymentController, Service, ServiceKey, ServiceStatus, TaskDefinition, TaskSet, TaskSetKey,
    TaskSetStatus,
};

use super::plan::{self, Action, Failure, Lack, Seen, Victim};
use super::{DEPLOYMENTS, replacement};
use crate::World;

/// How many things one step does before others get their turn.
const ACTIONS_PER_STEP_MAX: usize = 20;
/// Why a hook of an AppSpec is not called.
const NO_LAMBDA: &str = "Neargate calls no Lambda functions for CodeDeploy: the hook was skipped.";

/// Walks deployments through their stages.
pub(crate) struct DeploymentReconciler {
    world: World,
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
        let one = OneDeployment { world: &self.world, scope: &key.scope, id: key.name.to_string() };
        for _ in 0..ACTIONS_PER_STEP_MAX {
            if let Some(step) = one.step() {
                return step;
            }
        }
        Step::Again
    }
}

impl DeploymentReconciler {
    pub(crate) fn new(world: World) -> Self {
        Self { world }
    }
}

/// Follows the table of deployments.
pub(crate) fn watch_deployments(state: &Arc<State>, wakeups: &Wakeups) {
    let waker = wakeups.clone();
    state.codedeploy.deployments.watch(move |scope, id| waker.wake(DEPLOYMENTS, Key::new(scope.clone(), id.as_str())));
}

/// Wakes the deployments of a service that are not over.
pub(crate) fn wake_deployments_of(state: &State, wakeups: &Wakeups, scope: &Scope, service: &ServiceKey) {
    for (id, deployment) in state.codedeploy.deployments.walk(scope, None) {
        if deployment.settings.service == *service && !deployment.observed.status.is_final() {
            wakeups.wake(DEPLOYMENTS, Key::new(scope.clone(), id));
        }
    }
}

struct OneDeployment<'a> {
    world: &'a World,
    scope: &'a Scope,
    id: String,
}

impl OneDeployment<'_> {
    /// Does one thing; none if there may be more to do at once.
    fn step(&self) -> Option<Step> {
        let state = &self.world.state;
        let Some(deployment) = state.codedeploy.deployments.get(self.scope, &self.id) else {
            return Some(Step::Settled);
        };
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
        let definition = deployment.spec.as_ref();
        let definition = definition.and_then(|spec| ecs.task_definitions.get(self.scope, &spec.definition));
        let alarms = state.cloudwatch.ringing(self.scope, &deployment.settings.alarms);
        let seen = Seen {
            has_service: service.is_some(),
            has_definition: definition.is_some(),
            lack: deployment.spec.as_ref().zip(definition.as_deref()).and_then(|(spec, known)| lack(spec, known)),
            original: original.map(|task_set| &**task_set),
            replacement: replacement.map(|task_set| &**task_set),
            alarm: alarms.first().map(String::as_str),
        };
        let pace = self.world.settings.pace_of(key);
        match plan::next(&deployment, &seen, pace, self.now()) {
            Action::Nothing => return Some(Step::Settled),
            Action::WaitUntil(at) => return Some(Step::At(at)),
            Action::AwaitWord(at) => {
                if observed.status != DeploymentStatus::Ready {
                    self.observe(|observed, _| observed.status = DeploymentStatus::Ready);
                }
                return Some(Step::At(at));
            }
            Action::Begin => self.begin(&deployment, &task_sets),
            Action::Install => {
                if let (Some(service), Some(original), Some(spec), Some(definition)) =
                    (&service, original, &deployment.spec, &definition)
                {
                    let workload = replacement::workload(&original.workload, spec, definition, &deployment.settings);
                    self.install(service, workload);
                } else {
                    self.give_up(&deployment, Failure::NoService, None);
                }
            }
            Action::Enter(stage) => self.enter(stage),
            Action::Shift => self.observe(|observed, routing| {
                observed.parts += 1;
                observed.weight = routing.percent_after(observed.parts);
            }),
            Action::Promote => self.promote(key, seen.replacement),
            Action::GoBack => {
                self.promote(key, seen.original);
                self.observe_at(|observed, now| {
                    observed.weight = 0;
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
        let hooks = deployment.spec.as_ref().map(|spec| spec.hooks.clone()).unwrap_or_default();
        let names = event_names(deployment);
        self.observe_at(|observed, now| {
            observed.status = DeploymentStatus::InProgress;
            observed.started_at.get_or_insert(now);
            observed.original = original;
            if let Some(other) = &taken_back {
                observed.replacement = other.observed.replacement.clone();
                observed.weight = other.observed.weight;
            }
            observed.events = names
                .iter()
                .map(|name| LifecycleEvent {
                    name: (*name).to_owned(),
                    status: LifecycleStatus::Pending,
                    message: hooks.iter().any(|(hook, _)| hook == name).then(|| NO_LAMBDA.to_owned()),
                    started_at: None,
                    ended_at: None,
                })
                .collect();
            skip(observed, "BeforeInstall", now);
            set_event(observed, "Install", LifecycleStatus::InProgress, now);
            observed.stage = Stage::Install;
            observed.stage_since = now;
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
        self.observe(|observed, _| observed.replacement = Some(key.id.clone()));
    }

    fn enter(&self, stage: Stage) {
        self.observe_at(|observed, now| {
            use LifecycleStatus::{InProgress, Succeeded};
            observed.status = DeploymentStatus::InProgress;
            if observed.stage == Stage::Install {
                set_event(observed, "Install", Succeeded, now);
                skip(observed, "AfterInstall", now);
            }
            match stage {
                Stage::AllowTestTraffic => {
                    observed.has_test_traffic = true;
                    set_event(observed, "AllowTestTraffic", Succeeded, now);
                    skip(observed, "AfterAllowTestTraffic", now);
                }
                Stage::AllowTraffic => {
                    skip(observed, "BeforeAllowTraffic", now);
                    set_event(observed, "AllowTraffic", InProgress, now);
                }
                Stage::WaitTermination => {
                    set_event(observed, "AllowTraffic", Succeeded, now);
                    skip(observed, "AfterAllowTraffic", now);
                }
                Stage::Begin | Stage::Install | Stage::WaitReady | Stage::Terminate | Stage::End => {}
            }
            observed.stage = stage;
            observed.stage_since = now;
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
    fn give_up(&self, deployment: &Deployment, failure: Failure, alarm: Option<&str>) {
        let (code, message) = words(deployment, failure, alarm);
        let wishes = deployment.settings.rollback;
        let (status, rolls_back) = match failure {
            Failure::Stopped => {
                (DeploymentStatus::Stopped, deployment.wanted.stop == Some(StopWanted { rolls_back: true }))
            }
            Failure::Alarm => (DeploymentStatus::Stopped, wishes.on_alarm),
            Failure::NotContinued => (DeploymentStatus::Stopped, wishes.on_failure),
            Failure::NoService => (DeploymentStatus::Failed, false),
            Failure::NoDefinition | Failure::Lacks(_) | Failure::ReplacementGone | Failure::NotStable => {
                (DeploymentStatus::Failed, wishes.on_failure)
            }
        };
        // Once the original tasks end there is nothing to go back to.
        let has_original = deployment.observed.original.is_some() && deployment.observed.stage < Stage::Terminate;
        if rolls_back && has_original && deployment.rolls_back.is_none() {
            self.take_back(deployment);
        }
        self.end(status, Some((code.to_owned(), message)));
    }

    fn take_back(&self, deployment: &Deployment) {
        let table = &self.world.state.codedeploy.deployments;
        let new_id = Deployment::new_id(&self.world.ids);
        self.observe(|observed, _| {
            observed.rolled_back_by.get_or_insert(new_id);
        });
        let known = table.get(self.scope, &self.id).and_then(|known| known.observed.rolled_back_by.clone());
        let Some(id) = known.filter(|id| table.get(self.scope, id).is_none()) else { return };
        let rollback = Deployment {
            id: id.clone(),
            spec: None,
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

    fn observe_at(&self, change: impl FnOnce(&mut Observed, Timestamp)) {
        let now = self.now();
        self.observe(|observed, _| change(observed, now));
    }

    fn observe(&self, change: impl FnOnce(&mut Observed, state::codedeploy::TrafficRouting)) {
        self.world.state.codedeploy.deployments.update(self.scope, &self.id, |row| {
            change(&mut row.observed, row.routing);
        });
    }

    fn now(&self) -> Timestamp {
        self.world.clock.now()
    }
}

/// Says what an AppSpec names that the task definition does not have: ECS would make no task set of it.
fn lack(spec: &AppSpec, definition: &TaskDefinition) -> Option<Lack> {
    // With interfaces of their own, containers have ports only in what the user wrote.
    let shown = serde_json::from_str::<Value>(definition.document.as_str()).unwrap_or_default();
    let mut containers = shown["containerDefinitions"].as_array().into_iter().flatten();
    let Some(container) = containers.find(|container| container["name"] == spec.container.as_str()) else {
        return Some(Lack::Container);
    };
    let mut mappings = container["portMappings"].as_array().into_iter().flatten();
    (!mappings.any(|mapping| mapping["containerPort"] == spec.port)).then_some(Lack::Port)
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

fn skip(observed: &mut Observed, name: &str, now: Timestamp) {
    set_event(observed, name, LifecycleStatus::Skipped, now);
}

fn set_event(observed: &mut Observed, name: &str, status: LifecycleStatus, now: Timestamp) {
    let Some(event) = observed.events.iter_mut().find(|event| event.name == name) else { return };
    event.status = status;
    event.started_at.get_or_insert(now);
    if status != LifecycleStatus::InProgress {
        event.ended_at = Some(now);
    }
}

/// Words why a deployment does not go on. (Codes are the model's; texts unverified but for the time-out's.)
fn words(deployment: &Deployment, failure: Failure, alarm: Option<&str>) -> (&'static str, String) {
    match failure {
        Failure::NoService => {
            ("INVALID_ECS_SERVICE", "The ECS service is not there, or its deployment controller is not CODE_DEPLOY.".to_owned())
        }
        Failure::NoDefinition => {
            ("ECS_UPDATE_ERROR", "The ECS service cannot be updated: the task definition of the AppSpec is not there.".to_owned())
        }
        Failure::Lacks(lack) => {
            let (container, port) = deployment.spec.as_ref().map_or(("", 0), |spec| (spec.container.as_str(), spec.port));
            // CreateTaskSet's words.
            let why = match lack {
                Lack::Container => format!("The container {container} does not exist in the task definition."),
                Lack::Port => format!("The container {container} did not have a container port {port} defined."),
            };
            ("ECS_UPDATE_ERROR", format!("The ECS service cannot be updated due to an unexpected error: {why}"))
        }
        Failure::ReplacementGone => {
            ("ECS_UPDATE_ERROR", "The replacement task set was deleted during the deployment.".to_owned())
        }
        Failure::NotStable => (
            "TIMEOUT",
            "The deployment timed out while waiting for the replacement task set to become healthy. This time out period \
             is 60 minutes."
                .to_owned(),
        ),
        Failure::NotContinued => {
            ("TIMEOUT", "The deployment was stopped because its traffic was not rerouted in time.".to_owned())
        }
        Failure::Alarm => {
            let alarm = alarm.unwrap_or_default();
            ("ALARM_ACTIVE", format!("One or more alarms have been activated according to the Amazon CloudWatch metrics you selected, and the affected deployments have been stopped. Activated alarms: <{alarm}>"))
        }
        Failure::Stopped => ("MANUAL_STOP", "The deployment was stopped by a user.".to_owned()),
    }
}

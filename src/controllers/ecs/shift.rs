//! Carries out what [`shift_plan::plan`](super::shift_plan::plan) says: stages, traffic, hooks and the way back.

use std::sync::Arc;
use std::time::Duration;

use base::Timestamp;
use state::ecs::{
    Deployment, Hook, HookOutcome, HookStage, HookTarget, LifecycleStage, OccurrenceType, RolloutState,
    SchedulingStrategy, Service, ServiceDeployment, ServiceDeploymentKey, ServiceStatus, Shift, ShiftTries, Traffic,
    Weight, deployment_id,
};

use super::SERVICES;
use super::errand::Errands;
use super::lifecycle_hook::{self, Answer};
use super::service::{OneService, driver_key};
use super::shift_plan::ShiftStep;
use super::traffic::{self, TrafficOrder};
use crate::lambda;

/// How long the row of a new deployment is waited for.
const HISTORY_WAIT_MAX: Duration = Duration::from_secs(1);

/// The calls of hooks' functions that are under way, by the hook's id.
pub(super) type HookCalls = Errands<Answer, String>;

impl OneService<'_> {
    /// Returns until when the row of a deployment is waited for whose traffic is to be shifted: handlers write it right after
    /// the service. Of one that a killed server did not write, the tasks take the place of others one by one.
    pub(super) fn awaits_history(&self, service: &Service) -> Option<Timestamp> {
        let until = service.primary().filter(|_| service.rollout.shifting.is_some())?.updated_at.plus(HISTORY_WAIT_MAX);
        let table = &self.world.state.ecs.service_deployments;
        let is_there = || self.current(service).is_some_and(|key| table.get(self.scope, &key).is_some());
        (self.now() < until && service.status == ServiceStatus::Active && !is_there()).then_some(until)
    }

    /// Returns the deployment of a service whose traffic is being shifted, if there is one, with all that the functions
    /// of its hooks have said.
    pub(super) fn shifting(&self, service: &Service) -> Option<Arc<ServiceDeployment>> {
        let key = self.current(service)?;
        let table = &self.world.state.ecs.service_deployments;
        let row = table.get(self.scope, &key)?;
        let hooks = &row.shift.as_ref()?.hooks;
        let is_shifting = service.status == ServiceStatus::Active
            && service.scheduling == SchedulingStrategy::Replica
            && !row.status.is_final();
        for hook in hooks {
            if !is_shifting || hook.outcome.is_some() {
                self.calls.forget(&hook.id);
            } else if let Some(answer) = self.calls.take(&hook.id) {
                self.note_answer(&key, hook, answer);
            }
        }
        table.get(self.scope, &key).filter(|_| is_shifting)
    }

    /// Carries out a step that only such a deployment takes.
    pub(super) fn take_shift_step(&self, service: &Service, step: ShiftStep) {
        let Some(key) = self.current(service) else { return };
        match step {
            ShiftStep::Begin { source, stage } => self.change_shift(&key, |shift| {
                shift.source = source;
                self.enter(shift, stage);
            }),
            ShiftStep::Enter(stage) => self.change_shift(&key, |shift| self.enter(shift, stage)),
            ShiftStep::TurnBack(stage) => self.turn_back(service, &key, stage),
            ShiftStep::Reconcile => self.order(&key, &[Traffic::Production, Traffic::Test], Weight::NONE),
            ShiftStep::Shift { traffic, weight } => self.order(&key, &[traffic], weight),
            ShiftStep::BeginHook { id } => self.begin_hook(&key, &id),
            ShiftStep::CallHook { id } => self.call_hook(&key, &id),
            ShiftStep::TimeOutHook { id } => {
                self.calls.forget(&id);
                self.change_hook(&key, &id, |hook| hook.outcome = Some(HookOutcome::TimedOut));
            }
            ShiftStep::GiveUp { reason } => self.give_up_shift(service, &key, &reason),
            ShiftStep::FailRollback { reason } => self.fail_rollback(service, &key, &reason),
        }
    }

    fn enter(&self, shift: &mut Shift, stage: LifecycleStage) {
        tracing::info!(service = %self.key.name, stage = stage.as_str(), is_back = shift.is_back, "a deployment goes on");
        shift.stage = Some(stage);
        shift.entered_at = Some(self.now());
        shift.tries = ShiftTries::default();
    }

    /// Begins the way back: functions that saw traffic come over are told when it goes.
    fn turn_back(&self, service: &Service, key: &ServiceDeploymentKey, stage: LifecycleStage) {
        let Some(source) = service.primary().map(|primary| primary.revision.clone()) else { return };
        self.change_shift(key, |shift| {
            let saw = |hook: &Hook| match hook.stage {
                HookStage::TestTrafficShift => shift.test > Weight::NONE,
                HookStage::ProductionTrafficShift => shift.production > Weight::NONE,
                HookStage::ReconcileService
                | HookStage::PreScaleUp
                | HookStage::PostScaleUp
                | HookStage::PostTestTrafficShift
                | HookStage::PreProductionTrafficShift
                | HookStage::PostProductionTrafficShift => false,
            };
            let is_told = |hook: &&Hook| matches!(hook.target, HookTarget::Lambda { .. }) && saw(hook);
            let told = shift.hooks.iter().filter(is_told).cloned().collect::<Vec<_>>();
            for hook in shift.hooks.iter_mut().filter(|hook| hook.is_under_way()) {
                // Nobody waits for it any more.
                hook.outcome = Some(HookOutcome::Failed { reason: "was given up".to_owned() });
            }
            shift.hooks.extend(told.into_iter().map(|hook| Hook {
                id: self.world.ids.uuid(),
                is_back: true,
                begun_at: None,
                expires_at: None,
                call_at: None,
                call_failures: 0,
                outcome: None,
                ..hook
            }));
            (shift.is_back, shift.source) = (true, Some(source));
            self.enter(shift, stage);
        });
    }

    /// Orders that the deployed revision gets a share of some kinds of traffic, and writes what came of it.
    fn order(&self, key: &ServiceDeploymentKey, kinds: &[Traffic], weight: Weight) {
        let Some(row) = self.world.state.ecs.service_deployments.get(self.scope, key) else { return };
        let Some(shift) = &row.shift else { return };
        let shares = |weight: Weight| {
            let rest = shift.source.clone().map(|source| (source, weight.rest()));
            std::iter::once((row.target.clone(), weight)).chain(rest).collect()
        };
        let order = |&traffic: &Traffic| {
            let (scope, service) = (self.scope.clone(), self.key.clone());
            TrafficOrder { scope, service, traffic, shares: shares(weight) }
        };
        let (now, pace) = (self.now(), self.world.settings.pace_of(&self.key));
        let orders = kinds.iter().map(order).collect::<Vec<_>>();
        let ordered = traffic::order(&*self.world.traffic, &orders, &shift.tries, now, pace);
        match &ordered {
            Ok(()) => {
                tracing::info!(service = %self.key.name, ?kinds, percent = weight.percent(), "traffic was shifted")
            }
            Err(ShiftTries { ordered_at: None, obstacle: Some(why), .. }) => {
                tracing::warn!(service = %self.key.name, %why, "traffic cannot be shifted");
            }
            Err(_) => {}
        }
        self.change_shift(key, |shift| {
            if ordered.is_ok() {
                if kinds.contains(&Traffic::Test) {
                    shift.test = weight;
                }
                if kinds.contains(&Traffic::Production) {
                    (shift.production, shift.shifted_at) = (weight, Some(now));
                }
            }
            shift.tries = ordered.err().unwrap_or_default();
        });
    }

    fn begin_hook(&self, key: &ServiceDeploymentKey, id: &str) {
        let (now, pace) = (self.now(), self.world.settings.pace_of(&self.key));
        let mut skipped = None;
        self.change_hook(key, id, |hook| {
            hook.begun_at = Some(now);
            hook.expires_at = Some(now.plus(pace.wait(Duration::from_secs(u64::from(hook.timeout_min) * 60))));
            if let HookTarget::Lambda { function, .. } = &hook.target {
                hook.call_at = Some(now);
                if self.world.settings.lambda_endpoint.is_none() {
                    // The service is the same that is deployed to AWS. Its function is not here, and to fail for that
                    // would keep everybody without a Lambda of their own from deploying it at all.
                    hook.outcome = Some(HookOutcome::Skipped);
                    skipped = Some((hook.stage, function.clone()));
                }
            }
        });
        if let Some((stage, function)) = skipped {
            let stage = stage.as_str();
            tracing::warn!(service = %self.key.name, %function, stage, "a lifecycle hook is skipped: no --lambda-endpoint");
            self.report(&format!(
                "skipped the {stage} lifecycle hook {function}: start neargate serve with --lambda-endpoint to have it \
                 called."
            ));
        }
    }

    /// Calls the function of a hook beside the steps, unless it is being called.
    fn call_hook(&self, key: &ServiceDeploymentKey, id: &str) {
        if self.calls.is_under_way(&id.to_owned()) {
            return;
        }
        let Some(row) = self.world.state.ecs.service_deployments.get(self.scope, key) else { return };
        let Some((shift, endpoint)) = row.shift.as_ref().zip(self.world.settings.lambda_endpoint.as_deref()) else {
            // It had an endpoint when the hook was begun; this server has none.
            return self.change_hook(key, id, |hook| hook.outcome = Some(HookOutcome::Skipped));
        };
        let hook = shift.hooks.iter().find(|hook| hook.id == id);
        let request = hook.and_then(|hook| lifecycle_hook::request(endpoint, self.scope, &row, shift, hook));
        let Some(request) = request else { return };
        let http = Arc::clone(&self.world.node.http);
        let call = async move { lifecycle_hook::read(http.send(request).await) };
        let (wakeups, key) = (self.world.wakeups.clone(), driver_key(self.scope, &self.key));
        self.calls.begin(&id.to_owned(), call, move || wakeups.wake(SERVICES, key));
    }

    fn note_answer(&self, key: &ServiceDeploymentKey, hook: &Hook, answer: Answer) {
        let (now, pace) = (self.now(), self.world.settings.pace_of(&self.key));
        tracing::info!(service = %self.key.name, stage = hook.stage.as_str(), ?answer, "a lifecycle hook has answered");
        self.change_hook(key, &hook.id, |hook| match answer {
            Answer::Succeeded => hook.outcome = Some(HookOutcome::Succeeded),
            Answer::Failed(reason) => hook.outcome = Some(HookOutcome::Failed { reason }),
            Answer::InProgress { after, details: said } => {
                (hook.call_at, hook.call_failures) = (Some(now.plus(pace.wait(after))), 0);
                if let HookTarget::Lambda { details, .. } = &mut hook.target
                    && said.is_some()
                {
                    *details = said;
                }
            }
            Answer::NotCalled { why, after } => {
                hook.call_failures += 1;
                hook.call_at = Some(now.plus(pace.wait(after)));
                if hook.call_failures >= lambda::TRIES_MAX {
                    hook.outcome = Some(HookOutcome::Failed { reason: format!("could not be invoked: {why}") });
                }
            }
        });
    }

    /// Gives the deployment up. The way back is the one that a user takes too who stops it.
    fn give_up_shift(&self, service: &Service, key: &ServiceDeploymentKey, reason: &str) {
        let ecs = &self.world.state.ecs;
        if let Some(Err(status)) = ecs.stop_service_deployment(self.scope, key, true, reason, self.now()) {
            // Somebody else was faster, and the next step sees what came of it.
            tracing::debug!(service = %self.key.name, status = status.as_str(), "a deployment is given up already");
            return;
        }
        if let Some(primary) = service.primary() {
            let what = reason.to_owned();
            self.change(service, primary, OccurrenceType::Error, "SERVICE_DEPLOYMENT_FAILED", what);
            self.report(&format!("(deployment {}) deployment failed: {reason}", primary.id()));
        }
        let row = ecs.service_deployments.get(self.scope, key);
        if let Some(rollback) = row.as_ref().and_then(|row| row.rollback.as_ref()) {
            self.report(&format!("rolling back to deployment {}.", deployment_id(&rollback.revision)));
        }
    }

    fn fail_rollback(&self, service: &Service, key: &ServiceDeploymentKey, reason: &str) {
        let Some(revision) = service.primary().map(|primary| primary.revision.clone()) else { return };
        self.world.state.ecs.service_deployments.update(self.scope, key, |row| {
            row.status_reason = Some(reason.to_owned());
        });
        let now = self.now();
        self.update(|service| {
            let primary = service.deployments.first_mut().filter(|primary: &&mut Deployment| {
                primary.revision == revision && primary.rollout == RolloutState::InProgress
            });
            if let Some(primary) = primary {
                primary.rollout = RolloutState::Failed { reason: reason.to_owned() };
                primary.updated_at = now;
            }
        });
        self.report(&format!("(deployment {}) deployment failed: {reason}", deployment_id(&revision)));
    }

    fn change_shift(&self, key: &ServiceDeploymentKey, change: impl FnOnce(&mut Shift)) {
        let now = self.now();
        self.world.state.ecs.service_deployments.update(self.scope, key, |row| {
            row.shift.as_mut().map(change);
            row.updated_at = now;
        });
    }

    fn change_hook(&self, key: &ServiceDeploymentKey, id: &str, change: impl FnOnce(&mut Hook)) {
        self.change_shift(key, |shift| {
            // Somebody may have told it how to go on meanwhile.
            let hook = shift.hooks.iter_mut().find(|hook| hook.id == id && hook.outcome.is_none());
            hook.map(change);
        });
    }
}

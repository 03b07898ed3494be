//! What to do next for a deployment whose traffic is shifted, BLUE_GREEN, LINEAR or CANARY: a pure function of the records
//! and the tasks.

use std::time::Duration;

use base::{ServiceRevisionId, Timestamp};
use state::ecs::{
    Deployment, Hook, HookAction, HookOutcome, HookStage, HookTarget, LifecycleStage, RolloutState, ServiceDeployment,
    Shift, Tally, Traffic, Weight,
};

use super::service_plan::{
    Action, Known, Member, Obstacle, event, is_counted, is_live, stop, stop_first, stop_unhealthy, throttle, watch,
};
use super::{circuit_breaker, lifecycle_hook};

/// How often in a row it is tried to shift traffic.
const TRAFFIC_TRIES_MAX: u32 = 5;
/// What `ContinueServiceDeployment` and `StopServiceDeployment` leave as the reason. (unverified)
const STOPPED_BY_USER: &str = "Service deployment was stopped by a user request.";

/// What only a deployment has to do whose traffic is shifted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ShiftStep {
    /// Begin, with the revision that the traffic comes from.
    Begin { source: Option<ServiceRevisionId>, stage: LifecycleStage },
    /// Go to a stage.
    Enter(LifecycleStage),
    /// Turn back, by a stage.
    TurnBack(LifecycleStage),
    /// Bring traffic to what it was before the deployments that were not finished.
    Reconcile,
    /// Give the deployed revision a share of a kind of traffic.
    Shift { traffic: Traffic, weight: Weight },
    /// Wait for a hook from now on.
    BeginHook { id: String },
    /// Call the function of a hook.
    CallHook { id: String },
    /// Go on from a hook that has said nothing in time.
    TimeOutHook { id: String },
    /// Give the deployment up, and take the way back if there is one.
    GiveUp { reason: String },
    /// Give the way back up.
    FailRollback { reason: String },
}

/// Says what to do next for a deployment whose traffic is shifted.
pub(super) fn plan(known: &Known<'_>, row: &ServiceDeployment, shift: &Shift) -> Vec<Action> {
    let mut actions = Vec::new();
    let Some(primary) = known.service.primary() else { return actions };
    if matches!(primary.rollout, RolloutState::Failed { .. }) {
        return actions;
    }
    let is_onward = primary.revision == row.target;
    // Alarms may well be on while the traffic goes back because of them.
    let heeded = if is_onward { *known } else { Known { alarms: &[], ..*known } };
    let Some(tally) = watch(&heeded, primary, &mut actions) else { return actions };
    let look = Look { known, row, shift, primary, tally };
    if is_onward {
        look.onward(&mut actions);
    } else {
        look.back(&mut actions);
    }
    actions
}

/// What is looked at.
struct Look<'a> {
    known: &'a Known<'a>,
    row: &'a ServiceDeployment,
    shift: &'a Shift,
    primary: &'a Deployment,
    /// How many tasks of the primary deployment have failed.
    tally: Tally,
}

impl Look<'_> {
    /// Goes on towards the target.
    fn onward(&self, actions: &mut Vec<Action>) {
        let Some(stage) = self.shift.stage else {
            let source = self.source();
            let is_alone = self.others(source.as_ref()).is_empty();
            let stage = if is_alone { LifecycleStage::PreScaleUp } else { LifecycleStage::ReconcileService };
            return actions.push(Action::Shift(ShiftStep::Begin { source, stage }));
        };
        let is_up = self.keep_both(stage, actions);
        match stage {
            LifecycleStage::ReconcileService => self.reconcile(actions),
            LifecycleStage::PreScaleUp => self.after(HookStage::PreScaleUp, LifecycleStage::ScaleUp, actions),
            LifecycleStage::ScaleUp if is_up => enter(LifecycleStage::PostScaleUp, actions),
            LifecycleStage::ScaleUp => {}
            LifecycleStage::PostScaleUp => {
                self.after(HookStage::PostScaleUp, LifecycleStage::TestTrafficShift, actions);
            }
            LifecycleStage::TestTrafficShift if self.shift.test < Weight::ALL => {
                self.bring(Traffic::Test, Weight::ALL, actions);
            }
            LifecycleStage::TestTrafficShift => {
                self.after(HookStage::TestTrafficShift, LifecycleStage::PostTestTrafficShift, actions);
            }
            LifecycleStage::PostTestTrafficShift => {
                self.after(HookStage::PostTestTrafficShift, LifecycleStage::ProductionTrafficShift, actions);
            }
            LifecycleStage::ProductionTrafficShift => self.bring_production(actions),
            LifecycleStage::PostProductionTrafficShift => {
                self.after(HookStage::PostProductionTrafficShift, LifecycleStage::BakeTime, actions);
            }
            LifecycleStage::BakeTime => {
                if self.has_baked(self.shift.entered_at, self.shift.policy.bake_min, actions) {
                    enter(LifecycleStage::CleanUp, actions);
                }
            }
            LifecycleStage::CleanUp => self.clean_up(&self.row.target, is_up, actions),
        }
    }

    /// Goes back to where the traffic was: production traffic first, then test traffic, then the tasks go.
    fn back(&self, actions: &mut Vec<Action>) {
        let source = &self.primary.revision;
        let Some(stage) = self.shift.stage.filter(|_| self.shift.is_back) else {
            let serves = self.live(source).iter().any(|member| self.known.health().is_healthy(member));
            let is_there = serves && self.shift.stage != Some(LifecycleStage::CleanUp) || self.desired() == 0;
            let stage = if is_there { self.next_back() } else { LifecycleStage::ScaleUp };
            return actions.push(Action::Shift(ShiftStep::TurnBack(stage)));
        };
        let is_up = self.keep(source, actions);
        match stage {
            LifecycleStage::ScaleUp if !is_up => {}
            LifecycleStage::ProductionTrafficShift if self.shift.production > Weight::NONE => {
                self.bring(Traffic::Production, Weight::NONE, actions);
            }
            LifecycleStage::ProductionTrafficShift => {
                self.after(HookStage::ProductionTrafficShift, self.next_back(), actions);
            }
            LifecycleStage::TestTrafficShift if self.shift.test > Weight::NONE => {
                self.bring(Traffic::Test, Weight::NONE, actions);
            }
            LifecycleStage::TestTrafficShift => self.after(HookStage::TestTrafficShift, self.next_back(), actions),
            LifecycleStage::CleanUp => self.clean_up(source, is_up, actions),
            // The way back has no others.
            LifecycleStage::ScaleUp
            | LifecycleStage::ReconcileService
            | LifecycleStage::PreScaleUp
            | LifecycleStage::PostScaleUp
            | LifecycleStage::PostTestTrafficShift
            | LifecycleStage::PostProductionTrafficShift
            | LifecycleStage::BakeTime => enter(self.next_back(), actions),
        }
    }

    fn next_back(&self) -> LifecycleStage {
        if self.shift.production > Weight::NONE {
            LifecycleStage::ProductionTrafficShift
        } else if self.shift.test > Weight::NONE {
            LifecycleStage::TestTrafficShift
        } else {
            LifecycleStage::CleanUp
        }
    }

    /// Chooses the revision that traffic comes from: the newest one that was deployed to the end, or else the newest one
    /// that has tasks.
    fn source(&self) -> Option<ServiceRevisionId> {
        let older = || self.known.service.deployments.iter().filter(|known| known.revision != self.row.target);
        let completed = older().find(|known| known.rollout == RolloutState::Completed);
        let serving = || {
            let is_failed = |known: &Deployment| matches!(known.rollout, RolloutState::Failed { .. });
            older().find(|known| !is_failed(known) && !self.live(&known.revision).is_empty())
        };
        completed.or_else(serving).map(|known| known.revision.clone())
    }

    /// Returns the revisions with tasks that are neither the target nor the source.
    fn others(&self, source: Option<&ServiceRevisionId>) -> Vec<&ServiceRevisionId> {
        let deployed = self.known.service.deployments.iter().map(|known| &known.revision);
        let is_other = |id: &&ServiceRevisionId| **id != self.row.target && Some(*id) != source;
        deployed.filter(is_other).filter(|id| self.is_left(id)).collect()
    }

    /// Returns whether tasks of a revision are shown as pending or running.
    fn is_left(&self, revision: &ServiceRevisionId) -> bool {
        self.known.members.iter().any(|member| member.revision == *revision && is_counted(member))
    }

    fn live(&self, revision: &ServiceRevisionId) -> Vec<&Member> {
        self.known.members.iter().filter(|member| member.revision == *revision && is_live(member)).collect()
    }

    fn desired(&self) -> usize {
        usize::try_from(self.known.service.desired_count).unwrap_or(usize::MAX)
    }

    /// Keeps the revisions at the tasks that they are to have at a stage. Returns whether the target is up.
    fn keep_both(&self, stage: LifecycleStage, actions: &mut Vec<Action>) -> bool {
        if let Some(source) = self.shift.source.as_ref().filter(|_| stage < LifecycleStage::CleanUp) {
            self.keep(source, actions);
        }
        stage >= LifecycleStage::ScaleUp && self.keep(&self.row.target, actions)
    }

    /// Keeps a revision at as many tasks as are desired. Returns whether it has them, and all are healthy.
    fn keep(&self, revision: &ServiceRevisionId, actions: &mut Vec<Action>) -> bool {
        let mut deployments = self.known.service.deployments.iter();
        let Some(deployment) = deployments.find(|known| known.revision == *revision) else { return false };
        let health = self.known.health();
        let (leaving, live) = self.live(revision).into_iter().partition::<Vec<_>, _>(|member| member.is_leaving);
        let (unhealthy, fit) = live.into_iter().partition::<Vec<_>, _>(|member| health.is_unhealthy(member));
        let healthy = fit.iter().filter(|member| health.is_healthy(member)).count();
        self.start(deployment, fit.len(), actions);
        let surplus = fit.len().saturating_sub(self.desired());
        let stopped = stop_first(&deployment.workload, &fit, surplus, self.known.now, &mut |_| true);
        if stopped.len() < surplus {
            // The rest is protected, for a while.
            let protected = fit.iter().filter(|member| member.task.is_protected(self.known.now));
            actions.extend(protected.filter_map(|member| member.task.protected_until).min().map(Action::LookAgain));
        }
        stop(stopped, actions);
        if healthy >= self.desired() {
            stop_unhealthy(unhealthy, actions);
            stop(leaving, actions);
        }
        if let Some(at) = fit.iter().filter_map(|member| health.next_look(member)).min() {
            actions.push(Action::LookAgain(at));
        }
        fit.len() == self.desired() && healthy == fit.len()
    }

    fn start(&self, deployment: &Deployment, fit: usize, actions: &mut Vec<Action>) {
        let missing = self.desired().saturating_sub(fit);
        if missing == 0 {
            return;
        }
        let own = self.known.members.iter().filter(|member| member.revision == deployment.revision).collect::<Vec<_>>();
        let counted = || {
            // Nobody counts the failures of a deployment that is not the primary one.
            let health = self.known.health();
            circuit_breaker::count(&Tally::default(), &own, deployment.updated_at, &health, true)
        };
        let tally = if deployment.revision == self.primary.revision { self.tally.clone() } else { counted() };
        let throttle = throttle(&tally, own.iter().copied(), self.desired(), self.known.pace);
        let (service, words) = (self.known.service, Obstacle::KeepsFailing.words());
        if throttle.keeps_failing && event::is_due(service, &words, deployment.updated_at, self.known.now) {
            actions.push(Action::Report(Obstacle::KeepsFailing));
        }
        actions.push(match throttle.until.filter(|at| self.known.now < *at) {
            Some(at) => Action::LookAgain(at),
            None => Action::Start { revision: deployment.revision.clone(), count: missing },
        });
    }

    /// Ends what deployments have left that were not finished, so that one revision has the traffic and the tasks.
    fn reconcile(&self, actions: &mut Vec<Action>) {
        if !self.is_passed(HookStage::ReconcileService, actions) {
            return;
        }
        if self.shift.shifted_at.is_none() {
            return self.order(ShiftStep::Reconcile, actions);
        }
        let others = self.others(self.shift.source.as_ref());
        if others.is_empty() {
            return enter(LifecycleStage::PreScaleUp, actions);
        }
        self.end(others.into_iter().flat_map(|revision| self.live(revision)).collect(), actions);
    }

    /// Stops tasks that deployments have left. Those that are protected are waited for. (The model: they are protected from
    /// deployments too.)
    fn end(&self, left: Vec<&Member>, actions: &mut Vec<Action>) {
        let (now, service) = (self.known.now, self.known.service);
        let (protected, left) = left.into_iter().partition::<Vec<_>, _>(|member| member.task.is_protected(now));
        stop(left, actions);
        let Some(first) = protected.iter().min_by_key(|member| member.task.protected_until) else { return };
        let obstacle = Obstacle::Protected(first.revision.clone());
        if event::is_due(service, &obstacle.words(), self.primary.updated_at, now) {
            actions.push(Action::Report(obstacle));
        }
        actions.extend(first.task.protected_until.map(Action::LookAgain));
    }

    /// Brings production traffic over, step by step.
    fn bring_production(&self, actions: &mut Vec<Action>) {
        let (shift, share) = (self.shift, self.shift.production);
        // Without a revision that it comes from, there is nothing to share. (unverified)
        let next = if shift.source.is_some() { shift.policy.steps.next(share) } else { Weight::ALL };
        if share == Weight::NONE {
            if self.is_passed(HookStage::PreProductionTrafficShift, actions) {
                self.bring(Traffic::Production, next, actions);
            }
        } else if self.is_passed(HookStage::ProductionTrafficShift, actions) {
            if share == Weight::ALL {
                enter(LifecycleStage::PostProductionTrafficShift, actions);
            } else if self.has_baked(shift.shifted_at, shift.policy.steps.bake_min(), actions) {
                self.bring(Traffic::Production, next, actions);
            }
        }
    }

    fn bring(&self, traffic: Traffic, weight: Weight, actions: &mut Vec<Action>) {
        self.order(ShiftStep::Shift { traffic, weight }, actions);
    }

    /// Orders traffic, unless that has failed too often or too lately.
    fn order(&self, step: ShiftStep, actions: &mut Vec<Action>) {
        if self.shift.failures >= TRAFFIC_TRIES_MAX {
            let why = self.shift.obstacle.as_deref().unwrap_or_default();
            let reason = format!("Service deployment rolled back because of {why}");
            let given_up = if self.shift.is_back {
                // Text unverified.
                ShiftStep::FailRollback { reason: format!("Service deployment rollback failed because of {why}") }
            } else {
                ShiftStep::GiveUp { reason }
            };
            return actions.push(Action::Shift(given_up));
        }
        actions.push(match self.shift.retry_at.filter(|at| self.known.now < *at) {
            Some(at) => Action::LookAgain(at),
            None => Action::Shift(step),
        });
    }

    /// Returns whether so many minutes have passed since. Without a revision to go back to, nothing is waited for.
    /// (unverified)
    fn has_baked(&self, since: Option<Timestamp>, minutes: u32, actions: &mut Vec<Action>) -> bool {
        let Some(since) = since.filter(|_| self.shift.source.is_some()) else { return true };
        let until = since.plus(self.known.pace.wait(Duration::from_secs(u64::from(minutes) * 60)));
        if self.known.now < until {
            actions.push(Action::LookAgain(until));
        }
        self.known.now >= until
    }

    /// Ends the tasks of all revisions but one. That one has the service to itself when they are gone.
    fn clean_up(&self, kept: &ServiceRevisionId, is_up: bool, actions: &mut Vec<Action>) {
        let old = self.known.members.iter().filter(|member| member.revision != *kept && is_live(member));
        self.end(old.collect(), actions);
        let mut is_alone = true;
        for known in self.known.service.deployments.iter().filter(|known| known.revision != *kept) {
            if self.is_left(&known.revision) {
                is_alone = false;
            } else {
                actions.push(Action::DropDeployment { revision: known.revision.clone() });
            }
        }
        if is_alone && is_up {
            actions.push(Action::Complete);
        }
    }

    /// Goes to a stage when the hooks of another one have nothing against it.
    fn after(&self, hooks: HookStage, next: LifecycleStage, actions: &mut Vec<Action>) {
        if self.is_passed(hooks, actions) {
            enter(next, actions);
        }
    }

    /// Sees to the hooks of a stage, all at once. Returns whether the deployment goes on. On the way back they are told,
    /// but have no say: there is nowhere else to go.
    fn is_passed(&self, stage: HookStage, actions: &mut Vec<Action>) -> bool {
        let asked = |hook: &&Hook| hook.stage == stage && hook.is_back == self.shift.is_back;
        let hooks = self.shift.hooks.iter().filter(asked);
        if let Some(reason) = hooks.clone().filter(|_| !self.shift.is_back).find_map(objection) {
            actions.push(Action::Shift(ShiftStep::GiveUp { reason }));
            return false;
        }
        let mut is_passed = true;
        for hook in hooks.filter(|hook| hook.outcome.is_none()) {
            is_passed = false;
            self.see_to(hook, actions);
        }
        is_passed
    }

    fn see_to(&self, hook: &Hook, actions: &mut Vec<Action>) {
        let id = hook.id.clone();
        let Some(expires_at) = hook.expires_at else {
            return actions.push(Action::Shift(ShiftStep::BeginHook { id }));
        };
        if self.known.now >= expires_at {
            return actions.push(Action::Shift(ShiftStep::TimeOutHook { id }));
        }
        actions.push(Action::LookAgain(expires_at));
        match (&hook.target, hook.call_at) {
            (HookTarget::Lambda { .. }, Some(at)) if self.known.now < at => actions.push(Action::LookAgain(at)),
            (HookTarget::Lambda { .. }, _) => actions.push(Action::Shift(ShiftStep::CallHook { id })),
            (HookTarget::Pause, _) => {}
        }
    }
}

/// Says why a hook is against going on, if it is.
fn objection(hook: &Hook) -> Option<String> {
    match hook.outcome.as_ref()? {
        HookOutcome::Told(HookAction::Continue) | HookOutcome::Succeeded | HookOutcome::Skipped => None,
        // Whoever told it asks for the stop too; this is for a server that was killed between the two.
        HookOutcome::Told(HookAction::RollBack) => Some(STOPPED_BY_USER.to_owned()),
        HookOutcome::TimedOut => match hook.on_timeout {
            HookAction::Continue => None,
            HookAction::RollBack => Some(lifecycle_hook::timed_out(hook)),
        },
        HookOutcome::Failed { reason } => Some(match &hook.target {
            HookTarget::Lambda { function, .. } => lifecycle_hook::failed(hook.stage, function, reason),
            HookTarget::Pause => reason.clone(),
        }),
    }
}

fn enter(stage: LifecycleStage, actions: &mut Vec<Action>) {
    actions.push(Action::Shift(ShiftStep::Enter(stage)));
}

#[cfg(test)]
#[path = "shift_plan_tests.rs"]
pub(super) mod tests;

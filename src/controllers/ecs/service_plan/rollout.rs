//! The rollout of a service's primary deployment in place of the others, task by task.

use std::time::Duration;

use base::Timestamp;
use state::ecs::{Deployment, RolloutState, Tally};

use super::{
    Action, Cause, Health, Known, Member, Obstacle, event, is_counted, is_live, stop, stop_first, stop_unhealthy,
    throttle, zones,
};
use crate::ecs::circuit_breaker;

/// Counts what has failed of the primary deployment, and gives it up if that is too much. Returns the count, unless the
/// deployment is given up now.
pub(in crate::ecs) fn watch(known: &Known<'_>, primary: &Deployment, actions: &mut Vec<Action>) -> Option<Tally> {
    let before = &primary.tally;
    if matches!(primary.rollout, RolloutState::Failed { .. }) {
        return Some(before.clone());
    }
    let own = known.members.iter().filter(|member| member.revision == primary.revision).collect::<Vec<_>>();
    let policy = &known.service.rollout;
    let resets = policy.circuit_breaker.is_none_or(|breaker| breaker.resets_on_healthy_task);
    let mut tally = circuit_breaker::count(before, &own, primary.updated_at, &known.health(), resets);
    let is_watched = primary.rollout == RolloutState::InProgress;
    if !is_watched {
        tally.failed = 0;
    }
    if tally != *before {
        let failed = tally.counted.iter().filter(|id| !before.counted.contains(id)).cloned().collect();
        actions.push(Action::Count { tally: tally.clone(), failed });
    }
    if !is_watched {
        return Some(tally);
    }
    let ignored = primary.ignored_alarms.as_deref().unwrap_or_else(|| {
        actions.push(Action::Begin { ignored_alarms: known.alarms.to_vec() });
        known.alarms
    });
    let ringing = known.alarms.iter().filter(|name| !ignored.contains(name)).cloned().collect::<Vec<_>>();
    let desired = known.service.desired_count;
    if policy.circuit_breaker.is_some_and(|breaker| circuit_breaker::is_tripped(&breaker, &tally, desired)) {
        actions.push(Action::GiveUp(Cause::CircuitBreaker));
        None
    } else if policy.alarms.is_some() && !ringing.is_empty() {
        actions.push(Action::GiveUp(Cause::Alarms(ringing)));
        None
    } else {
        Some(tally)
    }
}

/// Says that the service has all that it wants, unless it has said so lately.
pub(in crate::ecs) fn be_steady(known: &Known<'_>, actions: &mut Vec<Action>) {
    // What is said in this plan comes before it.
    let is_news = actions.iter().any(|action| matches!(action, Action::Complete | Action::Count { .. }));
    match event::steady_again_at(known.service).filter(|_| !is_news) {
        Some(at) if known.now < at => actions.push(Action::LookAgain(at)),
        _ => actions.push(Action::Steady),
    }
}

/// Forgets the deployments that nothing is left of.
pub(in crate::ecs) fn drop_emptied(known: &Known<'_>, actions: &mut Vec<Action>) {
    for deployment in known.service.deployments.iter().skip(1) {
        let mut members = known.members.iter();
        if !members.any(|member| member.revision == deployment.revision && is_counted(member)) {
            actions.push(Action::DropDeployment { revision: deployment.revision.clone() });
        }
    }
}

/// Whether tasks of other deployments are still there.
pub(in crate::ecs) fn has_others(known: &Known<'_>, primary: &Deployment) -> bool {
    known.members.iter().any(|member| member.revision != primary.revision && is_counted(member))
}

/// Says what to do next for a service whose primary deployment takes the place of the others task by task.
pub(super) fn plan(known: &Known<'_>, primary: &Deployment, tally: &Tally, actions: &mut Vec<Action>) {
    let rollout = Rollout { known, primary, health: known.health() };
    if matches!(primary.rollout, RolloutState::Failed { .. }) {
        rollout.stall(actions);
    } else {
        rollout.roll(tally, actions);
    }
}

struct Rollout<'a> {
    known: &'a Known<'a>,
    primary: &'a Deployment,
    health: Health<'a>,
}

/// How many tasks serve, of which some must be left.
struct Budget {
    least: usize,
    healthy: usize,
    serving: usize,
}

impl<'a> Rollout<'a> {
    /// Starts and stops what the numbers allow.
    fn roll(&self, tally: &Tally, actions: &mut Vec<Action>) {
        let live = self.known.members.iter().filter(|member| is_live(member));
        let (new, old) = live.partition::<Vec<_>, _>(|member| self.is_new(member));
        let (unhealthy, fit) = new.iter().copied().partition::<Vec<_>, _>(|member| self.health.is_unhealthy(member));
        let started = self.start(tally, &new, &fit, &old, actions);
        let mut budget = self.budget();
        stop(self.surplus(&fit, &mut budget, actions), actions);
        stop_unhealthy(self.replaced(&unhealthy, &fit, started), actions);
        let outdated = self.outdated(&old, &mut budget);
        let is_stuck =
            started == 0 && outdated.is_empty() && !old.is_empty() && new.len() < self.desired() && self.room() == 0;
        let is_waiting = new.iter().any(|member| !self.health.is_healthy(member))
            || old.iter().any(|member| self.health.next_look(member).is_some())
            || self.known.members.iter().any(|member| is_counted(member) && !is_live(member))
            || self.protected_until(&old).is_some();
        if is_stuck && !is_waiting {
            self.report(Obstacle::Percentages, actions);
        }
        let kept = old.iter().filter(|member| !outdated.iter().any(|gone| gone.task.key == member.task.key));
        let mut kept = kept.peekable();
        if let Some(first) = kept.peek().copied().filter(|_| self.is_up(&new))
            && kept.all(|member| member.task.is_protected(self.known.now))
        {
            self.report(Obstacle::Protected(first.revision.clone()), actions);
        }
        stop(outdated, actions);
        self.finish(&new, &old, actions);
    }

    /// Leaves a deployment that was given up where it is, but for what there is too much of.
    fn stall(&self, actions: &mut Vec<Action>) {
        let mut live = self.known.members.iter().filter(|member| is_live(member)).collect::<Vec<_>>();
        let surplus = live.len().saturating_sub(self.most());
        live.retain(|member| !member.task.is_protected(self.known.now));
        live.sort_by_key(|member| {
            let is_old = member.revision != self.primary.revision;
            (self.health.serves(member), is_old, member.task.created_at)
        });
        live.truncate(surplus);
        stop(live, actions);
        drop_emptied(self.known, actions);
    }

    fn desired(&self) -> usize {
        usize::try_from(self.known.service.desired_count).unwrap_or(usize::MAX)
    }

    /// Returns how many tasks there may be: the upper bound is rounded down.
    fn most(&self) -> usize {
        let (desired, policy) = (self.known.service.desired_count, &self.known.service.rollout);
        usize::try_from(u64::from(desired) * u64::from(policy.maximum_percent) / 100).unwrap_or(usize::MAX)
    }

    /// Returns how many more tasks there may be. Those that were asked to stop count until they are stopping.
    fn room(&self) -> usize {
        self.most().saturating_sub(self.known.members.iter().filter(|member| is_counted(member)).count())
    }

    /// Returns how many tasks must stay healthy: the lower bound is rounded up.
    fn budget(&self) -> Budget {
        let (desired, policy) = (self.known.service.desired_count, &self.known.service.rollout);
        let least = (u64::from(desired) * u64::from(policy.minimum_healthy_percent)).div_ceil(100);
        Budget {
            least: usize::try_from(least).unwrap_or(usize::MAX),
            healthy: self.known.members.iter().filter(|member| self.health.is_healthy(member)).count(),
            serving: self.known.members.iter().filter(|member| self.serves(member)).count(),
        }
    }

    /// Whether a task serves. One of before does, however young it is: nothing else may. A new one has to prove itself.
    fn serves(&self, member: &Member) -> bool {
        if self.is_new(member) { self.health.is_healthy(member) } else { self.health.serves(member) }
    }

    fn is_new(&self, member: &Member) -> bool {
        member.revision == self.primary.revision && !member.is_leaving
    }

    /// Takes a task out of the budget, if enough are left. One that serves but is too young to count as healthy is kept
    /// too while there are no others.
    fn take(&self, budget: &mut Budget, member: &Member) -> bool {
        let (is_healthy, serves) = (self.health.is_healthy(member), self.serves(member));
        if (is_healthy && budget.healthy <= budget.least) || (serves && budget.serving <= budget.least) {
            return false;
        }
        budget.healthy -= usize::from(is_healthy);
        budget.serving -= usize::from(serves);
        true
    }

    /// Starts what is missing, as far as there may be more tasks and the last ones have not just failed.
    fn start(
        &self,
        tally: &Tally,
        new: &[&Member],
        fit: &[&Member],
        old: &[&Member],
        actions: &mut Vec<Action>,
    ) -> usize {
        let missing = self.desired().saturating_sub(fit.len());
        let moves = if missing == 0 && old.is_empty() { self.moves(new) } else { None };
        let missing = missing + usize::from(moves.is_some());
        if missing == 0 {
            return 0;
        }
        let own = self.known.members.iter().filter(|member| member.revision == self.primary.revision);
        let throttle = throttle(tally, own, self.desired(), self.known.pace);
        if throttle.keeps_failing {
            self.report(Obstacle::KeepsFailing, actions);
        }
        if let Some(at) = throttle.until.filter(|at| self.known.now < *at) {
            actions.push(Action::LookAgain(at));
            return 0;
        }
        let count = missing.min(self.room());
        if count > 0 {
            if let Some(counts) = moves {
                self.report(Obstacle::Unbalanced(counts), actions);
            }
            actions.push(Action::Start { revision: self.primary.revision.clone(), count });
        }
        count
    }

    /// Returns how tasks lie over the zones, if one is to be moved: a task is started in a poorer zone before one in the
    /// richest is stopped.
    fn moves(&self, new: &[&Member]) -> Option<Vec<(String, usize)>> {
        let is_completed = self.primary.rollout == RolloutState::Completed;
        if !self.known.service.rebalances_zones || !is_completed || !self.is_up(new) {
            return None;
        }
        let counts = zones::counts(self.known.zones, new.iter().copied());
        let most = counts.iter().map(|(_, count)| *count).max()?;
        let is_rich =
            |member: &&&Member| counts.iter().any(|(zone, count)| *count == most && member.zone.as_ref() == Some(zone));
        let can_leave = new.iter().filter(is_rich).any(|member| !member.task.is_protected(self.known.now));
        (zones::is_uneven(&counts) && can_leave).then_some(counts)
    }

    /// Returns the tasks that are too many and may be stopped now.
    fn surplus(&self, fit: &[&'a Member], budget: &mut Budget, actions: &mut Vec<Action>) -> Vec<&'a Member> {
        let surplus = fit.len().saturating_sub(self.desired());
        if surplus == 0 {
            return Vec::new();
        }
        let protected = fit.iter().filter(|member| member.task.is_protected(self.known.now)).count();
        if protected > self.desired() {
            self.report(Obstacle::Protected(self.primary.revision.clone()), actions);
        }
        let counts = zones::counts(self.known.zones, fit.iter().copied());
        let most = counts.iter().map(|(_, count)| *count).max().unwrap_or(0);
        let in_richest = |member: &Member| {
            let known = counts.iter().find(|(zone, _)| member.zone.as_ref() == Some(zone));
            known.is_none_or(|(_, count)| *count == most)
        };
        // What was started to even the zones out stays; it is waited for.
        let evens_out = self.known.service.rebalances_zones && surplus == 1;
        stop_first(&self.primary.workload, fit, surplus, self.known.now, &mut |member| {
            (!evens_out || in_richest(member)) && self.take(budget, member)
        })
    }

    /// Returns the unhealthy tasks that may be stopped now: all of them once there are healthy ones in their place; one
    /// after the other where there may not be more tasks at a time.
    fn replaced(&self, unhealthy: &[&'a Member], fit: &[&Member], started: usize) -> Vec<&'a Member> {
        let healthy = fit.iter().filter(|member| self.health.is_healthy(member)).count();
        if healthy >= self.desired() {
            return unhealthy.to_vec();
        }
        let is_full = started == 0 && self.room() == 0;
        let is_quiet = healthy == fit.len();
        unhealthy.iter().copied().take(usize::from(is_full && is_quiet)).collect()
    }

    /// Returns the tasks of other deployments that may be stopped now: first those that do not serve, then those too
    /// young to count, then the oldest.
    fn outdated(&self, old: &[&'a Member], budget: &mut Budget) -> Vec<&'a Member> {
        let mut chosen = old.to_vec();
        chosen.retain(|member| !member.task.is_protected(self.known.now));
        chosen
            .sort_by_key(|member| (self.health.serves(member), self.health.is_healthy(member), member.task.created_at));
        chosen.retain(|member| self.take(budget, member));
        chosen
    }

    /// Says what has come to an end, and when there will be more to say.
    fn finish(&self, new: &[&Member], old: &[&Member], actions: &mut Vec<Action>) {
        drop_emptied(self.known, actions);
        if self.is_up(new) && old.is_empty() && !has_others(self.known, self.primary) {
            if let Some(baked_at) = self.baked_at(actions).filter(|at| self.known.now < *at) {
                actions.push(Action::LookAgain(baked_at));
                return;
            }
            if self.primary.rollout == RolloutState::InProgress {
                actions.push(Action::Complete);
            }
            // A move between zones comes next.
            if !actions.iter().any(|action| matches!(action, Action::Start { .. })) {
                be_steady(self.known, actions);
            }
        }
        let protected = self
            .protected_until(old)
            .into_iter()
            .chain(self.protected_until(new).filter(|_| new.len() > self.desired()));
        let looks = new.iter().chain(old).filter_map(|member| self.health.next_look(member));
        if let Some(at) = looks.chain(protected).min() {
            actions.push(Action::LookAgain(at));
        }
    }

    /// Returns until when the deployment is watched by its alarms though its tasks are up; none if it is not.
    fn baked_at(&self, actions: &mut Vec<Action>) -> Option<Timestamp> {
        let policy = &self.known.service.rollout;
        let is_baked = self.primary.rollout == RolloutState::InProgress && policy.alarms.is_some();
        if !is_baked || policy.bake_time_min == 0 {
            return None;
        }
        let since = self.primary.baking_since.unwrap_or_else(|| {
            actions.push(Action::Bake);
            self.known.now
        });
        let bake = Duration::from_secs(u64::from(policy.bake_time_min) * 60);
        Some(since.plus(self.known.pace.wait(bake)))
    }

    fn report(&self, obstacle: Obstacle, actions: &mut Vec<Action>) {
        let (service, now) = (self.known.service, self.known.now);
        if event::is_due(service, &obstacle.words(), self.primary.updated_at, now) {
            actions.push(Action::Report(obstacle));
        }
    }

    /// Whether there are as many tasks as are desired, and all are healthy.
    fn is_up(&self, new: &[&Member]) -> bool {
        new.len() == self.desired() && new.iter().all(|member| self.health.is_healthy(member))
    }

    fn protected_until(&self, members: &[&Member]) -> Option<Timestamp> {
        let protected = members.iter().filter(|member| member.task.is_protected(self.known.now));
        protected.filter_map(|member| member.task.protected_until).min()
    }
}

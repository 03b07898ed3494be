//! What to do next for a service with one task on each container instance: a pure function.

use base::ContainerInstanceId;
use state::ecs::{Deployment, RolloutState, Tally, TaskStatus};

use super::service_plan::{
    Action, Known, Member, be_steady, drop_emptied, has_others, is_live, stop, stop_unhealthy, throttle, watch,
};

/// A container instance, as far as a daemon asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) id: ContainerInstanceId,
    /// Whether a task of the service belongs there: it is active, and has what the task asks for.
    pub(super) is_wanted: bool,
    /// Whether its agent takes tasks.
    pub(super) takes_tasks: bool,
    /// Whether it is being emptied while tasks of other services are still there: daemons end last.
    pub(super) is_emptying: bool,
}

/// What is known of a daemon.
#[derive(Clone, Copy)]
pub(super) struct Daemon<'a> {
    pub(super) known: &'a Known<'a>,
    pub(super) primary: &'a Deployment,
    pub(super) spots: &'a [Spot],
}

impl Daemon<'_> {
    /// Says what to do next: first what does not belong where it is goes, then old tasks make room as far as enough stay
    /// healthy, then new ones start where nothing is.
    pub(super) fn plan(self, actions: &mut Vec<Action>) {
        let Some(tally) = watch(self.known, self.primary, actions) else { return };
        if matches!(self.primary.rollout, RolloutState::Failed { .. }) {
            return;
        }
        let health = self.known.health();
        let live = self.known.members.iter().filter(|member| is_live(member));
        let (placed, strayed) = live.partition::<Vec<_>, _>(|member| self.spot_of(member).is_some_and(|s| s.is_wanted));
        let leaving = strayed.iter().copied().filter(|member| !self.spot_of(member).is_some_and(|s| s.is_emptying));
        stop(leaving.collect(), actions);
        let (new, old) = placed.into_iter().partition::<Vec<_>, _>(|m| m.revision == self.primary.revision);
        let (unhealthy, fit) = new.into_iter().partition::<Vec<_>, _>(|m| health.is_unhealthy(m));
        let mut spare = self.spare(&fit, &old);
        // One that is not healthy serves nobody: it is replaced at once.
        stop_unhealthy(unhealthy.clone(), actions);
        stop(self.outdated(&old, &mut spare), actions);
        let held = || fit.iter().chain(&old).chain(&unhealthy);
        let is_free = |spot: &&Spot| !held().any(|member| is_on(member, &spot.id));
        let bare = self.spots.iter().filter(|spot| spot.is_wanted && spot.takes_tasks).filter(is_free);
        let bare = bare.map(|spot| spot.id.clone()).collect::<Vec<_>>();
        let is_short = !bare.is_empty();
        let has_old = !old.is_empty() || strayed.iter().any(|member| member.revision != self.primary.revision);
        self.start(bare, &tally, actions);
        self.finish(&fit, has_old || !unhealthy.is_empty() || is_short, actions);
    }

    fn spot_of(&self, member: &Member) -> Option<&Spot> {
        self.spots.iter().find(|spot| is_on(member, &spot.id))
    }

    /// Returns how many tasks that serve may go: the lower bound is rounded up.
    fn spare(&self, fit: &[&Member], old: &[&Member]) -> usize {
        let wanted = self.spots.iter().filter(|spot| spot.is_wanted).count();
        let least = (wanted * self.percent()).div_ceil(100);
        let healthy = fit.iter().filter(|member| self.known.health().is_healthy(member)).count();
        (healthy + old.iter().filter(|member| serves(member)).count()).saturating_sub(least)
    }

    fn percent(&self) -> usize {
        usize::try_from(self.known.service.rollout.minimum_healthy_percent).unwrap_or(usize::MAX)
    }

    /// Returns the tasks of other deployments that go now, the oldest first. There is room for one task of the service on
    /// an instance, so the old one goes before the new one comes.
    fn outdated<'m>(&self, old: &[&'m Member], spare: &mut usize) -> Vec<&'m Member> {
        let mut oldest_first = old.to_vec();
        oldest_first.sort_by_key(|member| member.task.created_at);
        oldest_first.retain(|member| {
            let serves = serves(member);
            let may_stop = !serves || *spare > 0;
            *spare -= usize::from(serves && may_stop);
            may_stop
        });
        oldest_first
    }

    fn start(&self, instances: Vec<ContainerInstanceId>, tally: &Tally, actions: &mut Vec<Action>) {
        if instances.is_empty() {
            return;
        }
        let own = self.known.members.iter().filter(|member| member.revision == self.primary.revision);
        let wanted = self.spots.iter().filter(|spot| spot.is_wanted).count();
        match throttle(tally, own, wanted, self.known.pace).until.filter(|at| self.known.now < *at) {
            Some(at) => actions.push(Action::LookAgain(at)),
            None => actions.push(Action::StartOn { revision: self.primary.revision.clone(), instances }),
        }
    }

    /// Says what has come to an end, and when there will be more to say.
    fn finish(&self, fit: &[&Member], is_unfinished: bool, actions: &mut Vec<Action>) {
        drop_emptied(self.known, actions);
        let is_unfinished = is_unfinished || has_others(self.known, self.primary);
        if !is_unfinished && fit.iter().all(|member| self.known.health().is_healthy(member)) {
            if self.primary.rollout == RolloutState::InProgress {
                actions.push(Action::Complete);
            }
            be_steady(self.known, actions);
            return;
        }
        let health = self.known.health();
        if let Some(at) = fit.iter().filter_map(|member| health.next_look(member)).min() {
            actions.push(Action::LookAgain(at));
        }
    }
}

fn is_on(member: &Member, instance: &ContainerInstanceId) -> bool {
    member.task.launch.container_instance() == Some(instance)
}

fn serves(member: &Member) -> bool {
    member.task.last_status == TaskStatus::Running
}

#[cfg(test)]
#[path = "daemon_plan_tests.rs"]
mod tests;

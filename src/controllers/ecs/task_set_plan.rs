//! What to do next for a task set of a service that ECS does not deploy itself: a pure function.

use state::ecs::{Tally, TaskSet, TaskSetStatus, TaskStatus};

use super::circuit_breaker;
use super::service_plan::{
    Action, Known, Obstacle, event, is_counted, is_live, stop, stop_first, stop_unhealthy, throttle,
};

/// Says what to do next for a task set.
pub(super) fn plan(known: &Known<'_>, task_set: &TaskSet, actions: &mut Vec<Action>) {
    let (revision, health) = (&task_set.key.id, known.health());
    let own = || known.members.iter().filter(|member| member.revision == *revision);
    let desired = usize::try_from(task_set.desired_count(known.service.desired_count)).unwrap_or(usize::MAX);
    if task_set.status == TaskSetStatus::Draining && !own().any(is_counted) {
        actions.push(Action::RemoveTaskSet { revision: revision.clone() });
        return;
    }
    // A task whose instance is emptied makes way when there is another one in its place.
    let (leaving, live) = own().filter(|member| is_live(member)).partition::<Vec<_>, _>(|member| member.is_leaving);
    let (unhealthy, live) = live.into_iter().partition::<Vec<_>, _>(|member| health.is_unhealthy(member));
    stop_unhealthy(unhealthy, actions);
    let missing = desired.saturating_sub(live.len());
    if missing > 0 {
        // Nobody watches a task set; its failures are counted as far as they are remembered.
        let all = own().collect::<Vec<_>>();
        let tally = circuit_breaker::count(&Tally::default(), &all, task_set.created_at, &health, true);
        match throttle(&tally, own(), desired, known.pace).until.filter(|at| known.now < *at) {
            Some(at) => actions.push(Action::LookAgain(at)),
            None => actions.push(Action::Start { revision: revision.clone(), count: missing }),
        }
    }
    let surplus = live.len().saturating_sub(desired);
    let stopped = stop_first(&task_set.workload, &live, surplus, known.now, &mut |_| true);
    if stopped.len() < surplus {
        // The rest is protected, for a while.
        let obstacle = Obstacle::Protected(revision.clone());
        if event::is_due(known.service, &obstacle.words(), task_set.updated_at, known.now) {
            actions.push(Action::Report(obstacle));
        }
        let ends = live.iter().filter(|member| member.task.is_protected(known.now));
        actions.extend(ends.filter_map(|member| member.task.protected_until).min().map(Action::LookAgain));
    }
    stop(stopped, actions);
    if live.iter().filter(|member| member.task.last_status == TaskStatus::Running).count() >= desired {
        stop(leaving, actions);
    }
    let running = own().filter(|member| member.task.last_status == TaskStatus::Running);
    let running = running.filter(|member| health.passes_checks(member)).count();
    let is_steady = running == desired && live.len() == desired;
    // An unhealthy task may be replaced only after its grace period: that is a time of its own.
    actions.extend(
        own()
            .filter(|member| !health.passes_checks(member))
            .filter_map(|member| health.next_look(member))
            .min()
            .map(Action::LookAgain),
    );
    if is_steady != task_set.is_steady {
        actions.push(Action::SetSteady { revision: revision.clone(), is_steady });
    }
}

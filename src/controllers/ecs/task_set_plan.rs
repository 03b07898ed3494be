//! What to do next for a task set of a service that ECS does not deploy itself: a pure function.

use base::Timestamp;
use state::ecs::{Service, TaskSet, TaskSetStatus, TaskStatus};

use super::service_plan::{
    Action, Member, is_counted, is_live, is_unhealthy, retry_at, stop, stop_first, stop_unhealthy,
};

/// Says what to do next for a task set.
pub(super) fn plan(
    service: &Service,
    task_set: &TaskSet,
    members: &[Member],
    now: Timestamp,
    actions: &mut Vec<Action>,
) {
    let revision = &task_set.key.id;
    let own = || members.iter().filter(|member| member.revision == *revision);
    let desired = usize::try_from(task_set.desired_count(service.desired_count)).unwrap_or(usize::MAX);
    if task_set.status == TaskSetStatus::Draining && !own().any(is_counted) {
        actions.push(Action::RemoveTaskSet { revision: revision.clone() });
        return;
    }
    // A task whose instance is emptied makes way when there is another one in its place.
    let (leaving, live) = own().filter(|member| is_live(member)).partition::<Vec<_>, _>(|member| member.is_leaving);
    let (unhealthy, live) = live.into_iter().partition::<Vec<_>, _>(|member| is_unhealthy(service, member, now));
    stop_unhealthy(unhealthy, actions);
    let missing = desired.saturating_sub(live.len());
    if missing > 0 {
        match retry_at(own(), desired).at.filter(|at| now < *at) {
            Some(at) => actions.push(Action::LookAgain(at)),
            None => actions.push(Action::Start { revision: revision.clone(), count: missing }),
        }
    }
    stop(stop_first(&live, live.len().saturating_sub(desired), now), actions);
    if live.iter().filter(|member| member.task.last_status == TaskStatus::Running).count() >= desired {
        stop(leaving, actions);
    }
    let running = own().filter(|member| member.task.last_status == TaskStatus::Running).count();
    let is_steady = running == desired && live.len() == desired;
    if is_steady != task_set.is_steady {
        actions.push(Action::SetSteady { revision: revision.clone(), is_steady });
    }
}

//! Which tasks of a service count as healthy, and which are to be replaced.

use std::time::Duration;

use base::Timestamp;
use state::ecs::{HealthStatus, Service, TaskStatus};

use super::Member;
use crate::Pace;

/// How long a task without health checks must have run to count as healthy. (Model, minimumHealthyPercent.)
const HEALTHY_AFTER: Duration = Duration::from_secs(40);

/// The health of a service's tasks at one time.
#[derive(Clone, Copy)]
pub(in crate::ecs) struct Health<'a> {
    pub(in crate::ecs) service: &'a Service,
    pub(in crate::ecs) pace: Pace,
    pub(in crate::ecs) now: Timestamp,
}

impl Health<'_> {
    /// Whether a task runs and is healthy, and is to go on.
    pub(in crate::ecs) fn is_healthy(&self, member: &Member) -> bool {
        super::is_live(member)
            && member.task.last_status == TaskStatus::Running
            && self.healthy_since(member).is_some_and(|since| since <= self.now)
    }

    /// Whether a task is to be replaced: its health checks fail, and not only because it has just been started.
    pub(in crate::ecs) fn is_unhealthy(&self, member: &Member) -> bool {
        is_failing(member) && self.grace_end(member).is_none_or(|end| self.now >= end)
    }

    /// Whether a task serves, however young it is.
    pub(in crate::ecs) fn serves(&self, member: &Member) -> bool {
        super::is_live(member) && member.task.last_status == TaskStatus::Running && !self.is_unhealthy(member)
    }

    /// Whether no health check of a task's containers has anything against it. (What a task set's stability asks for.)
    pub(in crate::ecs) fn passes_checks(&self, member: &Member) -> bool {
        checks_since(member).is_none_or(|(status, _)| status == HealthStatus::Healthy)
    }

    /// Returns since when a task has been healthy, or was until it stopped; none if it is not or is yet to be.
    pub(in crate::ecs) fn healthy_since(&self, member: &Member) -> Option<Timestamp> {
        let since = match checks_since(member) {
            Some((HealthStatus::Healthy, since)) => since.max(member.task.started_at?),
            Some((HealthStatus::Unhealthy | HealthStatus::Unknown, _)) => return None,
            None => self.ripe_at(member)?,
        };
        let end = member.task.stop.as_ref().map_or(self.now, |stop| stop.at.min(self.now));
        (since <= end).then_some(since)
    }

    /// Returns when there will be more to say of a task's health though nothing happens.
    pub(in crate::ecs) fn next_look(&self, member: &Member) -> Option<Timestamp> {
        let ripe = self.ripe_at(member).filter(|_| checks_since(member).is_none());
        let grace = self.grace_end(member).filter(|_| is_failing(member));
        ripe.into_iter().chain(grace).filter(|at| self.now < *at).min()
    }

    fn ripe_at(&self, member: &Member) -> Option<Timestamp> {
        Some(member.task.started_at?.plus(self.pace.wait(HEALTHY_AFTER)))
    }

    /// Returns until when the health checks of a task do not count.
    fn grace_end(&self, member: &Member) -> Option<Timestamp> {
        let grace = Duration::from_secs(u64::from(self.service.health_check_grace_period_s?));
        Some(member.task.started_at?.plus(self.pace.wait(grace)))
    }
}

/// Returns what the health checks of a task's essential containers say together, and since when; none if it has none.
fn checks_since(member: &Member) -> Option<(HealthStatus, Timestamp)> {
    let essential = member.task.containers.iter().filter(|container| container.is_essential);
    let health = essential.filter_map(|container| container.health.as_ref()).collect::<Vec<_>>();
    let since = health.iter().map(|health| health.since).max()?;
    let is_healthy = health.iter().all(|health| health.status == HealthStatus::Healthy);
    Some((if is_healthy { HealthStatus::Healthy } else { member.task.health() }, since))
}

fn is_failing(member: &Member) -> bool {
    member.task.last_status == TaskStatus::Running && member.task.health() == HealthStatus::Unhealthy
}

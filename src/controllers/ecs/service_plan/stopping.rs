//! Which tasks of a service are stopped first.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use base::Timestamp;
use state::ecs::{ServiceCapacity, TaskStatus, Workload, next_provider};

use super::{Action, Member};

/// Stops tasks, by the deployment or task set that they belong to.
pub(in crate::ecs) fn stop(members: Vec<&Member>, actions: &mut Vec<Action>) {
    let mut revisions = members.iter().map(|member| &member.revision).collect::<Vec<_>>();
    revisions.sort();
    revisions.dedup();
    for revision in revisions {
        let tasks = members.iter().filter(|member| member.revision == *revision);
        let tasks = tasks.map(|member| member.task.key.id.clone()).collect();
        actions.push(Action::Stop { revision: revision.clone(), tasks });
    }
}

/// Stops tasks that are not healthy.
pub(in crate::ecs) fn stop_unhealthy(members: Vec<&Member>, actions: &mut Vec<Action>) {
    if !members.is_empty() {
        let tasks = members.iter().map(|member| member.task.key.id.clone()).collect();
        actions.push(Action::StopUnhealthy { tasks });
    }
}

/// Chooses `count` tasks to stop of those that `may_stop`; none protected. The next is always of the capacity provider
/// that has most beyond its share, then of the availability zone with most tasks; then come those that do not run yet, and
/// the oldest.
pub(in crate::ecs) fn stop_first<'m>(
    workload: &Workload,
    live: &[&'m Member],
    count: usize,
    now: Timestamp,
    may_stop: &mut dyn FnMut(&Member) -> bool,
) -> Vec<&'m Member> {
    let mut left = live.to_vec();
    let shares = shares(workload, live.len().saturating_sub(count));
    let mut chosen = Vec::new();
    while chosen.len() < count {
        let zones = tally(left.iter().map(|member| member.zone.as_deref()));
        let providers = tally(left.iter().map(|member| member.task.capacity_provider.as_deref()));
        let order = |member: &Member| {
            let provider = member.task.capacity_provider.as_deref();
            let excess = number(&providers, provider).saturating_sub(number(&shares, provider));
            let in_zone = number(&zones, member.zone.as_deref());
            let is_running = member.task.last_status == TaskStatus::Running;
            (Reverse(excess), Reverse(in_zone), is_running, member.task.created_at)
        };
        let mut places = (0..left.len()).filter(|&place| !left[place].task.is_protected(now)).collect::<Vec<_>>();
        places.sort_by_key(|&place| order(left[place]));
        let Some(first) = places.into_iter().find(|&place| may_stop(left[place])) else { break };
        chosen.push(left.remove(first));
    }
    chosen
}

/// Counts how many there are of each.
fn tally<'k>(keys: impl Iterator<Item = Option<&'k str>>) -> BTreeMap<Option<&'k str>, usize> {
    let mut counts = BTreeMap::new();
    keys.for_each(|key| *counts.entry(key).or_default() += 1);
    counts
}

fn number(counts: &BTreeMap<Option<&str>, usize>, key: Option<&str>) -> usize {
    counts.get(&key).copied().unwrap_or_default()
}

/// Returns how many of `total` tasks each capacity provider is to have.
fn shares(workload: &Workload, total: usize) -> BTreeMap<Option<&str>, usize> {
    let ServiceCapacity::Providers { strategy, .. } = &workload.capacity else { return BTreeMap::new() };
    let mut given = vec![0_u64; strategy.len()];
    for _ in 0..total {
        let Some(next) = next_provider(strategy, &given) else { break };
        given[next] += 1;
    }
    strategy
        .iter()
        .zip(given)
        .map(|(share, count)| (Some(share.provider.as_str()), usize::try_from(count).unwrap_or(usize::MAX)))
        .collect()
}

//! What to do next for a deployment of CodeDeploy: a pure function of its record and what it deploys.

use std::time::Duration;

use base::Timestamp;
use state::codedeploy::{Deployment, Stage};
use state::ecs::{TaskSet, TaskSetStatus};

use crate::Pace;

/// How long a replacement task set may take to be stable. (AWS documents the 60 minutes.)
const STABLE_WITHIN: Duration = Duration::from_secs(60 * 60);

/// What a deployment deploys, as it is now.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen<'a> {
    /// Whether the service is there and left to CodeDeploy.
    pub(super) has_service: bool,
    /// Whether the task definition is there.
    pub(super) has_definition: bool,
    /// What the AppSpec names that the task definition does not have.
    pub(super) lack: Option<Lack>,
    /// The task set that took the traffic before.
    pub(super) original: Option<&'a TaskSet>,
    /// The task set that is to take it.
    pub(super) replacement: Option<&'a TaskSet>,
    /// An alarm of the deployment that is in ALARM.
    pub(super) alarm: Option<&'a str>,
}

/// What of an AppSpec is not in its task definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lack {
    /// The container that is to take the traffic.
    Container,
    /// The port that it is to take it at.
    Port,
}

/// One thing to do; after it the question is asked anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Nothing, until something changes.
    Nothing,
    /// Nothing, until that time or something changes.
    WaitUntil(Timestamp),
    /// Say that it waits to be told, and wait until that time.
    AwaitWord(Timestamp),
    /// Find the original task set and begin.
    Begin,
    /// Make the replacement task set.
    Install,
    /// Go on to a stage.
    Enter(Stage),
    /// Shift the next part of the traffic.
    Shift,
    /// Make the replacement the primary task set.
    Promote,
    /// Give the original task set all traffic back.
    GoBack,
    /// Delete the task set that is not needed any more.
    Delete(Victim),
    /// Say that it has done what it was to do.
    Succeed,
    /// Say that it has not, and take it back if that is wished.
    GiveUp(Failure),
}

/// Which task set goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Victim {
    Original,
    Replacement,
}

/// Why a deployment does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The service is not there, or not left to CodeDeploy.
    NoService,
    /// The task definition is not there.
    NoDefinition,
    /// The task definition has nothing that takes the traffic.
    Lacks(Lack),
    /// Somebody deleted the replacement task set.
    ReplacementGone,
    /// The replacement task set was not stable in time.
    NotStable,
    /// Nobody said in time that the traffic may be shifted.
    NotContinued,
    /// An alarm is in ALARM.
    Alarm,
    /// A user stopped it.
    Stopped,
}

/// Says what to do next for a deployment.
pub(super) fn next(deployment: &Deployment, seen: &Seen<'_>, pace: Pace, now: Timestamp) -> Action {
    let observed = &deployment.observed;
    if observed.status.is_final() {
        return Action::Nothing;
    }
    if !seen.has_service {
        return Action::GiveUp(Failure::NoService);
    }
    if deployment.rolls_back.is_some() {
        return go_back(deployment, seen);
    }
    if deployment.wanted.stop.is_some() {
        return Action::GiveUp(Failure::Stopped);
    }
    if seen.alarm.is_some() && observed.stage < Stage::Terminate {
        return Action::GiveUp(Failure::Alarm);
    }
    let after = |wait: Duration| observed.stage_since.plus(pace.wait(wait));
    let minutes = |minutes: u32| after(Duration::from_secs(u64::from(minutes) * 60));
    match observed.stage {
        Stage::Begin => Action::Begin,
        Stage::Install => install(deployment, seen, after(STABLE_WITHIN), now),
        Stage::AllowTestTraffic => Action::Enter(Stage::WaitReady),
        Stage::WaitReady => match deployment.settings.ready_wait_min.map(minutes) {
            Some(_) if deployment.wanted.shift => Action::Enter(Stage::AllowTraffic),
            Some(until) if now >= until => Action::GiveUp(Failure::NotContinued),
            Some(until) => Action::AwaitWord(until),
            None => Action::Enter(Stage::AllowTraffic),
        },
        Stage::AllowTraffic => {
            let Some(replacement) = seen.replacement.filter(|known| known.status != TaskSetStatus::Draining) else {
                return Action::GiveUp(Failure::ReplacementGone);
            };
            let due = after(deployment.routing.interval() * observed.parts);
            match (observed.weight < 100, replacement.status == TaskSetStatus::Primary) {
                (true, _) if now >= due => Action::Shift,
                (true, _) => Action::WaitUntil(due),
                (false, false) => Action::Promote,
                (false, true) => Action::Enter(Stage::WaitTermination),
            }
        }
        Stage::WaitTermination => match deployment.settings.termination_wait_min.map(minutes) {
            None => Action::Succeed,
            Some(until) if deployment.wanted.terminate || now >= until => Action::Enter(Stage::Terminate),
            Some(until) => Action::WaitUntil(until),
        },
        Stage::Terminate => ended(seen.original, Victim::Original),
        Stage::End => Action::Nothing,
    }
}

fn install(deployment: &Deployment, seen: &Seen<'_>, until: Timestamp, now: Timestamp) -> Action {
    match seen.replacement {
        None if deployment.observed.replacement.is_some() => Action::GiveUp(Failure::ReplacementGone),
        None if !seen.has_definition => Action::GiveUp(Failure::NoDefinition),
        None => seen.lack.map_or(Action::Install, |lack| Action::GiveUp(Failure::Lacks(lack))),
        Some(task_set) if task_set.status == TaskSetStatus::Draining => Action::GiveUp(Failure::ReplacementGone),
        Some(task_set) if task_set.is_steady => {
            let has_test_route = deployment.settings.has_test_route;
            Action::Enter(if has_test_route { Stage::AllowTestTraffic } else { Stage::WaitReady })
        }
        Some(_) if now >= until => Action::GiveUp(Failure::NotStable),
        Some(_) => Action::WaitUntil(until),
    }
}

/// Takes another deployment back: the original task set gets the traffic, then the replacement goes.
fn go_back(deployment: &Deployment, seen: &Seen<'_>) -> Action {
    match deployment.observed.stage {
        Stage::Begin => Action::Begin,
        Stage::Install | Stage::AllowTestTraffic | Stage::WaitReady | Stage::AllowTraffic | Stage::WaitTermination => {
            Action::GoBack
        }
        Stage::Terminate => ended(seen.replacement, Victim::Replacement),
        Stage::End => Action::Nothing,
    }
}

fn ended(task_set: Option<&TaskSet>, victim: Victim) -> Action {
    match task_set.map(|task_set| task_set.status) {
        // Somebody has made it the primary one since: it stays.
        None | Some(TaskSetStatus::Primary) => Action::Succeed,
        Some(TaskSetStatus::Draining) => Action::Nothing,
        Some(TaskSetStatus::Active) => Action::Delete(victim),
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;

//! What to do next for a deployment of CodeDeploy: a pure function of its record and what it deploys.

use std::time::Duration;

use base::Timestamp;
use state::codedeploy::{Deployment, HookCall, Stage};
use state::ecs::{TaskSet, TaskSetStatus, Traffic};

use crate::ecs::traffic::{self, Turn};
use crate::{Pace, lambda};

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
    /// Whether there is an endpoint at which functions are called.
    pub(super) has_functions: bool,
    /// Whether a function of it is being called.
    pub(super) is_calling: bool,
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
    /// Read what it deploys from S3.
    ReadSpec,
    /// Find the original task set and begin.
    Begin,
    /// Wait for the function of a lifecycle event from now on.
    BeginHook(&'static str),
    /// Call the function of a lifecycle event.
    CallHook(&'static str),
    /// Go on without the function of a lifecycle event, which cannot be called from here.
    SkipHook(&'static str, Stage),
    /// Make the replacement task set.
    Install,
    /// Go on to a stage.
    Enter(Stage),
    /// Give the replacement a share of a kind of traffic, in percent.
    Bring(Traffic, u32),
    /// Make the replacement the primary task set.
    Promote,
    /// Make the original task set the primary one again.
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
    /// The object in S3 is not there, or not as it was meant.
    NoSpec,
    /// The object in S3 cannot be read, or is no AppSpec.
    InvalidSpec,
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
    /// A function is against it.
    HookFailed,
    /// A function has said nothing in time.
    HookTimedOut,
    /// A function cannot be called.
    HookNotCalled,
    /// The traffic cannot be shifted.
    Traffic,
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
        return go_back(deployment, seen, now);
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
        Stage::Begin if deployment.object.is_some() && deployment.app_spec().is_none() => Action::ReadSpec,
        Stage::Begin => Action::Begin,
        Stage::BeforeInstall => hook(deployment, seen, "BeforeInstall", Stage::Install, now),
        Stage::Install => install(deployment, seen, after(STABLE_WITHIN), now),
        Stage::AfterInstall => {
            let has_test_route = deployment.settings.has_test_route;
            let next = if has_test_route { Stage::AllowTestTraffic } else { Stage::WaitReady };
            hook(deployment, seen, "AfterInstall", next, now)
        }
        Stage::AllowTestTraffic if observed.has_test_traffic => Action::Enter(Stage::AfterAllowTestTraffic),
        Stage::AllowTestTraffic => bring(deployment, Traffic::Test, 100, now),
        Stage::AfterAllowTestTraffic => hook(deployment, seen, "AfterAllowTestTraffic", Stage::WaitReady, now),
        Stage::WaitReady => match deployment.settings.ready_wait_min.map(minutes) {
            Some(_) if deployment.wanted.shift => Action::Enter(Stage::BeforeAllowTraffic),
            Some(until) if now >= until => Action::GiveUp(Failure::NotContinued),
            Some(until) => Action::AwaitWord(until),
            None => Action::Enter(Stage::BeforeAllowTraffic),
        },
        Stage::BeforeAllowTraffic => hook(deployment, seen, "BeforeAllowTraffic", Stage::AllowTraffic, now),
        Stage::AllowTraffic => {
            let Some(replacement) = seen.replacement.filter(|known| known.status != TaskSetStatus::Draining) else {
                return Action::GiveUp(Failure::ReplacementGone);
            };
            let due = after(deployment.routing.interval() * observed.parts);
            match (observed.weight < 100, replacement.status == TaskSetStatus::Primary) {
                (true, _) if now >= due => {
                    bring(deployment, Traffic::Production, deployment.routing.percent_after(observed.parts + 1), now)
                }
                (true, _) => Action::WaitUntil(due),
                (false, false) => Action::Promote,
                (false, true) => Action::Enter(Stage::AfterAllowTraffic),
            }
        }
        Stage::AfterAllowTraffic => hook(deployment, seen, "AfterAllowTraffic", Stage::WaitTermination, now),
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
        Some(task_set) if task_set.is_steady => Action::Enter(Stage::AfterInstall),
        Some(_) if now >= until => Action::GiveUp(Failure::NotStable),
        Some(_) => Action::WaitUntil(until),
    }
}

/// Goes on to a stage when the function of a lifecycle event has nothing against it.
fn hook(deployment: &Deployment, seen: &Seen<'_>, event: &'static str, next: Stage, now: Timestamp) -> Action {
    if deployment.app_spec().and_then(|spec| spec.hook(event)).is_none() {
        return Action::Enter(next);
    }
    let execution = deployment.observed.hooks.iter().find(|execution| execution.event == event);
    let Some(execution) = execution else {
        return if seen.has_functions { Action::BeginHook(event) } else { Action::SkipHook(event, next) };
    };
    let answer = deployment.wanted.hook_answers.iter().find(|answer| answer.id == execution.id);
    match (answer.map(|answer| answer.has_succeeded), &execution.call) {
        (Some(true), _) => Action::Enter(next),
        (Some(false), _) => Action::GiveUp(Failure::HookFailed),
        (None, HookCall::Impossible { .. }) => Action::GiveUp(Failure::HookNotCalled),
        (None, _) if now >= execution.expires_at => Action::GiveUp(Failure::HookTimedOut),
        (None, HookCall::Made) => Action::WaitUntil(execution.expires_at),
        (None, HookCall::Due { .. }) if seen.is_calling => Action::WaitUntil(execution.expires_at),
        // There was an endpoint when it was begun; this server has none.
        (None, HookCall::Due { .. }) if !seen.has_functions => Action::SkipHook(event, next),
        (None, HookCall::Due { at, .. }) if now < *at => Action::WaitUntil(*at),
        (None, HookCall::Due { .. }) => Action::CallHook(event),
    }
}

/// Says how far the call of a function is after one that has failed.
pub(super) fn after_failed_call(failures: u32, why: lambda::NotCalled, pace: Pace, now: Timestamp) -> HookCall {
    match why {
        lambda::NotCalled::Yet(_) if failures + 1 < lambda::TRIES_MAX => {
            HookCall::Due { at: now.plus(pace.wait(lambda::RETRY_AFTER)), failures: failures + 1 }
        }
        lambda::NotCalled::Yet(why) | lambda::NotCalled::Ever(why) => HookCall::Impossible { why },
    }
}

/// Gives the replacement a share of traffic, unless that has failed too often or too lately.
fn bring(deployment: &Deployment, traffic: Traffic, percent: u32, now: Timestamp) -> Action {
    match traffic::turn(&deployment.observed.tries, now) {
        Turn::Now => Action::Bring(traffic, percent),
        Turn::At(at) => Action::WaitUntil(at),
        Turn::GivenUp(_) => Action::GiveUp(Failure::Traffic),
    }
}

/// Takes another deployment back: the original task set gets the traffic, then the replacement goes. What has not come
/// over goes back too: an order may have been carried out in part.
fn go_back(deployment: &Deployment, seen: &Seen<'_>, now: Timestamp) -> Action {
    match (deployment.observed.stage, deployment.observed.parts) {
        (Stage::Begin, _) => Action::Begin,
        (Stage::Terminate, _) => ended(seen.replacement, Victim::Replacement),
        (Stage::End, _) => Action::Nothing,
        (_, 0) => bring(deployment, Traffic::Production, 0, now),
        (_, 1) if deployment.settings.has_test_route => bring(deployment, Traffic::Test, 0, now),
        (_, _) => Action::GoBack,
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

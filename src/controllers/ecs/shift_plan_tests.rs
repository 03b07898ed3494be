//! What is planned for deployments whose traffic is shifted.
//!
//! A row says what the deployment is like, and its tasks as the tests of `service_plan` read them: `n` is the revision
//! that is deployed, `o` the one that traffic comes from, `x` one of a deployment that was not finished.

use std::time::Duration;

use base::{Arn, ServiceDeploymentId};
use state::Document;
use state::ecs::{
    AlarmWatch, CircuitBreaker, FailureThreshold, Monitors, Rollback, Service, ServiceDeploymentKey,
    ServiceDeploymentStatus, ShiftSteps, Shifting,
};

use super::super::service_plan::tests::{NOW_S, known, members, second, service, shown as shown_actions};
use super::*;

struct Row {
    service: Service,
    row: ServiceDeployment,
    shift: Shift,
    alarms: Vec<String>,
}

impl Row {
    /// Reads what a deployment is like: how many tasks are desired, and words, `name` or `name:value`.
    fn read(text: &str) -> Self {
        let mut words = text.split_whitespace();
        let mut service = service(words.next().unwrap().parse().unwrap(), 100, 200);
        service.deployments[1].rollout = RolloutState::Completed;
        let policy = Shifting { steps: ShiftSteps::AtOnce, bake_min: 5 };
        let mut shift = Shift::new(policy, Vec::new());
        shift.source = Some(ServiceRevisionId::new("o"));
        shift.entered_at = Some(second(NOW_S));
        let row = row(&service);
        let mut read = Self { service, row, shift, alarms: Vec::new() };
        for word in words {
            let (name, value) = word.split_once(':').unwrap_or((word, ""));
            read.take(name, value);
        }
        read
    }

    fn take(&mut self, name: &str, value: &str) {
        let ago = || Some(second(NOW_S - value.parse::<i64>().unwrap()));
        let share = || Weight::of_tenths(value.parse::<u16>().unwrap() * 10);
        let (shift, deployments) = (&mut self.shift, &mut self.service.deployments);
        match name {
            "linear" => shift.policy.steps = ShiftSteps::Linear { step: share(), bake_min: 6 },
            "canary" => shift.policy.steps = ShiftSteps::Canary { first: share(), bake_min: 10 },
            "at" => shift.stage = Some(stage(value)),
            "since" => shift.entered_at = ago(),
            "shifted" => shift.shifted_at = ago(),
            "production" => shift.production = share(),
            "test" => shift.test = share(),
            // Nothing was deployed before.
            "first" => {
                deployments.truncate(1);
                shift.source = None;
            }
            // A deployment that was not finished comes between.
            "between" => {
                let unfinished = Deployment { revision: ServiceRevisionId::new("x"), ..deployments[0].clone() };
                deployments.insert(1, unfinished);
            }
            "unfinished" => deployments[1].rollout = RolloutState::InProgress,
            "given-up" => deployments[1].rollout = RolloutState::Failed { reason: String::new() },
            "failed" => deployments[0].rollout = RolloutState::Failed { reason: String::new() },
            // The way back was taken, and perhaps begun.
            "back" => {
                deployments.swap(0, 1);
                deployments[0].rollout = RolloutState::InProgress;
                deployments[1].rollout = RolloutState::Failed { reason: String::new() };
                let revision = ServiceRevisionId::new("o");
                self.row.rollback = Some(Rollback { reason: String::new(), started_at: second(NOW_S), revision });
            }
            "turned" => shift.is_back = true,
            "tries" => {
                shift.failures = value.parse().unwrap();
                shift.obstacle = Some("a broken balancer.".to_owned());
            }
            "retry" => shift.retry_at = Some(second(NOW_S + value.parse::<i64>().unwrap())),
            "breaker" => {
                let threshold = FailureThreshold::Count(1);
                let breaker = CircuitBreaker { rolls_back: true, threshold, resets_on_healthy_task: true };
                self.service.rollout.circuit_breaker = Some(breaker);
            }
            "alarm" => {
                self.service.rollout.alarms = Some(AlarmWatch { names: vec![value.to_owned()], rolls_back: true });
                self.alarms.push(value.to_owned());
            }
            // A hook: `pause:STAGE` or `lambda:STAGE`, its state after another colon.
            "pause" => shift.hooks.push(hook(HookTarget::Pause, value)),
            "lambda" => {
                let target = HookTarget::Lambda { function: "f".to_owned(), details: None };
                shift.hooks.push(hook(target, value));
            }
            unknown => panic!("{unknown}"),
        }
    }
}

fn row(service: &Service) -> ServiceDeployment {
    ServiceDeployment {
        key: ServiceDeploymentKey { service: service.key.clone(), id: ServiceDeploymentId::new("n") },
        arn: Arn::parse("arn:aws:ecs:us-east-1:000000000000:service-deployment/default/web/n").unwrap(),
        sources: vec![ServiceRevisionId::new("o")],
        target: ServiceRevisionId::new("n"),
        deployment_configuration: Document::new("{}"),
        has_circuit_breaker: false,
        created_at: second(0),
        started_at: None,
        finished_at: None,
        stopped_at: None,
        updated_at: second(0),
        status: ServiceDeploymentStatus::InProgress,
        status_reason: None,
        rollback: None,
        shift: None,
        monitors: Monitors::default(),
        is_of_deleted_service: false,
    }
}

fn stage(name: &str) -> LifecycleStage {
    match name {
        "reconcile" => LifecycleStage::ReconcileService,
        "pre-scale" => LifecycleStage::PreScaleUp,
        "scale" => LifecycleStage::ScaleUp,
        "post-scale" => LifecycleStage::PostScaleUp,
        "test" => LifecycleStage::TestTrafficShift,
        "post-test" => LifecycleStage::PostTestTrafficShift,
        "production" => LifecycleStage::ProductionTrafficShift,
        "post-production" => LifecycleStage::PostProductionTrafficShift,
        "bake" => LifecycleStage::BakeTime,
        "clean" => LifecycleStage::CleanUp,
        unknown => panic!("{unknown}"),
    }
}

/// Makes a hook of `STAGE:STATE`. The state: none, `waits` for a minute, `due` to be called, `expired`, `back` (of the way
/// back), or how it ended.
fn hook(target: HookTarget, value: &str) -> Hook {
    let (stage, state) = value.split_once(':').unwrap_or((value, ""));
    let stage = match stage {
        "reconcile" => HookStage::ReconcileService,
        "pre-scale" => HookStage::PreScaleUp,
        "post-scale" => HookStage::PostScaleUp,
        "test" => HookStage::TestTrafficShift,
        "post-test" => HookStage::PostTestTrafficShift,
        "pre-production" => HookStage::PreProductionTrafficShift,
        "production" => HookStage::ProductionTrafficShift,
        "post-production" => HookStage::PostProductionTrafficShift,
        unknown => panic!("{unknown}"),
    };
    let begun = |expires_s: i64, call_s: i64| {
        (Some(second(NOW_S - 10)), Some(second(NOW_S + expires_s)), Some(second(NOW_S + call_s)))
    };
    let (begun_at, expires_at, call_at) = match state {
        "" | "back" => (None, None, None),
        "expired" => begun(0, -10),
        "due" => begun(60, 0),
        _ => begun(60, 30),
    };
    let outcome = match state {
        "" | "back" | "waits" | "due" | "expired" => None,
        "continued" => Some(HookOutcome::Told(HookAction::Continue)),
        "refused" => Some(HookOutcome::Told(HookAction::RollBack)),
        "timed-out" | "let-go" => Some(HookOutcome::TimedOut),
        "succeeded" => Some(HookOutcome::Succeeded),
        "failed" => Some(HookOutcome::Failed { reason: "returned FAILED status".to_owned() }),
        "skipped" => Some(HookOutcome::Skipped),
        unknown => panic!("{unknown}"),
    };
    Hook {
        id: "h".to_owned(),
        stage,
        target,
        timeout_min: 1,
        on_timeout: if state == "let-go" { HookAction::Continue } else { HookAction::RollBack },
        is_back: state == "back",
        begun_at,
        expires_at,
        call_at,
        call_failures: 0,
        outcome,
    }
}

/// Renders a step.
pub(in crate::ecs) fn shown(step: &ShiftStep) -> String {
    match step {
        ShiftStep::Begin { source, stage } => {
            let source = source.as_ref().map_or("nothing", ServiceRevisionId::as_str);
            format!("from {source} to {}", stage.as_str())
        }
        ShiftStep::Enter(stage) => format!("to {}", stage.as_str()),
        ShiftStep::TurnBack(stage) => format!("back to {}", stage.as_str()),
        ShiftStep::Reconcile => "all to the source".to_owned(),
        ShiftStep::Shift { traffic, weight } => format!("{traffic:?} {}%", weight.percent()),
        ShiftStep::BeginHook { id } => format!("begin {id}"),
        ShiftStep::CallHook { id } => format!("call {id}"),
        ShiftStep::TimeOutHook { id } => format!("time {id} out"),
        ShiftStep::GiveUp { reason } => format!("give up: {reason}"),
        ShiftStep::FailRollback { reason } => format!("fail: {reason}"),
    }
}

fn check(rows: &[(&str, &str, &str)]) {
    let mut wrong = Vec::new();
    for (text, tasks, expected) in rows {
        let row = Row::read(text);
        let members = members(tasks);
        let known = Known { alarms: &row.alarms, ..known(&row.service, &members) };
        let found = shown_actions(&plan(&known, &row.row, &row.shift));
        if found != *expected {
            wrong.push(format!("{text} | {tasks}\n  expected {expected}\n  found    {found}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_deployment_begins_with_what_serves() {
    check(&[
        ("1", "oh", "from o to PRE_SCALE_UP"),
        ("1 first", "", "from nothing to PRE_SCALE_UP"),
        ("0", "", "from o to PRE_SCALE_UP"),
        ("1 between", "oh xp", "from o to RECONCILE_SERVICE"),
        ("1 between", "oh xs", "from o to PRE_SCALE_UP"),
        ("1 unfinished", "oh", "from o to PRE_SCALE_UP"),
        ("1 unfinished", "", "from nothing to PRE_SCALE_UP"),
        ("1 given-up", "oh", "from nothing to RECONCILE_SERVICE"),
        ("1 failed", "oh", ""),
    ]);
}

#[test]
fn what_was_not_finished_goes_first() {
    check(&[
        ("1 between at:reconcile", "oh xp", "all to the source"),
        ("1 between at:reconcile shifted:1", "oh xp", "stop 2 of x"),
        ("1 between at:reconcile shifted:1", "oh xs", "to PRE_SCALE_UP"),
        ("1 between at:reconcile pause:reconcile", "oh xp", "begin h"),
        ("1 between at:reconcile pause:reconcile:continued", "oh xp", "all to the source"),
        ("1 between at:reconcile retry:9", "oh xp", "look in 9"),
    ]);
}

#[test]
fn the_new_tasks_come_up_beside_the_old_ones() {
    check(&[
        ("1 at:pre-scale", "oh", "to SCALE_UP"),
        ("2 at:scale", "oh oh", "start 2 of n"),
        ("2 at:scale", "oh oh np nr", "look in 30"),
        ("2 at:scale", "oh oh np", "start 1 of n"),
        ("2 at:scale", "oh oh nh nh", "to POST_SCALE_UP"),
        ("2 at:scale", "oh oh nh nu", "start 1 of n"),
        ("2 at:scale", "oh oh nh nu nh", "replace 4, to POST_SCALE_UP"),
        ("2 at:scale", "oh nh nh", "start 1 of o, to POST_SCALE_UP"),
        ("1 at:scale", "oh oh nh nh", "stop 1 of o, stop 3 of n"),
        ("0 at:scale", "", "to POST_SCALE_UP"),
        ("1 at:scale first", "nh", "to POST_SCALE_UP"),
        ("1 at:post-scale", "oh nh", "to TEST_TRAFFIC_SHIFT"),
        // Later too, a task that ends is replaced, and what is desired counts for both.
        ("1 at:bake", "nh", "start 1 of o, look in 300"),
        ("2 at:bake", "oh nh", "start 1 of o, start 1 of n, look in 300"),
        ("1 at:bake", "oh oh nh nh", "stop 1 of o, stop 3 of n, look in 300"),
    ]);
}

#[test]
fn a_deployment_whose_tasks_fail_is_given_up() {
    check(&[
        ("1 at:scale breaker", "oh nf", "count 1 failed 1 unstarted, give up"),
        ("1 at:scale", "oh nf", "count 1 failed 1 unstarted, look in 4"),
        ("1 at:scale alarm:a", "oh", "give up for a"),
        ("1 at:bake alarm:a", "oh nh", "give up for a"),
        // Those of the old revision are replaced, and nobody is given up for them.
        ("1 at:bake breaker", "of nh", "look in 4, look in 300"),
        ("1 at:production back turned production:100 alarm:a", "oh nh", "Production 0%"),
    ]);
}

#[test]
fn traffic_comes_over_at_once_or_step_by_step() {
    check(&[
        ("1 at:test", "oh nh", "Test 100%"),
        ("1 at:test test:100", "oh nh", "to POST_TEST_TRAFFIC_SHIFT"),
        ("1 at:post-test test:100", "oh nh", "to PRODUCTION_TRAFFIC_SHIFT"),
        ("1 at:production", "oh nh", "Production 100%"),
        ("1 at:production production:100 shifted:0", "oh nh", "to POST_PRODUCTION_TRAFFIC_SHIFT"),
        ("1 at:production canary:10", "oh nh", "Production 10%"),
        ("1 at:production canary:10 production:10 shifted:0", "oh nh", "look in 600"),
        ("1 at:production canary:10 production:10 shifted:599", "oh nh", "look in 1"),
        ("1 at:production canary:10 production:10 shifted:600", "oh nh", "Production 100%"),
        ("1 at:production linear:40", "oh nh", "Production 40%"),
        ("1 at:production linear:40 production:40 shifted:10", "oh nh", "look in 350"),
        ("1 at:production linear:40 production:40 shifted:360", "oh nh", "Production 80%"),
        ("1 at:production linear:40 production:80 shifted:360", "oh nh", "Production 100%"),
        ("1 at:production linear:40 production:100 shifted:1", "oh nh", "to POST_PRODUCTION_TRAFFIC_SHIFT"),
        // With nothing before it, there is nothing to share and nothing to go back to.
        ("1 at:production linear:40 first", "nh", "Production 100%"),
        ("1 at:bake first", "nh", "to CLEAN_UP"),
        ("1 at:post-production", "oh nh", "to BAKE_TIME"),
        ("1 at:bake since:299", "oh nh", "look in 1"),
        ("1 at:bake since:300", "oh nh", "to CLEAN_UP"),
    ]);
}

#[test]
fn traffic_that_cannot_be_shifted_is_tried_again_and_then_given_up() {
    check(&[
        ("1 at:test tries:1 retry:10", "oh nh", "look in 10"),
        ("1 at:test tries:4 retry:0", "oh nh", "Test 100%"),
        (
            "1 at:production tries:5 retry:50",
            "oh nh",
            "give up: Service deployment rolled back because of a broken balancer.",
        ),
        ("1 at:production back turned production:100 tries:1 retry:10", "oh nh", "look in 10"),
        (
            "1 at:production back turned production:100 tries:5",
            "oh nh",
            "fail: Service deployment rollback failed because of a broken balancer.",
        ),
    ]);
}

#[test]
fn the_old_tasks_go_last() {
    check(&[
        ("1 at:clean", "oh nh", "stop 1 of o"),
        ("1 at:clean", "os nh", "drop o, complete"),
        ("1 at:clean", "os nr", "look in 30, drop o"),
        ("1 at:clean between", "oh xh nh", "stop 1 of o, stop 2 of x"),
        ("1 at:clean first", "nh", "complete"),
        // What is protected is waited for.
        ("2 at:clean", "oh oh! nh*2", "stop 1 of o, too many protected of o, look in 60"),
        ("2 at:clean", "os oh! nh*2", "too many protected of o, look in 60"),
        ("1 at:bake", "oh nh! nh!", "look in 60, look in 300"),
        ("1 between at:reconcile shifted:1", "oh xh!", "too many protected of x, look in 60"),
        ("0 at:clean", "", "drop o, complete"),
    ]);
}

#[test]
fn a_hook_holds_a_deployment_up_at_its_stage() {
    check(&[
        ("1 at:pre-scale pause:pre-scale", "oh", "begin h"),
        ("1 at:pre-scale pause:pre-scale:waits", "oh", "look in 60"),
        ("1 at:pre-scale pause:pre-scale:expired", "oh", "time h out"),
        ("1 at:pre-scale pause:pre-scale:continued", "oh", "to SCALE_UP"),
        ("1 at:pre-scale pause:pre-scale:let-go", "oh", "to SCALE_UP"),
        (
            "1 at:pre-scale pause:pre-scale:timed-out",
            "oh",
            "give up: Service deployment rolled back because PRE_SCALE_UP lifecycle hook(s) failed. PAUSE lifecycle hook \
             timed out.",
        ),
        ("1 at:pre-scale pause:pre-scale:refused", "oh", "give up: Service deployment was stopped by a user request."),
        ("1 at:pre-scale pause:post-scale", "oh", "to SCALE_UP"),
        ("1 at:post-scale pause:post-scale", "oh nh", "begin h"),
        ("1 at:test pause:test", "oh nh", "Test 100%"),
        ("1 at:test test:100 pause:test", "oh nh", "begin h"),
        ("1 at:post-test pause:post-test", "oh nh", "begin h"),
        ("1 at:production pause:pre-production", "oh nh", "begin h"),
        ("1 at:production pause:pre-production:continued", "oh nh", "Production 100%"),
        ("1 at:production pause:production", "oh nh", "Production 100%"),
        ("1 at:production canary:10 production:10 shifted:600 pause:production", "oh nh", "begin h"),
        ("1 at:production production:100 pause:production:waits", "oh nh", "look in 60"),
        ("1 at:post-production pause:post-production", "oh nh", "begin h"),
        // Of several, all are waited for.
        ("1 at:pre-scale pause:pre-scale:continued lambda:pre-scale", "oh", "begin h"),
    ]);
}

#[test]
fn a_function_is_called_when_it_is_due_and_heeded() {
    let reason = "give up: Service deployment rolled back because POST_SCALE_UP lifecycle hook(s) failed. Lifecycle hook \
                  target f returned FAILED status.";
    check(&[
        ("1 at:post-scale lambda:post-scale", "oh nh", "begin h"),
        ("1 at:post-scale lambda:post-scale:due", "oh nh", "look in 60, call h"),
        ("1 at:post-scale lambda:post-scale:waits", "oh nh", "look in 60, look in 30"),
        ("1 at:post-scale lambda:post-scale:expired", "oh nh", "time h out"),
        ("1 at:post-scale lambda:post-scale:succeeded", "oh nh", "to TEST_TRAFFIC_SHIFT"),
        ("1 at:post-scale lambda:post-scale:skipped", "oh nh", "to TEST_TRAFFIC_SHIFT"),
        ("1 at:post-scale lambda:post-scale:failed", "oh nh", reason),
        (
            "1 at:post-scale lambda:post-scale:timed-out",
            "oh nh",
            "give up: Service deployment rolled back because POST_SCALE_UP lifecycle hook(s) failed. Lifecycle hook target \
             f timed out.",
        ),
    ]);
}

#[test]
fn the_way_back_gives_the_traffic_back_and_then_ends_the_new_tasks() {
    check(&[
        ("1 back at:pre-scale", "oh", "back to CLEAN_UP"),
        ("1 back at:scale", "oh np", "back to CLEAN_UP"),
        ("1 back at:post-test test:100", "oh nh", "back to TEST_TRAFFIC_SHIFT"),
        ("1 back at:bake test:100 production:100", "oh nh", "back to PRODUCTION_TRAFFIC_SHIFT"),
        ("0 back at:bake test:100 production:100", "", "back to PRODUCTION_TRAFFIC_SHIFT"),
        // What is gone, or about to go, comes first.
        ("1 back at:clean test:100 production:100", "os nh", "back to SCALE_UP"),
        ("1 back at:clean test:100 production:100", "oh nh", "back to SCALE_UP"),
        ("1 back at:bake test:100 production:100", "or nh", "back to SCALE_UP"),
        ("1 back turned at:scale test:100 production:100", "nh", "start 1 of o"),
        ("1 back turned at:scale test:100 production:100", "or nh", "look in 30"),
        ("1 back turned at:scale test:100 production:100", "oh nh", "to PRODUCTION_TRAFFIC_SHIFT"),
        ("1 back turned at:production test:100 production:100", "oh nh", "Production 0%"),
        ("1 back turned at:production test:100", "oh nh", "to TEST_TRAFFIC_SHIFT"),
        ("1 back turned at:test test:100", "oh nh", "Test 0%"),
        ("1 back turned at:test", "oh nh", "to CLEAN_UP"),
        ("1 back turned at:clean", "oh nh", "stop 2 of n"),
        ("1 back turned at:clean", "oh nh!", "too many protected of n, look in 60"),
        ("1 back turned at:clean", "oh ns", "drop n, complete"),
        ("1 back turned at:clean", "or ns", "look in 30, drop n"),
        ("2 back turned at:clean", "oh ns", "start 1 of o, drop n"),
    ]);
}

#[test]
fn functions_are_told_of_the_way_back_but_have_no_say() {
    check(&[
        ("1 back turned at:production test:100 lambda:production:back", "oh nh", "begin h"),
        ("1 back turned at:test lambda:test:back", "oh nh", "begin h"),
        ("1 back turned at:test lambda:test:failed", "oh nh", "to CLEAN_UP"),
        ("1 back turned at:test pause:test:waits", "oh nh", "to CLEAN_UP"),
    ]);
}

#[test]
fn all_waits_go_at_the_services_pace() {
    let pace = "60".parse().unwrap();
    for (text, tasks, expected) in [
        ("1 at:bake", "oh nh", "look in 5"),
        ("1 at:production canary:10 production:10 shifted:0", "oh nh", "look in 10"),
    ] {
        let (row, members) = (Row::read(text), members(tasks));
        let known = Known { pace, ..known(&row.service, &members) };
        assert_eq!(shown_actions(&plan(&known, &row.row, &row.shift)), expected, "{text}");
    }
    assert_eq!(pace.wait(Duration::from_secs(60)), Duration::from_secs(1));
}

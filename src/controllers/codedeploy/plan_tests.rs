//! What is planned for deployments at all their stages.

use base::{AccountId, Arn, Region, Scope, ServiceRevisionId};
use state::Document;
use state::codedeploy::{
    AppSpec, AutoRollback, DeploymentGroupKey, DeploymentStatus, GroupSettings, HookAnswer, HookExecution, Observed,
    RevisionObject, StopWanted, TrafficRouting, Wanted,
};
use state::ecs::{
    ClusterName, Creation, Family, LaunchType, ServiceCapacity, ServiceKey, ServiceName, TaskDefinitionName,
    TaskSetKey, Workload,
};

use super::*;

/// The second at which the plans are made.
const NOW_S: i64 = 100_000;

fn second(second: i64) -> Timestamp {
    Timestamp::from_millis(second * 1000)
}

fn service() -> ServiceKey {
    ServiceKey { cluster: ClusterName::default_cluster(), name: ServiceName::parse("web").unwrap() }
}

fn definition() -> TaskDefinitionName {
    TaskDefinitionName { family: Family::parse("f").unwrap(), revision: 2 }
}

/// Makes a deployment that has been at a stage for so many seconds.
fn deployment(stage: Stage, since_s: i64) -> Deployment {
    let spec = AppSpec {
        definition: definition(),
        task_definition: String::new(),
        container: "app".to_owned(),
        port: 80,
        platform_version: None,
        network: None,
        strategy: None,
        hooks: Vec::new(),
    };
    Deployment {
        id: "d-1".to_owned(),
        group: DeploymentGroupKey { application: "a".to_owned(), name: "g".to_owned() },
        settings: GroupSettings {
            service: service(),
            config: "c".to_owned(),
            rollback: AutoRollback::default(),
            ready_wait_min: None,
            termination_wait_min: Some(5),
            alarms: Vec::new(),
            target_groups: Vec::new(),
            has_test_route: false,
        },
        routing: TrafficRouting::Canary { percent: 10, interval_min: 5 },
        spec: Some(spec),
        object: None,
        revision: None,
        document: Document::new("{}"),
        description: None,
        created_at: second(0),
        rolls_back: None,
        wanted: Wanted::default(),
        observed: Observed {
            status: DeploymentStatus::InProgress,
            stage,
            stage_since: second(NOW_S - since_s),
            ..Observed::new(second(0))
        },
    }
}

fn task_set(status: TaskSetStatus, is_steady: bool) -> TaskSet {
    let scope = Scope::new(AccountId::DEFAULT, Region::default());
    let arn = Arn::new("ecs", &scope, "x");
    TaskSet {
        key: TaskSetKey { service: service(), id: ServiceRevisionId::new("1") },
        arn: arn.clone(),
        status,
        creation: Creation { client_token: None, request: 0 },
        external_id: None,
        workload: Workload {
            definition: definition(),
            definition_arn: arn,
            capacity: ServiceCapacity::LaunchType(LaunchType::Fargate),
            platform_version: None,
            network: None,
            network_configuration: None,
            load_balancers: None,
            service_registries: None,
            service_connect: None,
            namespace: None,
            volumes: None,
            task_volumes: Vec::new(),
            vpc_lattice: None,
        },
        scale_percent: 100.0,
        tags: Vec::new(),
        created_at: second(0),
        updated_at: second(0),
        is_steady,
        steady_at: second(0),
    }
}

/// Plans with the letters of the original and the replacement: `p`rimary, `a`ctive, active and `s`teady, `d`raining, `-`.
fn plan(deployment: &Deployment, task_sets: &str) -> String {
    let made = |letter: u8| match letter {
        b'p' => Some(task_set(TaskSetStatus::Primary, true)),
        b'a' => Some(task_set(TaskSetStatus::Active, false)),
        b's' => Some(task_set(TaskSetStatus::Active, true)),
        b'd' => Some(task_set(TaskSetStatus::Draining, false)),
        _ => None,
    };
    let [original, replacement] = [0, 1].map(|place| made(task_sets.as_bytes()[place]));
    let seen = Seen {
        has_service: true,
        has_definition: true,
        lack: None,
        original: original.as_ref(),
        replacement: replacement.as_ref(),
        alarm: None,
        has_functions: true,
        is_calling: false,
    };
    show(next(deployment, &seen, Pace::REAL, second(NOW_S)))
}

fn show(action: Action) -> String {
    match action {
        Action::WaitUntil(at) => format!("wait {}", at.since(second(NOW_S)).as_secs()),
        Action::AwaitWord(at) => format!("await word {}", at.since(second(NOW_S)).as_secs()),
        action => format!("{action:?}"),
    }
}

#[test]
fn a_deployment_goes_through_its_stages() {
    // stage, seconds since then, parts shifted, task sets → plan
    let rows = [
        (Stage::Begin, 0, 0, "p-", "Begin"),
        (Stage::BeforeInstall, 0, 0, "p-", "Enter(Install)"),
        (Stage::Install, 0, 0, "p-", "Install"),
        (Stage::Install, 60, 0, "pa", "wait 3540"),
        (Stage::Install, 3600, 0, "pa", "GiveUp(NotStable)"),
        (Stage::Install, 3600, 0, "ps", "Enter(AfterInstall)"),
        (Stage::Install, 0, 0, "pd", "GiveUp(ReplacementGone)"),
        (Stage::AfterInstall, 0, 0, "ps", "Enter(WaitReady)"),
        (Stage::AllowTestTraffic, 0, 0, "ps", "Bring(Test, 100)"),
        (Stage::AfterAllowTestTraffic, 0, 0, "ps", "Enter(WaitReady)"),
        (Stage::WaitReady, 0, 0, "ps", "Enter(BeforeAllowTraffic)"),
        (Stage::BeforeAllowTraffic, 0, 0, "ps", "Enter(AllowTraffic)"),
        (Stage::AllowTraffic, 0, 0, "ps", "Bring(Production, 10)"),
        (Stage::AllowTraffic, 1, 1, "ps", "wait 299"),
        (Stage::AllowTraffic, 300, 1, "ps", "Bring(Production, 100)"),
        (Stage::AllowTraffic, 300, 2, "ps", "Promote"),
        (Stage::AllowTraffic, 300, 2, "sp", "Enter(AfterAllowTraffic)"),
        (Stage::AllowTraffic, 1, 1, "pd", "GiveUp(ReplacementGone)"),
        (Stage::AllowTraffic, 1, 1, "p-", "GiveUp(ReplacementGone)"),
        (Stage::AfterAllowTraffic, 0, 2, "sp", "Enter(WaitTermination)"),
        (Stage::WaitTermination, 299, 2, "sp", "wait 1"),
        (Stage::WaitTermination, 300, 2, "sp", "Enter(Terminate)"),
        (Stage::Terminate, 0, 2, "sp", "Delete(Original)"),
        (Stage::Terminate, 0, 2, "dp", "Nothing"),
        (Stage::Terminate, 0, 2, "-p", "Succeed"),
        (Stage::Terminate, 0, 2, "ps", "Succeed"),
    ];
    for (stage, since_s, parts, task_sets, expected) in rows {
        let mut deployment = deployment(stage, since_s);
        deployment.observed.parts = parts;
        deployment.observed.weight = deployment.routing.percent_after(parts);
        assert_eq!(plan(&deployment, task_sets), expected, "{stage:?} {since_s} {parts} {task_sets}");
    }
}

#[test]
fn a_linear_deployment_shifts_a_part_at_each_interval_and_none_late() {
    let shifted = |since_s: i64, parts: u32| {
        let mut deployment = deployment(Stage::AllowTraffic, since_s);
        deployment.routing = TrafficRouting::Linear { percent: 40, interval_min: 1 };
        deployment.observed.parts = parts;
        deployment.observed.weight = deployment.routing.percent_after(parts);
        plan(&deployment, "ps")
    };
    assert_eq!(shifted(59, 1), "wait 1");
    assert_eq!(shifted(60, 1), "Bring(Production, 80)");
    assert_eq!(shifted(61, 2), "wait 59");
    assert_eq!(shifted(121, 2), "Bring(Production, 100)");
    assert_eq!(shifted(121, 3), "Promote");
}

#[test]
fn words_of_users_cut_waits_short() {
    let mut ready = deployment(Stage::WaitReady, 60);
    ready.settings.ready_wait_min = Some(2);
    assert_eq!(plan(&ready, "ps"), "await word 60");
    ready.wanted.shift = true;
    assert_eq!(plan(&ready, "ps"), "Enter(BeforeAllowTraffic)");
    let mut late = deployment(Stage::WaitReady, 120);
    late.settings.ready_wait_min = Some(2);
    assert_eq!(plan(&late, "ps"), "GiveUp(NotContinued)");
    let mut over = deployment(Stage::WaitTermination, 0);
    over.wanted.terminate = true;
    assert_eq!(plan(&over, "sp"), "Enter(Terminate)");
    over.wanted.stop = Some(StopWanted { rolls_back: false });
    assert_eq!(plan(&over, "sp"), "GiveUp(Stopped)");
    over.observed.status = DeploymentStatus::Stopped;
    assert_eq!(plan(&over, "sp"), "Nothing");
}

#[test]
fn old_tasks_that_are_kept_alive_are_left() {
    let mut kept = deployment(Stage::WaitTermination, 0);
    kept.settings.termination_wait_min = None;
    assert_eq!(plan(&kept, "sp"), "Succeed");
}

#[test]
fn a_rollback_gives_the_original_its_traffic_and_ends_the_replacement() {
    // stage, kinds of traffic that are back, whether there is test traffic, task sets → plan
    let rows = [
        (Stage::Begin, 0, true, "ps", "Begin"),
        (Stage::AllowTraffic, 0, false, "ps", "Bring(Production, 0)"),
        (Stage::AllowTraffic, 1, false, "ps", "GoBack"),
        (Stage::AllowTraffic, 0, true, "ps", "Bring(Production, 0)"),
        (Stage::AllowTraffic, 1, true, "ps", "Bring(Test, 0)"),
        (Stage::AllowTraffic, 2, true, "ps", "GoBack"),
        (Stage::AllowTraffic, 1, false, "p-", "GoBack"),
        (Stage::Terminate, 2, true, "ps", "Delete(Replacement)"),
        (Stage::Terminate, 2, true, "pd", "Nothing"),
        (Stage::Terminate, 2, true, "p-", "Succeed"),
    ];
    for (stage, parts, has_test_route, task_sets, expected) in rows {
        let mut rollback = Deployment { rolls_back: Some("d-0".to_owned()), spec: None, ..deployment(stage, 0) };
        rollback.observed.parts = parts;
        rollback.settings.has_test_route = has_test_route;
        assert_eq!(plan(&rollback, task_sets), expected, "{stage:?} {parts} {has_test_route} {task_sets}");
    }
}

#[test]
fn test_traffic_goes_over_before_a_function_has_its_say_about_it() {
    let mut tested = deployment(Stage::AfterInstall, 0);
    tested.settings.has_test_route = true;
    assert_eq!(plan(&tested, "ps"), "Enter(AllowTestTraffic)");
    tested.observed.stage = Stage::AllowTestTraffic;
    assert_eq!(plan(&tested, "ps"), "Bring(Test, 100)");
    tested.observed.has_test_traffic = true;
    assert_eq!(plan(&tested, "ps"), "Enter(AfterAllowTestTraffic)");
}

#[test]
fn traffic_that_cannot_be_shifted_is_tried_again_and_then_given_up() {
    let mut stuck = deployment(Stage::AllowTraffic, 0);
    stuck.observed.tries.retry_at = Some(second(NOW_S + 10));
    assert_eq!(plan(&stuck, "ps"), "wait 10");
    stuck.observed.tries.failures = 5;
    assert_eq!(plan(&stuck, "ps"), "GiveUp(Traffic)");
    stuck.rolls_back = Some("d-0".to_owned());
    assert_eq!(plan(&stuck, "ps"), "GiveUp(Traffic)");
    let mut stuck = deployment(Stage::AllowTestTraffic, 0);
    stuck.observed.tries.retry_at = Some(second(NOW_S + 10));
    assert_eq!(plan(&stuck, "ps"), "wait 10");
}

#[test]
fn an_app_spec_in_s3_is_read_once_before_anything_begins() {
    let mut stored = deployment(Stage::Begin, 0);
    let spec = stored.spec.take();
    stored.object = Some(RevisionObject { bucket: "b".to_owned(), key: "k".to_owned(), version: None, etag: None });
    assert_eq!(plan(&stored, "p-"), "ReadSpec");
    stored.observed.spec = spec;
    assert_eq!(plan(&stored, "p-"), "Begin");
}

/// A hook of a table: how far the call is, what the function has said, in how many seconds the wait is over.
type HookRow = (Option<HookCall>, Option<bool>, i64);

/// Plans at a stage with a function.
fn plan_hook(stage: Stage, row: HookRow, has_functions: bool, is_calling: bool) -> String {
    let (call, answer, expires_s) = row;
    let mut asked = deployment(stage, 0);
    let event = stage.hook().unwrap();
    asked.settings.has_test_route = true;
    asked.spec.as_mut().unwrap().hooks = vec![(event.to_owned(), "f".to_owned())];
    asked.observed.hooks.extend(call.map(|call| HookExecution {
        id: "x".to_owned(),
        event: event.to_owned(),
        function: "f".to_owned(),
        expires_at: second(NOW_S + expires_s),
        call,
    }));
    asked.wanted.hook_answers.extend(answer.map(|has_succeeded| HookAnswer { id: "x".to_owned(), has_succeeded }));
    let (original, replacement) = (task_set(TaskSetStatus::Primary, true), task_set(TaskSetStatus::Active, true));
    let seen = Seen {
        has_service: true,
        has_definition: true,
        lack: None,
        original: Some(&original),
        replacement: Some(&replacement),
        alarm: None,
        has_functions,
        is_calling,
    };
    show(next(&asked, &seen, Pace::REAL, second(NOW_S)))
}

#[test]
fn a_function_has_its_say_at_each_lifecycle_event() {
    let nexts = ["Install", "AllowTestTraffic", "WaitReady", "AllowTraffic", "WaitTermination"];
    for (stage, next) in Stage::HOOKS.into_iter().zip(nexts) {
        let event = stage.hook().unwrap();
        let plan = |row, has_functions| plan_hook(stage, row, has_functions, false);
        assert_eq!(plan((None, None, 0), true), format!("BeginHook({event:?})"));
        assert_eq!(plan((None, None, 0), false), format!("SkipHook({event:?}, {next})"));
        let due = || Some(HookCall::Due { at: second(NOW_S), failures: 0 });
        assert_eq!(plan((due(), None, 60), true), format!("CallHook({event:?})"));
        assert_eq!(plan((due(), None, 60), false), format!("SkipHook({event:?}, {next})"));
        assert_eq!(plan((Some(HookCall::Made), Some(true), 60), true), format!("Enter({next})"));
    }
}

#[test]
fn a_function_is_called_waited_for_and_heeded() {
    let due = |in_s: i64| Some(HookCall::Due { at: second(NOW_S + in_s), failures: 1 });
    let made = || Some(HookCall::Made);
    let impossible = || Some(HookCall::Impossible { why: String::new() });
    // call, answer, seconds until it is too late; is it being called → plan
    let rows = [
        ((due(0), None, 60), false, "CallHook(\"AfterInstall\")"),
        ((due(-5), None, 60), false, "CallHook(\"AfterInstall\")"),
        ((due(30), None, 60), false, "wait 30"),
        ((due(0), None, 60), true, "wait 60"),
        ((due(0), None, 0), true, "GiveUp(HookTimedOut)"),
        // It may have its say before the call is answered.
        ((due(0), Some(true), 60), true, "Enter(AllowTestTraffic)"),
        ((due(0), Some(false), 60), true, "GiveUp(HookFailed)"),
        ((made(), None, 60), false, "wait 60"),
        ((made(), None, 0), false, "GiveUp(HookTimedOut)"),
        ((made(), Some(true), 0), false, "Enter(AllowTestTraffic)"),
        ((made(), Some(false), 60), false, "GiveUp(HookFailed)"),
        ((impossible(), None, 60), false, "GiveUp(HookNotCalled)"),
        ((impossible(), Some(true), 60), false, "Enter(AllowTestTraffic)"),
    ];
    for (row, is_calling, expected) in rows {
        let shown = format!("{row:?} {is_calling}");
        assert_eq!(plan_hook(Stage::AfterInstall, row, true, is_calling), expected, "{shown}");
    }
    // Nobody needs an endpoint to hear a function that was called.
    assert_eq!(plan_hook(Stage::AfterInstall, (made(), None, 60), false, false), "wait 60");
}

#[test]
fn a_stop_and_an_alarm_do_not_wait_for_a_function() {
    let mut waiting = deployment(Stage::AfterInstall, 0);
    waiting.spec.as_mut().unwrap().hooks = vec![("AfterInstall".to_owned(), "f".to_owned())];
    assert_eq!(plan(&waiting, "ps"), "BeginHook(\"AfterInstall\")");
    waiting.wanted.stop = Some(StopWanted { rolls_back: true });
    assert_eq!(plan(&waiting, "ps"), "GiveUp(Stopped)");
}

#[test]
fn a_function_that_cannot_be_called_is_called_three_times() {
    let now = second(NOW_S);
    let yet = || lambda::NotCalled::Yet("refused".to_owned());
    let after = |failures, why| after_failed_call(failures, why, Pace::REAL, now);
    assert_eq!(after(0, yet()), HookCall::Due { at: second(NOW_S + 30), failures: 1 });
    assert_eq!(after(1, yet()), HookCall::Due { at: second(NOW_S + 30), failures: 2 });
    assert_eq!(after(2, yet()), HookCall::Impossible { why: "refused".to_owned() });
    let never = lambda::NotCalled::Ever("HTTP 404".to_owned());
    assert_eq!(after(0, never), HookCall::Impossible { why: "HTTP 404".to_owned() });
}

#[test]
fn a_deployment_ends_when_its_service_goes_or_an_alarm_rings() {
    let (original, replacement) = (task_set(TaskSetStatus::Primary, true), task_set(TaskSetStatus::Active, true));
    let seen = Seen {
        has_service: true,
        has_definition: true,
        lack: None,
        original: Some(&original),
        replacement: Some(&replacement),
        alarm: Some("a"),
        has_functions: false,
        is_calling: false,
    };
    let next = |stage, seen: &Seen<'_>| next(&deployment(stage, 0), seen, Pace::REAL, second(NOW_S));
    assert_eq!(next(Stage::AllowTraffic, &seen), Action::GiveUp(Failure::Alarm));
    assert_eq!(next(Stage::Terminate, &seen), Action::Succeed, "too late for alarms");
    let gone = Seen { has_service: false, ..seen };
    assert_eq!(next(Stage::AllowTraffic, &gone), Action::GiveUp(Failure::NoService));
    let undefined = Seen { has_definition: false, replacement: None, alarm: None, ..seen };
    assert_eq!(next(Stage::Install, &undefined), Action::GiveUp(Failure::NoDefinition));
    let unfit = Seen { lack: Some(Lack::Port), replacement: None, alarm: None, ..seen };
    assert_eq!(next(Stage::Install, &unfit), Action::GiveUp(Failure::Lacks(Lack::Port)));
}

//! What is planned for deployments at all their stages.

use base::{AccountId, Arn, Region, Scope, ServiceRevisionId};
use state::Document;
use state::codedeploy::{
    AppSpec, AutoRollback, DeploymentGroupKey, DeploymentStatus, GroupSettings, Observed, StopWanted, TrafficRouting,
    Wanted,
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
    };
    match next(deployment, &seen, Pace::REAL, second(NOW_S)) {
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
        (Stage::Install, 0, 0, "p-", "Install"),
        (Stage::Install, 60, 0, "pa", "wait 3540"),
        (Stage::Install, 3600, 0, "pa", "GiveUp(NotStable)"),
        (Stage::Install, 3600, 0, "ps", "Enter(WaitReady)"),
        (Stage::Install, 0, 0, "pd", "GiveUp(ReplacementGone)"),
        (Stage::AllowTestTraffic, 0, 0, "ps", "Enter(WaitReady)"),
        (Stage::WaitReady, 0, 0, "ps", "Enter(AllowTraffic)"),
        (Stage::AllowTraffic, 0, 0, "ps", "Shift"),
        (Stage::AllowTraffic, 1, 1, "ps", "wait 299"),
        (Stage::AllowTraffic, 300, 1, "ps", "Shift"),
        (Stage::AllowTraffic, 300, 2, "ps", "Promote"),
        (Stage::AllowTraffic, 300, 2, "sp", "Enter(WaitTermination)"),
        (Stage::AllowTraffic, 1, 1, "pd", "GiveUp(ReplacementGone)"),
        (Stage::AllowTraffic, 1, 1, "p-", "GiveUp(ReplacementGone)"),
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
    assert_eq!(shifted(60, 1), "Shift");
    assert_eq!(shifted(61, 2), "wait 59");
    assert_eq!(shifted(121, 2), "Shift");
    assert_eq!(shifted(121, 3), "Promote");
}

#[test]
fn words_of_users_cut_waits_short() {
    let mut ready = deployment(Stage::WaitReady, 60);
    ready.settings.ready_wait_min = Some(2);
    assert_eq!(plan(&ready, "ps"), "await word 60");
    ready.wanted.shift = true;
    assert_eq!(plan(&ready, "ps"), "Enter(AllowTraffic)");
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
    let rows = [
        (Stage::Begin, "ps", "Begin"),
        (Stage::Install, "ps", "GoBack"),
        (Stage::Terminate, "ps", "Delete(Replacement)"),
        (Stage::Terminate, "pd", "Nothing"),
        (Stage::Terminate, "p-", "Succeed"),
    ];
    for (stage, task_sets, expected) in rows {
        let rollback = Deployment { rolls_back: Some("d-0".to_owned()), spec: None, ..deployment(stage, 0) };
        assert_eq!(plan(&rollback, task_sets), expected, "{stage:?} {task_sets}");
    }
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

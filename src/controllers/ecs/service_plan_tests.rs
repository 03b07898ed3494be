//! What is planned for services with tasks in all kinds of states.

use base::{AccountId, Arn, Ids, Region, Scope, SequentialEntropy, ServiceDeploymentId};
use state::Document;
use state::ecs::{
    Cluster, ClusterName, ContainerDefinition, Creation, HealthCheck, LaunchType, RolloutPolicy, SchedulingStrategy,
    ServiceCapacity, ServiceKey, ServiceName, StopRequest, TaskDefinition, TaskSetKey, TaskSetStatus, Workload,
};

use super::super::samples;
use super::*;

/// The second at which the plans are made.
pub(crate) const NOW_S: i64 = 1_000;

pub(crate) fn second(second: i64) -> Timestamp {
    Timestamp::from_millis(second * 1000)
}

fn scope() -> Scope {
    Scope::new(AccountId::DEFAULT, Region::default())
}

fn arn(resource: &str) -> Arn {
    Arn::new("ecs", &scope(), resource)
}

/// Makes the definition of a task; one whose letter is of a health check has one.
fn definition(letter: &str) -> TaskDefinition {
    let check = HealthCheck { command: Vec::new(), interval_s: 30, timeout_s: 5, retries: 3, start_period_s: 0 };
    let container = ContainerDefinition { health_check: Some(check), ..samples::container("app") };
    samples::definition(if "cug".contains(letter) { vec![container] } else { Vec::new() })
}

fn workload(launch_type: LaunchType) -> Workload {
    Workload {
        definition: definition("").name,
        definition_arn: definition("").arn,
        capacity: ServiceCapacity::LaunchType(launch_type),
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
    }
}

/// Makes a service with a primary deployment `n`, and an older one `o`.
pub(crate) fn service(desired_count: u32, minimum_healthy_percent: u32, maximum_percent: u32) -> Service {
    let deployment = |name: &str| Deployment {
        revision: ServiceRevisionId::new(name),
        service_deployment: ServiceDeploymentId::new(name),
        workload: workload(LaunchType::Fargate),
        created_at: second(0),
        updated_at: second(0),
        rollout: RolloutState::InProgress,
    };
    Service {
        key: ServiceKey { cluster: ClusterName::default_cluster(), name: ServiceName::parse("web").unwrap() },
        arn: arn("service/default/web"),
        cluster_arn: arn("cluster/default"),
        status: ServiceStatus::Active,
        created_at: second(0),
        created_by: String::new(),
        creation: Creation { client_token: None, request: 0 },
        scheduling: SchedulingStrategy::Replica,
        controller: DeploymentController::Ecs,
        is_managed_by_ecs: false,
        desired_count,
        workload: Some(workload(LaunchType::Fargate)),
        rollout: RolloutPolicy {
            document: Document::new("{}"),
            minimum_healthy_percent,
            maximum_percent,
            circuit_breaker: None,
        },
        placement_constraints: None,
        placement_strategy: None,
        health_check_grace_period_s: None,
        tag_source: None,
        adds_managed_tags: false,
        is_exec_enabled: false,
        rebalances_zones: false,
        role_arn: None,
        tags: Vec::new(),
        deployments: vec![deployment("n"), deployment("o")],
        events: Vec::new(),
    }
}

/// Makes tasks, two letters each. The first names the deployment. The second: `p`ending, `r`unning for ten seconds,
/// `h`ealthy, protected (`k`ept) and healthy, `s`topping, `f`ailed to start a second ago, `e`nded a second after it
/// began to run, a second ago. With a health check: running and `u`nhealthy, `g`ood, not yet `c`hecked.
fn members(letters: &str) -> Vec<Member> {
    let cluster = Cluster::new(&scope(), ClusterName::default_cluster(), second(0), Vec::new());
    let ids = Ids::new(Arc::new(SequentialEntropy::default()));
    let member = |(place, letters): (usize, &str)| {
        let definition = definition(&letters[1..]);
        let mut task = samples::start(&cluster, &definition, "service:web").task(
            &ids,
            &scope(),
            second(i64::try_from(place).unwrap()),
        );
        task.key.id = TaskId::new((place + 1).to_string());
        let ended = |code| Some(StopRequest { code, reason: String::new(), at: second(NOW_S - 1) });
        let started_s = match &letters[1..] {
            "r" => Some(NOW_S - 10),
            "h" | "k" | "s" | "u" | "g" | "c" => Some(NOW_S - 40),
            "e" => Some(NOW_S - 2),
            _ => None,
        };
        task.started_at = started_s.map(second);
        for health in task.containers.iter_mut().filter_map(|container| container.health.as_mut()) {
            health.status = match &letters[1..] {
                "u" => HealthStatus::Unhealthy,
                "g" => HealthStatus::Healthy,
                _ => HealthStatus::Unknown,
            };
        }
        task.protected_until = (&letters[1..] == "k").then(|| second(NOW_S + 60));
        (task.last_status, task.stop, task.stopped_at) = match &letters[1..] {
            "p" => (TaskStatus::Pending, None, None),
            "s" => (TaskStatus::Stopping, ended(StopCode::ServiceSchedulerInitiated), None),
            "f" => (TaskStatus::Stopped, ended(StopCode::TaskFailedToStart), Some(second(NOW_S - 1))),
            "e" => (TaskStatus::Stopped, ended(StopCode::EssentialContainerExited), Some(second(NOW_S - 1))),
            _ => (TaskStatus::Running, None, None),
        };
        Member { revision: ServiceRevisionId::new(&letters[..1]), task: Arc::new(task), is_leaving: false }
    };
    letters.split_whitespace().enumerate().map(member).collect()
}

/// Renders a plan in a line.
pub(crate) fn shown(actions: &[Action]) -> String {
    let shown = actions.iter().map(|action| match action {
        Action::Start { revision, count } => format!("start {count} of {revision}"),
        Action::StartOn { revision, instances } => {
            let instances = instances.iter().map(ContainerInstanceId::as_str).collect::<Vec<_>>().join("+");
            format!("start on {instances} of {revision}")
        }
        Action::Stop { revision, tasks } => {
            let tasks = tasks.iter().map(TaskId::as_str).collect::<Vec<_>>().join("+");
            format!("stop {tasks} of {revision}")
        }
        Action::StopUnhealthy { tasks } => {
            format!("replace {}", tasks.iter().map(TaskId::as_str).collect::<Vec<_>>().join("+"))
        }
        Action::Complete => "complete".to_owned(),
        Action::Pause => "pause".to_owned(),
        Action::Steady => "steady".to_owned(),
        Action::Report(obstacle) => format!("{obstacle:?}"),
        Action::DropDeployment { revision } => format!("drop {revision}"),
        Action::SetSteady { is_steady, .. } => format!("steady={is_steady}"),
        Action::RemoveTaskSet { revision } => format!("remove {revision}"),
        Action::Inactivate => "inactivate".to_owned(),
        Action::LookAgain(at) => format!("look in {}", at.since(second(NOW_S)).as_secs()),
    });
    shown.collect::<Vec<_>>().join(", ")
}

#[test]
fn tasks_are_started_and_stopped_until_there_are_as_many_as_desired() {
    let rows = [
        (2, "", "start 2 of n"),
        (2, "np", "start 1 of n"),
        (2, "np np", ""),
        (2, "nr nh", "look in 30"),
        (2, "nh nh", "complete, steady"),
        (2, "nh ns", "start 1 of n"),
        (1, "nh nh nh", "stop 1+2 of n"),
        (1, "nh np nh", "stop 2+1 of n"),
        (1, "nk nh", "stop 2 of n"),
        (0, "nh", "stop 1 of n"),
        (0, "ns", "complete, steady"),
        (0, "", "complete, steady"),
    ];
    for (desired, tasks, expected) in rows {
        let mut service = service(desired, 100, 200);
        service.deployments.truncate(1);
        assert_eq!(shown(&plan(&service, &members(tasks), &[], None, second(NOW_S))), expected, "{desired}: {tasks}");
    }
}

#[test]
fn a_rollout_keeps_within_its_percentages() {
    // desired, minimum, maximum, tasks → plan
    let rows = [
        (2, 100, 200, "oh oh", "start 2 of n"),
        (2, 100, 200, "oh oh np nr", "look in 30"),
        (2, 100, 200, "oh oh nh nr", "stop 1 of o, look in 30"),
        (2, 100, 200, "oh oh nh nh", "stop 1+2 of o"),
        (2, 100, 200, "os os nh nh", "drop o, complete, steady"),
        (2, 100, 200, "or op", "start 2 of n, stop 2 of o"),
        (4, 50, 100, "oh oh oh oh", "stop 1+2 of o"),
        (4, 50, 100, "os os oh oh", "start 2 of n"),
        (4, 50, 200, "oh oh oh oh", "start 4 of n, stop 1+2 of o"),
        (3, 100, 150, "oh oh oh", "start 1 of n"),
        (3, 10, 150, "oh oh oh", "start 1 of n, stop 1+2 of o"),
        (1, 100, 150, "oh", "Percentages"),
        (2, 100, 200, "ok oh nh nh", "stop 2 of o, look in 60"),
        (0, 100, 200, "oh", "stop 1 of o"),
        (2, 100, 200, "nh nh", "drop o, complete, steady"),
    ];
    for (desired, minimum, maximum, tasks, expected) in rows {
        let plan = plan(&service(desired, minimum, maximum), &members(tasks), &[], None, second(NOW_S));
        assert_eq!(shown(&plan), expected, "{desired} {minimum} {maximum}: {tasks}");
    }
}

#[test]
fn a_task_with_health_checks_counts_when_they_pass_and_is_replaced_when_they_fail() {
    // desired, minimum, maximum, grace period in seconds, tasks → plan
    let rows = [
        (1, 100, 200, None, "ng", "complete, steady"),
        (1, 100, 200, None, "nc", ""),
        (1, 100, 200, None, "nu", "start 1 of n"),
        (1, 100, 200, None, "nu np", ""),
        (1, 100, 200, None, "nu nc", ""),
        (1, 100, 200, None, "nu ng", "replace 1"),
        (2, 100, 200, None, "nu nu", "start 2 of n"),
        (2, 100, 200, None, "nu nu ng ng", "replace 1+2"),
        (2, 100, 200, None, "nu ng", "start 1 of n"),
        // No room for one more: one after the other.
        (2, 50, 100, None, "nu nu", "replace 1"),
        (2, 50, 100, None, "ns nu", "start 1 of n"),
        (2, 50, 100, None, "nu np", ""),
        (2, 50, 100, None, "nu ng", "replace 1"),
        // Within the grace period they do not count.
        (1, 100, 200, Some(60), "nu", "look in 20"),
        (1, 100, 200, Some(40), "nu", "start 1 of n"),
        // An unhealthy task of before serves nobody.
        (1, 100, 200, None, "ou nc", "stop 1 of o"),
        (1, 100, 200, None, "og nc", ""),
        (1, 100, 200, None, "og ng", "stop 1 of o"),
    ];
    for (desired, minimum, maximum, grace, tasks, expected) in rows {
        let mut service = service(desired, minimum, maximum);
        service.health_check_grace_period_s = grace;
        if !tasks.contains('o') {
            service.deployments.truncate(1);
        }
        let plan = plan(&service, &members(tasks), &[], None, second(NOW_S));
        assert_eq!(shown(&plan), expected, "{desired} {minimum} {maximum} {grace:?}: {tasks}");
    }
}

#[test]
fn a_gate_holds_a_rollout_up() {
    let rows = [
        (Gate::ScaleUp, "oh", "pause"),
        (Gate::Replace, "oh", "start 1 of n"),
        (Gate::Replace, "oh nr", "look in 30"),
        (Gate::Replace, "oh nh", "pause"),
        (Gate::Replace, "nh", "drop o, pause"),
    ];
    for (gate, tasks, expected) in rows {
        let plan = plan(&service(1, 100, 200), &members(tasks), &[], Some(gate), second(NOW_S));
        assert_eq!(shown(&plan), expected, "{gate:?} {tasks}");
    }
}

#[test]
fn tasks_that_fail_are_replaced_after_a_growing_wait() {
    let rows = [
        (1, "nf", "look in 4"),
        (1, "nf nf", "KeepsFailing, look in 9"),
        (1, "nf nf nf", "KeepsFailing, look in 19"),
        (2, "nf nf", "look in 4"),
        (1, "nf nf nf nf nf nf nf nf nf nf nf nf nf nf nf nf nf nf nf nf", "KeepsFailing, look in 1619"),
        // Once one has run, those that did not are forgiven; one that ends at once waits a little all the same.
        (1, "nf nf ns", "start 1 of n"),
        (1, "nf nf ne", "look in 8"),
    ];
    for (desired, tasks, expected) in rows {
        let mut service = service(desired, 100, 200);
        service.deployments.truncate(1);
        assert_eq!(shown(&plan(&service, &members(tasks), &[], None, second(NOW_S))), expected, "{desired}: {tasks}");
    }
}

#[test]
fn a_deleted_service_is_inactive_when_its_tasks_are_stopping() {
    let draining = Service { status: ServiceStatus::Draining, ..service(0, 100, 200) };
    for (tasks, expected) in [("nh oh", "stop 1 of n, stop 2 of o"), ("ns nf", "inactivate"), ("", "inactivate")] {
        assert_eq!(shown(&plan(&draining, &members(tasks), &[], None, second(NOW_S))), expected, "{tasks}");
    }
    let inactive = Service { status: ServiceStatus::Inactive, ..draining };
    assert_eq!(plan(&inactive, &[], &[], None, second(NOW_S)), []);
}

#[test]
fn tasks_whose_instances_are_emptied_are_replaced_within_the_bounds() {
    let rows = [
        (100, 200, "nh lh", "start 1 of n"),
        (100, 200, "nh nr lh", "look in 30"),
        (100, 200, "nh nh lh", "stop 3 of n"),
        (50, 100, "nh lh", "stop 2 of n"),
        (100, 100, "nh lh", "Percentages"),
        (100, 200, "lh lh", "start 2 of n"),
        (100, 200, "nh lp", "start 1 of n, stop 2 of n"),
    ];
    for (minimum, maximum, tasks, expected) in rows {
        let mut service = service(2, minimum, maximum);
        service.deployments.truncate(1);
        let leaving = tasks.split_whitespace().map(|word| word.starts_with('l')).collect::<Vec<_>>();
        let mut members = members(&tasks.replace('l', "n"));
        members.iter_mut().zip(leaving).for_each(|(member, is_leaving)| member.is_leaving = is_leaving);
        assert_eq!(shown(&plan(&service, &members, &[], None, second(NOW_S))), expected, "{tasks}");
    }
}

#[test]
fn tasks_on_instances_are_started_too_and_what_was_given_up_is_left() {
    let mut on_ec2 = service(1, 100, 200);
    on_ec2.deployments.truncate(1);
    on_ec2.deployments[0].workload = workload(LaunchType::Ec2);
    assert_eq!(shown(&plan(&on_ec2, &[], &[], None, second(NOW_S))), "start 1 of n");
    let mut given_up = service(1, 100, 200);
    given_up.deployments[0].rollout = RolloutState::Failed { reason: String::new() };
    assert_eq!(plan(&given_up, &[], &[], None, second(NOW_S)), []);
}

#[test]
fn a_task_set_has_its_part_of_the_tasks() {
    let task_set = |status, scale_percent, is_steady| {
        let key = TaskSetKey { service: service(0, 0, 0).key, id: ServiceRevisionId::new("t") };
        let creation = Creation { client_token: None, request: 0 };
        Arc::new(TaskSet {
            key,
            arn: arn("task-set/default/web/ecs-svc/t"),
            status,
            creation,
            external_id: None,
            workload: workload(LaunchType::Fargate),
            scale_percent,
            tags: Vec::new(),
            created_at: second(0),
            updated_at: second(0),
            is_steady,
            steady_at: second(0),
        })
    };
    let rows = [
        (TaskSetStatus::Active, 50.0, false, "", "start 2 of t"),
        (TaskSetStatus::Active, 50.0, false, "tr tr", "steady=true"),
        (TaskSetStatus::Active, 50.0, true, "tr tr", ""),
        (TaskSetStatus::Primary, 25.0, true, "tr tr", "stop 1 of t, steady=false"),
        (TaskSetStatus::Draining, 50.0, false, "tr", "stop 1 of t"),
        (TaskSetStatus::Draining, 50.0, false, "ts", "remove t"),
    ];
    let external = Service { controller: DeploymentController::External, ..service(3, 100, 200) };
    for (status, scale, is_steady, tasks, expected) in rows {
        let plan = plan(&external, &members(tasks), &[task_set(status, scale, is_steady)], None, second(NOW_S));
        assert_eq!(shown(&plan), expected, "{status:?} {scale} {tasks}");
    }
}

//! What is planned for services with tasks in all kinds of states.

use base::{AccountId, Arn, Ids, Region, Scope, SequentialEntropy, ServiceDeploymentId};
use state::Document;
use state::ecs::{
    Cluster, ClusterName, ContainerDefinition, Creation, Deployment, HealthCheck, HealthStatus, LaunchType,
    RolloutPolicy, RolloutState, SchedulingStrategy, ServiceCapacity, ServiceKey, ServiceName, StopCode, StopRequest,
    TaskDefinition, TaskSetKey, TaskSetStatus, Workload,
};

use super::*;
use crate::ecs::samples;

mod property;
mod table;

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
    samples::definition(if "cugx".contains(letter) { vec![container] } else { Vec::new() })
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
        ignored_alarms: Some(Vec::new()),
        ..Deployment::new(
            ServiceRevisionId::new(name),
            ServiceDeploymentId::new(name),
            workload(LaunchType::Fargate),
            second(0),
            second(0),
        )
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
            alarms: None,
            bake_time_min: 0,
            shifting: None,
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

/// Makes tasks, two letters each. The first names the deployment; of `l` it is `n`, and the task's instance is being
/// emptied. The second: `p`ending, `r`unning for ten seconds, `h`ealthy, `s`topping, running though asked to stop (`z`),
/// `f`ailed to start a second ago, `e`nded a second after it began to run, a second ago, stopped by the user (`t`) or for
/// `i`ts capacity before it ran. With a health check: running and `u`nhealthy, `g`ood, not yet `c`hecked, e`x`changed for
/// being unhealthy. What follows: `!` it is protected for a minute, `@a` it is in that zone, `%s` it is of that capacity
/// provider, `*3` there are three of them.
pub(crate) fn members(words: &str) -> Vec<Member> {
    let cluster = Cluster::new(&scope(), ClusterName::default_cluster(), second(0), Vec::new());
    let ids = Ids::new(Arc::new(SequentialEntropy::default()));
    let repeated = words.split_whitespace().flat_map(|word| {
        let (word, times) = word.split_once('*').unwrap_or((word, "1"));
        std::iter::repeat_n(word, times.parse().unwrap())
    });
    let after = |word: &str, sign| Some(word.split_once(sign)?.1.chars().next()?.to_string());
    let member = |(place, word): (usize, &str)| {
        let letter = &word[1..2];
        let definition = definition(letter);
        let created_at = second(i64::try_from(place).unwrap());
        let mut task = samples::start(&cluster, &definition, "service:web").task(&ids, &scope(), created_at);
        task.key.id = TaskId::new((place + 1).to_string());
        task.capacity_provider = after(word, '%');
        let ended = |code, reason: &str| Some(StopRequest { code, reason: reason.to_owned(), at: second(NOW_S - 1) });
        let started_s = match letter {
            "r" => Some(NOW_S - 10),
            "h" | "s" | "z" | "u" | "g" | "c" | "x" => Some(NOW_S - 40),
            "e" => Some(NOW_S - 2),
            _ => None,
        };
        task.started_at = started_s.map(second);
        for health in task.containers.iter_mut().filter_map(|container| container.health.as_mut()) {
            health.status = match letter {
                "u" | "x" => HealthStatus::Unhealthy,
                "g" => HealthStatus::Healthy,
                _ => HealthStatus::Unknown,
            };
        }
        task.protected_until = word.contains('!').then(|| second(NOW_S + 60));
        task.stop = match letter {
            "s" | "z" => ended(StopCode::ServiceSchedulerInitiated, ""),
            "x" => ended(StopCode::ServiceSchedulerInitiated, "Task failed container health checks"),
            "f" => ended(StopCode::TaskFailedToStart, ""),
            "e" => ended(StopCode::EssentialContainerExited, ""),
            "t" => ended(StopCode::UserInitiated, ""),
            "i" => ended(StopCode::SpotInterruption, ""),
            _ => None,
        };
        task.last_status = match letter {
            "p" => TaskStatus::Pending,
            "s" => TaskStatus::Stopping,
            "f" | "e" | "t" | "i" | "x" => TaskStatus::Stopped,
            _ => TaskStatus::Running,
        };
        let is_leaving = word.starts_with('l');
        let revision = ServiceRevisionId::new(if is_leaving { "n" } else { &word[..1] });
        Member { revision, task: Arc::new(task), zone: after(word, '@'), is_leaving }
    };
    repeated.enumerate().map(member).collect()
}

/// What is known of a service of which nothing special is known.
pub(crate) fn known<'a>(service: &'a Service, members: &'a [Member]) -> Known<'a> {
    let (alarms, zones): (&[String], &[String]) = (&[], &[]);
    Known { service, members, task_sets: &[], alarms, zones, pace: Pace::REAL, now: second(NOW_S) }
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
        Action::Count { tally, .. } => format!("count {} failed {} unstarted", tally.failed, tally.unstarted),
        Action::Begin { ignored_alarms } => format!("begin but for [{}]", ignored_alarms.join(" ")),
        Action::GiveUp(Cause::CircuitBreaker) => "give up".to_owned(),
        Action::GiveUp(Cause::Alarms(names)) => format!("give up for {}", names.join(" ")),
        Action::Bake => "bake".to_owned(),
        Action::Complete => "complete".to_owned(),
        Action::Shift(step) => crate::ecs::shift_plan::tests::shown(step),
        Action::Steady => "steady".to_owned(),
        Action::Report(Obstacle::Protected(revision)) => format!("too many protected of {revision}"),
        Action::Report(Obstacle::Unbalanced(zones)) => {
            let zones = zones.iter().map(|(zone, count)| format!("{zone}{count}")).collect::<String>();
            format!("uneven {zones}")
        }
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
        (TaskSetStatus::Active, 50.0, false, "tr tc", ""),
        (TaskSetStatus::Active, 50.0, false, "tr tg", "steady=true"),
        (TaskSetStatus::Active, 50.0, true, "tr tu", "replace 2, start 1 of t, steady=false"),
        (TaskSetStatus::Active, 50.0, true, "th! th! th!", "too many protected of t, look in 60, steady=false"),
        (TaskSetStatus::Draining, 50.0, false, "tr", "stop 1 of t"),
        (TaskSetStatus::Draining, 50.0, false, "ts", "remove t"),
    ];
    let external = Service { controller: DeploymentController::External, ..service(3, 100, 200) };
    for (status, scale, is_steady, tasks, expected) in rows {
        let (members, task_sets) = (members(tasks), [task_set(status, scale, is_steady)]);
        let plan = plan(&Known { task_sets: &task_sets, ..known(&external, &members) });
        assert_eq!(shown(&plan), expected, "{status:?} {scale} {tasks}");
    }
}

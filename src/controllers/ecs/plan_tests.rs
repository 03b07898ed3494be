//! What is planned for tasks in all kinds of states.

use base::ContainerInstanceId;
use node::ExitStatus;
use state::ecs::{
    Condition, ContainerHealth, Dependency, HealthStatus, Launch, RestartPolicy, StopCode, StopRequest, VolumesFrom,
};

use super::super::{ending, order::ObstacleKind, restart, samples};
use super::*;

fn second(second: i64) -> Timestamp {
    Timestamp::from_millis(second * 1000)
}

/// Makes the containers of a definition from words such as `web>db.H+init.S<data~60`: a name; after `>` what it depends
/// on, with the first letter of the condition; after `<` whose volumes it mounts; after `~` its start timeout.
fn definitions(text: &str) -> Vec<ContainerDefinition> {
    let one = |word: &str| {
        let (word, timeout) = word.split_once('~').unwrap_or((word, ""));
        let (word, source) = word.split_once('<').unwrap_or((word, ""));
        let (name, needs) = word.split_once('>').unwrap_or((word, ""));
        let dependency = |need: &str| {
            let (container, condition) = need.split_once('.').unwrap();
            let condition = match condition {
                "S" => Condition::Start,
                "C" => Condition::Complete,
                "0" => Condition::Success,
                "H" => Condition::Healthy,
                other => panic!("{other}"),
            };
            Dependency { container: container.to_owned(), condition }
        };
        let from = |name: &str| VolumesFrom { container: name.to_owned(), is_read_only: false };
        ContainerDefinition {
            name: name.to_owned(),
            depends_on: needs.split('+').filter(|need| !need.is_empty()).map(dependency).collect(),
            volumes_from: Some(source).filter(|source| !source.is_empty()).map(from).into_iter().collect(),
            start_timeout_s: timeout.parse().ok(),
            ..samples::container("")
        }
    };
    text.split_whitespace().map(one).collect()
}

/// Makes a task of those containers. A letter a container: `p`ending, `r`unning since second 0, `h`ealthy, `u`nhealthy,
/// `t`old to end at second 10 (it has 30 seconds), `s`topped with exit code 0, `f`ailed with 1, `l`ost without an exit
/// code, ne`v`er started, `e`nded at second 5 and to be started again.
fn task(status: TaskStatus, stop: bool, definitions: &[ContainerDefinition], letters: &str) -> Task {
    let mut task = samples::task(definitions.to_vec());
    task.last_status = status;
    task.stop = stop.then(|| StopRequest { code: StopCode::UserInitiated, reason: String::new(), at: second(0) });
    task.stopped_at = (status == TaskStatus::Stopped).then_some(second(0));
    for (container, letter) in task.containers.iter_mut().zip(letters.chars()) {
        set(container, letter);
    }
    task
}

fn set(container: &mut Container, letter: char) {
    container.started_at = (!"pv".contains(letter)).then_some(second(0));
    container.status = match letter {
        'p' => ContainerStatus::Pending,
        's' | 'f' | 'l' | 'v' => ContainerStatus::Stopped,
        _ => ContainerStatus::Running,
    };
    container.exit_code = match letter {
        's' => Some(0),
        'f' => Some(1),
        _ => None,
    };
    let health = match letter {
        'h' => Some(HealthStatus::Healthy),
        'u' => Some(HealthStatus::Unhealthy),
        _ => None,
    };
    container.health = health.map(|status| ContainerHealth { status, ..ContainerHealth::new(second(0)) });
    container.stop_signalled_at = (letter == 't').then_some(second(10));
    container.restarting_after = (letter == 'e').then_some(second(5));
}

fn shown(action: &Action, definitions: &[ContainerDefinition]) -> String {
    let name = |place: &usize| definitions[*place].name.clone();
    let names = |places: &[usize]| places.iter().map(name).collect::<Vec<_>>().join(" ");
    match action {
        Action::Launch(places) => format!("launch {}", names(places)),
        Action::Abandon(place, obstacle) => {
            let kind = match obstacle.kind {
                ObstacleKind::TimedOut => "timed out",
                ObstacleKind::Failed => "failed",
                ObstacleKind::Ended => "ended",
                ObstacleKind::NeverStarts => "never starts",
            };
            format!("abandon {}: {} {kind}", name(place), name(&obstacle.dependency))
        }
        Action::Restart(place) => format!("restart {}", name(place)),
        Action::Terminate(places) => format!("terminate {}", names(places)),
        Action::Kill(places) => format!("kill {}", names(places)),
        Action::Enter(status) => format!("enter {}", status.as_str()),
        Action::WaitUntil(at) => format!("wait until {}", at.as_millis() / 1000),
        Action::Provision => "provision".to_owned(),
        Action::RenewCredentials => "renew credentials".to_owned(),
        Action::TearDown => "tear down".to_owned(),
        Action::Forget => "forget".to_owned(),
        Action::Wait => "wait".to_owned(),
    }
}

/// Says what is planned; all output is awaited until second 80 unless it is delivered.
fn planned(status: TaskStatus, stop: bool, texts: (&str, &str), is_delivered: bool, at: i64) -> String {
    let (text, letters) = texts;
    let definitions = definitions(text);
    let task = task(status, stop, &definitions, letters);
    let output = if is_delivered { Output::Delivered } else { Output::AwaitedUntil(second(80)) };
    let known = Known { task: &task, definitions: &definitions, output, renew_at: None };
    shown(&next(known, second(at)), &definitions)
}

#[test]
fn a_task_on_a_container_instance_is_left_to_its_agent_until_it_is_forgotten() {
    let container_instance = ContainerInstanceId::new("i");
    let rows = [
        (TaskStatus::Provisioning, false, Action::Wait),
        (TaskStatus::Pending, true, Action::Wait),
        (TaskStatus::Running, true, Action::Wait),
        (TaskStatus::Stopped, true, Action::Forget),
    ];
    for (status, stop, expected) in rows {
        for launch in [
            Launch::Ec2 { container_instance: container_instance.clone(), is_local: false },
            Launch::External { container_instance: container_instance.clone() },
        ] {
            let definitions = definitions("a");
            let task = Task { launch, ..task(status, stop, &definitions, "r") };
            let known = Known { task: &task, definitions: &definitions, output: Output::Delivered, renew_at: None };
            assert_eq!(next(known, second(3600)), expected, "{status:?}");
        }
    }
}

#[test]
fn each_status_leads_to_the_next() {
    use TaskStatus::{Activating, Deactivating, Deprovisioning, Pending, Provisioning, Running, Stopped, Stopping};
    // status, whether a stop was asked for, containers, whether all output is delivered, second → action
    let rows = [
        (Provisioning, false, "pp", false, 0, "provision"),
        (Provisioning, true, "pp", false, 0, "enter DEPROVISIONING"),
        (Pending, false, "pp", false, 0, "launch a b"),
        (Pending, false, "rp", false, 0, "launch b"),
        (Pending, false, "rr", false, 0, "enter RUNNING"),
        (Pending, false, "rs", false, 0, "enter RUNNING"),
        (Pending, true, "pp", false, 0, "enter DEPROVISIONING"),
        (Pending, true, "rp", false, 0, "enter STOPPING"),
        (Pending, true, "sp", false, 0, "enter STOPPING"),
        (Activating, false, "rr", false, 0, "enter RUNNING"),
        (Activating, true, "rr", false, 0, "enter DEACTIVATING"),
        (Running, false, "rr", false, 0, "wait"),
        (Running, false, "rs", false, 0, "wait"),
        (Running, false, "re", false, 0, "restart b"),
        (Running, true, "re", false, 0, "enter DEACTIVATING"),
        (Running, true, "rr", false, 0, "enter DEACTIVATING"),
        (Running, true, "ss", true, 0, "enter DEACTIVATING"),
        (Deactivating, true, "rr", false, 0, "enter STOPPING"),
        (Stopping, true, "rr", false, 0, "terminate a b"),
        (Stopping, true, "tr", false, 11, "terminate b"),
        (Stopping, true, "tr", false, 41, "terminate b"),
        (Stopping, true, "tt", false, 11, "wait until 40"),
        (Stopping, true, "ts", true, 39, "wait until 40"),
        (Stopping, true, "tt", false, 40, "kill a b"),
        (Stopping, true, "ts", true, 99, "kill a"),
        (Stopping, true, "ss", false, 79, "wait until 80"),
        (Stopping, true, "sp", false, 79, "wait until 80"),
        (Stopping, true, "ss", false, 80, "enter DEPROVISIONING"),
        (Stopping, true, "ss", true, 11, "enter DEPROVISIONING"),
        (Stopping, true, "sp", true, 11, "enter DEPROVISIONING"),
        (Deprovisioning, true, "ss", true, 0, "tear down"),
        (Stopped, true, "ss", false, 0, "wait until 3600"),
        (Stopped, true, "ss", false, 3599, "wait until 3600"),
        (Stopped, true, "ss", false, 3600, "forget"),
    ];
    for (status, stop, letters, is_delivered, at, expected) in rows {
        let actual = planned(status, stop, ("a b", letters), is_delivered, at);
        assert_eq!(actual, expected, "{status:?}, stop {stop}, {letters}, delivered {is_delivered}, {at} s");
    }
}

#[test]
fn containers_start_as_soon_as_what_they_wait_for_allows() {
    // definition, containers, second → action
    let rows = [
        // START: it was started, whatever became of it.
        ("a>b.S b", "pp", 0, "launch b"),
        ("a>b.S b", "pr", 0, "launch a"),
        ("a>b.S b", "ps", 0, "launch a"),
        ("a>b.S b", "pf", 0, "launch a"),
        ("a>b.S b", "pv", 0, "abandon a: b never starts"),
        ("a>b.S b~5", "pp", 99, "launch b"),
        // COMPLETE: it has ended, with whatever exit code.
        ("a>b.C b", "pp", 0, "launch b"),
        ("a>b.C b", "pr", 0, "wait"),
        ("a>b.C b", "ps", 0, "launch a"),
        ("a>b.C b", "pf", 0, "launch a"),
        ("a>b.C b", "pl", 0, "launch a"),
        ("a>b.C b", "pv", 0, "abandon a: b never starts"),
        ("a>b.C b", "pe", 9, "restart b"),
        ("a>b.C b~60", "pr", 59, "wait until 60"),
        ("a>b.C b~60", "pr", 60, "abandon a: b timed out"),
        ("a>b.C b~60", "ps", 61, "launch a"),
        // SUCCESS: it has ended with 0.
        ("a>b.0 b", "pr", 0, "wait"),
        ("a>b.0 b", "ps", 0, "launch a"),
        ("a>b.0 b", "pf", 0, "abandon a: b failed"),
        ("a>b.0 b", "pl", 0, "abandon a: b failed"),
        ("a>b.0 b", "pv", 0, "abandon a: b never starts"),
        ("a>b.0 b~2", "pr", 1, "wait until 2"),
        ("a>b.0 b~2", "pr", 2, "abandon a: b timed out"),
        ("a>b.0 b~2", "pf", 9, "abandon a: b failed"),
        // HEALTHY: its check passes.
        ("a>b.H b", "pp", 0, "launch b"),
        ("a>b.H b", "pr", 0, "wait"),
        ("a>b.H b", "pu", 0, "wait"),
        ("a>b.H b", "ph", 0, "launch a"),
        ("a>b.H b", "ps", 0, "abandon a: b ended"),
        ("a>b.H b", "pf", 0, "abandon a: b ended"),
        ("a>b.H b", "pv", 0, "abandon a: b never starts"),
        ("a>b.H b~30", "pu", 29, "wait until 30"),
        ("a>b.H b~30", "pr", 30, "abandon a: b timed out"),
        ("a>b.H b~30", "ph", 31, "launch a"),
        // Several: all of them, and the first time that something may be in vain.
        ("a>b.S+c.0 b c", "ppp", 0, "launch b c"),
        ("a>b.S+c.0 b c", "prr", 0, "wait"),
        ("a>b.S+c.0 b c", "prs", 0, "launch a"),
        ("a>b.S+c.0 b c", "prf", 0, "abandon a: c failed"),
        ("a>b.H+c.C b~60 c~40", "prr", 0, "wait until 40"),
        ("a>b.H+c.C b~60 c~40", "phr", 39, "wait until 40"),
        ("a>b.H+c.C b~60 c~40", "phr", 40, "abandon a: c timed out"),
        ("a>b.H+c.C b~60 c~40", "prs", 40, "wait until 60"),
        // Chains, and what is given up with whom it waited for.
        ("a>b.S b>c.0 c", "ppp", 0, "launch c"),
        ("a>b.S b>c.0 c", "ppr", 0, "wait"),
        ("a>b.S b>c.0 c", "pps", 0, "launch b"),
        ("a>b.S b>c.0 c", "prs", 0, "launch a"),
        ("a>b.S b>c.0 c", "ppf", 0, "abandon b: c failed"),
        ("a>b.S b>c.0 c", "pvf", 0, "abandon a: b never starts"),
        ("a>b.S b>c.0 c", "vvf", 0, "enter RUNNING"),
        ("a>c.H b>c.H c", "pph", 0, "launch a b"),
        ("a>c.H b c", "ppp", 0, "launch b c"),
        ("a>c.H b c", "prr", 0, "wait"),
        ("a>x.S", "p", 0, "launch a"),
        // Whose volumes others mount goes first, and those that mount each other's do not wait for ever.
        ("a<b b", "pp", 0, "launch b a"),
        ("a<b b<c c", "ppp", 0, "launch c b a"),
        ("a<b b<a", "pp", 0, "launch a b"),
        ("a<a", "p", 0, "launch a"),
        ("a<b b", "pr", 0, "launch a"),
    ];
    for (text, letters, at, expected) in rows {
        let actual = planned(TaskStatus::Pending, false, (text, letters), false, at);
        assert_eq!(actual, expected, "{text}: {letters} at {at} s");
    }
}

#[test]
fn containers_end_in_the_reverse_order_of_their_start() {
    // definition, containers, second → action
    let rows = [
        ("a>b.S b", "rr", 0, "terminate a"),
        ("a>b.S b", "tr", 11, "wait until 40"),
        ("a>b.S b", "tr", 40, "kill a"),
        ("a>b.S b", "sr", 12, "terminate b"),
        ("a>b.S b", "st", 12, "wait until 40"),
        ("a>b.S b", "ss", 12, "wait until 80"),
        ("a>b.S b", "rs", 0, "terminate a"),
        ("a>b.S b", "pr", 0, "terminate b"),
        ("a>b.S b", "vr", 0, "terminate b"),
        ("a>b.H b>c.C c", "rrs", 0, "terminate a"),
        ("a>b.H b>c.H c", "rhh", 0, "terminate a"),
        ("a>b.H b>c.H c", "shh", 0, "terminate b"),
        ("a>b.H b>c.H c", "ssh", 0, "terminate c"),
        ("a>c.S b>c.S c", "rrr", 0, "terminate a b"),
        ("a>c.S b>c.S c", "trr", 11, "terminate b"),
        ("a>c.S b>c.S c", "tsr", 11, "wait until 40"),
        ("a>c.S b>c.S c", "ssr", 11, "terminate c"),
        ("a>b.S b c", "rrr", 0, "terminate a c"),
        ("a>b.S b c", "srt", 11, "terminate b"),
    ];
    for (text, letters, at, expected) in rows {
        let actual = planned(TaskStatus::Stopping, true, (text, letters), false, at);
        assert_eq!(actual, expected, "{text}: {letters} at {at} s");
    }
}

#[test]
fn credentials_are_renewed_in_time_and_before_waiting_on() {
    use TaskStatus::{Pending, Running, Stopped, Stopping};
    let rows = [
        (Running, false, "r", 0, "wait until 50"),
        (Running, false, "r", 49, "wait until 50"),
        (Running, false, "r", 50, "renew credentials"),
        (Pending, false, "p", 50, "launch a"),
        (Stopping, true, "t", 11, "wait until 40"),
        (Stopping, true, "s", 60, "renew credentials"),
        (Stopped, true, "s", 60, "wait until 3600"),
    ];
    for (status, stop, letters, at, expected) in rows {
        let definitions = definitions("a");
        let task = task(status, stop, &definitions, letters);
        let output = Output::AwaitedUntil(second(80));
        let known = Known { task: &task, definitions: &definitions, output, renew_at: Some(second(50)) };
        assert_eq!(shown(&next(known, second(at)), &definitions), expected, "{status:?} {letters} at {at} s");
    }
}

fn exit(code: i32, at: i64) -> ExitStatus {
    ExitStatus { code, is_oom_killed: false, at: second(at) }
}

#[test]
fn a_container_is_started_again_if_its_policy_says_so() {
    let policy = |codes: &[i32], period| RestartPolicy { ignored_exit_codes: codes.to_vec(), attempt_period_s: period };
    // policy, when it was last started again, whether the task stops, exit code, second of the end → starts again
    let rows = [
        (None, None, false, 1, 1000, false),
        (Some(policy(&[], 300)), None, false, 1, 300, true),
        (Some(policy(&[], 300)), None, false, 1, 299, false),
        (Some(policy(&[], 300)), None, false, 0, 300, true),
        (Some(policy(&[], 60)), None, false, 1, 60, true),
        (Some(policy(&[0], 60)), None, false, 0, 60, false),
        (Some(policy(&[0], 60)), None, false, 1, 60, true),
        (Some(policy(&[0, 1], 60)), None, false, 1, 60, false),
        (Some(policy(&[], 60)), Some(100), false, 1, 159, false),
        (Some(policy(&[], 60)), Some(100), false, 1, 160, true),
        (Some(policy(&[], 60)), None, true, 1, 1000, false),
        (Some(policy(&[], 60)), None, false, 137, 60, true),
    ];
    for (policy, restarted_at, is_stopping, code, at, expected) in rows {
        let mut task = task(TaskStatus::Running, is_stopping, &definitions("a"), "r");
        task.containers[0].restarted_at = restarted_at.map(second);
        let actual = restart::restarts(&task.containers[0], policy.as_ref(), is_stopping, &exit(code, at));
        assert_eq!(actual, expected, "{policy:?} {restarted_at:?} {is_stopping} {code} {at}");
    }
}

#[test]
fn the_end_of_a_container_is_noted_once_and_an_essential_one_ends_the_task() {
    use TaskStatus::{Pending, Running, Stopping};
    // status, containers (a is essential, b is not), who has ended → status, containers, why the task is to stop
    let rows = [
        (Running, "rr", 0, Running, "0:s 1:r", "EssentialContainerExited"),
        (Running, "rr", 1, Running, "0:r 1:s", ""),
        (Running, "rs", 0, Running, "0:s 1:s", "EssentialContainerExited"),
        (Pending, "rp", 0, Pending, "0:s 1:p", "TaskFailedToStart"),
        (Pending, "pr", 1, Pending, "0:p 1:s", ""),
        (Pending, "rr", 0, Running, "0:s 1:r", "EssentialContainerExited"),
        (Pending, "rv", 0, Running, "0:s 1:s", "EssentialContainerExited"),
        (Stopping, "tt", 0, Stopping, "0:s 1:r", "UserInitiated"),
    ];
    for (status, letters, who, new_status, expected, code) in rows {
        let mut task = task(status, status == Stopping, &definitions("a b"), letters);
        task.started_at = (status != Pending).then(|| second(1));
        task.containers[1].is_essential = false;
        let id = task.containers[who].id.clone();
        for _ in 0..2 {
            ending::note(&mut task, &id, None, Some(&exit(0, 7)), second(8));
        }
        let letter = |container: &Container| match container.status {
            ContainerStatus::Pending => 'p',
            ContainerStatus::Running => 'r',
            ContainerStatus::Stopped => 's',
        };
        let shown = task.containers.iter().enumerate().map(|(place, one)| format!("{place}:{}", letter(one)));
        assert_eq!(shown.collect::<Vec<_>>().join(" "), expected, "{status:?} {letters}");
        let shown = task.stop.as_ref().and_then(|stop| stop.code.as_str()).unwrap_or_default();
        assert_eq!((task.last_status, shown), (new_status, code), "{status:?} {letters}");
        assert_eq!(task.containers[who].finished_at, Some(second(7)));
    }
}

#[test]
fn a_restart_is_counted_once_and_not_at_all_if_the_task_stops_before() {
    let policy = RestartPolicy { ignored_exit_codes: Vec::new(), attempt_period_s: 60 };
    let mut task = task(TaskStatus::Running, false, &definitions("a"), "r");
    let id = task.containers[0].id.clone();
    for _ in 0..2 {
        ending::note(&mut task, &id, Some(&policy), Some(&exit(1, 100)), second(101));
        let container = &task.containers[0];
        assert_eq!((container.status, container.restart_count), (ContainerStatus::Running, 1));
        assert_eq!((container.restarting_after, task.stop.is_some()), (Some(second(100)), false));
    }
    task.stop = Some(StopRequest { code: StopCode::UserInitiated, reason: String::new(), at: second(102) });
    ending::note(&mut task, &id, Some(&policy), Some(&exit(1, 100)), second(103));
    let container = &task.containers[0];
    assert_eq!((container.status, container.restart_count), (ContainerStatus::Stopped, 0));
    assert_eq!((container.exit_code, container.restarting_after), (Some(1), None));
}

#[test]
fn a_restarted_container_that_fails_at_once_has_ended_for_good() {
    let policy = RestartPolicy { ignored_exit_codes: Vec::new(), attempt_period_s: 60 };
    let mut task = task(TaskStatus::Running, false, &definitions("a"), "r");
    task.started_at = Some(second(1));
    let id = task.containers[0].id.clone();
    ending::note(&mut task, &id, Some(&policy), Some(&exit(1, 100)), second(100));
    // The server was killed before it noted that the container was started again, and that one has ended meanwhile.
    ending::note(&mut task, &id, Some(&policy), Some(&exit(2, 101)), second(102));
    let container = &task.containers[0];
    assert_eq!(container.restart_count, 2, "seen from its first start it has run long enough");
    task.containers[0].restarting_after = None;
    task.containers[0].restarted_at = Some(second(102));
    ending::note(&mut task, &id, Some(&policy), Some(&exit(3, 103)), second(103));
    assert_eq!((task.containers[0].status, task.containers[0].exit_code), (ContainerStatus::Stopped, Some(3)));
    assert_eq!(task.stop.unwrap().code, StopCode::EssentialContainerExited);
}

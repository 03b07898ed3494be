use std::sync::Arc;

use base::{AccountId, Ids, Region, Scope, SequentialEntropy, ServiceRevisionId, TaskId};
use state::ecs::{Cluster, ClusterName, Launch, StopCode, StopRequest};

use super::super::samples;
use super::super::service_plan::tests::{NOW_S, known, second, service, shown};
use super::*;

/// Makes spots, a letter each, named by their places from 1: `w`anted, `d`isconnected though wanted, not suited (`x`),
/// being `e`mptied.
fn spots(letters: &str) -> Vec<Spot> {
    let spot = |(place, letter): (usize, char)| Spot {
        id: ContainerInstanceId::new((place + 1).to_string()),
        is_wanted: matches!(letter, 'w' | 'd'),
        takes_tasks: letter != 'd',
        is_emptying: letter == 'e',
    };
    letters.chars().enumerate().map(spot).collect()
}

/// Makes tasks, three letters each: of the `n`ew or the `o`ld deployment; `p`ending, `r`unning for ten seconds, `h`ealthy,
/// `s`topping, `f`ailed to start a second ago; on the instance of that number.
fn members(words: &str) -> Vec<Member> {
    let scope = Scope::new(AccountId::DEFAULT, Region::default());
    let cluster = Cluster::new(&scope, ClusterName::default_cluster(), second(0), Vec::new());
    let ids = Ids::new(Arc::new(SequentialEntropy::default()));
    let member = |(place, word): (usize, &str)| {
        let definition = samples::definition(Vec::new());
        let at = second(i64::try_from(place).unwrap());
        let mut task = samples::start(&cluster, &definition, "service:web").task(&ids, &scope, at);
        task.key.id = TaskId::new((place + 1).to_string());
        task.launch = Launch::Ec2 { container_instance: ContainerInstanceId::new(&word[2..]), is_local: true };
        let started = |task: &mut state::ecs::Task, at| {
            task.last_status = TaskStatus::Running;
            task.started_at = Some(at);
        };
        let stop = |code| Some(StopRequest { code, reason: String::new(), at: second(NOW_S - 1) });
        match &word[1..2] {
            "p" => task.last_status = TaskStatus::Pending,
            "r" => started(&mut task, second(NOW_S - 10)),
            "h" => started(&mut task, second(0)),
            "s" => {
                started(&mut task, second(0));
                task.stop = stop(StopCode::ServiceSchedulerInitiated);
            }
            "f" => {
                task.stop = stop(StopCode::TaskFailedToStart);
                task.last_status = TaskStatus::Stopped;
                task.stopped_at = Some(second(NOW_S - 1));
            }
            other => panic!("{other}"),
        }
        Member { revision: ServiceRevisionId::new(&word[..1]), task: Arc::new(task), zone: None, is_leaving: false }
    };
    words.split_whitespace().enumerate().map(member).collect()
}

fn planned(minimum_percent: u32, instances: &str, tasks: &str) -> String {
    let mut service = service(0, minimum_percent, 100);
    if !tasks.contains('o') {
        service.deployments.truncate(1);
    }
    let (members, spots, mut actions) = (members(tasks), spots(instances), Vec::new());
    let primary = service.primary().unwrap();
    let known = known(&service, &members);
    let daemon = Daemon { known: &known, primary, spots: &spots };
    daemon.plan(&mut actions);
    shown(&actions)
}

#[test]
fn each_instance_that_suits_has_one_task() {
    let rows = [
        ("", "", "complete, steady"),
        ("www", "", "start on 1+2+3 of n"),
        ("wdx", "", "start on 1 of n"),
        ("ww", "np1", "start on 2 of n"),
        ("ww", "np1 nh2", ""),
        ("ww", "nr1 nh2", "look in 30"),
        ("ww", "nh1 nh2", "complete, steady"),
        // The disconnected one keeps its task, and gets none.
        ("wd", "nh1 nh2", "complete, steady"),
        ("d", "", "complete, steady"),
        // One that was lost is made up for, unless it has just failed to start.
        ("ww", "nh1 ns2", "start on 2 of n"),
        ("ww", "nf1 nh2", "count 1 failed 1 unstarted, look in 4"),
        ("w", "nf1", "count 1 failed 1 unstarted, look in 4"),
    ];
    for (instances, tasks, expected) in rows {
        assert_eq!(planned(0, instances, tasks), expected, "{instances}: {tasks}");
    }
}

#[test]
fn what_does_not_belong_where_it_is_goes() {
    let rows = [
        ("wx", "nh1 nh2", "stop 2 of n, complete, steady"),
        // Its instance is not there any more.
        ("w", "nh1 nh9", "stop 2 of n, complete, steady"),
        // On an instance that is emptied it is the last one.
        ("we", "nh1 nh2", "complete, steady"),
        ("x", "oh1", "stop 1 of o"),
        ("e", "oh1", ""),
    ];
    for (instances, tasks, expected) in rows {
        assert_eq!(planned(0, instances, tasks), expected, "{instances}: {tasks}");
    }
}

#[test]
fn a_new_deployment_takes_the_place_of_the_old_one_within_the_lower_bound() {
    let rows = [
        (0, "www", "oh1 oh2 oh3", "stop 1+2+3 of o"),
        (34, "www", "oh1 oh2 oh3", "stop 1 of o"),
        (33, "www", "oh1 oh2 oh3", "stop 1+2 of o"),
        (66, "www", "oh1 oh2 oh3", "stop 1 of o"),
        (100, "www", "oh1 oh2 oh3", ""),
        // What does not run serves nobody.
        (100, "www", "op1 oh2 oh3", "stop 1 of o"),
        (66, "www", "os1 oh2 oh3", "start on 1 of n"),
        (66, "www", "nr4 oh2 oh3", "stop 1 of n, start on 1 of n"),
        (66, "www", "nr1 oh2 oh3", "look in 30"),
        (66, "www", "nh1 oh2 oh3", "stop 2 of o"),
        (66, "www", "nh1 nh2 oh3", "stop 3 of o"),
        (66, "www", "nh1 nh2 nh3 os3", ""),
    ];
    for (percent, instances, tasks, expected) in rows {
        assert_eq!(planned(percent, instances, tasks), expected, "{percent}: {instances}: {tasks}");
    }
}

#[test]
fn a_deployment_of_which_nothing_is_left_is_forgotten() {
    let mut service = service(0, 0, 100);
    let (members, spots) = (members("nh1"), spots("w"));
    service.deployments[0].rollout = RolloutState::Completed;
    let mut actions = Vec::new();
    let primary = service.primary().unwrap();
    Daemon { known: &known(&service, &members), primary, spots: &spots }.plan(&mut actions);
    assert_eq!(shown(&actions), "drop o, steady");
    service.deployments[0].rollout = RolloutState::Failed { reason: String::new() };
    let mut actions = Vec::new();
    let primary = service.primary().unwrap();
    Daemon { known: &known(&service, &[]), primary, spots: &spots }.plan(&mut actions);
    assert_eq!(shown(&actions), "");
}

//! What to do next for a task: a pure function of its record.

use std::time::Duration;

use base::Timestamp;
use state::ecs::{Container, ContainerStatus, Task, TaskStatus};

/// How long a stopped task can still be described. ECS promises at least an hour (DescribeTasks).
pub(crate) const STOPPED_TASK_KEPT: Duration = Duration::from_secs(3600);
/// How long after SIGKILL the signal is sent again, should the container still not have ended.
pub(crate) const KILL_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// One thing to do. After it the record has changed and the question is asked anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Give the task its network interface.
    Provision,
    /// Find the images and start the containers.
    Launch,
    /// Say that the task has come to a status; nothing else is to be done for it.
    Enter(TaskStatus),
    /// Ask the containers that run to end.
    Terminate,
    /// End the containers whose time to stop is over.
    Kill,
    /// Take everything of the task off the node.
    TearDown,
    /// Remove the record.
    Forget,
    /// Nothing until something happens.
    Wait,
    /// Nothing until something happens or that time has come.
    WaitUntil(Timestamp),
}

/// How far the output of a task's containers has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// All of it is in the task's logs.
    Delivered,
    /// There is some left, and it is waited for until then.
    AwaitedUntil(Timestamp),
}

/// Says what to do next for a task, the ends of its containers already written into its record. A task whose containers
/// have ended is not taken away before its output has come where it can.
pub(crate) fn next(task: &Task, output: Output, now: Timestamp) -> Action {
    let is_stopping = task.stop.is_some();
    // The rest of its life is its agent's.
    if task.launch.container_instance().is_some() && task.last_status != TaskStatus::Stopped {
        return Action::Wait;
    }
    match task.last_status {
        TaskStatus::Provisioning if is_stopping => Action::Enter(TaskStatus::Deprovisioning),
        TaskStatus::Provisioning => Action::Provision,
        TaskStatus::Pending if is_stopping && has_started(task) => Action::Enter(TaskStatus::Stopping),
        TaskStatus::Pending if is_stopping => Action::Enter(TaskStatus::Deprovisioning),
        TaskStatus::Pending => Action::Launch,
        TaskStatus::Activating if is_stopping => Action::Enter(TaskStatus::Deactivating),
        TaskStatus::Activating => Action::Enter(TaskStatus::Running),
        TaskStatus::Running if is_stopping => Action::Enter(TaskStatus::Deactivating),
        TaskStatus::Running => Action::Wait,
        TaskStatus::Deactivating => Action::Enter(TaskStatus::Stopping),
        TaskStatus::Stopping => stop_containers(task, output, now),
        TaskStatus::Deprovisioning => Action::TearDown,
        TaskStatus::Stopped => {
            let kept_until = task.stopped_at.unwrap_or(now).plus(STOPPED_TASK_KEPT);
            if now >= kept_until { Action::Forget } else { Action::WaitUntil(kept_until) }
        }
    }
}

/// Returns when a container that was asked to end has had its time.
pub(crate) fn kill_at(container: &Container) -> Option<Timestamp> {
    Some(container.stop_signalled_at?.plus(Duration::from_secs(u64::from(container.stop_timeout_s))))
}

fn stop_containers(task: &Task, output: Output, now: Timestamp) -> Action {
    let running = || task.containers.iter().filter(|container| container.status == ContainerStatus::Running);
    if running().any(|container| container.stop_signalled_at.is_none()) {
        return Action::Terminate;
    }
    match running().filter_map(kill_at).min() {
        Some(kill_at) if now >= kill_at => Action::Kill,
        Some(kill_at) => Action::WaitUntil(kill_at),
        None => match output {
            Output::AwaitedUntil(end) if now < end => Action::WaitUntil(end),
            Output::AwaitedUntil(_) | Output::Delivered => Action::Enter(TaskStatus::Deprovisioning),
        },
    }
}

fn has_started(task: &Task) -> bool {
    task.containers.iter().any(|container| container.started_at.is_some())
}

#[cfg(test)]
mod tests {
    use base::{AccountId, Arn, ContainerId, Region, Scope, TaskId};
    use state::ecs::{ClusterName, Family, Launch, Overrides, StopCode, StopRequest, TaskDefinitionName, TaskKey};

    use super::*;

    /// Makes a task: `stop` if a stop was asked for; a letter a container: `p`ending, `r`unning, `t`old to end at
    /// second 10 (it has 30 seconds), `s`topped.
    fn task(status: TaskStatus, stop: bool, containers: &str) -> Task {
        let scope = Scope::new(AccountId::DEFAULT, Region::default());
        let at = Timestamp::from_millis(0);
        let key = TaskKey { cluster: ClusterName::default_cluster(), id: TaskId::new("1") };
        let request = StopRequest { code: StopCode::UserInitiated, reason: String::new(), at };
        Task {
            key,
            arn: Arn::new("ecs", &scope, "task/default/1"),
            cluster_arn: Arn::new("ecs", &scope, "cluster/default"),
            definition: TaskDefinitionName { family: Family::parse("f").unwrap(), revision: 1 },
            definition_arn: Arn::new("ecs", &scope, "task-definition/f:1"),
            group: "family:f".to_owned(),
            started_by: None,
            launch: Launch::Fargate { platform_version: "1.4.0".to_owned() },
            capacity_provider: None,
            cpu_units: None,
            memory_mib: None,
            ephemeral_storage_gib: 20,
            overrides: Overrides::default(),
            network: None,
            client_token: None,
            is_exec_enabled: false,
            tags: Vec::new(),
            created_at: at,
            stop: stop.then_some(request),
            protected_until: None,
            last_status: status,
            version: 1,
            availability_zone: None,
            connectivity_at: None,
            pull_started_at: None,
            pull_stopped_at: None,
            started_at: None,
            execution_stopped_at: None,
            stopped_at: (status == TaskStatus::Stopped).then_some(at),
            eni: None,
            containers: containers.chars().map(container).collect(),
        }
    }

    fn container(letter: char) -> Container {
        let scope = Scope::new(AccountId::DEFAULT, Region::default());
        let status = match letter {
            'p' => ContainerStatus::Pending,
            'r' | 't' => ContainerStatus::Running,
            _ => ContainerStatus::Stopped,
        };
        Container {
            id: ContainerId::new("1-1"),
            arn: Arn::new("ecs", &scope, "container/default/1/1"),
            name: "app".to_owned(),
            image: "busybox".to_owned(),
            image_digest: None,
            is_essential: true,
            stop_timeout_s: 30,
            status,
            exit_code: None,
            reason: None,
            started_at: (letter != 'p').then_some(Timestamp::from_millis(0)),
            finished_at: None,
            stop_signalled_at: (letter == 't').then_some(Timestamp::from_millis(10_000)),
            cpu_units: 0,
            memory_mib: None,
            memory_reservation_mib: None,
            agent_runtime_id: None,
            network_bindings: Vec::new(),
            exec_agent: None,
        }
    }

    #[test]
    fn a_task_on_a_container_instance_is_left_to_its_agent_until_it_is_forgotten() {
        let container_instance = base::ContainerInstanceId::new("i");
        let hour = Timestamp::from_millis(3_600_000);
        let rows = [
            (TaskStatus::Provisioning, false, Action::Wait),
            (TaskStatus::Pending, true, Action::Wait),
            (TaskStatus::Running, true, Action::Wait),
            (TaskStatus::Stopped, true, Action::Forget),
        ];
        for (status, stop, expected) in rows {
            for launch in [
                Launch::Ec2 { container_instance: container_instance.clone() },
                Launch::External { container_instance: container_instance.clone() },
            ] {
                let task = Task { launch, ..task(status, stop, "r") };
                assert_eq!(next(&task, Output::Delivered, hour), expected, "{status:?}");
            }
        }
    }

    #[test]
    fn each_status_leads_to_the_next() {
        use Action::{Enter, Forget, Kill, Launch, Provision, TearDown, Terminate, Wait, WaitUntil};
        use TaskStatus::{Activating, Deactivating, Deprovisioning, Pending, Provisioning, Running, Stopped, Stopping};
        let second = |s: i64| Timestamp::from_millis(s * 1000);
        // status, whether a stop was asked for, containers, whether all output is delivered (it is awaited until second
        // 80), second → action
        let rows = [
            (Provisioning, false, "pp", false, 0, Provision),
            (Provisioning, true, "pp", false, 0, Enter(Deprovisioning)),
            (Pending, false, "pp", false, 0, Launch),
            (Pending, false, "rp", false, 0, Launch),
            (Pending, true, "pp", false, 0, Enter(Deprovisioning)),
            (Pending, true, "rp", false, 0, Enter(Stopping)),
            (Pending, true, "sp", false, 0, Enter(Stopping)),
            (Activating, false, "rr", false, 0, Enter(Running)),
            (Activating, true, "rr", false, 0, Enter(Deactivating)),
            (Running, false, "rr", false, 0, Wait),
            (Running, false, "rs", false, 0, Wait),
            (Running, true, "rr", false, 0, Enter(Deactivating)),
            (Running, true, "ss", true, 0, Enter(Deactivating)),
            (Deactivating, true, "rr", false, 0, Enter(Stopping)),
            (Stopping, true, "rr", false, 0, Terminate),
            (Stopping, true, "tr", false, 11, Terminate),
            (Stopping, true, "tr", false, 41, Terminate),
            (Stopping, true, "tt", false, 11, WaitUntil(second(40))),
            (Stopping, true, "ts", true, 39, WaitUntil(second(40))),
            (Stopping, true, "tt", false, 40, Kill),
            (Stopping, true, "ts", true, 99, Kill),
            (Stopping, true, "ss", false, 79, WaitUntil(second(80))),
            (Stopping, true, "sp", false, 79, WaitUntil(second(80))),
            (Stopping, true, "ss", false, 80, Enter(Deprovisioning)),
            (Stopping, true, "ss", true, 11, Enter(Deprovisioning)),
            (Stopping, true, "sp", true, 11, Enter(Deprovisioning)),
            (Deprovisioning, true, "ss", true, 0, TearDown),
            (Stopped, true, "ss", false, 0, WaitUntil(second(3600))),
            (Stopped, true, "ss", false, 3599, WaitUntil(second(3600))),
            (Stopped, true, "ss", false, 3600, Forget),
        ];
        for (status, stop, containers, is_delivered, at, expected) in rows {
            let output = if is_delivered { Output::Delivered } else { Output::AwaitedUntil(second(80)) };
            let actual = next(&task(status, stop, containers), output, second(at));
            assert_eq!(actual, expected, "{status:?}, stop {stop}, {containers}, delivered {is_delivered}, {at} s");
        }
    }
}

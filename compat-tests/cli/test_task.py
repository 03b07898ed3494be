"""What a user of the AWS CLI sees of tasks that really run."""

import json
import time
from urllib.request import urlopen

import pytest
from tasks import container
from waiting import until


@pytest.fixture
def run(aws, tasks):
    """Registers and runs one task with the CLI, and returns its ARN."""

    def run(*containers: dict, **members) -> str:
        request = json.dumps(tasks.definition(*containers, **members))
        aws("ecs", "register-task-definition", "--cli-input-json", request)
        network = json.dumps(tasks.network())
        started = aws(
            *("ecs", "run-task", "--cluster", tasks.name, "--task-definition", tasks.name),
            *("--launch-type", "FARGATE", "--network-configuration", network),
        )
        assert started["failures"] == []
        assert started["tasks"][0]["lastStatus"] == "PROVISIONING"
        return started["tasks"][0]["taskArn"]

    return run


@pytest.fixture
def wait(aws, tasks):
    """Waits with the CLI's own waiter, and describes the task."""

    def wait(waiter: str, task: str) -> dict:
        aws("ecs", "wait", waiter, "--cluster", tasks.name, "--tasks", task)
        return aws("ecs", "describe-tasks", "--cluster", tasks.name, "--tasks", task)["tasks"][0]

    return wait


def test_waiters_return_and_the_task_tells_its_life(run, wait, aws, tasks):
    task = run(container("trap 'exit 0' TERM; echo up; sleep 600 & wait"))
    running = wait("tasks-running", task)
    assert running["lastStatus"] == running["desiredStatus"] == "RUNNING"
    assert [each["lastStatus"] for each in running["containers"]] == ["RUNNING"]
    assert running["containers"][0]["runtimeId"].startswith(task.rpartition("/")[2])
    assert running["attachments"][0]["status"] == "ATTACHED"
    aws("ecs", "stop-task", "--cluster", tasks.name, "--task", task)
    stopped = wait("tasks-stopped", task)
    assert stopped["version"] > running["version"]
    order = "createdAt", "connectivityAt", "pullStartedAt", "pullStoppedAt", "startedAt", "stoppingAt"
    moments = [stopped[moment] for moment in (*order, "executionStoppedAt", "stoppedAt")]
    assert moments == sorted(moments)


def test_containers_of_a_task_share_the_loopback_interface(run, wait, tasks):
    server = container("exec httpd -f -p 8080 -h /www", name="server", essential=False)
    fetch = "until wget -q -O - http://127.0.0.1:8080/; do sleep 0.1; done"
    task = wait("tasks-stopped", run(server, container(fetch, name="client")))
    codes = {each["name"]: each.get("exitCode") for each in task["containers"]}
    assert codes["client"] == 0, task
    assert tasks.output(task["taskArn"], "client") == ["hello"]


def test_the_exit_code_of_an_essential_container_is_the_task_s_end(run, wait):
    task = wait("tasks-stopped", run(container("exit 3")))
    assert (task["stopCode"], task["stoppedReason"]) == ("EssentialContainerExited", "Essential container in task exited")
    assert [each["exitCode"] for each in task["containers"]] == [3]
    assert task["attachments"][0]["status"] == "DELETED"


def test_a_stopped_task_got_sigterm_and_time_to_end(run, wait, aws, tasks):
    task = run(container("trap 'echo bye; exit 7' TERM; echo up; while :; do sleep 0.1; done"))
    tasks.wait_output(task, "up")
    aws("ecs", "stop-task", "--cluster", tasks.name, "--task", task, "--reason", "enough")
    stopped = wait("tasks-stopped", task)
    assert (stopped["stopCode"], stopped["stoppedReason"]) == ("UserInitiated", "enough")
    assert stopped["containers"][0]["exitCode"] == 7
    assert tasks.output(task) == ["up", "bye"]


def test_a_task_is_stopped_by_its_user_unless_a_reason_is_given(run, wait, aws, tasks):
    task = run(container("trap 'exit 0' TERM; while :; do sleep 0.1; done"))
    wait("tasks-running", task)
    aws("ecs", "stop-task", "--cluster", tasks.name, "--task", task)
    assert wait("tasks-stopped", task)["stoppedReason"] == "Task stopped by user"


def test_a_process_that_ignores_sigterm_is_killed_after_its_timeout(run, wait, aws, tasks):
    task = run(container("trap '' TERM; echo up; while :; do sleep 0.1; done", stopTimeout=2))
    tasks.wait_output(task, "up")
    begin = time.monotonic()
    aws("ecs", "stop-task", "--cluster", tasks.name, "--task", task)
    tasks.wait("STOPPED", task)
    assert 1.5 < time.monotonic() - begin < 15
    assert tasks.describe(task)[0]["containers"][0]["exitCode"] == 137


def test_a_container_over_its_memory_limit_says_that_it_was_killed(run, wait):
    allocate = container("exec dd if=/dev/zero of=/dev/null bs=200M count=1", memory=64)
    task = wait("tasks-stopped", run(allocate))
    killed = task["containers"][0]
    assert killed["reason"] == "OutOfMemoryError: Container killed due to memory usage"
    assert killed["exitCode"] == 137
    assert task["stopCode"] == "EssentialContainerExited"


def test_a_missing_image_is_named(run, wait):
    task = wait("tasks-stopped", run(container("true", image="registry.invalid/no/such:1")))
    assert task["stopCode"] == "TaskFailedToStart"
    assert task["stoppedReason"].startswith("CannotPullContainerError: ")
    assert "registry.invalid/no/such:1" in task["stoppedReason"]
    assert task["containers"][0]["reason"] == task["stoppedReason"]
    assert "exitCode" not in task["containers"][0] and "startedAt" not in task


def test_a_missing_log_group_fails_the_task(run, wait, tasks):
    definition = tasks.definition(container("true"))["containerDefinitions"][0]
    del definition["logConfiguration"]["options"]["awslogs-create-group"]
    task = wait("tasks-stopped", run(definition))
    assert task["stopCode"] == "TaskFailedToStart"
    assert task["stoppedReason"].startswith("ResourceInitializationError: failed to validate logger args")


def test_output_is_in_the_log_while_the_task_runs(run, aws, tasks):
    # `aws logs tail` of the CLI's version 2 reads through FilterLogEvents; --follow polls it with the last time.
    task = run(container("echo one; while [ ! -e /tmp/go ]; do sleep 0.1; echo tick; done"))
    group = ("--log-group-name", tasks.name)

    def tail(*more: str) -> list[dict]:
        return aws("logs", "filter-log-events", *group, "--interleaved", *more)["events"]

    tasks.wait_output(task, "one")
    first = tail()
    assert first[0]["message"] == "one"
    assert first[0]["logStreamName"] == f"test/main/{task.rpartition('/')[2]}"
    last = first[-1]["timestamp"]
    later = until(lambda: [event for event in tail("--start-time", str(last + 1)) if event["message"] == "tick"], "more")
    assert all(event["timestamp"] > last for event in later)
    assert tasks.describe(task)[0]["lastStatus"] == "RUNNING"
    aws("ecs", "stop-task", "--cluster", tasks.name, "--task", task)


def test_environment_directory_user_and_entry_point_are_those_of_the_definition(run, wait, tasks):
    environment = [{"name": "GREETING", "value": "hello  world"}]
    main = {
        **container('echo "$GREETING"; pwd; id -u; id -g; echo "$0"'),
        "entryPoint": ["/bin/sh", "-c"],
        "environment": environment,
        "workingDirectory": "/tmp/new",
        "user": "1000:2000",
    }
    main["command"] = [main["command"][2], "zero"]
    task = wait("tasks-stopped", run(main))
    assert tasks.output(task["taskArn"]) == ["hello  world", "/tmp/new", "1000", "2000", "zero"]


def test_the_address_of_a_task_answers_from_the_host(run, wait, aws, tasks):
    task = run(container("exec httpd -f -p 8080 -h /www", stopTimeout=2))
    wait("tasks-running", task)
    address = tasks.address(task)

    def fetch() -> bytes | None:
        try:
            with urlopen(f"http://{address}:8080/", timeout=2) as answer:
                return answer.read()
        except OSError:
            return None

    assert until(fetch, f"an answer from {address}") == b"hello\n"
    by_address = f"Name=addresses.private-ip-address,Values={address}"
    interfaces = aws("ec2", "describe-network-interfaces", "--filters", by_address)
    assert [each["PrivateIpAddress"] for each in interfaces["NetworkInterfaces"]] == [address]
    aws("ecs", "stop-task", "--cluster", tasks.name, "--task", task)
    wait("tasks-stopped", task)
    assert fetch() is None


def test_fifty_tasks_at_once_all_finish_and_leave_nothing(tasks, neargate):
    definition = tasks.register(container("echo done"))
    arns = [arn for _ in range(5) for arn in tasks.run(definition, count=10)]
    stopped = tasks.wait("STOPPED", *arns, patience_s=60)
    assert [task["containers"][0].get("exitCode") for task in stopped] == [0] * 50
    assert all(tasks.output(arn) == ["done"] for arn in arns)
    assert len({task["containers"][0]["networkInterfaces"][0]["privateIpv4Address"] for task in stopped}) > 1
    ours = {arn.rpartition("/")[2] for arn in arns}
    until(lambda: not any(task in str(neargate.leftovers()) for task in ours), "nothing of these tasks to be left")

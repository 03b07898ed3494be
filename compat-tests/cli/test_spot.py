"""Tasks on Fargate Spot, interrupted with the program's own command."""

import json
import subprocess

import pytest
from neargate import BINARY
from tasks import container

REASON = "Your Spot Task was interrupted."


@pytest.fixture
def interrupt(neargate):
    """Runs `neargate spot interrupt`, and returns what it prints; if it fails, what it complains of."""

    def run(*arguments: str, fails: bool = False) -> str:
        command = [str(BINARY), "spot", "interrupt", *arguments, "--endpoint-url", neargate.endpoint]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stderr if fails else done.stdout

    return run


@pytest.fixture
def run_on_spot(aws, tasks):
    """Runs tasks on Fargate Spot with the CLI, and returns their ARNs."""

    def run(script: str, count: int) -> list[str]:
        strategy = "capacityProvider=FARGATE_SPOT,weight=1"
        aws(
            *("ecs", "put-cluster-capacity-providers", "--cluster", tasks.name),
            *("--capacity-providers", "FARGATE", "FARGATE_SPOT", "--default-capacity-provider-strategy", strategy),
        )
        definition = tasks.register(container(script))
        started = aws(
            *("ecs", "run-task", "--cluster", tasks.name, "--task-definition", definition, "--count", str(count)),
            *("--network-configuration", json.dumps(tasks.network())),
        )
        arns = [task["taskArn"] for task in started["tasks"]]
        tasks.wait("RUNNING", *arns)
        return arns

    return run


def test_interrupted_tasks_get_sigterm_and_end_as_spot_tasks_do(run_on_spot, interrupt, tasks):
    first, *others = run_on_spot("trap 'echo notice; sleep 1; exit 4' TERM; echo up; while :; do sleep 0.1; done", count=3)
    tasks.wait_output(first, "up")
    answer = json.loads(interrupt(first.rpartition("/")[2], "--json"))
    assert [(task["taskArn"], task["stopCode"]) for task in answer["tasks"]] == [(first, "TerminationNotice")]
    tasks.wait_output(first, "notice")
    [stopped] = tasks.wait("STOPPED", first)
    assert (stopped["stopCode"], stopped["stoppedReason"]) == ("SpotInterruption", REASON)
    assert stopped["containers"][0]["exitCode"] == 4
    assert {task["desiredStatus"] for task in tasks.describe(*others)} == {"RUNNING"}
    printed = interrupt("--cluster", tasks.name)
    assert all(task.rpartition("/")[2] in printed for task in others)
    assert {task["stopCode"] for task in tasks.wait("STOPPED", *others)} == {"SpotInterruption"}
    assert interrupt("--cluster", tasks.name) == "no task is on FARGATE_SPOT; none was interrupted\n"


def test_other_tasks_are_not_interrupted_and_the_command_says_what_to_do(interrupt, tasks):
    [task] = tasks.run(container("sleep 600"))
    complaint = interrupt(task, fails=True)
    assert complaint.startswith(f"neargate: the task {task} is not on FARGATE_SPOT and cannot be interrupted; run it with")
    assert interrupt("none", fails=True).startswith("neargate: there is no task none here")
    assert interrupt("--cluster", "none", fails=True).startswith("neargate: there is no cluster none")
    assert tasks.describe(task)[0]["desiredStatus"] == "RUNNING"

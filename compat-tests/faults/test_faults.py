"""A server that is killed, over and over, while tasks start, run and stop: it loses none, invents none, leaks nothing."""

import os
import random
import re
import threading
import time

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from neargate import Neargate
from tasks import Tasks, container
from waiting import until

KILLS = 20
TASKS_AT_ONCE = 20
# The longest that a server lives before it is killed, and what it may take afterwards until every task is settled.
LIFE_S, SETTLE_S = 0.8, 60
# Ends by itself, and each end has a code that nothing else gives.
ENDS_CODE, STOPPED_CODE = 3, 5
RUNS = f"trap 'exit {STOPPED_CODE}' TERM; i=0; while :; do i=$((i+1)); echo tick $i; sleep 0.2; done"
# What a task's definition says of its end, if nobody has asked it to stop: code and reason, and the container's exit code.
ESSENTIAL = "EssentialContainerExited", "Essential container in task exited"


def seed() -> int:
    """The seed of this run: `NEARGATE_FAULT_SEED`, or a new one."""
    return int(os.environ.get("NEARGATE_FAULT_SEED") or random.SystemRandom().randrange(1 << 32))


class Load:
    """Starts and stops tasks as long as a server answers."""

    def __init__(self, tasks: Tasks, chance: random.Random) -> None:
        self.tasks, self.chance = tasks, chance
        self.kinds = {
            "runs": tasks.register(container(RUNS, stopTimeout=5)),
            "ends": tasks.register(container(f"echo up; sleep 0.3; exit {ENDS_CODE}")),
            "fails": tasks.register(container("true", image="registry.invalid/no/such:1")),
        }
        self.network = tasks.network()
        self.ever_running = 0

    def kind_of(self, task: dict) -> str:
        """Returns which kind of task it is."""
        return next(kind for kind, arn in self.kinds.items() if arn == task["taskDefinitionArn"])

    def run(self, count: int, kind: str) -> None:
        self.tasks.client("ecs").run_task(
            cluster=self.tasks.name,
            taskDefinition=self.kinds[kind],
            launchType="FARGATE",
            networkConfiguration=self.network,
            count=count,
        )

    def known(self) -> list[dict]:
        """Returns every task that the server knows."""
        ecs = self.tasks.client("ecs")
        arns = []
        for status in ("RUNNING", "STOPPED"):
            pages = ecs.get_paginator("list_tasks").paginate(cluster=self.tasks.name, desiredStatus=status)
            arns += [arn for page in pages for arn in page["taskArns"]]
        return [task for first in range(0, len(arns), 100) for task in self.tasks.describe(*arns[first : first + 100])]

    def go_on(self, alive: list[str], end: threading.Event) -> None:
        """Starts and stops tasks until the server is gone."""
        room = TASKS_AT_ONCE - len(alive)
        ecs = self.tasks.client("ecs")
        try:
            while not end.is_set():
                if room > 0 and self.chance.random() < 0.7:
                    count = min(room, self.chance.randint(1, 4))
                    room -= count
                    self.run(count, self.chance.choices(["runs", "ends", "fails"], [6, 3, 1])[0])
                elif alive:
                    victim = alive.pop(self.chance.randrange(len(alive)))
                    ecs.stop_task(cluster=self.tasks.name, task=victim)
                    room += 1
                else:
                    end.wait(0.05)
        except (BotoCoreError, ClientError, OSError):
            # The server is gone, or was just about to know the task.
            assert end.wait(30), "the server does not answer, and nobody has killed it"


def shims(server: Neargate) -> set[str]:
    """The tasks that have a shim."""
    found = [process.split("/containers/")[0] for process in server.leftovers().processes if " shim " in process]
    return {process.rpartition("/")[2] for process in found}


def is_settled(task: dict) -> bool:
    return task["lastStatus"] in ("RUNNING", "STOPPED") and task["lastStatus"] == task["desiredStatus"]


def id_of(task: dict) -> str:
    return task["taskArn"].rpartition("/")[2]


def lie_of(task: dict, load: Load) -> str | None:
    """Returns what a stopped task says that cannot be true."""
    kind = load.kind_of(task)
    end = task.get("stopCode"), task.get("stoppedReason")
    # A task that never started has no exit code; one that did has.
    ended_by_signal = (143, 137) if "startedAt" in task else (143, 137, None)
    code = task["containers"][0].get("exitCode")
    told = f"{kind}: {end}, {code}, {task['containers'][0].get('reason')}"
    by_user = end == ("UserInitiated", "Task stopped by user")
    if kind == "runs":
        # 143: it was told to end before it had said how.
        good = by_user and code in (STOPPED_CODE, *ended_by_signal)
    elif kind == "ends":
        good = (end == ESSENTIAL and code == ENDS_CODE) or (by_user and code in (ENDS_CODE, *ended_by_signal))
    else:
        pull = end[0] == "TaskFailedToStart" and str(end[1]).startswith("CannotPullContainerError: ")
        good = (pull or by_user) and code is None
    return None if good else told


def expect_truth(load: Load, server: Neargate) -> list[str]:
    """Waits until every task is settled, and checks that what is told of them is so; returns those that run."""

    def settled() -> list[dict] | None:
        tasks = load.known()
        return tasks if all(is_settled(task) for task in tasks) else None

    def unsettled() -> str:
        return str([(id_of(task), task["lastStatus"], task["desiredStatus"]) for task in load.known() if not is_settled(task)])

    try:
        tasks = until(settled, "every task to be settled", SETTLE_S)
    except AssertionError as error:
        raise AssertionError(f"{error}: {unsettled()}; {server.log.read_text()[-3000:]}") from None
    stopped = [task for task in tasks if task["lastStatus"] == "STOPPED"]
    assert [lie for task in stopped if (lie := lie_of(task, load))] == []

    # One that ends by itself may have ended since.
    def running() -> set[str]:
        return {id_of(task) for task in load.known() if task["lastStatus"] == "RUNNING"}

    try:
        until(lambda: shims(server) == running(), "a shim for every running task", SETTLE_S)
    except AssertionError as error:
        only = f"shims alone: {shims(server) - running()}, tasks alone: {running() - shims(server)}"
        raise AssertionError(f"{error}: {only}; {server.log.read_text()[-3000:]}") from None
    return [task["taskArn"] for task in tasks if task["lastStatus"] == "RUNNING"]


@pytest.mark.timeout(240)
def test_a_server_killed_at_random_points_loses_invents_and_leaks_nothing(own_neargate, own_tasks, capsys):
    number = seed()
    with capsys.disabled():
        print(f"\nNEARGATE_FAULT_SEED={number} repeats this run", flush=True)
    chance = random.Random(number)
    load = Load(own_tasks, chance)
    for _ in range(2):
        load.run(TASKS_AT_ONCE // 2, "runs")
    alive = expect_truth(load, own_neargate)
    for _ in range(KILLS):
        end = threading.Event()
        worker = threading.Thread(target=load.go_on, args=(list(alive), end))
        worker.start()
        time.sleep(chance.uniform(0, LIFE_S))
        own_neargate.kill()
        end.set()
        worker.join(60)
        assert not worker.is_alive(), "a request hangs although its server is gone"
        own_neargate.start()
        alive = expect_truth(load, own_neargate)
        load.ever_running += len(alive)
    assert load.ever_running > KILLS, "hardly a task ran: this run has tested nothing"
    expect_whole_logs(load, alive)
    expect_end(load, own_neargate)


def expect_whole_logs(load: Load, alive: list[str]) -> None:
    """Checks that no line of a running task is lost, doubled or out of order."""
    for task in load.tasks.describe(*alive):
        arn, lines = task["taskArn"], load.tasks.output(task["taskArn"])
        if load.kind_of(task) == "ends":
            # It was still running when it was listed.
            assert lines in ([], ["up"]), (arn, lines)
            continue
        assert all(re.fullmatch(r"tick \d+", line) for line in lines), (arn, lines)
        ticks = [int(line.split()[1]) for line in lines]
        # What was delivered just before a crash may not have reached the journal; what follows is whole.
        missing = [tick for tick in range(1, (ticks or [0])[-1]) if tick not in ticks]
        assert (ticks == sorted(set(ticks)), missing) == (True, []), (arn, ticks)


def expect_end(load: Load, server: Neargate) -> None:
    """Stops everything, and checks that nothing is left: on the machine, and of addresses in the account."""
    for task in load.known():
        if task["desiredStatus"] == "RUNNING":
            load.tasks.client("ecs").stop_task(cluster=load.tasks.name, task=task["taskArn"])
    until(lambda: all(task["lastStatus"] == "STOPPED" for task in load.known()), "all tasks to stop", SETTLE_S)
    assert [lie for task in load.known() if (lie := lie_of(task, load))] == []
    server.expect_no_tasks_left()
    assert load.tasks.client("ec2").describe_network_interfaces()["NetworkInterfaces"] == []
    folders = [path.name for path in (server.data_dir / "tasks").iterdir() if not path.name.startswith(".")]
    assert folders == []

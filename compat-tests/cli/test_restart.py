"""What becomes of tasks when the server ends, by a crash or by a signal, and starts again."""

import signal
import subprocess

from neargate import BINARY
from tasks import container
from waiting import until

# Ticks until it is told to end; says so, and ends with a code of its own.
TICKER = "trap 'echo bye; exit 5' TERM; i=0; while :; do i=$((i+1)); echo tick $i; sleep 0.1; done"


def shims(server) -> list[str]:
    """The shims of a server's tasks, each with its process id."""
    return [process for process in server.leftovers().processes if " shim " in process]


def test_after_a_crash_tasks_are_adopted_with_their_output_and_exit_codes(own_neargate, own_tasks):
    [task] = own_tasks.run(container(TICKER))
    own_tasks.wait_output(task, "tick 1")
    [before] = own_tasks.wait("RUNNING", task)
    ran = shims(own_neargate)
    own_neargate.kill()
    own_neargate.start()
    [adopted] = own_tasks.wait("RUNNING", task)
    assert shims(own_neargate) == ran
    assert adopted["startedAt"] == before["startedAt"]
    assert adopted["containers"][0]["runtimeId"] == before["containers"][0]["runtimeId"]
    seen = len(own_tasks.output(task))
    until(lambda: len(own_tasks.output(task)) > seen + 3, "output after the restart")
    own_tasks.client("ecs").stop_task(cluster=own_tasks.name, task=task)
    [stopped] = own_tasks.wait("STOPPED", task)
    assert (stopped["stopCode"], stopped["containers"][0]["exitCode"]) == ("UserInitiated", 5)
    lines = own_tasks.output(task)
    assert lines[-1] == "bye"
    ticks = [int(line.split()[1]) for line in lines[:-1]]
    # None is lost and none is there twice; what was delivered before the crash was in memory and went with it.
    assert ticks == list(range(ticks[0], ticks[0] + len(ticks)))
    own_neargate.expect_no_tasks_left()


def test_the_exit_code_of_a_task_that_ended_while_no_server_ran_is_not_lost(own_neargate, own_tasks):
    [task] = own_tasks.run(container("echo up; while [ ! -e /tmp/go ]; do sleep 0.05; done; echo late; exit 9"))
    own_tasks.wait_output(task, "up")
    [shim] = shims(own_neargate)
    own_neargate.kill()
    # The container's process sees a root of its own; it is the one process in the task's cgroup that is no shim.
    inner = [each for each in own_neargate.leftovers().processes if " shim " not in each and "/tmp/go" in each]
    pid = inner[0].split()[0]
    with open(f"/proc/{pid}/root/tmp/go", "w"):
        pass
    until(lambda: not any(each.startswith(f"{pid} ") for each in own_neargate.leftovers().processes), "the exit")
    own_neargate.start()
    [stopped] = own_tasks.wait("STOPPED", task)
    assert stopped["containers"][0]["exitCode"] == 9
    assert stopped["stopCode"] == "EssentialContainerExited"
    assert own_tasks.output(task)[-1] == "late"
    assert shim not in shims(own_neargate)


def test_tasks_that_a_new_server_does_not_know_are_ended_and_cleaned_up(own_neargate, own_tasks):
    tasks = own_tasks.run(container(TICKER), count=3)
    own_tasks.wait("RUNNING", *tasks)
    own_neargate.kill()
    own_neargate.forget()
    own_neargate.start()
    own_neargate.expect_no_tasks_left()
    assert own_tasks.client("ecs").list_clusters()["clusterArns"] == []


def test_a_crash_while_tasks_start_leaves_none_behind(own_neargate, own_tasks):
    definition = own_tasks.register(container("echo done"))
    tasks = [task for _ in range(2) for task in own_tasks.run(definition, count=10)]
    own_neargate.kill()
    own_neargate.start()
    # The journal is written behind the requests: the newest tasks may be forgotten, but then wholly.
    known = [task["taskArn"] for task in own_tasks.describe(*tasks)]
    stopped = own_tasks.wait("STOPPED", *known)
    assert [task["containers"][0].get("exitCode") for task in stopped] == [0] * len(known)
    own_neargate.expect_no_tasks_left()


def test_a_server_that_is_told_to_end_leaves_the_tasks_that_it_has_on_record(own_neargate, own_tasks):
    [task] = own_tasks.run(container(TICKER))
    own_tasks.wait("RUNNING", task)
    ran = shims(own_neargate)
    assert own_neargate.stop(signal.SIGTERM) == 0
    assert shims(own_neargate) == ran
    own_neargate.start()
    own_tasks.wait("RUNNING", task)
    assert shims(own_neargate) == ran


def test_a_server_without_tasks_leaves_nothing(own_neargate, own_tasks):
    [task] = own_tasks.run(container("true"))
    own_tasks.wait("STOPPED", task)
    assert own_neargate.stop(signal.SIGINT) == 0
    assert not own_neargate.leftovers(), own_neargate.leftovers()


def test_a_server_without_a_data_directory_takes_its_tasks_along(memory_neargate, memory_tasks):
    [task] = memory_tasks.run(container(TICKER, image="neargate-compat:memory"))
    memory_tasks.wait("RUNNING", task)
    assert memory_neargate.stop(signal.SIGTERM) == 0
    assert not memory_neargate.leftovers(), memory_neargate.leftovers()


def test_a_second_server_on_the_same_data_directory_is_refused(own_neargate):
    command = [BINARY, "serve", "--listen", "127.0.0.1:0", "--offline", "--data-dir", own_neargate.data_dir]
    second = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert second.returncode == 1
    assert "another neargate uses" in second.stderr

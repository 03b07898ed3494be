"""`neargate exec`, in and out of a terminal, and what is kept of its sessions."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time

import pytest

from neargate import BINARY
from tasks import ROLE, container
from waiting import until

PATIENCE_S = 30


@pytest.fixture
def task(tasks) -> str:
    """A task that waits, as a user without rights, and may be looked into."""
    waits = container("exec sleep 3600", user="1000", stopTimeout=2)
    definition = tasks.register(waits, taskRoleArn=ROLE)
    [task] = tasks.run(definition, enableExecuteCommand=True)
    tasks.wait("RUNNING", task)
    return task


@pytest.fixture
def command(neargate, task):
    """The command line that executes something in the task."""
    return lambda *args: [BINARY, "exec", "--endpoint-url", neargate.endpoint, *args]


def run(command: list, given: str | None = None) -> subprocess.CompletedProcess:
    standard_input = {"input": given} if given is not None else {"stdin": subprocess.DEVNULL}
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, **standard_input)


def test_output_error_and_exit_code_are_the_commands(command, task):
    done = run(command(task, "--", "sh", "-c", "id -u; echo 'it broke' >&2; exit 3"))
    assert (done.stdout, done.stderr, done.returncode) == ("0\n", "it broke\n", 3)


def test_input_is_passed_on_to_its_end(command, task):
    done = run(command("-i", task, "--", "sort"), given="b\na\n")
    assert (done.stdout, done.returncode) == ("a\nb\n", 0)
    assert run(command(task, "--", "cat"), given="not passed on").stdout == ""


def test_what_is_not_there_is_named(command, task, tasks):
    done = run(command(task, "--", "nothing"))
    assert 'exec: "nothing": executable file not found in $PATH' in done.stderr and done.returncode == 127
    done = run(command("0" * 32, "--cluster", tasks.name, "--", "true"))
    assert "The referenced task was not found." in done.stderr and done.returncode == 1


def test_the_agent_is_shown_while_the_container_runs(task, tasks):
    [shown] = tasks.describe(task)
    [agent] = shown["containers"][0]["managedAgents"]
    assert (agent["name"], agent["lastStatus"]) == ("ExecuteCommandAgent", "RUNNING")
    assert agent["lastStartedAt"] == shown["containers"][0].get("startedAt", agent["lastStartedAt"])


def test_much_output_comes_whole(command, task):
    done = run(command(task, "--", "seq", "1", "100000"))
    assert done.stdout.split() == [str(number) for number in range(1, 100_001)]


class Terminal:
    """A terminal with a program on it."""

    def __init__(self, command: list, columns: int, rows: int) -> None:
        self.ours, self.theirs = pty.openpty()
        self.resize(columns, rows)
        self.before = termios.tcgetattr(self.theirs)
        take = lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # noqa: E731
        ends = {"stdin": self.theirs, "stdout": self.theirs, "stderr": self.theirs}
        self.process = subprocess.Popen(command, start_new_session=True, preexec_fn=take, **ends)

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str) -> None:
        os.write(self.ours, text.encode())

    def read_until(self, text: str) -> str:
        seen, end = b"", time.monotonic() + PATIENCE_S
        while text.encode() not in seen:
            ready, _, _ = select.select([self.ours], [], [], max(0, end - time.monotonic()))
            assert ready, f"{text!r} does not come, but {seen!r}"
            seen += os.read(self.ours, 65536)
        return seen.decode()

    def is_as_before(self) -> bool:
        return termios.tcgetattr(self.theirs) == self.before

    def end(self) -> int:
        status = self.process.wait(PATIENCE_S)
        os.close(self.ours)
        return status


def test_a_terminal_is_the_users_own(command, task):
    terminal = Terminal(command("-it", task), columns=111, rows=33)
    terminal.read_until("# ")
    terminal.type("stty -echo; PS1=; echo at $(stty size) as $(id -u) on $(tty) $TERM\r")
    terminal.read_until("at 33 111 as 0 on /dev/pts/0 xterm-256color\r\n")
    terminal.resize(132, 43)

    def is_resized() -> bool:
        terminal.type("echo now $(stty size) end\r")
        return "now 43 132 end" in terminal.read_until(" end\r\n")

    until(is_resized, "the terminal to have its new size", PATIENCE_S)
    # Said by the program that is interrupted: its terminal is its own by then.
    terminal.type("sh -c 'echo waiting; exec sleep 600'\r")
    terminal.read_until("waiting\r\n")
    terminal.type("\x03")
    terminal.type("echo interrupted by $?\r")
    terminal.read_until("interrupted by 130\r\n")
    terminal.type("exit 9\r")
    terminal.process.wait(PATIENCE_S)
    assert terminal.is_as_before()
    assert terminal.end() == 9


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_the_terminal_is_restored_when_the_user_is_interrupted(command, task, number):
    terminal = Terminal(command("-it", task, "--", "sh", "-c", "echo ready; exec sleep 600"), columns=80, rows=24)
    terminal.read_until("ready")
    assert not terminal.is_as_before()
    terminal.process.send_signal(number)
    terminal.process.wait(PATIENCE_S)
    assert terminal.is_as_before()
    assert terminal.end() == 128 + number
    processes = lambda: run(command(task, "--", "ps", "-o", "args")).stdout  # noqa: E731
    until(lambda: "sleep 600" not in processes(), "the command to end with its user", PATIENCE_S)


def test_sessions_are_kept_where_the_container_logs_by_default(command, task, tasks, logs):
    run(command(task, "--", "sh", "-c", "echo one; echo two"))
    streams = logs.describe_log_streams(logGroupName=tasks.name, logStreamNamePrefix="ecs-execute-command-")
    [stream] = [stream["logStreamName"] for stream in streams["logStreams"]]
    events = logs.get_log_events(logGroupName=tasks.name, logStreamName=stream)["events"]
    assert [event["message"] for event in events] == ["one", "two"]


def test_sessions_are_kept_where_the_cluster_says(command, task, tasks, ecs, client):
    bucket = f"{tasks.name}-transcripts"
    client("s3").create_bucket(Bucket=bucket)
    target = {"s3BucketName": bucket, "s3KeyPrefix": "exec"}
    configuration = {"executeCommandConfiguration": {"logging": "OVERRIDE", "logConfiguration": target}}
    ecs.update_cluster(cluster=tasks.name, configuration=configuration)
    run(command(task, "--", "echo", "for the record"))
    listed = lambda: client("s3").list_objects_v2(Bucket=bucket).get("Contents")  # noqa: E731
    [kept] = until(listed, "the transcript to be there", PATIENCE_S)
    assert kept["Key"].startswith("exec/ecs-execute-command-") and kept["Key"].endswith(".log")
    body = client("s3").get_object(Bucket=bucket, Key=kept["Key"])["Body"].read()
    assert body == b"for the record\n"
    client("s3").delete_object(Bucket=bucket, Key=kept["Key"])
    client("s3").delete_bucket(Bucket=bucket)

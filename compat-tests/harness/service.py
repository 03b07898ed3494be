"""A service that is driven by the AWS CLI, and looked at by the SDK."""

import json
import math
import threading
from collections.abc import Callable
from pathlib import Path

from tasks import Tasks, container
from waiting import until

# How long tasks may take to come and go on a slow machine.
PATIENCE_S = 90
UP = "trap 'exit 0' TERM; touch /tmp/ok; while :; do sleep 0.2; done"


class Service:
    """One service in a cluster, with the name of both and of its task definitions' family."""

    def __init__(self, aws: Callable, tasks: Tasks) -> None:
        self.aws, self.tasks, self.name = aws, tasks, tasks.name

    def register(self, script: str = UP, **members) -> str:
        """Registers a revision with the CLI and returns its ARN."""
        request = json.dumps(self.tasks.definition(container(script, **members)))
        answer = self.aws("ecs", "register-task-definition", "--cli-input-json", request)
        return answer["taskDefinition"]["taskDefinitionArn"]

    def create(self, definition: str, count: int, **configuration) -> dict:
        """Creates the service with the CLI."""
        return self.aws(
            *("ecs", "create-service", "--cluster", self.name, "--service-name", self.name),
            *("--task-definition", definition, "--desired-count", str(count), "--launch-type", "FARGATE"),
            *("--network-configuration", json.dumps(self.tasks.network())),
            *("--deployment-configuration", json.dumps(configuration)),
        )["service"]

    def update(self, *arguments: str) -> dict:
        """Updates the service with the CLI."""
        return self.aws("ecs", "update-service", *self._names("--service"), *arguments)["service"]

    def delete(self, *arguments: str, fails: bool = False):
        """Deletes the service with the CLI."""
        return self.aws("ecs", "delete-service", *self._names("--service"), *arguments, fails=fails)

    def wait(self, waiter: str) -> dict:
        """Waits with the CLI's own waiter, and describes the service."""
        self.aws("ecs", "wait", waiter, *self._names("--services"))
        return self.describe()

    def describe(self) -> dict:
        client = self.tasks.client("ecs")
        return client.describe_services(cluster=self.name, services=[self.name])["services"][0]

    def running(self) -> list[dict]:
        """Returns the tasks that are to run."""
        arns = self.tasks.client("ecs").list_tasks(cluster=self.name, serviceName=self.name)["taskArns"]
        found = self.tasks.describe(*arns) if arns else []
        return [task for task in found if task["desiredStatus"] == "RUNNING"]

    def wait_running(self, count: int, but: str = "") -> list[dict]:
        """Waits until a number of tasks run, none else is to, and a certain one is not."""

        found = []

        def reached() -> bool:
            nonlocal found
            found = self.running()
            up = [task for task in found if task["lastStatus"] == "RUNNING" and task["taskArn"] != but]
            return len(up) == len(found) == count

        until(reached, f"{count} tasks of {self.name} to run", PATIENCE_S)
        return found

    def wait_rollout(self, state: str) -> dict:
        """Waits until the primary deployment has a rollout state, and returns the deployment."""

        def reached() -> dict | None:
            primary = next(each for each in self.describe()["deployments"] if each["status"] == "PRIMARY")
            return primary if primary["rolloutState"] == state else None

        return until(reached, f"the deployment of {self.name} to be {state}", PATIENCE_S)

    def events(self) -> list[str]:
        """Returns the messages of the service's events, oldest first, without its name in front."""
        prefix = f"(service {self.name}) "
        messages = [event["message"] for event in self.describe()["events"]]
        assert all(message.startswith(prefix) for message in messages), messages
        return [message.removeprefix(prefix) for message in reversed(messages)]

    def wait_event(self, part: str) -> str:
        """Waits for an event, and returns its message."""
        return until(lambda: next((each for each in self.events() if part in each), None), f"the event {part!r}", PATIENCE_S)

    def _names(self, option: str) -> tuple[str, ...]:
        return ("--cluster", self.name, option, self.name)


class Watch:
    """Looks at a service, over and over, for moments at which it has fewer tasks than it must or more than it may."""

    def __init__(self, service: Service, minimum_percent: int, maximum_percent: int) -> None:
        self.service = service
        desired = service.describe()["desiredCount"]
        self.lower = math.ceil(desired * minimum_percent / 100)
        self.upper = math.floor(desired * maximum_percent / 100)
        self.looks, self.broken, self.error = 0, [], None
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.set()
        self._thread.join()
        if self.error:
            raise self.error

    def _look(self) -> None:
        try:
            while not self._ends.is_set():
                shown = self.service.describe()
                counts = shown["runningCount"], shown["pendingCount"]
                alive = len(self.service.running())
                self.looks += 1
                if counts[0] < self.lower or sum(counts) > self.upper or alive > self.upper:
                    self.broken.append((*counts, alive))
        except Exception as error:  # told by the test's own thread
            self.error = error


def process_of(task: dict, words: str) -> int:
    """Returns the process, as the host numbers it, that a task's container began with."""
    task_id = task["taskArn"].rpartition("/")[2]

    def look() -> int | None:
        for entry in sorted((each for each in Path("/proc").iterdir() if each.name.isdigit()), key=lambda each: int(each.name)):
            try:
                groups, command = (entry / "cgroup").read_text(), (entry / "cmdline").read_bytes()
            except OSError:  # it ended meanwhile
                continue
            if task_id in groups and words.encode() in command and b"shim " not in command:
                return int(entry.name)
        return None

    return until(look, f"a process of {task_id}")

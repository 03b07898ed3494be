"""Container instances that this machine plays, added and removed with the program's own command, and what the AWS CLI runs
on them."""

import json
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from neargate import BINARY
from service import PATIENCE_S, UP
from tasks import Tasks, container
from waiting import until

pytestmark = pytest.mark.timeout(300)

# A web server that says who it is, and ends as soon as it is asked to.
WEB = "echo {name} > /www/index.html; httpd -f -p {port} -h /www & trap 'exit 0' TERM; wait"


class Instances:
    """The instances of one cluster, by `neargate instance`."""

    def __init__(self, endpoint: str, cluster: str) -> None:
        self.endpoint, self.cluster = endpoint, cluster

    def add(self, *options: str) -> dict:
        """Adds an instance, and returns it once it lies in its subnet."""
        [added] = json.loads(self.run("add", "--cluster", self.cluster, *options, "--json"))["instances"]
        arn = added["containerInstanceArn"]

        def placed() -> dict | None:
            known = next(each for each in self.list() if each["containerInstanceArn"] == arn)
            return known if known["privateIpAddress"] else None

        return until(placed, f"an address of {arn}", PATIENCE_S)

    def list(self) -> list[dict]:
        """Returns the instances of the cluster."""
        listed = json.loads(self.run("list", "--json"))["instances"]
        return [each for each in listed if each["cluster"].rpartition("/")[2] == self.cluster]

    def run(self, *arguments: str, fails: bool = False) -> str:
        """Returns what the command prints; if it fails, what it complains of."""
        command = [str(BINARY), "instance", *arguments, "--endpoint-url", self.endpoint]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stderr if fails else done.stdout


@pytest.fixture
def instances(neargate, tasks, aws) -> Iterator[Instances]:
    """The instances of the test's cluster: gone when it ends, with its services."""
    instances = Instances(neargate.endpoint, tasks.name)
    yield instances
    for service in aws("ecs", "list-services", "--cluster", tasks.name)["serviceArns"]:
        aws("ecs", "delete-service", "--cluster", tasks.name, "--service", service, "--force")
    for instance in instances.list():
        instances.run("remove", instance["containerInstanceArn"], "--force")


@pytest.fixture
def define(aws, tasks) -> Callable:
    """Registers a task definition for instances with the CLI, and returns its ARN."""

    def register(script: str, mode: str = "bridge", **members) -> str:
        request = tasks.definition(
            container(script, **members), requiresCompatibilities=["EC2"], networkMode=mode, cpu="128", memory="128"
        )
        answer = aws("ecs", "register-task-definition", "--cli-input-json", json.dumps(request))
        return answer["taskDefinition"]["taskDefinitionArn"]

    return register


@pytest.fixture
def create(aws, tasks) -> Callable:
    """Creates a service on instances with the CLI."""

    def run(name: str, definition: str, *options: str) -> None:
        aws(
            *("ecs", "create-service", "--cluster", tasks.name, "--service-name", name, "--launch-type", "EC2"),
            *("--task-definition", definition, *options),
        )

    return run


def places(tasks: Tasks, service: str) -> Counter:
    """Returns how many tasks of a service run on which instance."""
    arns = tasks.client("ecs").list_tasks(cluster=tasks.name, serviceName=service, desiredStatus="RUNNING")["taskArns"]
    running = [task for task in (tasks.describe(*arns) if arns else []) if task["lastStatus"] == "RUNNING"]
    return Counter(task["containerInstanceArn"] for task in running)


def wait_places(tasks: Tasks, service: str, wanted: Callable[[Counter], bool], what: str) -> Counter:
    """Waits until the tasks of a service are where they are to be."""
    return until(lambda: (found := places(tasks, service)) and wanted(found) and found, what, PATIENCE_S)


def wait_counts(tasks: Tasks, service: str, wanted: dict[str, int]) -> None:
    wait_places(tasks, service, lambda found: found == Counter(wanted), f"{service} at {wanted}")


def wait_event(tasks: Tasks, service: str, part: str) -> None:
    """Waits for an event of a service."""

    def said() -> bool:
        [shown] = tasks.client("ecs").describe_services(cluster=tasks.name, services=[service])["services"]
        return any(part in event["message"] for event in shown["events"])

    until(said, f"the event {part!r}", PATIENCE_S)


def test_services_are_placed_on_instances_and_leave_one_that_is_removed(aws, tasks, instances, define, create):
    first, second = (instances.add()["containerInstanceArn"] for _ in range(2))
    listed = aws("ecs", "list-container-instances", "--cluster", tasks.name, "--status", "ACTIVE")
    assert sorted(listed["containerInstanceArns"]) == sorted([first, second])
    definition = define(UP)
    create("spread", definition, "--desired-count", "4", "--placement-strategy", "type=spread,field=instanceId")
    wait_counts(tasks, "spread", {first: 2, second: 2})
    create("packed", definition, "--desired-count", "3", "--placement-strategy", "type=binpack,field=memory")
    wait_places(tasks, "packed", lambda found: list(found.values()) == [3], "three tasks on one instance")
    create("distinct", definition, "--desired-count", "3", "--placement-constraints", "type=distinctInstance")
    wait_counts(tasks, "distinct", {first: 1, second: 1})
    wait_event(tasks, "distinct", "DistinctInstance placement constraint unsatisfied.")

    assert "tasks are on the container instance" in instances.run("remove", first, fails=True)
    arns = tasks.client("ecs").list_tasks(cluster=tasks.name, containerInstance=first)["taskArns"]
    instances.run("remove", first, "--force")
    tasks.wait("STOPPED", *arns, patience_s=PATIENCE_S)
    wait_counts(tasks, "spread", {second: 4})
    wait_counts(tasks, "packed", {second: 3})
    wait_counts(tasks, "distinct", {second: 1})
    assert [each["containerInstanceArn"] for each in instances.list()] == [second]
    assert second.rpartition("/")[2] in instances.run("list")


def test_ports_of_an_instance_are_answered_in_its_vpc(aws, tasks, instances, define):
    instance = instances.add()
    address = instance["privateIpAddress"]

    def serve(name: str, mode: str, port: int) -> int:
        definition = define(WEB.format(name=name, port=port), mode, portMappings=[{"containerPort": port}])
        answer = aws(
            *("ecs", "run-task", "--cluster", tasks.name, "--task-definition", definition, "--launch-type", "EC2"),
        )
        [task] = tasks.wait("RUNNING", answer["tasks"][0]["taskArn"])
        [binding] = task["containers"][0]["networkBindings"]
        assert (binding["containerPort"], binding["protocol"]) == (port, "tcp")
        return binding["hostPort"]

    ports = {name: serve(name, "bridge", 80) for name in ("one", "two")} | {"three": serve("three", "host", 8080)}
    assert len(set(ports.values())) == 3 and ports["three"] == 8080
    asked = "; ".join(f"until wget -q -O - http://{address}:{port}/; do sleep 0.2; done" for port in ports.values())
    [client] = tasks.run(container(asked))
    [stopped] = tasks.wait("STOPPED", client)
    assert stopped["containers"][0]["exitCode"] == 0
    assert [line for line in tasks.output(client) if not line.startswith("wget:")] == list(ports)


def test_a_range_of_ports_and_a_link_lead_to_containers(aws, tasks, instances):
    address = instances.add()["privateIpAddress"]
    ask = "until wget -q -O - http://store:8000/; do sleep 0.2; done; echo asked; trap 'exit 0' TERM; sleep 600 & wait"
    app = container(ask, links=["db:store"], name="app", memory=64)
    serve = WEB.format(name="found", port=8000) + "; true"
    db = container(serve, name="db", memory=64, portMappings=[{"containerPortRange": "8000-8003"}])
    request = tasks.definition(app, db, requiresCompatibilities=["EC2"], networkMode="bridge", cpu="128", memory="128")
    definition = aws("ecs", "register-task-definition", "--cli-input-json", json.dumps(request))
    arn = definition["taskDefinition"]["taskDefinitionArn"]
    answer = aws("ecs", "run-task", "--cluster", tasks.name, "--task-definition", arn, "--launch-type", "EC2")
    assert answer["failures"] == []
    [task] = tasks.wait("RUNNING", answer["tasks"][0]["taskArn"])
    assert "found" in tasks.wait_output(task["taskArn"], "asked", "app")
    [bound] = next(each for each in task["containers"] if each["name"] == "db")["networkBindings"]
    first, last = map(int, bound["hostPortRange"].split("-"))
    assert (bound["containerPortRange"], last - first, "hostPort" in bound) == ("8000-8003", 3, False)
    [client] = tasks.run(container(f"wget -q -O - http://{address}:{first}/"))
    [stopped] = tasks.wait("STOPPED", client)
    assert (stopped["containers"][0]["exitCode"], tasks.output(client)) == (0, ["found"])


def test_a_daemon_follows_the_instances(tasks, instances, define, create):
    first, second = (instances.add()["containerInstanceArn"] for _ in range(2))
    create("agent", define(UP), "--scheduling-strategy", "DAEMON")
    wait_counts(tasks, "agent", {first: 1, second: 1})
    third = instances.add()["containerInstanceArn"]
    wait_counts(tasks, "agent", {first: 1, second: 1, third: 1})
    instances.run("remove", second, "--force")
    wait_counts(tasks, "agent", {first: 1, third: 1})

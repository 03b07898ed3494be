"""A service on the simulated node and the manual clock, changed at random, whose server is killed over and over: it never
has more tasks than it may, and comes to what it is to have. Hours of its time pass in seconds.
"""

import json
import os
import random
import urllib.request
from pathlib import Path

import boto3
import pytest

from neargate import Neargate

STEPS = 60
DESIRED_MAX = 6
CLUSTER, SERVICE = "default", "web"
# What becomes of a revision's containers: they run, never start, end at once, or end after a while.
SCRIPTS = ["", 'fail start "exec format error"', "exit 1", "exit 1 after 90s"]
ALIVE = ("PROVISIONING", "PENDING", "ACTIVATING", "RUNNING")


def seed() -> int:
    """The seed of this run: `NEARGATE_FAULT_SEED`, or a new one."""
    return int(os.environ.get("NEARGATE_FAULT_SEED") or random.SystemRandom().randrange(1 << 32))


class World:
    """A server, its service, and what was last asked of it."""

    def __init__(self, folder: Path) -> None:
        options = ["--clock", "manual", "--clock-start", "2026-01-01T00:00:00Z"]
        self.server = Neargate(folder / "data", folder / "log", node="simulated", options=options).start()
        self.desired, self.maximum = 3, 200
        subnet = self.client("ec2").describe_subnets()["Subnets"][0]["SubnetId"]
        self.client("ecs").create_cluster(clusterName=CLUSTER)
        self.define("")
        self.client("ecs").create_service(
            serviceName=SERVICE,
            taskDefinition="app",
            desiredCount=self.desired,
            # Balancing zones takes more than 100 percent.
            availabilityZoneRebalancing="DISABLED",
            launchType="FARGATE",
            networkConfiguration={"awsvpcConfiguration": {"subnets": [subnet]}},
        )

    def client(self, service: str):
        return boto3.client(
            service,
            endpoint_url=self.server.endpoint,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def define(self, script: str) -> str:
        """Registers a revision whose container lives as the script says."""
        environment = [{"name": "NEARGATE_SIMULATE", "value": script}]
        registered = self.client("ecs").register_task_definition(
            family="app",
            requiresCompatibilities=["FARGATE"],
            networkMode="awsvpc",
            cpu="256",
            memory="512",
            containerDefinitions=[{"name": "app", "image": "busybox", "environment": environment}],
        )
        return registered["taskDefinition"]["taskDefinitionArn"]

    def update(self, **change: object) -> None:
        self.client("ecs").update_service(service=SERVICE, **change)

    def advance(self, seconds: int) -> None:
        """Lets time pass; the server has come to rest when it answers."""
        body = json.dumps({"seconds": seconds}).encode()
        request = urllib.request.Request(f"{self.server.endpoint}/_neargate/clock/advance", body, method="POST")
        urllib.request.urlopen(request, timeout=90).read()

    def restart(self) -> None:
        """Kills the server as a crash does, and starts it again."""
        before = self.server.admin("GET", "clock")["now"]
        self.server.kill()
        self.server.start()
        assert self.server.admin("GET", "clock")["now"] >= before, "time goes on where it was"

    def service(self) -> dict:
        return self.client("ecs").describe_services(services=[SERVICE])["services"][0]

    def tasks(self) -> list[dict]:
        """Returns the tasks that are to go on."""
        ecs = self.client("ecs")
        arns = ecs.list_tasks(serviceName=SERVICE, desiredStatus="RUNNING")["taskArns"]
        return [task for task in (ecs.describe_tasks(tasks=arns)["tasks"] if arns else []) if task["lastStatus"] in ALIVE]

    def expect_within_bounds(self) -> None:
        most = self.desired * self.maximum // 100
        tasks = self.tasks()
        assert len(tasks) <= max(most, self.desired), [task["taskDefinitionArn"] for task in tasks]


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    yield world
    world.server.stop()


def change(world: World, chance: random.Random) -> str:
    """Does something to the service, and says what."""
    kind = chance.choice(["scale", "roll", "force", "percent", "kill", "wait", "wait"])
    match kind:
        case "scale":
            world.desired = chance.randint(0, DESIRED_MAX)
            world.update(desiredCount=world.desired)
        case "roll":
            world.update(taskDefinition=world.define(chance.choice(SCRIPTS)))
        case "force":
            world.update(forceNewDeployment=True)
        case "percent":
            world.maximum = chance.choice([100, 150, 200])
            least = chance.choice([0, 50]) if world.maximum == 100 else chance.choice([0, 50, 100])
            percents = {"maximumPercent": world.maximum, "minimumHealthyPercent": least}
            world.update(deploymentConfiguration=percents)
        case "kill":
            world.restart()
    return kind


@pytest.mark.timeout(240)
def test_a_service_that_is_changed_and_killed_keeps_its_bounds_and_comes_to_rest(world):
    number = seed()
    print(f"NEARGATE_FAULT_SEED={number}")
    chance = random.Random(number)
    told = []
    for _ in range(STEPS):
        told.append(change(world, chance))
        world.advance(chance.choice([0, 1, 5, 30, 60, 300]))
        # What was asked for last may have been less: the tasks that are too many have been asked to stop by now.
        world.expect_within_bounds()
    world.maximum = 200
    percents = {"maximumPercent": 200, "minimumHealthyPercent": 100}
    good = world.define("")
    world.update(taskDefinition=good, deploymentConfiguration=percents)
    world.advance(3600)
    service = world.service()
    shown = [(deployment["status"], deployment["rolloutState"]) for deployment in service["deployments"]]
    assert (service["runningCount"], service["pendingCount"]) == (world.desired, 0), (told, service["events"][:5])
    assert shown == [("PRIMARY", "COMPLETED")], told
    assert {task["taskDefinitionArn"] for task in world.tasks()} <= {good}

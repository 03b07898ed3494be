"""A server that is killed, over and over, while a service is changed and its tasks fail: no number leaves its bounds by what
the service does, and when the failures stop, the service comes to what it wants."""

import os
import random

import boto3
import pytest
from botocore.config import Config

from neargate import Neargate
from waiting import until

KILLS = 12
# What one server may do before it is killed.
CHANGES_MAX = 4
# The waits of services pass so many times as fast: 40 seconds are less than one.
TIME_SCALE = 50
SETTLE_S = 90
# Lower and upper bound, in percent. All leave a way to deploy whatever the desired count is.
BOUNDS = [(100, 200), (0, 100), (50, 200)]
RUNS, ENDS = "", "exit 1 after 200ms"


@pytest.fixture
def simulated(tmp_path):
    """A server whose node is simulated, and which is slow enough for nobody."""
    options = ["--time-scale", str(TIME_SCALE)]
    server = Neargate(tmp_path / "data", tmp_path / "log", node="simulated", options=options).start()
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.stop()


class Service:
    """A service with a revision that runs and one that fails."""

    def __init__(self, server: Neargate, chance: random.Random) -> None:
        self.server, self.chance = server, chance
        self.client().create_cluster()
        self.good, self.bad = self.register(RUNS), self.register(ENDS)
        subnet = boto3.client("ec2", **self.options()).describe_subnets()["Subnets"][0]["SubnetId"]
        self.client().create_service(
            serviceName="web",
            taskDefinition=self.good,
            desiredCount=3,
            launchType="FARGATE",
            # With it a maximumPercent of 100 is refused.
            availabilityZoneRebalancing="DISABLED",
            networkConfiguration={"awsvpcConfiguration": {"subnets": [subnet]}},
            deploymentConfiguration={"deploymentCircuitBreaker": {"enable": True, "rollback": True}},
        )
        until(lambda: self.is_steady(3), "the first steady state", SETTLE_S)

    def options(self) -> dict:
        credentials = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
        config = Config(retries={"total_max_attempts": 1})
        return {"endpoint_url": self.server.endpoint, "region_name": "us-east-1", "config": config, **credentials}

    def client(self):
        return boto3.client("ecs", **self.options())

    def register(self, script: str) -> str:
        definition = self.client().register_task_definition(
            family="web",
            requiresCompatibilities=["FARGATE"],
            networkMode="awsvpc",
            cpu="256",
            memory="512",
            containerDefinitions=[
                {"name": "app", "image": "app", "environment": [{"name": "NEARGATE_SIMULATE", "value": script}]}
            ],
        )
        return definition["taskDefinition"]["taskDefinitionArn"]

    def describe(self) -> dict:
        return self.client().describe_services(services=["web"])["services"][0]

    def tasks(self) -> list[dict]:
        arns = self.client().list_tasks(serviceName="web")["taskArns"]
        return self.client().describe_tasks(tasks=arns)["tasks"] if arns else []

    def change(self) -> None:
        """Changes the service in one of the ways that users do, or ends one of its tasks."""
        what = self.chance.choice(["good", "bad", "force", "scale", "bounds", "stop"])
        if what == "stop":
            if tasks := self.tasks():
                self.client().stop_task(task=self.chance.choice(tasks)["taskArn"])
            return
        minimum, maximum = self.chance.choice(BOUNDS)
        changes = {
            "good": {"taskDefinition": self.good},
            "bad": {"taskDefinition": self.bad},
            "force": {"forceNewDeployment": True},
            "scale": {"desiredCount": self.chance.randint(0, 5)},
            "bounds": {"deploymentConfiguration": {"minimumHealthyPercent": minimum, "maximumPercent": maximum}},
        }
        try:
            self.client().update_service(service="web", **changes[what])
        except self.client().exceptions.InvalidParameterException as error:
            # Five deployments at a time are the most.
            assert "active deployments exist" in str(error)

    def is_steady(self, count: int) -> bool:
        service = self.describe()
        is_done = [each["rolloutState"] for each in service["deployments"]] == ["COMPLETED"]
        return is_done and (service["runningCount"], service["pendingCount"]) == (count, 0)


def test_a_service_of_a_server_that_is_killed_at_random_points_comes_to_what_it_wants(simulated, capsys):
    number = int(os.environ.get("NEARGATE_FAULT_SEED") or random.SystemRandom().randrange(1 << 32))
    with capsys.disabled():
        print(f"\nNEARGATE_FAULT_SEED={number} repeats this run", flush=True)
    chance = random.Random(number)
    service = Service(simulated, chance)
    for _ in range(KILLS):
        for _ in range(chance.randint(1, CHANGES_MAX)):
            service.change()
        simulated.kill()
        simulated.start()
    until(lambda: len(service.describe()["deployments"]) < 5, "room for one more deployment", SETTLE_S)
    service.client().update_service(service="web", taskDefinition=service.good, desiredCount=3, forceNewDeployment=True)
    until(lambda: service.is_steady(3), f"a steady state: {service.describe()['deployments']}", SETTLE_S)
    tasks = service.tasks()
    assert [task["taskDefinitionArn"] for task in tasks] == [service.good] * 3
    deployments = service.client().list_service_deployments(service="web")["serviceDeployments"]
    final = {"SUCCESSFUL", "STOPPED", "ROLLBACK_SUCCESSFUL", "ROLLBACK_FAILED"}
    assert {deployment["status"] for deployment in deployments} <= final
    service.client().delete_service(service="web", force=True)
    until(lambda: service.describe()["status"] == "INACTIVE", "the service to be gone", SETTLE_S)


def test_failures_are_counted_once_whenever_the_server_is_killed(simulated):
    service = Service(simulated, random.Random(1))
    breaker = {"enable": True, "rollback": True}
    service.client().update_service(
        service="web",
        taskDefinition=service.bad,
        desiredCount=6,
        deploymentConfiguration={"deploymentCircuitBreaker": breaker, "minimumHealthyPercent": 50, "maximumPercent": 100},
    )
    seen = []

    def primary() -> dict:
        return service.describe()["deployments"][0]

    def is_news() -> bool:
        deployment = primary()
        return deployment["taskDefinition"] != service.bad or deployment["failedTasks"] > max(seen, default=0)

    while True:
        until(is_news, "one more failure", SETTLE_S)
        deployment = primary()
        if deployment["taskDefinition"] != service.bad:
            # From here on nobody is killed: a simulated task ends with its server, and its end would count.
            break
        seen.append(deployment["failedTasks"])
        simulated.kill()
        simulated.start()
    assert seen == sorted(seen)
    until(lambda: service.is_steady(6), f"the way back: {service.describe()['deployments']}", SETTLE_S)
    assert service.describe()["taskDefinition"] == service.good
    newest = service.client().list_service_deployments(service="web")["serviceDeployments"][0]
    [deployment] = service.client().describe_service_deployments(
        serviceDeploymentArns=[newest["serviceDeploymentArn"]]
    )["serviceDeployments"]
    assert deployment["status"] == "ROLLBACK_SUCCESSFUL"
    breaker = deployment["deploymentCircuitBreaker"]
    assert (breaker["status"], breaker["threshold"]) == ("TRIGGERED", 3) and breaker["failureCount"] >= 3
    assert deployment["statusReason"] == "Service deployment rolled back because the circuit breaker threshold was exceeded."

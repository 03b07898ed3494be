"""Task definitions and tasks, with what most tests do not care about filled in."""

from collections.abc import Callable

from waiting import until

ROLE = "arn:aws:iam::000000000000:role/execution"


def container(script: str, **members) -> dict:
    """A container that runs a shell script in busybox."""
    return {"name": "main", "image": "busybox:latest", "command": ["/bin/sh", "-c", script], **members}


class Tasks:
    """A cluster, a family and a log group of one name."""

    def __init__(self, client: Callable, name: str) -> None:
        self.client, self.name = client, name
        self.client("ecs").create_cluster(clusterName=name)

    def definition(self, *containers: dict, **members) -> dict:
        """The request that registers containers of one task, their output in CloudWatch Logs."""
        log = {
            "logDriver": "awslogs",
            "options": {
                "awslogs-group": self.name,
                "awslogs-region": "us-east-1",
                "awslogs-stream-prefix": "test",
                "awslogs-create-group": "true",
            },
        }
        return {
            "family": self.name,
            "requiresCompatibilities": ["FARGATE"],
            "networkMode": "awsvpc",
            "cpu": "256",
            "memory": "512",
            "executionRoleArn": ROLE,
            "containerDefinitions": [{"logConfiguration": log, **each} for each in containers],
            **members,
        }

    def network(self) -> dict:
        """The first default subnet."""
        subnets = self.client("ec2").describe_subnets()["Subnets"]
        return {"awsvpcConfiguration": {"subnets": [subnets[0]["SubnetId"]], "assignPublicIp": "ENABLED"}}

    def register(self, *containers: dict, **members) -> str:
        """Registers a task definition and returns its ARN."""
        answer = self.client("ecs").register_task_definition(**self.definition(*containers, **members))
        return answer["taskDefinition"]["taskDefinitionArn"]

    def run(self, *containers: dict | str, count: int = 1, **members) -> list[str]:
        """Runs tasks of the containers, or of a definition that is registered, and returns their ARNs."""
        definition = containers[0] if isinstance(containers[0], str) else self.register(*containers)
        answer = self.client("ecs").run_task(
            cluster=self.name,
            taskDefinition=definition,
            launchType="FARGATE",
            networkConfiguration=self.network(),
            count=count,
            **members,
        )
        assert answer["failures"] == [] and len(answer["tasks"]) == count, answer
        return [task["taskArn"] for task in answer["tasks"]]

    def describe(self, *arns: str) -> list[dict]:
        return self.client("ecs").describe_tasks(cluster=self.name, tasks=list(arns))["tasks"]

    def wait(self, status: str, *arns: str, patience_s: float = 30) -> list[dict]:
        """Waits until all tasks have a status, and returns them. A task that stopped will not run any more."""

        found = []

        def reached() -> list[dict] | None:
            nonlocal found
            found = [task for first in range(0, len(arns), 100) for task in self.describe(*arns[first : first + 100])]
            if status != "STOPPED":
                stopped = [task for task in found if task["lastStatus"] == "STOPPED"]
                assert not stopped, f"a task stopped: {stopped[0].get('stoppedReason')}: {stopped[0]['containers']}"
            return found if all(task["lastStatus"] == status for task in found) else None

        try:
            return until(reached, f"{len(arns)} tasks to be {status}", patience_s)
        except AssertionError as error:
            late = [task for task in found if task["lastStatus"] != status]
            raise AssertionError(f"{error}; {len(late)} are not, the first one: {late[:1]}") from None

    def output(self, arn: str, name: str = "main") -> list[str]:
        """Returns the lines that a container has written so far."""
        stream = f"test/{name}/{arn.rpartition('/')[2]}"
        client = self.client("logs")
        try:
            events = client.get_log_events(logGroupName=self.name, logStreamName=stream, startFromHead=True)["events"]
        except client.exceptions.ResourceNotFoundException:
            return []
        return [event["message"] for event in events]

    def wait_output(self, arn: str, line: str, name: str = "main") -> list[str]:
        """Waits until a container has written a line, and returns all lines."""

        def written() -> list[str] | None:
            lines = self.output(arn, name)
            return lines if line in lines else None

        return until(written, f"the line {line!r}")

    def address(self, arn: str) -> str:
        """Returns the address of a task's network interface."""
        details = self.describe(arn)[0]["attachments"][0]["details"]
        return next(detail["value"] for detail in details if detail["name"] == "privateIPv4Address")

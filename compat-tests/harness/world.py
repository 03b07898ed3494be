"""An account with one of everything, so that requests made from the model have something to be about."""

from botocore.model import ListShape, Shape

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from model_requests import Path

REGION = "us-east-1"
NAME = "world"
# Operations whose names are new each time: what they make must not be there.
MAKERS = ("Create", "Register", "Run", "Start")
# Operations that find what they name in a cluster.
IN_CLUSTER = {
    "CreateTaskSet",
    "DeleteService",
    "DeleteTaskSet",
    "DeregisterContainerInstance",
    "DescribeContainerInstances",
    "DescribeServices",
    "DescribeTaskSets",
    "DescribeTasks",
    "DiscoverPollEndpoint",
    "ExecuteCommand",
    "GetTaskProtection",
    "ListServiceDeployments",
    "StartTask",
    "StopTask",
    "UpdateContainerAgent",
    "UpdateContainerInstancesState",
    "UpdateServicePrimaryTaskSet",
    "UpdateTaskProtection",
    "UpdateTaskSet",
}


class World:
    """One of everything that the server can make. What it cannot make yet is missing."""

    def __init__(self, endpoint: str, account: str) -> None:
        self.account = account
        config = Config(retries={"max_attempts": 0})

        def client(service: str):
            return boto3.client(
                service,
                endpoint_url=endpoint,
                region_name=REGION,
                aws_access_key_id=account,
                aws_secret_access_key="test",
                config=config,
            )

        self.ecs = client("ecs")
        self.arns: dict[str, str] = {}
        self.count = 0
        ec2 = client("ec2")
        self.subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
        self.security_group = ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]
        self.network = {"awsvpcConfiguration": {"subnets": [self.subnet]}}
        self._make()
        logs = client("logs")
        logs.create_log_group(logGroupName=NAME)
        logs.create_log_stream(logGroupName=NAME, logStreamName=NAME)

    def role(self, name: str = "role") -> str:
        return f"arn:aws:iam::{self.account}:role/{name}"

    def _make(self) -> None:
        self._keep("cluster", "create_cluster", "cluster.clusterArn", clusterName=NAME)
        self._keep("cluster", "create_cluster", "cluster.clusterArn", clusterName="default")
        self._keep("cluster", "create_cluster", "cluster.clusterArn", clusterName=NAME)
        definition = {
            "family": NAME,
            "taskRoleArn": self.role(),
            "executionRoleArn": self.role(),
            "requiresCompatibilities": ["FARGATE"],
            "networkMode": "awsvpc",
            "cpu": "256",
            "memory": "512",
            "containerDefinitions": [{"name": "main", "image": "busybox"}],
        }
        self._keep("definition", "register_task_definition", "taskDefinition.taskDefinitionArn", **definition)
        runs = {"cluster": NAME, "taskDefinition": NAME, "launchType": "FARGATE", "networkConfiguration": self.network}
        self._keep("task", "run_task", "tasks.0.taskArn", enableExecuteCommand=True, **runs)
        self._keep("service", "create_service", "service.serviceArn", serviceName=NAME, desiredCount=1, **runs)
        external = {"cluster": NAME, "serviceName": "external", "deploymentController": {"type": "EXTERNAL"}}
        self._keep("external", "create_service", "service.serviceArn", desiredCount=0, **external)
        task_set = {**runs, "service": "external"}
        self._keep("task_set", "create_task_set", "taskSet.taskSetArn", **task_set)
        listed = {"cluster": NAME, "service": NAME}
        first = "serviceDeployments.0"
        self._keep("deployment", "list_service_deployments", f"{first}.serviceDeploymentArn", **listed)
        self._keep("revision", "list_service_deployments", f"{first}.targetServiceRevisionArn", **listed)
        self._keep("instance", "register_container_instance", "containerInstance.containerInstanceArn", cluster=NAME)
        managed = {
            "infrastructureRoleArn": self.role(),
            "instanceLaunchTemplate": {
                "ec2InstanceProfileArn": f"arn:aws:iam::{self.account}:instance-profile/world",
                "networkConfiguration": {"subnets": [self.subnet]},
            },
        }
        group = f"arn:aws:autoscaling:{REGION}:{self.account}:autoScalingGroup:0:x/y"
        scaling = {"name": "scaling", "autoScalingGroupProvider": {"autoScalingGroupArn": group}}
        self._keep("scaling", "create_capacity_provider", "capacityProvider.capacityProviderArn", **scaling)
        provider = {"name": "managed", "cluster": NAME, "managedInstancesProvider": managed}
        self._keep("provider", "create_capacity_provider", "capacityProvider.capacityProviderArn", **provider)
        agent = {"family": NAME, "containerDefinitions": [{"name": "main", "image": "busybox", "memory": 64}]}
        self._keep("agent", "register_daemon_task_definition", "daemonTaskDefinitionArn", **agent)
        daemon = {
            "daemonName": NAME,
            "clusterArn": self.arns.get("cluster", NAME),
            "daemonTaskDefinitionArn": self.arns.get("agent", NAME),
            "capacityProviderArns": [self.arns.get("provider", NAME)],
        }
        self._keep("daemon", "create_daemon", "daemonArn", **daemon)
        one = {"daemonArn": self.arns.get("daemon", NAME)}
        self._keep("daemon_deployment", "list_daemon_deployments", "daemonDeployments.0.daemonDeploymentArn", **one)
        self._keep("daemon_revision", "list_daemon_deployments", "daemonDeployments.0.targetDaemonRevisionArn", **one)
        express = {
            "executionRoleArn": self.role(),
            "infrastructureRoleArn": self.role(),
            "primaryContainer": {"image": "busybox"},
            "serviceName": "express",
        }
        self._keep("express", "create_express_gateway_service", "service.serviceArn", cluster=NAME, **express)

    def _keep(self, kind: str, operation: str, path: str, **request: object) -> None:
        """Makes something, and keeps the name that it got."""
        try:
            answer = getattr(self.ecs, operation)(**request)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 501:
                raise
            return
        for step in path.split("."):
            answer = answer[int(step)] if step.isdigit() else answer[step]
        self.arns[kind] = answer

    def base(self, operation: str) -> dict[str, object]:
        """Returns members that make a request of an operation succeed where those that the model requires do not."""
        fargate = {"launchType": "FARGATE", "networkConfiguration": self.network}
        scaling = {"autoScalingGroupArn": f"arn:aws:autoscaling:{REGION}:{self.account}:autoScalingGroup:0:x/y"}
        definition = {"containerDefinitions": [{"name": "main", "image": "busybox", "memory": 64}]}
        bases = {
            "CreateCapacityProvider": {"name": self._new_name(), "autoScalingGroupProvider": scaling},
            "CreateDaemon": {"clusterArn": self.arns.get("cluster")},
            "CreateExpressGatewayService": {"serviceName": self._new_name()},
            "CreateService": {
                "serviceName": self._new_name(),
                "taskDefinition": NAME,
                "desiredCount": 0,
                "cluster": NAME,
                **fargate,
            },
            "CreateTaskSet": {"taskDefinition": NAME, **fargate},
            "DeleteAttributes": {"cluster": NAME, "attributes": [{"name": "x", "targetId": self.arns.get("instance")}]},
            "PutAccountSetting": {"name": "containerInsights", "value": "enabled"},
            "PutAccountSettingDefault": {"name": "containerInsights", "value": "enabled"},
            "PutAttributes": {"cluster": NAME, "attributes": [{"name": "x", "targetId": self.arns.get("instance")}]},
            "RegisterDaemonTaskDefinition": definition,
            "RegisterTaskDefinition": definition,
            "RunTask": {"cluster": NAME, "taskDefinition": NAME, **fargate},
            "SubmitContainerStateChange": {"cluster": NAME, "task": self.arns.get("task"), "status": "RUNNING"},
            "SubmitTaskStateChange": {"cluster": NAME, "task": self.arns.get("task"), "status": "RUNNING"},
            "UpdateCapacityProvider": {"name": "scaling", "autoScalingGroupProvider": {"managedDraining": "ENABLED"}},
            "UpdateClusterSettings": {"settings": [{"name": "containerInsights", "value": "enabled"}]},
            "UpdateService": {"cluster": NAME},
        }
        members = bases.get(operation, {})
        # Most things are in a cluster, and found in it only.
        if operation in IN_CLUSTER:
            members = {"cluster": NAME, **members}
        return members

    def _new_name(self) -> str:
        self.count += 1
        return f"new-{self.count}"

    def value(self, operation: str, path: Path, shape: Shape) -> object:
        """Returns a value for a member of a request; none leaves it to the model."""
        name = next((step for step in reversed(path) if isinstance(step, str)), "")
        kind = self._kind(operation, name)
        found = self.arns.get(kind, NAME) if kind else self._word(operation, name, path)
        if found is None or shape.type_name == "structure":
            return None
        if isinstance(shape, ListShape):
            return [found] if shape.member.type_name == "string" else None
        return found if type(found).__name__ == {"string": "str", "integer": "int"}.get(shape.type_name) else None

    def _kind(self, operation: str, name: str) -> str | None:
        """Returns what kind of thing a member names, if it names one that is there."""
        if "Express" in operation and name == "serviceArn":
            return "express"
        if "TaskSet" in operation and name == "service":
            return "external"
        if "Daemon" in operation and name == "capacityProviderArns":
            return "provider"
        kinds = {
            "cluster": "cluster",
            "clusters": "cluster",
            "clusterArn": "cluster",
            "taskDefinition": "definition",
            "taskDefinitions": "definition",
            "task": "task",
            "tasks": "task",
            "service": "service",
            "services": "service",
            "taskSet": "task_set",
            "taskSets": "task_set",
            "primaryTaskSet": "task_set",
            "containerInstance": "instance",
            "containerInstances": "instance",
            "resourceArn": "cluster",
            "targetId": "instance",
            "serviceDeploymentArn": "deployment",
            "serviceDeploymentArns": "deployment",
            "serviceRevisionArns": "revision",
            "daemonArn": "daemon",
            "daemonTaskDefinition": "agent",
            "daemonTaskDefinitionArn": "agent",
            "daemonDeploymentArns": "daemon_deployment",
            "daemonRevisionArns": "daemon_revision",
        }
        return kinds.get(name)

    def _word(self, operation: str, name: str, path: Path) -> object:
        """Returns what fits into a member that names nothing that is there."""
        if operation.startswith(MAKERS) and name in ("serviceName", "daemonName", "clientToken", "clusterName", "name"):
            if len(path) == 1:
                return self._new_name()
        words = {
            "autoScalingGroupArn": f"arn:aws:autoscaling:{REGION}:{self.account}:autoScalingGroup:0:x/y",
            "capacityProvider": "scaling" if path == ("capacityProvider",) else "FARGATE",
            "capacityProviders": "FARGATE",
            "command": "true",
            "container": "main",
            "containerName": "main",
            "containerPort": 80,
            "cpu": "256" if len(path) == 1 else 1,
            "executionRoleArn": self.role(),
            "family": NAME,
            "healthCheckPath": "/",
            "image": "busybox",
            "infrastructureRoleArn": self.role(),
            "logGroupName": NAME,
            "logStreamName": NAME,
            "maxResults": 1,
            "maximumPercent": 200,
            "memory": "512" if len(path) == 1 else 64,
            "principalArn": f"arn:aws:iam::{self.account}:root",
            "roleArn": self.role(),
            "securityGroups": self.security_group,
            "serviceName": NAME,
            "subnets": self.subnet,
            "taskRoleArn": self.role(),
            "value": "arn:aws:s3:::bucket/file.env" if "environmentFiles" in path else "enabled",
            "valueFrom": f"arn:aws:ssm:{REGION}:{self.account}:parameter/x",
        }
        return words.get(name)

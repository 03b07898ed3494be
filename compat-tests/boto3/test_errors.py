"""Every error that a client can provoke: its code and its words. Sources of the words: the table of errors that the
emulated services are built by, quoted where the handler is."""

import pytest
from botocore.exceptions import ClientError
from tasks import container

HERE = "arn:aws:ecs:us-east-1:000000000000"
OTHER_ACCOUNT = "arn:aws:ecs:us-east-1:999999999999"
AWSVPC = {"awsvpcConfiguration": {"subnets": ["subnet-0123456789abcdef0"]}}
NO_TASK = "0" * 32
FARGATE = {"requiresCompatibilities": ["FARGATE"], "networkMode": "awsvpc", "cpu": "256", "memory": "512"}
MAIN = {"name": "main", "image": "busybox"}


def fargate(*containers: dict, **members) -> dict:
    """A request that registers a definition for Fargate; what is None is left out."""
    request = {"family": "errors", **FARGATE, "containerDefinitions": list(containers or [MAIN]), **members}
    return {name: value for name, value in request.items() if value is not None}


def main(**members) -> dict:
    """That request with members of its one container changed."""
    return fargate({**MAIN, **members})


def awslogs(**options) -> dict:
    return {"logConfiguration": {"logDriver": "awslogs", "options": options}}


CLUSTER_NOT_FOUND = "ClusterNotFoundException", "Cluster not found."
DEFINITION_NOT_FOUND = "ClientException", "TaskDefinition not found."
LOG_OPTIONS = {"awslogs-group": "g", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "p"}

ECS_ERRORS = [
    ("create_cluster", {"clusterName": "a b"}, "InvalidParameterException", r"ClusterName must match ^[a-zA-Z0-9\\-_]{1,255}$"),
    (
        "create_cluster",
        {"clusterName": "x", "defaultCapacityProviderStrategy": [{"capacityProvider": "FARGATE"}]},
        "InvalidParameterException",
        "The specified capacity provider strategy cannot contain a capacity provider that is not associated with the "
        "cluster. Associate the capacity provider with the cluster or specify a valid capacity provider and try again.",
    ),
    ("delete_cluster", {"cluster": "missing"}, *CLUSTER_NOT_FOUND),
    ("delete_cluster", {"cluster": "arn:x"}, "InvalidParameterException", "The ARN provided is invalid."),
    ("delete_cluster", {"cluster": f"{OTHER_ACCOUNT}:cluster/x"}, "InvalidParameterException", "AccountIDs mismatch"),
    ("list_clusters", {"nextToken": "bogus"}, "InvalidParameterException", "Invalid token."),
    ("describe_task_definition", {"taskDefinition": "missing"}, "ClientException", "Unable to describe task definition."),
    ("describe_task_definition", {"taskDefinition": "a:b:c"}, "InvalidParameterException", None),
    ("deregister_task_definition", {"taskDefinition": "missing:1"}, "ClientException", "Unable to describe task definition."),
    ("deregister_task_definition", {"taskDefinition": "missing"}, "ClientException", "Revision is missing."),
    ("deregister_task_definition", {"taskDefinition": "x:y"}, "InvalidParameterException", "Invalid revision number. Number: y"),
    ("describe_tasks", {"cluster": "missing", "tasks": [NO_TASK]}, *CLUSTER_NOT_FOUND),
    ("describe_tasks", {"tasks": []}, "InvalidParameterException", "Tasks cannot be empty."),
    ("describe_tasks", {"tasks": ["short"]}, "InvalidParameterException", "taskId length should be one of [32,36]"),
    ("list_tasks", {"cluster": "missing"}, *CLUSTER_NOT_FOUND),
    ("list_tasks", {"serviceName": "missing"}, "ServiceNotFoundException", "Service not found."),
    ("list_tasks", {"launchType": "MOON"}, "InvalidParameterException", "launch type should be one of [EC2,FARGATE,EXTERNAL,MANAGED_INSTANCES]"),
    ("stop_task", {"task": NO_TASK}, "InvalidParameterException", "The referenced task was not found."),
    ("stop_task", {"task": NO_TASK, "cluster": "missing"}, *CLUSTER_NOT_FOUND),
    ("run_task", {"taskDefinition": "missing", "launchType": "FARGATE"}, *DEFINITION_NOT_FOUND),
    ("run_task", {"taskDefinition": "errors-run", "cluster": "missing"}, *CLUSTER_NOT_FOUND),
    ("run_task", {"taskDefinition": "errors-inactive:1", "launchType": "FARGATE"}, "ClientException", "TaskDefinition is inactive"),
    ("run_task", {"taskDefinition": "errors-bridge"}, "InvalidParameterException", "No Container Instances were found in your cluster."),
    (
        "run_task",
        {"taskDefinition": "errors-run", "launchType": "FARGATE"},
        "InvalidParameterException",
        "Network Configuration must be provided when networkMode 'awsvpc' is specified.",
    ),
    (
        "run_task",
        {"taskDefinition": "errors-run", "launchType": "FARGATE", "networkConfiguration": {"awsvpcConfiguration": {"subnets": []}}},
        "InvalidParameterException",
        "subnets can not be empty.",
    ),
    (
        "run_task",
        {"taskDefinition": "errors-run", "launchType": "FARGATE", "networkConfiguration": AWSVPC},
        "InvalidParameterException",
        "Error retrieving subnet information for [subnet-0123456789abcdef0]: The subnet ID 'subnet-0123456789abcdef0' does "
        "not exist (ErrorCode: InvalidSubnetID.NotFound)",
    ),
    (
        "run_task",
        {"taskDefinition": "errors-run", "launchType": "FARGATE", "capacityProviderStrategy": [{"capacityProvider": "FARGATE"}]},
        "InvalidParameterException",
        "Specifying both a launch type and capacity provider strategy is not supported. Remove one and try again.",
    ),
    (
        "run_task",
        {"taskDefinition": "errors-run", "capacityProviderStrategy": [{"capacityProvider": "FARGATE_SPOT"}]},
        "InvalidParameterException",
        None,
    ),
    (
        "run_task",
        {"taskDefinition": "errors-run", "launchType": "FARGATE", "platformVersion": "9.9.9", "networkConfiguration": AWSVPC},
        "PlatformUnknownException",
        None,
    ),
    ("run_task", {"taskDefinition": "errors-run", "count": 11}, "InvalidParameterException", None),
    ("run_task", {"taskDefinition": "errors-run", "startedBy": "a b"}, "InvalidParameterException", None),
    ("run_task", {"taskDefinition": "errors-run", "clientToken": "x" * 65}, "InvalidParameterException", None),
    ("register_task_definition", {**fargate(), "containerDefinitions": []}, "ClientException", "Container list cannot be empty"),
    ("register_task_definition", fargate(family="a b"), "ClientException", None),
    ("register_task_definition", fargate(cpu=None), "ClientException", "Fargate requires that 'cpu' be defined at the task level."),
    ("register_task_definition", fargate(memory=None), "ClientException", "Fargate requires that 'memory' be defined at the task level."),
    (
        "register_task_definition",
        fargate(cpu="256", memory="4096"),
        "ClientException",
        "No Fargate configuration exists for given values: 256 CPU, 4096 memory. See the Amazon ECS documentation for the "
        "valid values.",
    ),
    ("register_task_definition", fargate(networkMode="bridge"), "ClientException", "Fargate only supports network mode ‘awsvpc’."),
    ("register_task_definition", main(privileged=True), "ClientException", "Fargate requires that the 'privileged' setting be 'false'"),
    ("register_task_definition", main(image=""), "ClientException", "Container.image should not be null or empty."),
    ("register_task_definition", main(name="a b"), "ClientException", "Container.name contains invalid characters."),
    ("register_task_definition", main(essential=False), "ClientException", "Task definition doesn't have any essential container"),
    ("register_task_definition", fargate(MAIN, MAIN), "ClientException", "Container names must be unique within a task definition"),
    (
        "register_task_definition",
        main(**awslogs(**LOG_OPTIONS)),
        "ClientException",
        "Fargate requires task definition to have execution role ARN to support log driver awslogs.",
    ),
    ("register_task_definition", main(dependsOn=[{"containerName": "x", "condition": "START"}]), "ClientException", None),
    ("register_task_definition", main(mountPoints=[{"sourceVolume": "x", "containerPath": "/x"}]), "ClientException", "Unknown volume 'x'."),
    (
        "register_task_definition",
        main(portMappings=[{"containerPort": 80, "hostPort": 81}]),
        "ClientException",
        "When networkMode=awsvpc, the host ports and container ports in port mappings must match.",
    ),
    ("register_task_definition", fargate(ephemeralStorage={"sizeInGiB": 20}), "ClientException", None),
    ("register_task_definition", fargate(tags=[]), "ClientException", "Tags can not be empty"),
    (
        "register_task_definition",
        main(secrets=[{"name": "A", "valueFrom": "arn:aws:ssm:us-east-1:000000000000:parameter/a"}]),
        "ClientException",
        "When you are specifying container secrets, you must also specify a value for 'executionRoleArn'.",
    ),
]


@pytest.fixture(scope="module")
def prepared(client):
    """A client that sends what the SDK would refuse itself, and what the requests refer to."""
    ecs = client("ecs", validates=False)
    ecs.create_cluster()
    ecs.register_task_definition(**fargate(family="errors-run"))
    ecs.register_task_definition(**fargate(family="errors-inactive"))
    on_instances = {"requiresCompatibilities": None, "networkMode": "bridge"}
    ecs.register_task_definition(**fargate(family="errors-bridge", **on_instances))
    ecs.deregister_task_definition(taskDefinition="errors-inactive:1")
    return ecs


def provoke(call, request: dict) -> ClientError:
    with pytest.raises(ClientError) as error:
        call(**request)
    return error.value


def expect(error: ClientError, code: str, message: str | None) -> None:
    assert error.response["Error"]["Code"] == code, error
    assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert error.response["ResponseMetadata"]["RequestId"]
    assert error.response["Error"]["Message"]
    if message is not None:
        assert error.response["Error"]["Message"] == message


@pytest.mark.parametrize(("operation", "request_", "code", "message"), ECS_ERRORS)
def test_ecs_refuses_with_the_service_s_own_words(prepared, operation, request_, code, message):
    expect(provoke(getattr(prepared, operation), request_), code, message)


def test_an_error_is_the_class_that_the_sdk_made_of_the_model(prepared):
    with pytest.raises(prepared.exceptions.ClusterNotFoundException):
        prepared.list_tasks(cluster="missing")


def test_a_deleted_cluster_is_inactive_to_those_who_use_it_and_gone_from_the_list(ecs, name):
    arn = ecs.create_cluster(clusterName=name)["cluster"]["clusterArn"]
    assert ecs.delete_cluster(cluster=name)["cluster"]["status"] == "INACTIVE"
    error = provoke(ecs.list_tasks, {"cluster": name})
    expect(error, "ClusterNotFoundException", "The referenced cluster was inactive.")
    assert ecs.describe_clusters(clusters=[name])["clusters"][0]["status"] == "INACTIVE"
    assert arn not in ecs.list_clusters()["clusterArns"]


def test_a_cluster_with_a_live_task_cannot_be_deleted(ecs, tasks):
    [task] = tasks.run(container("trap 'exit 0' TERM; while :; do sleep 0.1; done", stopTimeout=2))
    error = provoke(ecs.delete_cluster, {"cluster": tasks.name})
    expect(error, "ClusterContainsTasksException", "The Cluster cannot be deleted while Tasks are active.")
    ecs.stop_task(cluster=tasks.name, task=task)
    tasks.wait("STOPPED", task)
    ecs.delete_cluster(cluster=tasks.name)


def test_overrides_must_fit_the_definition(ecs, tasks):
    definition = tasks.register(container("true"))
    request = {
        "cluster": tasks.name,
        "taskDefinition": definition,
        "launchType": "FARGATE",
        "networkConfiguration": tasks.network(),
    }
    other = {"containerOverrides": [{"name": "other"}]}
    error = provoke(ecs.run_task, {**request, "overrides": other})
    words = "Override for container named other is not a container in the TaskDefinition."
    expect(error, "InvalidParameterException", words)
    long = {"containerOverrides": [{"name": "main", "command": ["x" * 8192]}]}
    error = provoke(ecs.run_task, {**request, "overrides": long})
    expect(error, "InvalidParameterException", "Container Overrides length must be at most 8192")


def test_a_client_token_starts_its_tasks_once(ecs, tasks):
    definition = tasks.register(container("true"))
    request = {
        "cluster": tasks.name,
        "taskDefinition": definition,
        "launchType": "FARGATE",
        "networkConfiguration": tasks.network(),
        "clientToken": tasks.name,
    }
    first, again = (ecs.run_task(**request)["tasks"] for _ in range(2))
    assert [task["taskArn"] for task in first] == [task["taskArn"] for task in again]
    error = provoke(ecs.run_task, {**request, "count": 2})
    assert error.response["Error"]["Code"] == "ConflictException"
    assert error.response["resourceIds"] == [first[0]["taskArn"]]


def test_what_is_missing_is_a_failure_and_no_error_where_several_are_described(ecs, tasks):
    described = ecs.describe_clusters(clusters=["missing", tasks.name])
    assert [each["clusterName"] for each in described["clusters"]] == [tasks.name]
    assert described["failures"] == [{"arn": f"{HERE}:cluster/missing", "reason": "MISSING"}]
    described = ecs.describe_tasks(cluster=tasks.name, tasks=[NO_TASK])
    assert described["tasks"] == []
    assert described["failures"] == [{"arn": f"{HERE}:task/{tasks.name}/{NO_TASK}", "reason": "MISSING"}]


def test_an_operation_that_is_not_built_says_so_in_the_caller_s_protocol(client):
    for service, call in [("logs", "describe_metric_filters"), ("ec2", "describe_images")]:
        error = provoke(getattr(client(service), call), {})
        assert "implement" in error.response["Error"]["Message"], error
    with pytest.raises(ClientError, match="implement"):
        client("sts").get_federation_token(Name="someone")


LOGS_ERRORS = [
    ("create_log_group", {"logGroupName": "a b"}, "InvalidParameterException", None),
    ("delete_log_group", {"logGroupName": "missing"}, "ResourceNotFoundException", "The specified log group does not exist."),
    (
        "create_log_stream",
        {"logGroupName": "missing", "logStreamName": "s"},
        "ResourceNotFoundException",
        "The specified log group does not exist.",
    ),
    (
        "get_log_events",
        {"logGroupName": "missing", "logStreamName": "s"},
        "ResourceNotFoundException",
        "The specified log group does not exist.",
    ),
    ("filter_log_events", {"logGroupName": "missing"}, "ResourceNotFoundException", "The specified log group does not exist."),
    ("describe_log_streams", {"logGroupName": "missing"}, "ResourceNotFoundException", "The specified log group does not exist."),
]


@pytest.mark.parametrize(("operation", "request_", "code", "message"), LOGS_ERRORS)
def test_logs_refuses_with_the_service_s_own_words(client, operation, request_, code, message):
    expect(provoke(getattr(client("logs", validates=False), operation), request_), code, message)


EC2_ERRORS = [
    ("describe_subnets", {"SubnetIds": ["subnet-0123456789abcdef0"]}, "InvalidSubnetID.NotFound", "The subnet ID 'subnet-0123456789abcdef0' does not exist"),
    ("describe_vpcs", {"VpcIds": ["vpc-0123456789abcdef0"]}, "InvalidVpcID.NotFound", "The vpc ID 'vpc-0123456789abcdef0' does not exist"),
    ("describe_security_groups", {"GroupIds": ["sg-0123456789abcdef0"]}, "InvalidGroup.NotFound", "The security group 'sg-0123456789abcdef0' does not exist"),
    (
        "describe_network_interfaces",
        {"NetworkInterfaceIds": ["eni-0123456789abcdef0"]},
        "InvalidNetworkInterfaceID.NotFound",
        None,
    ),
]


@pytest.mark.parametrize(("operation", "request_", "code", "message"), EC2_ERRORS)
def test_ec2_refuses_with_the_service_s_own_words(ec2, operation, request_, code, message):
    expect(provoke(getattr(ec2, operation), request_), code, message)

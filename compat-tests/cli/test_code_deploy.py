"""CodeDeploy's blue/green deployments with the AWS CLI: AppSpecs in S3, and functions that have a say in them."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from neargate import Neargate
from waiting import until

# The waits of services pass so many times as fast as the clock: five minutes take half a second.
TIME_SCALE = "600"
FUNCTION_PAUSE_S = 0.05
LISTENER = "arn:aws:elasticloadbalancing:us-east-1:000000000000:listener/app/web/1/"
TARGET_GROUP = "arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/blue/0123456789abcdef"
ROLE = "arn:aws:iam::000000000000:role/deploy"


class Functions(ThreadingHTTPServer):
    """Lambda with functions that are called like what they say: Succeeded, Failed, or nothing."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.codedeploy = None
        self.asked: list[tuple[str, str, dict]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        *_, function, _ = self.path.split("/")
        event = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append((function, self.headers["x-amz-invocation-type"], event))
        # As Lambda does with events: it is taken, and the function runs later.
        self.send_response(202)
        self.send_header("content-length", "0")
        self.end_headers()
        self.wfile.flush()
        if function in ("Succeeded", "Failed"):
            self.server.codedeploy.put_lifecycle_event_hook_execution_status(
                deploymentId=event["DeploymentId"],
                lifecycleEventHookExecutionId=event["LifecycleEventHookExecutionId"],
                status=function,
            )

    def log_message(self, *_) -> None:
        """Says nothing."""


@pytest.fixture
def functions() -> Iterator[Functions]:
    server = Functions()
    thread = threading.Thread(target=server.serve_forever, args=(FUNCTION_PAUSE_S,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def neargate(tmp_path, functions, client_of) -> Iterator[Neargate]:
    """A server that calls these functions, with a node without containers."""
    options = ["--lambda-endpoint", functions.url, "--time-scale", TIME_SCALE]
    server = Neargate(tmp_path / "data", tmp_path / "log", node="simulated", options=options).start()
    functions.codedeploy = client_of(server.endpoint, "codedeploy")
    yield server
    server.stop()


@pytest.fixture
def definitions(aws) -> list[str]:
    """A service that CodeDeploy deploys: two revisions of its task definition, of which the first one runs."""
    subnet = aws("ec2", "describe-subnets")["Subnets"][0]["SubnetId"]
    container = {"name": "app", "image": "busybox", "portMappings": [{"containerPort": 80}]}
    definition = {
        "family": "app",
        "requiresCompatibilities": ["FARGATE"],
        "networkMode": "awsvpc",
        "cpu": "256",
        "memory": "512",
        "containerDefinitions": [container],
    }
    register = ("ecs", "register-task-definition", "--cli-input-json", json.dumps(definition))
    arns = [aws(*register)["taskDefinition"]["taskDefinitionArn"] for _ in range(2)]
    aws("ecs", "create-cluster")
    balancer = {"targetGroupArn": TARGET_GROUP, "containerName": "app", "containerPort": 80}
    aws(
        *("ecs", "create-service", "--service-name", "web", "--task-definition", arns[0], "--desired-count", "2"),
        *("--launch-type", "FARGATE", "--deployment-controller", "type=CODE_DEPLOY"),
        *("--network-configuration", json.dumps({"awsvpcConfiguration": {"subnets": [subnet]}})),
        *("--load-balancers", json.dumps([balancer])),
    )
    aws("deploy", "create-application", "--application-name", "shop", "--compute-platform", "ECS")
    pair = {
        "targetGroups": [{"name": "blue"}, {"name": "green"}],
        "prodTrafficRoute": {"listenerArns": [LISTENER + "1"]},
        "testTrafficRoute": {"listenerArns": [LISTENER + "2"]},
    }
    ending = {"action": "TERMINATE", "terminationWaitTimeInMinutes": 5}
    aws(
        *("deploy", "create-deployment-group", "--application-name", "shop", "--deployment-group-name", "web"),
        *("--service-role-arn", ROLE, "--deployment-config-name", "CodeDeployDefault.ECSCanary10Percent5Minutes"),
        *("--deployment-style", "deploymentType=BLUE_GREEN,deploymentOption=WITH_TRAFFIC_CONTROL"),
        *("--ecs-services", "clusterName=default,serviceName=web"),
        *("--load-balancer-info", json.dumps({"targetGroupPairInfoList": [pair]})),
        "--blue-green-deployment-configuration",
        json.dumps({"terminateBlueInstancesOnDeploymentSuccess": ending}),
        *("--auto-rollback-configuration", "enabled=true,events=DEPLOYMENT_FAILURE"),
    )
    aws("s3api", "create-bucket", "--bucket", "specs")
    return arns


@pytest.fixture
def deploy(aws, definitions, tmp_path) -> Callable:
    """Puts an AppSpec into S3 with the CLI, deploys it with the CLI, and returns the deployment's id."""

    def run(**hooks: str) -> str:
        lines = ["version: 0.0", "Resources:", "  - TargetService:", "      Type: AWS::ECS::Service"]
        lines += ["      Properties:", f"        TaskDefinition: {definitions[1]}", "        LoadBalancerInfo:"]
        lines += ["          ContainerName: app", "          ContainerPort: 80"]
        lines += ["Hooks:", *[f"  - {event}: {function}" for event, function in hooks.items()]]
        (tmp_path / "appspec.yaml").write_text("\n".join(lines))
        body = str(tmp_path / "appspec.yaml")
        etag = aws("s3api", "put-object", "--bucket", "specs", "--key", "appspec.yaml", "--body", body)["ETag"]
        location = f"bucket=specs,key=appspec.yaml,bundleType=yaml,eTag={etag.strip(chr(34))}"
        return aws(
            *("deploy", "create-deployment", "--application-name", "shop", "--deployment-group-name", "web"),
            *("--s3-location", location),
        )["deploymentId"]

    return run


@pytest.fixture
def finished(aws) -> Callable:
    """Waits until a deployment is over, and shows it with the CLI."""

    def wait(deployment: str) -> dict:
        def over() -> dict | None:
            info = aws("deploy", "get-deployment", "--deployment-id", deployment)["deploymentInfo"]
            return info if info["status"] in ("Succeeded", "Failed", "Stopped") else None

        return until(over, f"the end of {deployment}", 60)

    return wait


def events_of(aws, deployment: str) -> dict[str, dict]:
    [target] = aws("deploy", "list-deployment-targets", "--deployment-id", deployment)["targetIds"]
    found = aws("deploy", "get-deployment-target", "--deployment-id", deployment, "--target-id", target)
    return {event["lifecycleEventName"]: event for event in found["deploymentTarget"]["ecsTarget"]["lifecycleEvents"]}


def test_functions_have_their_say_in_a_deployment_whose_app_spec_is_in_s3(aws, functions, deploy, finished):
    hooks = ["BeforeInstall", "AfterInstall", "AfterAllowTestTraffic", "BeforeAllowTraffic", "AfterAllowTraffic"]
    deployment = deploy(**dict.fromkeys(hooks, "Succeeded"))
    assert finished(deployment)["status"] == "Succeeded"
    aws("deploy", "wait", "deployment-successful", "--deployment-id", deployment)
    assert [(name, kind) for name, kind, _ in functions.asked] == [("Succeeded", "Event")] * 5
    assert {event["DeploymentId"] for _, _, event in functions.asked} == {deployment}
    assert len({event["LifecycleEventHookExecutionId"] for _, _, event in functions.asked}) == 5
    assert {event["status"] for event in events_of(aws, deployment).values()} == {"Succeeded"}
    [known] = aws("deploy", "list-application-revisions", "--application-name", "shop", "--deployed", "include")["revisions"]
    assert known["s3Location"]["key"] == "appspec.yaml"


def test_a_function_that_is_against_it_takes_the_deployment_back(aws, definitions, deploy, finished):
    deployment = deploy(AfterAllowTraffic="Failed")
    info = finished(deployment)
    assert info["errorInformation"] == {
        "code": "HOOK_EXECUTION_FAILURE",
        "message": "The deployment failed because one or more of the lifecycle event validation functions failed.",
    }
    assert events_of(aws, deployment)["AfterAllowTraffic"]["status"] == "Failed"
    assert finished(info["rollbackInfo"]["rollbackDeploymentId"])["status"] == "Succeeded"
    service = aws("ecs", "describe-services", "--services", "web")["services"][0]
    assert service["taskDefinition"] == definitions[0]


def test_a_function_that_says_nothing_is_waited_for_for_an_hour(functions, deploy, finished):
    info = finished(deploy(BeforeInstall="nothing"))
    assert (info["status"], info["errorInformation"]["code"]) == ("Failed", "TIMEOUT")
    assert [name for name, _, _ in functions.asked] == ["nothing"]


def test_an_archive_is_no_revision_of_a_service(aws, definitions, tmp_path):
    (tmp_path / "source").mkdir()
    (tmp_path / "source/appspec.yml").write_text("version: 0.0\n")
    push = ("deploy", "push", "--application-name", "shop", "--s3-location", "s3://specs/app.zip")
    refused = aws(*push, "--source", str(tmp_path / "source"), fails=True)
    assert "(InvalidRevisionException)" in refused and "BundleType must be either YAML or JSON" in refused

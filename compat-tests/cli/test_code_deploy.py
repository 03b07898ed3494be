"""CodeDeploy's blue/green deployments with the AWS CLI: AppSpecs in S3, and functions that have a say in them."""

from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer

import pytest
from listener import Handler, serving
from neargate import Neargate
from waiting import until

# The waits of services pass so many times as fast as the clock: five minutes take half a second.
TIME_SCALE = "600"
LISTENER = "arn:aws:elasticloadbalancing:us-east-1:000000000000:listener/app/web/1/"
TARGET_GROUP = "arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/blue/0123456789abcdef"
ROLE = "arn:aws:iam::000000000000:role/deploy"


class Functions(ThreadingHTTPServer):
    """Lambda with functions that are called like what they say: Succeeded, Failed, or nothing."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Invocation)
        self.codedeploy = None
        self.asked: list[tuple[str, str, dict]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Invocation(Handler):
    def do_POST(self) -> None:
        *_, function, _ = self.path.split("/")
        event = self.body()
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


@pytest.fixture
def functions() -> Iterator[Functions]:
    with serving(Functions()) as server:
        yield server


@pytest.fixture
def neargate(tmp_path, functions, client_of) -> Iterator[Neargate]:
    """A server that calls these functions, with a node without containers."""
    options = ["--lambda-endpoint", functions.url, "--time-scale", TIME_SCALE]
    server = Neargate(tmp_path / "data", tmp_path / "log", node="simulated", options=options).start()
    functions.codedeploy = client_of(server.endpoint, "codedeploy")
    yield server
    server.stop()


@pytest.fixture
def definitions(neargate, client_of) -> list[str]:
    """A service that CodeDeploy deploys: two revisions of its task definition, of which the first one runs."""
    ecs, codedeploy = (client_of(neargate.endpoint, service) for service in ("ecs", "codedeploy"))
    subnet = client_of(neargate.endpoint, "ec2").describe_subnets()["Subnets"][0]["SubnetId"]
    definition = {
        "family": "app",
        "requiresCompatibilities": ["FARGATE"],
        "networkMode": "awsvpc",
        "cpu": "256",
        "memory": "512",
        "containerDefinitions": [{"name": "app", "image": "busybox", "portMappings": [{"containerPort": 80}]}],
    }
    registered = [ecs.register_task_definition(**definition)["taskDefinition"] for _ in range(2)]
    ecs.create_cluster()
    ecs.create_service(
        serviceName="web",
        taskDefinition=registered[0]["taskDefinitionArn"],
        desiredCount=2,
        launchType="FARGATE",
        deploymentController={"type": "CODE_DEPLOY"},
        networkConfiguration={"awsvpcConfiguration": {"subnets": [subnet]}},
        loadBalancers=[{"targetGroupArn": TARGET_GROUP, "containerName": "app", "containerPort": 80}],
    )
    codedeploy.create_application(applicationName="shop", computePlatform="ECS")
    pair = {
        "targetGroups": [{"name": "blue"}, {"name": "green"}],
        "prodTrafficRoute": {"listenerArns": [LISTENER + "1"]},
        "testTrafficRoute": {"listenerArns": [LISTENER + "2"]},
    }
    ending = {"action": "TERMINATE", "terminationWaitTimeInMinutes": 5}
    codedeploy.create_deployment_group(
        applicationName="shop",
        deploymentGroupName="web",
        serviceRoleArn=ROLE,
        deploymentConfigName="CodeDeployDefault.ECSCanary10Percent5Minutes",
        deploymentStyle={"deploymentType": "BLUE_GREEN", "deploymentOption": "WITH_TRAFFIC_CONTROL"},
        ecsServices=[{"clusterName": "default", "serviceName": "web"}],
        loadBalancerInfo={"targetGroupPairInfoList": [pair]},
        blueGreenDeploymentConfiguration={"terminateBlueInstancesOnDeploymentSuccess": ending},
        autoRollbackConfiguration={"enabled": True, "events": ["DEPLOYMENT_FAILURE"]},
    )
    client_of(neargate.endpoint, "s3").create_bucket(Bucket="specs")
    return [each["taskDefinitionArn"] for each in registered]


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
    known = aws("deploy", "list-application-revisions", "--application-name", "shop", "--deployed", "include")
    [known] = known["revisions"]
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


def test_a_revision_is_registered_and_shown_and_an_archive_is_none(aws):
    aws("deploy", "create-application", "--application-name", "shop", "--compute-platform", "ECS")
    register = ("deploy", "register-application-revision", "--application-name", "shop", "--description", "the first")
    location = "bucket=specs,key=appspec.json,bundleType=JSON"
    aws(*register, "--s3-location", location)
    shown = aws("deploy", "get-application-revision", "--application-name", "shop", "--s3-location", location)
    assert shown["revisionInfo"]["description"] == "the first"
    refused = aws(*register, "--s3-location", "bucket=specs,key=app.zip,bundleType=zip", fails=True)
    assert "(InvalidRevisionException)" in refused and "BundleType must be either YAML or JSON" in refused

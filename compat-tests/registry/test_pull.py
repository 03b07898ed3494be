"""Tasks whose images are in registries: Neargate's own ECR, Debian's docker-registry, and one that misbehaves."""

import base64
import json
import shutil
import subprocess
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import registry
from images import pack_docker
from neargate import BINARY, Neargate, running
from registry import USER, Proxy, Trouble, docker_registry, skopeo
from tasks import Tasks, container
from waiting import until

pytestmark = pytest.mark.skipif(not registry.is_here(), reason="there is no docker-registry, or no skopeo")
COMMAND_S = 60


@pytest.fixture(scope="module")
def node(tmp_path_factory) -> Iterator[Neargate]:
    """A server that runs containers, and has no image."""
    with running(tmp_path_factory.mktemp("node")) as server:
        yield server


@pytest.fixture
def archive(tmp_path, busybox, name) -> Path:
    """An image as `docker save` writes it, of which no server has anything yet."""
    root = Path(shutil.copy(busybox, tmp_path / "root.tar"))
    with tarfile.open(root, "a") as layer:
        layer.addfile(tarfile.TarInfo(name))
    return pack_docker(tmp_path / "app.tar", root, "app:1", {"Cmd": ["/bin/echo", "from the image"]})


@pytest.fixture(scope="module")
def upstream(tmp_path_factory) -> Iterator[str]:
    with docker_registry(tmp_path_factory.mktemp("open") / "registry") as address:
        yield address


@pytest.fixture
def proxy(upstream, archive, name) -> Iterator[Proxy]:
    """A proxy before the registry, which has the image under the test's name."""
    registry.push(archive, f"{upstream}/{name}:1")
    proxy = Proxy(upstream)
    yield proxy
    proxy.close()


@pytest.fixture
def clients(node, client_of):
    return lambda service: client_of(node.endpoint, service)


@pytest.fixture
def work(clients, name) -> Tasks:
    return Tasks(clients, name)


def neargate(server: Neargate, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess:
    command = [str(BINARY), "image", *arguments, "--endpoint-url", server.endpoint]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=COMMAND_S)


def app(image: str, **members) -> dict:
    """A container that runs what the image says."""
    return {"name": "main", "image": image, **members}


def reason(work: Tasks, image: str, **members) -> str:
    """Runs a task that cannot start, and returns why."""
    [task] = work.wait("STOPPED", *work.run(app(image, **members)), patience_s=60)
    assert task["stopCode"] == "TaskFailedToStart" and task["containers"][0]["reason"] == task["stoppedReason"]
    assert "startedAt" not in task
    return task["stoppedReason"]


def test_an_image_that_was_pushed_to_ecr_runs_and_comes_out_as_it_went_in(node, clients, work, archive, name, tmp_path):
    ecr = clients("ecr")
    ecr.create_repository(repositoryName=name)
    address = node.endpoint.removeprefix("http://")
    token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    user = base64.b64decode(token).decode()
    pushed = registry.push(archive, f"{address}/{name}:1", user)
    aws = f"000000000000.dkr.ecr.us-east-1.amazonaws.com/{name}"
    port = address.rpartition(":")[2]
    for image in (f"{aws}:1", f"000000000000.dkr.ecr.us-east-1.localhost:{port}/{name}:1", f"{address}/{name}:1"):
        [task] = work.wait("STOPPED", *work.run(app(image)))
        assert task["stopCode"] == "EssentialContainerExited", task
        main = task["containers"][0]
        assert (main["image"], main["imageDigest"], main["exitCode"]) == (image, pushed, 0)
        assert work.output(task["taskArn"]) == ["from the image"]
        assert task["pullStartedAt"] <= task["pullStoppedAt"] <= task["startedAt"]
    skopeo("copy", "--src-tls-verify=false", "--src-creds", user, f"docker://{address}/{name}:1", f"oci:{tmp_path}/out:1")
    assert json.loads((tmp_path / "out/index.json").read_text())["manifests"][0]["digest"]
    # The OCI layout has a manifest of its own kind; a folder keeps what the registry has.
    skopeo("copy", "--src-tls-verify=false", "--src-creds", user, f"docker://{address}/{name}:1", f"dir:{tmp_path}/dir")
    assert skopeo("manifest-digest", f"{tmp_path}/dir/manifest.json").strip() == pushed
    pinned = f"{aws}@{pushed}"
    [task] = work.wait("STOPPED", *work.run(app(pinned)))
    assert (task["containers"][0]["imageDigest"], task["containers"][0]["exitCode"]) == (pushed, 0)
    missing = f"{aws}:nope"
    assert reason(work, missing) == (
        f"CannotPullContainerError: pull image manifest has been retried 7 time(s): failed to resolve ref {missing}: not found."
    )
    described = ecr.describe_images(repositoryName=name)["imageDetails"][0]
    assert described["imageDigest"] == pushed and "lastRecordedPullTime" in described


def test_a_registry_on_this_machine_is_pulled_from(work, upstream, archive, name):
    image = f"{upstream}/{name}:1"
    pushed = registry.push(archive, image)
    [task] = work.wait("STOPPED", *work.run(app(image)))
    assert (task["containers"][0]["imageDigest"], task["containers"][0].get("exitCode")) == (pushed, 0), task
    assert work.output(task["taskArn"]) == ["from the image"]


def test_a_private_registry_wants_the_user_that_the_task_names(tmp_path, clients, work, archive, name):
    with docker_registry(tmp_path / "private", is_private=True) as address:
        image = f"{address}/{name}:1"
        pushed = registry.push(archive, image, USER)
        user, _, password = USER.partition(":")
        secrets = clients("secretsmanager")

        def credentials(word: str) -> dict:
            value = json.dumps({"username": user, "password": word})
            secret = secrets.create_secret(Name=f"{name}-{len(word)}", SecretString=value)
            return {"repositoryCredentials": {"credentialsParameter": secret["ARN"]}}

        assert "no basic auth credentials" in reason(work, image)
        refused = reason(work, image, **credentials("wrong"))
        assert "pull access denied, repository does not exist or may require authorization" in refused
        assert "wrong" not in refused
        [task] = work.wait("STOPPED", *work.run(app(image, **credentials(password))))
        assert (task["containers"][0]["imageDigest"], task["containers"][0].get("exitCode")) == (pushed, 0), task
        assert "no basic auth credentials" in reason(work, image), "what is here is not given to who has no access"


def test_tasks_that_start_at_once_fetch_each_blob_once(work, proxy, name):
    arns = work.run(app(f"{proxy.address}/{name}:1"), count=8)
    tasks = work.wait("STOPPED", *arns)
    assert {task["containers"][0].get("exitCode") for task in tasks} == {0}
    assert len(proxy.blobs()) == len(set(proxy.blobs())) == 2, proxy.asked
    proxy.asked.clear()
    work.wait("STOPPED", *work.run(app(f"{proxy.address}/{name}:1")))
    assert proxy.asked == [f"HEAD /v2/{name}/manifests/1"]


def is_layer(path: str) -> bool:
    return "/blobs/" in path


def test_passing_trouble_is_overcome(work, proxy, name):
    troubles = {
        "cut": lambda method, path, before: Trouble(cut_at=10_000) if is_layer(path) and before == 0 else None,
        "corrupt": lambda method, path, before: Trouble(corrupt=True) if is_layer(path) and before == 0 else None,
        "busy": lambda method, path, before: Trouble(429, Retry_After="1") if before == 0 else None,
        "broken": lambda method, path, before: Trouble(500) if before < 2 else None,
        "elsewhere": lambda method, path, before: (
            Trouble(307, Location=f"http://{proxy.upstream}{path}") if is_layer(path) else None
        ),
    }
    server = Tasks(work.client, work.name)
    for kind, trouble in troubles.items():
        proxy.asked.clear()
        proxy.trouble = trouble
        image = f"{proxy.address}/{name}:1"
        [task] = server.wait("STOPPED", *server.run(app(image)), patience_s=60)
        assert task["containers"][0].get("exitCode") == 0, (kind, task["stoppedReason"])
        assert len(proxy.blobs()) >= 2, (kind, proxy.asked)
        # So that the next one fetches it again.
        subprocess.run([str(BINARY), "image", "rm", image, "--endpoint-url", work.client("ecs").meta.endpoint_url], check=True)


def test_lasting_trouble_is_told_in_aws_s_words(work, proxy, name):
    image = f"{proxy.address}/{name}:1"
    limit = b'{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit."}]}'

    def busy(method: str, path: str, before: int) -> Trouble | None:
        return Trouble(429, limit) if method == "GET" else None

    proxy.trouble = busy
    text = reason(work, image)
    assert text.startswith("CannotPullContainerError: pull image manifest has been retried 5 time(s): httpReadSeeker: failed open: ")
    assert text.endswith("429 Too Many Requests - Server message: toomanyrequests: You have reached your pull rate limit.")
    proxy.trouble = lambda method, path, before: Trouble(500) if is_layer(path) else None
    text = reason(work, image)
    assert "has been retried 5 time(s)" in text and text.endswith("500 Internal Server Error"), text
    proxy.trouble = lambda method, path, before: Trouble(corrupt=True) if is_layer(path) else None
    text = reason(work, image)
    assert "unexpected commit digest sha256:" in text and text.endswith(": failed precondition"), text
    proxy.trouble = lambda method, path, before: Trouble(cut_at=0) if is_layer(path) else None
    assert reason(work, image).endswith(": unexpected EOF")
    gone = Proxy(proxy.upstream)
    gone.close()
    text = reason(work, f"{gone.address}/{name}:1")
    assert text == (
        "CannotPullContainerError: pull image manifest has been retried 5 time(s): failed to resolve ref "
        f'{gone.address}/{name}:1: failed to do request: Head "http://{gone.address}/v2/{name}/manifests/1": dial tcp '
        f"{gone.address}: connect: connection refused"
    )


def test_a_missing_platform_is_told_in_aws_s_words(work, proxy, name):
    definition = work.definition(app(f"{proxy.address}/{name}:1"), runtimePlatform={"cpuArchitecture": "ARM64"})
    arn = work.client("ecs").register_task_definition(**definition)["taskDefinition"]["taskDefinitionArn"]
    [task] = work.wait("STOPPED", *work.run(arn))
    assert task["stoppedReason"] == (
        "CannotPullContainerError: pull image manifest has been retried 7 time(s): image Manifest does not contain "
        "descriptor matching platform 'linux/arm64'"
    )


def test_a_task_stops_at_once_while_its_image_is_pulled(node, work, proxy, name, busybox):
    reached, go_on = threading.Event(), threading.Event()

    def hang(method: str, path: str, before: int) -> None:
        if is_layer(path):
            reached.set()
            go_on.wait(COMMAND_S)

    proxy.trouble = hang
    node.load_image(busybox, "busybox:latest")
    [slow] = work.run(app(f"{proxy.address}/{name}:1"))
    assert reached.wait(COMMAND_S)
    [other] = work.run(container("echo beside"))
    work.wait("STOPPED", other)
    assert work.output(other) == ["beside"]
    begin = time.monotonic()
    work.client("ecs").stop_task(cluster=work.name, task=slow)
    [task] = work.wait("STOPPED", slow)
    assert time.monotonic() - begin < 5
    assert (task["stopCode"], task.get("imageDigest")) == ("UserInitiated", None)
    go_on.set()


@pytest.mark.parametrize(("behavior", "serves"), [("default", True), ("prefer-cached", True), ("once", True), ("always", False)])
def test_what_was_pulled_serves_without_its_registry_as_the_behavior_says(tmp_path, client_of, archive, name, behavior, serves):
    with running(tmp_path, ["--image-pull-behavior", behavior]) as server:
        work = Tasks(lambda service: client_of(server.endpoint, service), name)
        with docker_registry(tmp_path / "registry") as address:
            image = f"{address}/{name}:1"
            registry.push(archive, image)
            work.wait("STOPPED", *work.run(app(image)))
        [task] = work.wait("STOPPED", *work.run(app(image)))
        assert (task["stopCode"] == "EssentialContainerExited") == serves, task["stoppedReason"]


def test_the_command_line_pulls_shows_and_prunes(node, work, proxy, name):
    image = f"{proxy.address}/{name}:1"
    pulled = neargate(node, "pull", image)
    assert pulled.returncode == 0, pulled.stderr
    digest = registry.digest(f"{proxy.upstream}/{name}:1")
    assert pulled.stdout.splitlines()[-1] == f"{image} {digest}"
    told = [json.loads(line) for line in neargate(node, "pull", image, "--json").stdout.splitlines()]
    assert told[-1] == {"digest": digest}
    detail = json.loads(neargate(node, "inspect", image).stdout)
    assert (detail["reference"], detail["digest"], detail["source"]) == (image, digest, "pulled")
    assert (detail["platform"], detail["config"]["cmd"], detail["in_use"]) == ("linux/amd64", ["/bin/echo", "from the image"], False)
    missing = neargate(node, "pull", f"{proxy.address}/{name}:nope")
    assert missing.returncode == 1 and "no image answers to" in missing.stderr
    [task] = work.run(app(image, command=["/bin/sh", "-c", "trap 'exit 0' TERM; sleep 600 & wait"]))
    work.wait("RUNNING", task)
    assert image not in json.loads(neargate(node, "prune", "--json").stdout)["removed"]
    work.client("ecs").stop_task(cluster=work.name, task=task)
    work.wait("STOPPED", task)
    until(lambda: image in json.loads(neargate(node, "prune", "--json").stdout)["removed"], "the image to go")
    listed = json.loads(neargate(node, "ls", "--json").stdout)["images"]
    assert image not in [each["reference"] for each in listed]

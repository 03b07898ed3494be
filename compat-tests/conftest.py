"""One server for all tests, and the clients that talk to it."""

import json
import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

import answers
from neargate import BINARY, DATA_DIR_DEFAULT, Neargate, is_locked, pack_busybox, running
from tasks import Tasks

REGION = "us-east-1"
# The waits of services pass ten times as fast as the clock: what AWS takes for healthy after 40 seconds is so after four.
TIME_SCALE = "10"


@pytest.fixture(scope="session")
def busybox(tmp_path_factory) -> Path:
    """The root file system of an image, as a tar archive."""
    return pack_busybox(tmp_path_factory.mktemp("images") / "busybox.tar")


@pytest.fixture(scope="session")
def neargate(tmp_path_factory, busybox) -> Iterator[Neargate]:
    """The server of the session. When the session ends, nothing of it may be left on the machine."""
    assert BINARY.exists(), f"{BINARY} is missing: cargo build --release"
    assert os.geteuid() == 0, "containers need root"
    folder = tmp_path_factory.mktemp("neargate")
    with running(folder, options=("--time-scale", TIME_SCALE)) as server:
        server.load_image(busybox, "busybox:latest")
        yield server


@pytest.fixture
def own_neargate(tmp_path, busybox) -> Iterator[Neargate]:
    """A server of the test's own, to be killed and started again. Its tasks end with the test."""
    server = Neargate(tmp_path / "data", tmp_path / "log").start()
    server.load_image(busybox, "busybox:latest")
    try:
        yield server
    finally:
        if server.process.poll() is not None:
            server.start()
        server.reset()
        server.stop()
    assert not server.leftovers(), server.leftovers()


@pytest.fixture
def memory_neargate(tmp_path, busybox) -> Iterator[Neargate]:
    """A server without a data directory: it keeps its images where such servers do, and its state in memory."""
    reference = "neargate-compat:memory"
    server = Neargate(DATA_DIR_DEFAULT, tmp_path / "log", keeps_state=False)
    if is_locked(DATA_DIR_DEFAULT):
        pytest.skip("another server without a data directory is running")
    server.start()
    server.load_image(busybox, reference)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.stop()
        server.start().remove_image(reference)
        server.stop()


def make_client(endpoint: str, service: str, key: str = "test", region: str = REGION, validates: bool = True):
    """Makes a client that fails on answers that its model does not allow."""
    config = Config(parameter_validation=validates, retries={"max_attempts": 0}, max_pool_connections=64)
    client = boto3.client(
        service,
        endpoint_url=endpoint,
        region_name=region,
        aws_access_key_id=key,
        aws_secret_access_key="test",
        config=config,
    )
    answers.watch(client)
    return client


@pytest.fixture(scope="session")
def client_of() -> Callable:
    """Makes clients of any server: `client_of(endpoint, "ecs", …)`."""
    return make_client


@pytest.fixture(scope="session")
def client(neargate) -> Callable:
    """Makes clients of the session's server: `client("ecs", key=…, region=…, validates=…)`."""
    made = {}

    def cached(service: str, **more):
        key = (service, *sorted(more.items()))
        if key not in made:
            made[key] = make_client(neargate.endpoint, service, **more)
        return made[key]

    return cached


@pytest.fixture(scope="session")
def ecs(client):
    return client("ecs")


@pytest.fixture(scope="session")
def ec2(client):
    return client("ec2")


@pytest.fixture(scope="session")
def logs(client):
    return client("logs")


@pytest.fixture
def name() -> str:
    """A name that no other test uses."""
    return f"t{uuid.uuid4().hex[:12]}"


@pytest.fixture
def tasks(client, name) -> Tasks:
    """Registers and runs tasks in a cluster of the test's own."""
    return Tasks(client, name)


@pytest.fixture
def own_tasks(own_neargate, name) -> Tasks:
    """Registers and runs tasks on the test's own server, also after it has been started again."""
    return Tasks(lambda service: make_client(own_neargate.endpoint, service), name)


@pytest.fixture
def memory_tasks(memory_neargate, name) -> Tasks:
    """Registers and runs tasks on the server that keeps nothing."""
    return Tasks(lambda service: make_client(memory_neargate.endpoint, service), name)


@pytest.fixture
def aws(neargate) -> Callable:
    """Runs the AWS CLI against the server and returns its answer."""

    def run(*arguments: str, fails: bool = False):
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_PAGER": "",
            "AWS_MAX_ATTEMPTS": "1",
        }
        command = ["aws", "--endpoint-url", neargate.endpoint, "--output", "json", *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=110)
        assert (done.returncode != 0) == fails, done.stderr
        if fails:
            return done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None

    return run

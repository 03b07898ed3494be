"""A server whose services wait a tenth of the usual time, and services on it."""

from collections.abc import Callable, Iterator

import pytest

from neargate import Neargate, running
from service import Service

# 40 seconds of running, which is what makes a task healthy, are four.
TIME_SCALE = "10"


@pytest.fixture(scope="session")
def neargate(tmp_path_factory, busybox) -> Iterator[Neargate]:
    """The server of the tests of services."""
    with running(tmp_path_factory.mktemp("services"), options=("--time-scale", TIME_SCALE)) as server:
        server.load_image(busybox, "busybox:latest")
        yield server


@pytest.fixture(scope="session")
def client(neargate, client_of) -> Callable:
    """Makes clients of that server."""
    made = {}

    def cached(service: str):
        if service not in made:
            made[service] = client_of(neargate.endpoint, service)
        return made[service]

    return cached


@pytest.fixture
def service(aws, tasks) -> Service:
    """A service with a cluster of the test's own, not created yet."""
    return Service(aws, tasks)

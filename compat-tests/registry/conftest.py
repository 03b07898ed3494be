"""A server for the tests of registries: it runs no containers, so it needs no rights."""

from collections.abc import Callable, Iterator

import pytest

from distribution import Connection
from neargate import Neargate


@pytest.fixture(scope="session")
def registry_server(tmp_path_factory) -> Iterator[Neargate]:
    """A server that pushes go to."""
    folder = tmp_path_factory.mktemp("registry")
    server = Neargate(folder / "data", folder / "log", node="simulated").start()
    try:
        yield server
    finally:
        status = server.stop()
    assert status == 0, server.log.read_text()


@pytest.fixture(scope="session")
def ecr(registry_server, client_of):
    return client_of(registry_server.endpoint, "ecr")


@pytest.fixture
def repository(ecr, name) -> Iterator[str]:
    """A repository of the test's own."""
    ecr.create_repository(repositoryName=name)
    yield name
    ecr.delete_repository(repositoryName=name, force=True)


@pytest.fixture
def connect(registry_server, ecr) -> Iterator[Callable[..., Connection]]:
    """Makes connections that are logged in."""
    made = []

    def connection(host: str | None = None) -> Connection:
        token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
        made.append(Connection(registry_server.endpoint, token, host))
        return made[-1]

    yield connection
    for each in made:
        each.close()

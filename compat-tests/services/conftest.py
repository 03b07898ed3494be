"""What the tests of services share."""

import pytest

from service import Service


@pytest.fixture
def service(aws, tasks) -> Service:
    """A service in a cluster of the test's own, not created yet."""
    return Service(aws, tasks)

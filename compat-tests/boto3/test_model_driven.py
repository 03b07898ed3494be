"""Every operation against requests made from the model: the answer is always one that the model allows.

Minimal requests, maximal ones, each member alone, each enum value, each constraint violated, each member missing or of a
wrong type, random bytes: whatever comes, botocore's own parser takes the answer, no answer is a fault of the server, and
none is late. The node is simulated: thousands of tasks may start.
"""

import http.client
import json
import zlib
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel
from botocore.parsers import create_parser

import answers
import model_requests
from ecr_world import EcrWorld
from neargate import Neargate
from world import World

# How long an answer may take.
PATIENCE_S = 10
# How many of the faulty answers a failure shows.
SHOWN_MAX = 12
SERVICES = ["ecr", "ecr-public", "ecs", "logs"]
# What the front ends of all services answer, whatever the model says.
FRONT_END_ERRORS = {"SerializationException", "ValidationException", "RequestEntityTooLargeException"}
# CloudWatch Logs words what a model forbids as one of its own errors, which two of the older operations do not list.
OWN_FRONT_END_ERRORS = {"logs": {"InvalidParameterException"}}
NOT_IMPLEMENTED = 501


def models() -> Iterator[tuple[ServiceModel, OperationModel]]:
    loader = Loader()
    for name in SERVICES:
        model = ServiceModel(loader.load_service_model(name, "service-2"), name)
        for operation in model.operation_names:
            yield model, model.operation_model(operation)


OPERATIONS = [pytest.param(*pair, id=f"{pair[0].service_name}-{pair[1].name}") for pair in models()]


@pytest.fixture(scope="module")
def simulated(tmp_path_factory) -> Iterator[Neargate]:
    """A server whose tasks are simulated."""
    folder = tmp_path_factory.mktemp("simulated")
    server = Neargate(folder / "data", folder / "log", keeps_state=False, node="simulated").start()
    try:
        yield server
    finally:
        status = server.stop()
    assert status == 0, server.log.read_text()


class Caller:
    """Sends bodies for one operation, over one connection, as one account."""

    def __init__(self, endpoint: str, model: ServiceModel, operation: OperationModel) -> None:
        self.model, self.operation = model, operation
        self.address = urlsplit(endpoint).netloc
        self.connection = http.client.HTTPConnection(self.address, timeout=PATIENCE_S)
        self.parser = create_parser("json")

    def send(self, body: bytes, account: str) -> tuple[int, dict[str, str], bytes]:
        version = self.model.metadata["jsonVersion"]
        scope = f"{account}/20260101/us-east-1/{self.model.signing_name}/aws4_request"
        headers = {
            "Content-Type": f"application/x-amz-json-{version}",
            "X-Amz-Target": f"{self.model.metadata['targetPrefix']}.{self.operation.name}",
            "Authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=0",
        }
        try:
            self.connection.request("POST", "/", body, headers)
            answer = self.connection.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        except (OSError, http.client.HTTPException):
            self.connection.close()
            raise

    def faults(self, request: model_requests.Request, account: str) -> Iterator[str]:
        """Sends a request, and yields what is wrong with its answer."""
        try:
            status, headers, body = self.send(request.body, account)
        except (OSError, http.client.HTTPException) as error:
            yield f"no answer: {error!r}"
            return
        shape = self.operation.output_shape
        try:
            parsed = self.parser.parse({"status_code": status, "headers": headers, "body": body}, shape)
        except Exception as error:  # whatever the parser fails with, it is the answer's fault
            yield f"botocore cannot read the answer: {error!r}: {body[:200]!r}"
            return
        if not headers.get("x-amzn-requestid"):
            yield "the answer has no request id"
        if status == 200:
            yield from answers.violations(shape, json.loads(body), self.operation.name)
            return
        error = parsed["Error"]
        known = {shape.error_code for shape in self.operation.error_shapes} | FRONT_END_ERRORS
        known |= OWN_FRONT_END_ERRORS.get(self.operation.service_model.service_name, set())
        if status != 400 and not (status == 413 and len(request.body) > 1_000_000):
            yield f"status {status}: {error}"
        elif error["Code"] not in known:
            yield f"the operation has no error {error['Code']}: {error['Message']}"
        elif not error["Message"]:
            yield f"{error['Code']} says nothing"


def account_of(operation: OperationModel, part: int) -> str:
    """Returns an account that nobody else uses."""
    name = f"{operation.service_model.service_name}.{operation.name}"
    return f"{zlib.crc32(name.encode()):010d}{part:02d}"


def world_of(service: str, endpoint: str, account: str) -> World | EcrWorld:
    """Returns an account in which the requests for a service have something to be about."""
    return EcrWorld(endpoint, account, service) if service.startswith("ecr") else World(endpoint, account)


@pytest.mark.parametrize(("model", "operation"), OPERATIONS)
def test_every_answer_is_one_that_the_model_allows(simulated, model, operation):
    caller = Caller(simulated.endpoint, model, operation)
    if caller.send(b"{}", account_of(operation, 0))[0] == NOT_IMPLEMENTED:
        pytest.skip("the operation is not implemented yet")
    seed = zlib.crc32(operation.name.encode())
    faults: list[str] = []
    count = 0
    # What succeeds may delete what others need: each kind of request has a world of its own.
    kinds = [model_requests.bad, lambda *more: model_requests.random_bodies(*more, seed), model_requests.good]
    for part, kind in enumerate(kinds, start=1):
        account = account_of(operation, part)
        world = world_of(model.service_name, simulated.endpoint, account)
        for request in kind(operation, world):
            count += 1
            faults += [f"{request.label}: {fault}" for fault in caller.faults(request, account)]
            if len(faults) > SHOWN_MAX:
                break
    assert not faults, f"{len(faults)} of {count} answers:\n" + "\n".join(faults[:SHOWN_MAX])


def test_the_server_has_survived_all_of_it(simulated):
    assert simulated.admin("GET", "health")["status"] == "running"
    panics = [line for line in simulated.log.read_text().splitlines() if "panic" in line]
    assert not panics, panics[:SHOWN_MAX]

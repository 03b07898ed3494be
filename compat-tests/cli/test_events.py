"""EventBridge and its Scheduler with the AWS CLI: rules that log, run tasks, call webhooks and functions, and schedules."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import HTTPServer
from urllib.parse import quote

import pytest
from listener import Handler, serving
from neargate import Neargate
from tasks import ROLE, container
from waiting import until


class Webhook(HTTPServer):
    """An endpoint on this machine that fails as often as it is told, and then takes what it is given."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Receiver)
        self.failures_left = 0
        self.asked: list[tuple[int, dict, dict]] = []


class Receiver(Handler):
    def do_POST(self) -> None:
        body = self.body()
        status = 503 if self.server.failures_left else 200
        self.server.failures_left -= bool(self.server.failures_left)
        self.server.asked.append((status, dict(self.headers) | {":path": self.path}, body))
        self.send_response(status)
        self.end_headers()


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    with serving(Webhook()) as server:
        yield server


@pytest.fixture
def cluster(ecs, tasks) -> str:
    """The ARN of the test's cluster."""
    return ecs.describe_clusters(clusters=[tasks.name])["clusters"][0]["clusterArn"]


@pytest.fixture
def ecs_parameters(client, tasks) -> dict:
    """What runs a task that ends at once."""
    vpc = tasks.network()["awsvpcConfiguration"]
    return {
        "TaskDefinitionArn": tasks.register(container("echo ran: $WORD")),
        "LaunchType": "FARGATE",
        "NetworkConfiguration": {"awsvpcConfiguration": {"Subnets": vpc["subnets"], "AssignPublicIp": "ENABLED"}},
    }


def overrides(word: str) -> str:
    return json.dumps({"containerOverrides": [{"name": "main", "environment": [{"name": "WORD", "value": word}]}]})


def messages_of(aws, group: str) -> list[dict]:
    found = aws("logs", "filter-log-events", "--log-group-name", group)
    return [json.loads(event["message"]) for event in found["events"]]


def test_the_life_of_a_task_is_logged_version_by_version(aws, tasks, cluster, name):
    group = f"/aws/events/{name}"
    aws("logs", "create-log-group", "--log-group-name", group)
    pattern = {"source": ["aws.ecs"], "detail-type": ["ECS Task State Change"], "detail": {"clusterArn": [cluster]}}
    arn = aws("events", "put-rule", "--name", name, "--event-pattern", json.dumps(pattern))["RuleArn"]
    assert arn.endswith(f":rule/{name}")
    target = f"Id=log,Arn=arn:aws:logs:us-east-1:000000000000:log-group:{group}"
    assert aws("events", "put-targets", "--rule", name, "--targets", target)["FailedEntryCount"] == 0
    [task] = tasks.run(container("exit 3"))
    tasks.wait("STOPPED", task)

    def stopped() -> list[dict] | None:
        events = messages_of(aws, group)
        return events if any(event["detail"]["lastStatus"] == "STOPPED" for event in events) else None

    events = until(stopped, "the event of the task's end")
    assert [event["detail"]["version"] for event in events] == list(range(1, len(events) + 1))
    last = events[-1]
    assert last["resources"] == [task]
    assert (last["detail"]["stopCode"], last["detail"]["containers"][0]["exitCode"]) == ("EssentialContainerExited", 3)
    assert aws("events", "list-rule-names-by-target", "--target-arn", target.partition("Arn=")[2])["RuleNames"] == [name]
    aws("events", "remove-targets", "--rule", name, "--ids", "log")
    aws("events", "delete-rule", "--name", name)


def test_an_event_of_ones_own_runs_a_task(aws, tasks, cluster, ecs_parameters, name):
    aws("events", "put-rule", "--name", name, "--event-pattern", json.dumps({"source": [name]}))
    target = {
        "Id": "task",
        "Arn": cluster,
        "RoleArn": ROLE,
        "EcsParameters": ecs_parameters,
        "InputTransformer": {
            "InputPathsMap": {"word": "$.detail.word"},
            "InputTemplate": overrides("<word>"),
        },
    }
    aws("events", "put-targets", "--rule", name, "--targets", json.dumps([target]))
    entry = {"Source": name, "DetailType": "Word", "Detail": json.dumps({"word": "sesame"})}
    assert aws("events", "put-events", "--entries", json.dumps([entry]))["FailedEntryCount"] == 0
    listed = until(lambda: aws("ecs", "list-tasks", "--cluster", tasks.name, "--desired-status", "STOPPED")["taskArns"], "a task", 60)
    [task] = tasks.wait("STOPPED", *listed)
    assert task["startedBy"] == f"events-rule/{name}"[:36]
    tasks.wait_output(task["taskArn"], "ran: sesame")


def test_a_webhook_is_called_until_it_answers(aws, webhook, name):
    webhook.failures_left = 2
    parameters = {"ApiKeyAuthParameters": {"ApiKeyName": "x-key", "ApiKeyValue": "open"}}
    connection = aws(
        *("events", "create-connection", "--name", name, "--authorization-type", "API_KEY"),
        *("--auth-parameters", json.dumps(parameters)),
    )
    wanted = {
        "Name": name,
        "ConnectionArn": connection["ConnectionArn"],
        "InvocationEndpoint": f"http://127.0.0.1:{webhook.server_port}/hook",
        "HttpMethod": "POST",
    }
    # As a whole: of a parameter that is an address of the web, this CLI would send what lies there.
    destination = aws("events", "create-api-destination", "--cli-input-json", json.dumps(wanted))
    aws("events", "put-rule", "--name", name, "--event-pattern", json.dumps({"source": [name]}))
    target = {"Id": "hook", "Arn": destination["ApiDestinationArn"], "RoleArn": ROLE, "InputPath": "$.detail"}
    aws("events", "put-targets", "--rule", name, "--targets", json.dumps([target]))
    entry = {"Source": name, "DetailType": "Thing", "Detail": json.dumps({"n": 1})}
    aws("events", "put-events", "--entries", json.dumps([entry]))
    until(lambda: len(webhook.asked) == 3, "three calls")
    assert [status for status, _, _ in webhook.asked] == [503, 503, 200]
    assert {(headers["x-key"], body["n"]) for _, headers, body in webhook.asked} == {("open", 1)}


def test_a_schedule_runs_a_task_once_and_deletes_itself(aws, tasks, cluster, ecs_parameters, name):
    at = datetime.now(UTC) + timedelta(seconds=15)
    target = {"Arn": cluster, "RoleArn": ROLE, "EcsParameters": ecs_parameters, "Input": overrides("later")}
    aws("scheduler", "create-schedule-group", "--name", name)
    aws(
        *("scheduler", "create-schedule", "--name", name, "--group-name", name),
        *("--schedule-expression", f"at({at:%Y-%m-%dT%H:%M:%S})", "--flexible-time-window", "Mode=OFF"),
        *("--action-after-completion", "DELETE", "--target", json.dumps(target)),
    )
    listed = until(lambda: aws("ecs", "list-tasks", "--cluster", tasks.name, "--desired-status", "STOPPED")["taskArns"], "a task", 60)
    [task] = tasks.wait("STOPPED", *listed)
    assert task["startedBy"] == f"chronos-schedule/{name}"[:36]
    assert task["createdAt"] >= at.replace(microsecond=0)
    tasks.wait_output(task["taskArn"], "ran: later")
    assert aws("scheduler", "list-schedules", "--group-name", name)["Schedules"] == []
    complaint = aws("scheduler", "get-schedule", "--name", name, "--group-name", name, fails=True)
    assert f"Schedule {name} does not exist." in complaint
    aws("scheduler", "delete-schedule-group", "--name", name)


def test_functions_are_called_where_the_endpoint_says(tmp_path, webhook, client_of):
    function = "arn:aws:lambda:us-east-1:000000000000:function:notify"
    options = ("--lambda-endpoint", f"http://127.0.0.1:{webhook.server_port}")
    server = Neargate(tmp_path / "data", tmp_path / "log", node="simulated", options=options).start()
    try:
        events, scheduler = (client_of(server.endpoint, service) for service in ("events", "scheduler"))
        webhook.failures_left = 1
        events.put_rule(Name="r", EventPattern=json.dumps({"source": ["shop"]}))
        events.put_targets(Rule="r", Targets=[{"Id": "f", "Arn": function, "InputPath": "$.detail"}])
        events.put_events(Entries=[{"Source": "shop", "DetailType": "Order", "Detail": json.dumps({"n": 1})}])
        until(lambda: len(webhook.asked) == 2, "a call that is made again")
        scheduler.create_schedule(
            Name="s",
            ScheduleExpression="rate(1 hours)",
            FlexibleTimeWindow={"Mode": "OFF"},
            Target={"Arn": function, "RoleArn": ROLE, "Input": json.dumps({"n": 2})},
        )
        until(lambda: len(webhook.asked) == 3, "the schedule's call")
    finally:
        server.stop()
    assert [(status, body["n"]) for status, _, body in webhook.asked] == [(503, 1), (200, 1), (200, 2)]
    assert {headers["x-amz-invocation-type"] for _, headers, _ in webhook.asked} == {"Event"}
    place = f"/2015-03-31/functions/{quote(function, safe='')}/invocations"
    assert {headers[":path"] for _, headers, _ in webhook.asked} == {place}

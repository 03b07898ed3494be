"""Listings: pages, filters, and what changes between two pages."""

import time

import pytest
from botocore.exceptions import ClientError
from tasks import container

# A shell that gets SIGTERM before it has set its trap does not see it, as process 1 of its namespace: hence stopTimeout=2.
WAITER = "trap 'exit 0' TERM; while :; do sleep 0.1; done"
DEFINITION = {"containerDefinitions": [{"name": "main", "image": "busybox", "memory": 64}]}


def pages(client, operation: str, key: str, size: int, **request) -> list[list[str]]:
    """Returns the pages of a listing, and checks that none is larger than asked for."""
    paginator = client.get_paginator(operation)
    found = [page[key] for page in paginator.paginate(PaginationConfig={"PageSize": size}, **request)]
    assert all(len(page) <= size for page in found)
    return found


def flat(found: list[list[str]]) -> list[str]:
    return [item for page in found for item in page]


@pytest.fixture
def account(client, name):
    """A client of an account that no other test uses."""
    return client("ecs", key=f"{int(name[1:], 16) % 10**12:012}")


def test_list_clusters_has_pages(account):
    made = {account.create_cluster(clusterName=f"c{index}")["cluster"]["clusterArn"] for index in range(7)}
    found = pages(account, "list_clusters", "clusterArns", 2)
    assert [len(page) for page in found] == [2, 2, 2, 1]
    assert sorted(flat(found)) == sorted(made)


def test_a_cluster_that_is_made_between_two_pages_moves_no_other(account):
    for index in range(0, 8, 2):
        account.create_cluster(clusterName=f"c{index}")
    first = account.list_clusters(maxResults=2)
    for index in range(1, 8, 2):
        account.create_cluster(clusterName=f"c{index}")
    rest = account.list_clusters(nextToken=first["nextToken"])["clusterArns"]
    names = [arn.rpartition("/")[2] for arn in first["clusterArns"] + rest]
    assert len(names) == len(set(names))
    assert {"c0", "c2", "c4", "c6"} <= set(names)


def test_list_task_definitions_has_pages_in_both_orders_and_by_family(account):
    for family in ("a", "b", "a-b"):
        for _ in range(3):
            account.register_task_definition(family=family, **DEFINITION)
    short = [arn.rpartition("/")[2] for arn in flat(pages(account, "list_task_definitions", "taskDefinitionArns", 2))]
    assert sorted(short) == sorted(f"{family}:{revision}" for family in ("a", "b", "a-b") for revision in (1, 2, 3))
    reverse = flat(pages(account, "list_task_definitions", "taskDefinitionArns", 4, sort="DESC"))
    assert [arn.rpartition("/")[2] for arn in reverse] == short[::-1]
    of_family = flat(pages(account, "list_task_definitions", "taskDefinitionArns", 1, familyPrefix="a"))
    assert [arn.rpartition("/")[2] for arn in of_family] == ["a:1", "a:2", "a:3"]
    account.deregister_task_definition(taskDefinition="a:2")
    inactive = flat(pages(account, "list_task_definitions", "taskDefinitionArns", 1, status="INACTIVE"))
    assert [arn.rpartition("/")[2] for arn in inactive] == ["a:2"]


def test_list_task_definition_families_has_pages_and_statuses(account):
    for family in ("one", "two", "three", "onetwo"):
        account.register_task_definition(family=family, **DEFINITION)
    found = flat(pages(account, "list_task_definition_families", "families", 1))
    assert sorted(found) == ["one", "onetwo", "three", "two"]
    assert sorted(flat(pages(account, "list_task_definition_families", "families", 1, familyPrefix="one"))) == ["one", "onetwo"]
    account.deregister_task_definition(taskDefinition="two:1")
    assert flat(pages(account, "list_task_definition_families", "families", 5, status="INACTIVE")) == ["two"]
    assert "two" not in flat(pages(account, "list_task_definition_families", "families", 5, status="ACTIVE"))


def test_list_tasks_has_pages_and_a_task_started_in_between_moves_no_other(ecs, tasks):
    definition = tasks.register(container(WAITER, stopTimeout=2))
    made = tasks.run(definition, count=5)
    first = ecs.list_tasks(cluster=tasks.name, maxResults=2)
    more = tasks.run(definition, count=2)
    found, token = list(first["taskArns"]), first["nextToken"]
    while token:
        page = ecs.list_tasks(cluster=tasks.name, maxResults=2, nextToken=token)
        found, token = found + page["taskArns"], page.get("nextToken")
    assert len(found) == len(set(found))
    assert set(made) <= set(found) <= set(made + more)
    assert sorted(flat(pages(ecs, "list_tasks", "taskArns", 3, cluster=tasks.name))) == sorted(made + more)
    for task in made + more:
        ecs.stop_task(cluster=tasks.name, task=task)
    assert flat(pages(ecs, "list_tasks", "taskArns", 3, cluster=tasks.name)) == []
    tasks.wait("STOPPED", *made, *more)
    stopped = flat(pages(ecs, "list_tasks", "taskArns", 3, cluster=tasks.name, desiredStatus="STOPPED"))
    assert sorted(stopped) == sorted(made + more)


def test_list_tasks_filters(ecs, tasks):
    [ours] = tasks.run(container(WAITER, stopTimeout=2), startedBy="someone")

    def listed(**filters) -> list[str]:
        return ecs.list_tasks(cluster=tasks.name, **filters)["taskArns"]

    assert listed() == listed(startedBy="someone") == listed(family=tasks.name) == listed(launchType="FARGATE") == [ours]
    assert listed(startedBy="other") == listed(family="other") == listed(launchType="EC2") == []
    assert listed(desiredStatus="PENDING") == []
    ecs.stop_task(cluster=tasks.name, task=ours)
    tasks.wait("STOPPED", ours)


def test_a_page_has_at_most_a_hundred(client, account):
    for operation in ("list_clusters", "list_task_definitions", "list_task_definition_families"):
        for size in (0, 101):
            with pytest.raises(ClientError) as error:
                getattr(account, operation)(maxResults=size)
            assert error.value.response["Error"]["Code"] == "InvalidParameterException"


def test_a_token_of_another_listing_is_refused(account):
    for index in range(3):
        account.create_cluster(clusterName=f"c{index}")
    token = account.list_clusters(maxResults=1)["nextToken"]
    with pytest.raises(ClientError) as error:
        account.list_task_definitions(nextToken=token)
    assert error.value.response["Error"]["Code"] == "InvalidParameterException"


def test_log_events_and_streams_have_pages(logs, name):
    logs.create_log_group(logGroupName=name)
    now = int(time.time() * 1000)
    for stream in ("a", "b", "c"):
        logs.create_log_stream(logGroupName=name, logStreamName=stream)
        events = [{"timestamp": now - 1000 * (9 - index), "message": f"{stream}{index}"} for index in range(9)]
        assert "rejectedLogEventsInfo" not in put(logs, name, stream, events)
    streams = logs.get_paginator("describe_log_streams").paginate(logGroupName=name, PaginationConfig={"PageSize": 1})
    assert [each["logStreamName"] for page in streams for each in page["logStreams"]] == ["a", "b", "c"]
    filtered = logs.get_paginator("filter_log_events").paginate(logGroupName=name, PaginationConfig={"PageSize": 4})
    messages = [each["message"] for page in filtered for each in page["events"]]
    assert sorted(messages) == sorted(f"{stream}{index}" for stream in "abc" for index in range(9))
    groups = logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=name)
    assert [each["logGroupName"] for page in groups for each in page["logGroups"]] == [name]


def put(logs, group: str, stream: str, events: list[dict]) -> dict:
    return logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)

"""What a user of the AWS CLI sees of services whose tasks really run."""

import os
import re
import signal
from pathlib import Path

import pytest

from service import PATIENCE_S, UP, Watch, process_of
from waiting import until

pytestmark = pytest.mark.timeout(300)

HEALTHY_WITH_FILE = {"command": ["CMD-SHELL", "test -e /tmp/ok"], "interval": 5, "timeout": 2, "retries": 1}


def id_of(task: dict) -> str:
    return task["taskArn"].rpartition("/")[2]


def ids_in(service, start: str) -> set[str]:
    """Returns the ids of all tasks that events with a certain beginning name."""
    events = [event for event in service.events() if event.startswith(start)]
    return {id for event in events for id in re.findall(r"\(task (\w+)\)", event)}


def test_a_task_whose_process_is_killed_is_replaced_and_events_say_so(service):
    service.create(service.register(), 3)
    before = service.wait("services-stable")
    assert (before["runningCount"], before["pendingCount"], len(before["deployments"])) == (3, 0, 1)
    tasks = service.wait_running(3)
    killed = tasks[1]
    os.kill(process_of(killed, "/bin/sh"), signal.SIGKILL)
    after = service.wait_running(3, but=killed["taskArn"])
    [new] = {id_of(task) for task in after} - {id_of(task) for task in tasks}
    [stopped] = service.tasks.wait("STOPPED", killed["taskArn"])
    assert stopped["stopCode"] == "EssentialContainerExited"
    assert stopped["containers"][0]["exitCode"] == 137
    service.wait_event(f"has started 1 tasks: (task {new}).")
    assert ids_in(service, "has started ") == {id_of(task) for task in tasks} | {new}
    assert service.wait("services-stable")["runningCount"] == 3


@pytest.mark.parametrize(("count", "minimum", "maximum"), [(3, 100, 200), (4, 50, 100)])
def test_an_update_keeps_between_its_bounds_at_every_instant(service, count, minimum, maximum):
    service.create(service.register(), count, minimumHealthyPercent=minimum, maximumPercent=maximum)
    service.wait_rollout("COMPLETED")
    old = {id_of(task) for task in service.running()}
    second = service.register()
    with Watch(service, minimum, maximum) as watch:
        updated = service.update("--task-definition", second)
        assert [each["status"] for each in updated["deployments"]] == ["PRIMARY", "ACTIVE"]
        stable = service.wait("services-stable")
        service.wait_rollout("COMPLETED")
    assert watch.broken == []
    assert watch.looks > 10
    assert [each["taskDefinition"] for each in stable["deployments"]] == [second]
    tasks = service.running()
    assert {task["taskDefinitionArn"] for task in tasks} == {second}
    assert len(tasks) == count and not old & {id_of(task) for task in tasks}
    deployment = stable["deployments"][0]["id"]
    assert service.wait_event(f"(deployment {deployment}) deployment completed.")
    until(lambda: service.events()[-1] == "has reached a steady state.", "the steady state as the last event", PATIENCE_S)
    assert ids_in(service, "has stopped ") == old


def test_a_deployment_completes_once_its_tasks_are_healthy_and_replaces_those_that_are_no_more(service):
    late = "trap 'exit 0' TERM; while [ ! -e /tmp/go ]; do sleep 0.2; done; " + UP
    service.create(service.register(late, healthCheck=HEALTHY_WITH_FILE | {"retries": 10}), 1)
    [task] = service.wait_running(1)
    assert service.describe()["deployments"][0]["rolloutState"] == "IN_PROGRESS"
    assert service.tasks.describe(task["taskArn"])[0]["healthStatus"] == "UNKNOWN"
    root = Path("/proc") / str(process_of(task, "/bin/sh")) / "root/tmp"
    (root / "go").touch()
    service.wait_rollout("COMPLETED")
    assert service.tasks.describe(task["taskArn"])[0]["healthStatus"] == "HEALTHY"
    sick = service.register(UP, healthCheck=HEALTHY_WITH_FILE)
    service.update("--task-definition", sick)
    service.wait_rollout("COMPLETED")
    [task] = [each for each in service.running() if each["taskDefinitionArn"] == sick]
    (Path("/proc") / str(process_of(task, "/bin/sh")) / "root/tmp/ok").unlink()
    [other] = until(
        lambda: [each for each in service.running() if each["taskArn"] != task["taskArn"]], "another task", PATIENCE_S
    )
    service.wait_event(f"(task {id_of(task)}) failed container health checks.")
    service.tasks.wait("STOPPED", task["taskArn"], patience_s=PATIENCE_S)
    assert service.wait("services-stable")["runningCount"] == 1
    assert other["taskDefinitionArn"] == sick


def test_a_revision_that_fails_trips_the_breaker_and_is_rolled_back(service):
    breaker = {"enable": True, "rollback": True}
    good = service.register()
    service.create(good, 2, deploymentCircuitBreaker=breaker)
    first = service.wait_rollout("COMPLETED")
    kept = {id_of(task) for task in service.wait_running(2)}
    bad = service.register("exit 1")
    with Watch(service, 100, 200) as watch:
        updated = service.update("--task-definition", bad)
        failed = next(each["id"] for each in updated["deployments"] if each["status"] == "PRIMARY")
        back = f"rolling back to deployment {first['id']}."
        until(lambda: any(back in event for event in service.events()), back, PATIENCE_S)
        stable = service.wait("services-stable")
    assert watch.broken == []
    assert [each["taskDefinition"] for each in stable["deployments"]] == [good]
    service.wait_event(f"(deployment {failed}) deployment failed: tasks failed to start.")
    assert {id_of(task) for task in service.wait_running(2)} == kept
    client = service.tasks.client("ecs")
    newest = client.list_service_deployments(cluster=service.name, service=service.name)["serviceDeployments"][0]
    until(
        lambda: client.describe_service_deployments(serviceDeploymentArns=[newest["serviceDeploymentArn"]])[
            "serviceDeployments"
        ][0]["status"]
        == "ROLLBACK_SUCCESSFUL",
        "the service deployment to be rolled back",
        PATIENCE_S,
    )


def test_an_alarm_that_goes_off_rolls_a_deployment_back(service, aws):
    alarm = service.name
    aws(
        *("cloudwatch", "put-metric-alarm", "--alarm-name", alarm, "--namespace", "App", "--metric-name", "Errors"),
        *("--statistic", "Sum", "--period", "60", "--evaluation-periods", "1", "--threshold", "0.5"),
        *("--comparison-operator", "GreaterThanThreshold"),
    )
    assert aws("cloudwatch", "describe-alarms", "--alarm-names", alarm)["MetricAlarms"][0]["Threshold"] == 0.5
    alarms = {"alarmNames": [alarm], "enable": True, "rollback": True}
    good = service.register()
    service.create(good, 1, alarms=alarms)
    first = service.wait_rollout("COMPLETED")
    service.update("--task-definition", service.register())
    aws(
        *("cloudwatch", "set-alarm-state", "--alarm-name", alarm, "--state-value", "ALARM"),
        *("--state-reason", "too many errors"),
    )
    service.wait_event(f"rolling back to deployment {first['id']}.")
    stable = service.wait("services-stable")
    assert [each["taskDefinition"] for each in stable["deployments"]] == [good]


def test_a_service_is_deleted_with_its_tasks_only_if_that_is_meant(service):
    service.create(service.register(), 2)
    tasks = service.wait_running(2)
    refused = service.delete(fails=True)
    assert "(InvalidParameterException)" in refused
    assert "The service cannot be stopped while it is scaled above 0." in refused
    assert service.describe()["status"] == "ACTIVE"
    assert service.delete("--force")["service"]["status"] == "DRAINING"
    gone = service.wait("services-inactive")
    assert (gone["status"], gone["desiredCount"], gone["deployments"]) == ("INACTIVE", 0, [])
    service.tasks.wait("STOPPED", *[task["taskArn"] for task in tasks], patience_s=PATIENCE_S)


def test_a_service_that_is_scaled_to_nothing_is_deleted_without_force(service):
    service.create(service.register(), 1)
    service.wait_running(1)
    service.update("--desired-count", "0")
    service.wait_running(0)
    service.delete()
    assert service.wait("services-inactive")["status"] == "INACTIVE"

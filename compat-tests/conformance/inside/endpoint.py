"""What 169.254.170.2 answers: metadata, stats, credentials, and the APIs of ECS's agent."""

import json
import os
import re
import socket
import time
import urllib.error
import urllib.request
from datetime import datetime

from report import check, holds, same, until

V3, V4 = os.environ["ECS_CONTAINER_METADATA_URI"], os.environ["ECS_CONTAINER_METADATA_URI_V4"]
AGENT, HOST = os.environ["ECS_AGENT_URI"], "http://169.254.170.2"
OWN_ID = V4.rpartition("/")[2]
# Keys that every object has, in the order in which they are served.
CONTAINER_KEYS = ["DockerId", "Name", "DockerName", "Image", "ImageID", "Labels", "DesiredStatus", "KnownStatus", "Limits"]
CONTAINER_KEYS += ["CreatedAt", "StartedAt", "Type", "LogDriver", "LogOptions", "ContainerARN", "Networks", "Snapshotter"]
TASK_KEYS = ["Cluster", "TaskARN", "Family", "Revision", "DesiredStatus", "KnownStatus", "Limits", "PullStartedAt"]
TASK_KEYS += ["PullStoppedAt", "AvailabilityZone", "LaunchType", "Containers", "ClockDrift", "EphemeralStorageMetrics"]
STATS_KEYS = {"read", "preread", "pids_stats", "blkio_stats", "cpu_stats", "precpu_stats", "memory_stats", "name", "id"}
STATS_KEYS |= {"networks", "network_rate_stats", "num_procs"}
NANOSECONDS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z")


def ask(url: str, method: str = "GET", body: object = None) -> tuple[int, object]:
    """Returns status and body of an answer; waits while there have been too many requests."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, method=method, data=data, headers={"Content-Type": "application/json"})

    def once() -> tuple[int, object] | None:
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            text = error.read().decode()
            if error.code == 429:
                return None
            try:
                return error.code, json.loads(text)
            except ValueError:
                return error.code, text

    return until(once, f"an answer of {url}")


def get(url: str) -> dict:
    status, answer = ask(url)
    same(status, 200)
    return answer


def in_order(answer: dict, keys: list[str]) -> None:
    same([key for key in answer if key in keys], keys)


@check
def metadata_v4_of_the_container() -> None:
    answer = get(V4)
    in_order(answer, CONTAINER_KEYS)
    same((answer["DockerId"], answer["Name"], answer["DockerName"]), (OWN_ID, "main", "main"))
    same((answer["DesiredStatus"], answer["KnownStatus"], answer["Type"]), ("RUNNING", "RUNNING", "NORMAL"))
    same(answer["Limits"], {"CPU": 128, "Memory": 384})
    holds(re.fullmatch(r"sha256:[0-9a-f]{64}", answer["ImageID"]), answer["ImageID"])
    holds(NANOSECONDS.fullmatch(answer["StartedAt"]), answer["StartedAt"])
    same(answer["LogDriver"], "awslogs")
    same(answer["LogOptions"]["awslogs-stream"], f"test/main/{OWN_ID.partition('-')[0]}")
    holds(re.fullmatch(r"arn:aws:ecs:us-east-1:\d{12}:container/[^/]+/[0-9a-f]{32}/[0-9a-f-]{36}", answer["ContainerARN"]),
          answer["ContainerARN"])


@check
def metadata_v4_labels() -> None:
    labels = get(V4)["Labels"]
    same(labels["com.amazonaws.ecs.container-name"], "main")
    same(labels["com.amazonaws.ecs.task-definition-version"], "1")
    holds(labels["com.amazonaws.ecs.cluster"].startswith("arn:aws:ecs:"), labels)
    holds(labels["com.amazonaws.ecs.task-arn"].endswith(OWN_ID.partition("-")[0]), labels)
    same(labels["of-the-definition"], "a label")


@check
def metadata_v4_network() -> None:
    [network] = get(V4)["Networks"]
    same(network["NetworkMode"], "awsvpc")
    same(network["IPv4Addresses"], [socket.gethostbyname(socket.gethostname())])
    same(network["PrivateDNSName"], socket.gethostname())
    same((network["DomainNameServers"], network["DomainNameSearchList"]), (["172.31.0.2"], ["ec2.internal"]))
    holds(re.fullmatch(r"172\.31\.\d+\.1/20", network["SubnetGatewayIpv4Address"]), network)
    address = open("/sys/class/net/eth1/address").read().strip()
    same(network["MACAddress"], address)


@check
def metadata_v4_of_the_task() -> None:
    answer = get(f"{V4}/task")
    in_order(answer, TASK_KEYS)
    same((answer["LaunchType"], answer["Revision"], answer["DesiredStatus"]), ("FARGATE", "1", "RUNNING"))
    # It runs when all of its containers do.
    until(lambda: get(f"{V4}/task")["KnownStatus"] == "RUNNING", "the task to run")
    same(answer["Limits"], {"CPU": 1, "Memory": 2048})
    holds("main" in {container["Name"] for container in answer["Containers"]}, answer["Containers"])
    same(answer["FaultInjectionEnabled"], True)
    holds(answer["ClockDrift"]["ClockSynchronizationStatus"] in ("SYNCHRONIZED", "NOT_SYNCHRONIZED"), answer["ClockDrift"])
    holds(NANOSECONDS.fullmatch(answer["PullStartedAt"]), answer["PullStartedAt"])


@check
def metadata_v4_shows_health() -> None:
    containers = {container["Name"]: container for container in get(f"{V4}/task")["Containers"]}
    health = containers["sidecar"]["Health"]
    same(health["status"], "HEALTHY")
    holds(NANOSECONDS.fullmatch(health["statusSince"]), health)
    holds("Health" not in containers["main"], containers["main"])


@check
def metadata_v4_shows_exit_codes() -> None:
    containers = {container["Name"]: container for container in get(f"{V4}/task")["Containers"]}
    same((containers["seed"]["KnownStatus"], containers["seed"]["ExitCode"]), ("STOPPED", 0))
    same((containers["fails"]["KnownStatus"], containers["fails"]["ExitCode"]), ("STOPPED", 3))


@check
def metadata_v4_with_tags() -> None:
    answer = get(f"{V4}/taskWithTags")
    same(answer["TaskTags"], {"of-the-task": "a tag"})


@check
def metadata_v3() -> None:
    same(get(V3)["DockerId"], OWN_ID)
    same(get(f"{V3}/task")["TaskARN"], get(f"{V4}/task")["TaskARN"])
    holds(STATS_KEYS - {"network_rate_stats"} <= set(get(f"{V3}/stats")), get(f"{V3}/stats").keys())
    holds(OWN_ID in get(f"{V3}/task/stats"), get(f"{V3}/task/stats").keys())


@check
def metadata_v2() -> None:
    same(get(f"{HOST}/v2/metadata")["TaskARN"], get(f"{V4}/task")["TaskARN"])
    holds(OWN_ID in get(f"{HOST}/v2/stats"), "no stats")


@check
def metadata_of_an_unknown_container() -> None:
    status, answer = ask(f"{HOST}/v4/nobody")
    same(status, 404)
    holds(isinstance(answer, str) and answer.endswith("unable to get docker ID from v3 endpoint ID: nobody"), answer)


@check
def metadata_of_another_task_is_not_told() -> None:
    status, _ = ask(f"{HOST}/v4/{os.environ['PEER_CONTAINER']}")
    same(status, 404)


@check
def stats_of_the_container() -> None:
    answer = get(f"{V4}/stats")
    same(STATS_KEYS - set(answer), set())
    same((answer["id"], answer["memory_stats"]["limit"]), (OWN_ID, 384 * 1024 * 1024))
    holds(answer["memory_stats"]["usage"] > 1024 * 1024, answer["memory_stats"])
    same(set(answer["networks"]), {"eth1"})


@check
def stats_of_all_containers() -> None:
    holds({OWN_ID} < set(get(f"{V4}/task/stats")), get(f"{V4}/task/stats").keys())


@check
def stats_move() -> None:
    def seen() -> tuple[int, int]:
        answer = get(f"{V4}/stats")
        return answer["cpu_stats"]["cpu_usage"]["total_usage"], answer["networks"]["eth1"]["rx_bytes"]

    first = seen()

    def moved() -> bool:
        busy_until = time.monotonic() + 0.2
        while time.monotonic() < busy_until:
            pass
        return all(later > earlier for later, earlier in zip(seen(), first))

    until(moved, "more CPU time and more bytes")


@check
def credentials_of_the_task_role() -> None:
    answer = get(HOST + os.environ["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"])
    same(list(answer), ["RoleArn", "AccessKeyId", "SecretAccessKey", "Token", "Expiration"])
    same(answer["RoleArn"], os.environ["EXPECTED_ROLE"])
    holds(answer["AccessKeyId"].startswith("ASIA"), answer["AccessKeyId"])
    expires = datetime.strptime(answer["Expiration"], "%Y-%m-%dT%H:%M:%SZ")
    holds(3600 < (expires - datetime.utcnow()).total_seconds() <= 12 * 3600, answer["Expiration"])
    one = os.environ["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"].rpartition("/")[2]
    same(get(f"{HOST}/v1/credentials?id={one}"), answer)


@check
def credentials_that_nobody_has() -> None:
    status, answer = ask(f"{HOST}/v2/credentials/nobody")
    same((status, answer["code"]), (400, "InvalidIdInRequest"))
    same(answer["message"], "CredentialsV2Request: Credentials not found")


@check
def protection_is_for_tasks_of_services() -> None:
    status, answer = ask(f"{AGENT}/task-protection/v1/state", "PUT", {"ProtectionEnabled": True})
    same((status, answer["failure"]["Reason"]), (200, "TASK_NOT_VALID"))


@check
def protection_requests_are_checked() -> None:
    status, answer = ask(f"{AGENT}/task-protection/v1/state", "PUT", {"Wrong": 1})
    same((status, answer["error"]["Code"]), (400, "InvalidParameterException"))


def fault(name: str, action: str, body: object) -> tuple[int, object]:
    return ask(f"{AGENT}/fault/v1/{name}/{action}", "POST", body)


def peer_answers() -> bool:
    try:
        with socket.create_connection((os.environ["PEER_ADDRESS"], 8080), timeout=1):
            return True
    except TimeoutError:
        return False


@check
def fault_black_hole() -> None:
    hole = {"Port": 8080, "Protocol": "tcp", "TrafficType": "egress"}
    same(peer_answers(), True)
    same(fault("network-blackhole-port", "start", hole), (200, {"Status": "running"}))
    same(peer_answers(), False)
    same(fault("network-blackhole-port", "status", hole), (200, {"Status": "running"}))
    same(fault("network-blackhole-port", "stop", hole), (200, {"Status": "stopped"}))
    same(peer_answers(), True)


@check
def fault_requests_are_checked() -> None:
    status, answer = fault("network-packet-loss", "start", {"Sources": ["10.0.0.1"]})
    same((status, answer), (400, {"Error": "required parameter LossPercent is missing"}))


@check
def fault_latency_or_its_error() -> None:
    body = {"DelayMilliseconds": 100, "JitterMilliseconds": 1, "Sources": [os.environ["PEER_ADDRESS"]]}
    status, answer = fault("network-latency", "start", body)
    if status == 200:
        same(answer, {"Status": "running"})
        begin = time.monotonic()
        peer_answers()
        holds(time.monotonic() - begin > 0.08, time.monotonic() - begin)
        same(fault("network-latency", "stop", body), (200, {"Status": "stopped"}))
    else:
        # The kernel has no netem.
        holds(status >= 400 and set(answer) == {"Error"}, (status, answer))


@check
def requests_are_limited() -> None:
    def status() -> int:
        try:
            with urllib.request.urlopen(V4, timeout=10) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    until(lambda: 429 in {status() for _ in range(20)}, "an answer that there have been too many requests")

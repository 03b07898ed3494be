"""What a process sees inside a Fargate task: programs in containers check it, and each of their lines is a test."""

import functools
import json
import resource
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from images import pack_docker, pack_python
from neargate import BINARY, Neargate, running
from tasks import Tasks
from waiting import until

INSIDE = Path(__file__).parent / "inside"
# What every task of this server may write.
STORAGE_MIB = 128
# The least that a restart policy allows, and what a container has to run for to be started again.
ATTEMPT_S = 60
# How long the slowest task may take: the one that is started again.
CONFORMANCE_S = 110.0
NOFILE = 65_535

# The checks by task and container. A line that is missing fails, and so does one that is not listed.
CHECKS = {
    ("world", "main"): """
        a-dependency-that-has-to-succeed-has-ended-first
        a-dependency-that-has-to-complete-has-ended-first
        a-dependency-that-has-to-be-healthy-was-first
        every-container-started-once
        environment-of-the-platform environment-has-no-keys environment-of-definition-and-override
        environment-has-path-and-home secrets-of-secrets-manager secrets-of-parameter-store environment-files-of-s3
        hostname-is-the-private-dns-name etc-hosts etc-resolv-conf ulimits-by-default capabilities-are-the-default-ones
        seccomp-filters system-calls-are-refused devices-are-only-those-of-every-container
        devices-that-are-made-cannot-be-opened paths-are-masked proc-is-read-only-where-it-reaches-the-host
        sys-is-read-only cgroup-shows-the-memory-limit cgroup-is-the-root-of-its-namespace cgroup-limits-processes
        shared-memory-is-64-mib user-is-root working-directory-is-the-root program-is-process-1-and-alone
        no-file-of-the-platform-is-open root-is-writable signals-are-as-the-kernel-has-them network-has-one-interface
        side-car-answers-on-localhost another-task-answers-at-its-address another-task-has-a-name
        resolvers-know-the-task-itself names-of-aws-lead-to-the-platform names-that-nobody-has-are-unknown
        api-answers-at-its-endpoint what-is-the-operator-s-is-refused-to-tasks services-of-the-host-are-out-of-reach loopback-is-the-task-s-own
        raw-sockets-are-allowed ports-below-1024-are-allowed interfaces-cannot-be-changed
        volume-is-shared-by-the-containers volume-takes-what-the-image-has mount-point-may-be-read-only
        efs-files-are-the-access-point-s-user-s efs-root-directory-is-made-as-the-access-point-says efs-outlives-tasks
        efs-access-point-shows-nothing-above
        metadata-v4-of-the-container metadata-v4-labels metadata-v4-network metadata-v4-of-the-task
        metadata-v4-shows-health metadata-v4-shows-exit-codes metadata-v4-with-tags metadata-v3 metadata-v2
        metadata-of-an-unknown-container metadata-of-another-task-is-not-told stats-of-the-container
        stats-of-all-containers stats-move credentials-of-the-task-role credentials-that-nobody-has
        protection-is-for-tasks-of-services protection-requests-are-checked fault-black-hole fault-requests-are-checked
        fault-latency-or-its-error requests-are-limited
    """,
    ("world", "confined"): """
        user-of-the-image-by-its-name user-that-is-not-root-has-no-capabilities capabilities-dropped-and-added
        root-is-read-only tmpfs-has-its-size-and-options volume-is-writable-below-a-read-only-root
        ulimits-of-the-definition ulimits-are-enforced kernel-parameters-of-the-definition init-is-process-1
        init-reaps-orphans working-directory-of-the-definition set-user-id-programs-give-nothing
    """,
    ("world", "reader"): """
        volumes-from-another-container volumes-from-another-container-may-be-read-only capabilities-dropped-from-root
        containers-have-root-file-systems-of-their-own containers-have-processes-of-their-own
        numeric-group-of-the-definition
    """,
    ("pids", "main"): """
        processes-of-the-other-container-are-seen processes-of-the-other-container-can-be-signalled
        process-1-is-the-platform-s processes-of-the-host-are-not-seen
    """,
    ("storage", "main"): """
        ephemeral-storage-ends-with-enospc volumes-are-part-of-the-ephemeral-storage ephemeral-storage-is-given-back
        ebs-volume-has-its-size ebs-volume-is-beside-the-ephemeral-storage ebs-volume-ends-with-enospc
    """,
    ("cli", "main"): "cli-is-the-task-s-role cli-describes-its-own-task cli-copies-from-s3",
    ("service", "main"): """
        a-task-of-a-service-protects-itself a-task-of-a-service-ends-its-protection metadata-names-the-service
    """,
    ("ending", "first"): "stop-signal-of-the-image",
    ("ending", "last"): "what-others-depend-on-is-stopped-last",
    ("again", "main"): "restart-count-in-metadata restart-policy-starts-again",
}
NAMES = {key: names.split() for key, names in CHECKS.items()}


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[Neargate]:
    """A server on which every task has a small disk, and the images of the checks."""
    folder = tmp_path_factory.mktemp("conformance")
    options = ("--ephemeral-storage-mib", str(STORAGE_MIB))
    with running(folder, options) as server:
        root = pack_python(folder / "root.tar", INSIDE)
        server.load_image(root, "checks:latest")
        config = {"Entrypoint": ["/usr/bin/python3"], "Cmd": ["/checks/ending.py", "first"], "StopSignal": "SIGQUIT"}
        server.load_image(pack_docker(folder / "quits.tar", root, "quits:latest", config), "quits:latest")
        yield server


def program(*arguments: str, name: str = "main", **members) -> dict:
    """A container that runs one of the checks' programs."""
    return {
        "name": name,
        "image": "checks:latest",
        "entryPoint": ["/usr/bin/python3", "-u"],
        "command": [f"/checks/{arguments[0]}", *arguments[1:]],
        "stopTimeout": 10,
        **members,
    }


def shell(script: str, name: str, **members) -> dict:
    """A container that runs a shell script beside the one that the task is about."""
    command = {"entryPoint": ["/bin/sh", "-c"], "command": [script]}
    return {"name": name, "image": "checks:latest", "essential": False, "stopTimeout": 2, **command, **members}


def mount(volume: str, place: str, is_read_only: bool = False) -> dict:
    return {"sourceVolume": volume, "containerPath": place, "readOnly": is_read_only}


def variables(**values: str) -> list[dict]:
    return [{"name": name, "value": value} for name, value in values.items()]


class Account:
    """What the tasks need of other services."""

    def __init__(self, client) -> None:
        self.client = client
        self.role_name = "conformance-task"
        self.role = self._role()
        self.secret = self._secret()
        self.parameters = self._parameters()
        self.bucket = "conformance-files"
        self._files()
        self.file_system, self.access_point = self._efs()

    def _role(self) -> str:
        trust = {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        for name in (self.role_name, "execution"):
            made = self.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
        return made.replace("execution", self.role_name)

    def _secret(self) -> str:
        secrets = self.client("secretsmanager")
        arn = secrets.create_secret(Name="conformance", SecretString="of version 1")["ARN"]
        secrets.put_secret_value(SecretId=arn, SecretString='{"user":"me","password":"of version 2"}')
        return arn

    def _parameters(self) -> str:
        ssm = self.client("ssm")
        ssm.put_parameter(Name="/conformance/plain", Value="a plain value", Type="String")
        ssm.put_parameter(Name="/conformance/secure", Value="a secure value", Type="SecureString")
        return ssm.get_parameter(Name="/conformance/secure")["Parameter"]["ARN"]

    def _files(self) -> None:
        s3 = self.client("s3")
        s3.create_bucket(Bucket=self.bucket)
        first = "# a comment\n#COMMENTED=1\nFILE_ONLY=from = the file\nFILE_FIRST=first file\nFILE_AND_DEFINITION=file\n"
        s3.put_object(Bucket=self.bucket, Key="first.env", Body=first.encode())
        s3.put_object(Bucket=self.bucket, Key="second.env", Body=b"FILE_FIRST=second file\n")

    def _efs(self) -> tuple[str, str]:
        efs, ec2 = self.client("efs"), self.client("ec2")
        file_system = efs.create_file_system(CreationToken="conformance")["FileSystemId"]
        subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
        efs.create_mount_target(FileSystemId=file_system, SubnetId=subnet)
        creation = {"OwnerUid": 1111, "OwnerGid": 2222, "Permissions": "0777"}
        point = efs.create_access_point(
            ClientToken="conformance",
            FileSystemId=file_system,
            PosixUser={"Uid": 1234, "Gid": 5678},
            RootDirectory={"Path": "/made/by/point", "CreationInfo": creation},
        )
        return file_system, point["AccessPointId"]

    def efs_volume(self, name: str, with_point: bool) -> dict:
        volume = {"fileSystemId": self.file_system, "transitEncryption": "ENABLED"}
        if with_point:
            volume["authorizationConfig"] = {"accessPointId": self.access_point, "iam": "DISABLED"}
        return {"name": name, "efsVolumeConfiguration": volume}


class Conformance:
    """The tasks of the checks, and what they have said."""

    def __init__(self, client, server: Neargate, host_port: int) -> None:
        self.client, self.server, self.host_port = client, server, host_port
        self.account = Account(client)
        self.tasks: dict[str, Tasks] = {}
        self.arns: dict[str, str] = {}

    def cluster(self, task: str) -> Tasks:
        self.tasks[task] = Tasks(self.client, f"conformance-{task}")
        return self.tasks[task]

    def run(self, task: str, *containers: dict, definition: dict | None = None, **members) -> None:
        """Runs a task with the role."""
        cluster = self.cluster(task)
        size = {"cpu": "512", "memory": "1024", "taskRoleArn": self.account.role}
        arn = cluster.register(*containers, **{**size, **(definition or {})})
        [self.arns[task]] = cluster.run(arn, **members)

    def run_all(self) -> None:
        """Runs every task; the one that takes longest first."""
        self.run_again()
        peer = self.run_peer()
        self.run_world(peer)
        self.run_small()

    def run_again(self) -> None:
        policy = {"enabled": True, "ignoredExitCodes": [4], "restartAttemptPeriod": ATTEMPT_S}
        ran = str(ATTEMPT_S + 2)
        ignored = program("again.py", ran, "4", name="ignored", essential=False, restartPolicy=policy)
        early = program("again.py", "1", "3", name="early", essential=False, restartPolicy=policy)
        self.run("again", program("again.py", ran, "3", restartPolicy=policy), ignored, early)

    def run_peer(self) -> dict:
        script = "echo from peer > /efs/from-peer; exec httpd -f -p 8080 -h /seeded"
        peer = shell(script, "main", essential=True, mountPoints=[mount("efs", "/efs")])
        volumes = {"volumes": [self.account.efs_volume("efs", with_point=False)]}
        self.run("peer", peer, definition=volumes, enableExecuteCommand=True)
        [task] = self.tasks["peer"].wait("RUNNING", self.arns["peer"])
        details = {detail["name"]: detail["value"] for detail in task["attachments"][0]["details"]}
        return {
            "PEER_ADDRESS": details["privateIPv4Address"],
            "PEER_NAME": details["privateDnsName"],
            "PEER_CONTAINER": task["containers"][0]["runtimeId"],
        }

    def run_world(self, peer: dict) -> None:
        account = self.account
        shared = mount("shared", "/shared")
        seed = shell(
            "echo seed-starts >> /shared/order; echo from seed > /shared/from-seed; sleep 0.5; echo seed-ends >> /shared/order",
            "seed",
            mountPoints=[shared],
        )
        ends_badly = shell("echo fails-ends >> /shared/order; exit 3", "fails", mountPoints=[shared])
        sidecar = shell(
            "chmod 1777 /shared; echo sidecar-starts >> /shared/order; sleep 1; echo sidecar-healthy >> /shared/order;"
            " touch /tmp/up; exec httpd -f -p 8080 -h /seeded",
            "sidecar",
            mountPoints=[shared],
            dependsOn=[{"containerName": "seed", "condition": "SUCCESS"}],
            healthCheck={"command": ["CMD-SHELL", "test -e /tmp/up"], "interval": 5, "retries": 5, "timeout": 5},
        )
        self.run(
            "world",
            self.main(shared),
            seed,
            ends_badly,
            sidecar,
            self.confined(shared),
            self.reader(),
            definition={
                "cpu": "1024",
                "memory": "2048",
                "enableFaultInjection": True,
                "volumes": [
                    {"name": "shared"},
                    {"name": "seeded"},
                    account.efs_volume("efs", with_point=False),
                    account.efs_volume("efs-point", with_point=True),
                ],
            },
            tags=[{"key": "of-the-task", "value": "a tag"}],
            overrides={"containerOverrides": [self.override(peer)]},
        )

    def main(self, shared: dict) -> dict:
        account, stage = self.account, "AWSPREVIOUS"
        file = f"arn:aws:s3:::{account.bucket}"
        depends = [("sidecar", "HEALTHY"), ("fails", "COMPLETE")]
        return program(
            "run.py",
            *("order", "defaults", "network", "volumes", "endpoint"),
            cpu=128,
            memory=384,
            dockerLabels={"of-the-definition": "a label"},
            dependsOn=[{"containerName": name, "condition": condition} for name, condition in depends],
            environment=variables(FROM_DEFINITION="definition", FROM_BOTH="definition", FILE_AND_DEFINITION="definition"),
            environmentFiles=[{"type": "s3", "value": f"{file}/{name}.env"} for name in ("first", "second")],
            secrets=[
                {"name": "SECRET_WHOLE", "valueFrom": account.secret},
                {"name": "SECRET_KEY", "valueFrom": f"{account.secret}:password::"},
                {"name": "SECRET_STAGE", "valueFrom": f"{account.secret}::{stage}:"},
                {"name": "PARAMETER_BY_NAME", "valueFrom": "/conformance/plain"},
                {"name": "PARAMETER_BY_ARN", "valueFrom": account.parameters},
            ],
            mountPoints=[
                shared,
                mount("shared", "/shared-read-only", is_read_only=True),
                mount("seeded", "/seeded"),
                mount("efs", "/efs"),
                mount("efs-point", "/efs-point"),
            ],
        )

    def override(self, peer: dict) -> dict:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        nofile = NOFILE if hard == resource.RLIM_INFINITY else min(NOFILE, hard)
        given = variables(
            FROM_BOTH="override",
            FROM_OVERRIDE="override",
            EXPECTED_NOFILE=str(nofile),
            EXPECTED_ROLE=self.account.role,
            HOST_PORT=str(self.host_port),
            HOST_ADDRESS=address_of_the_host(),
            **peer,
        )
        return {"name": "main", "environment": given}

    @staticmethod
    def confined(shared: dict) -> dict:
        limits = [("nofile", 512, 1024), ("core", 0, 0), ("fsize", 1 << 20, 1 << 21)]
        return program(
            *("run.py", "confined"),
            name="confined",
            essential=False,
            user="app",
            workingDirectory="/home/app",
            readonlyRootFilesystem=True,
            dependsOn=[{"containerName": "sidecar", "condition": "HEALTHY"}],
            mountPoints=[shared],
            ulimits=[{"name": name, "softLimit": soft, "hardLimit": hard} for name, soft, hard in limits],
            systemControls=[{"namespace": "net.core.somaxconn", "value": "777"}],
            linuxParameters={
                "initProcessEnabled": True,
                "capabilities": {"drop": ["ALL"], "add": ["SYS_PTRACE"]},
                "tmpfs": [{"containerPath": "/scratch", "size": 8, "mountOptions": ["noexec", "nosuid"]}],
            },
        )

    @staticmethod
    def reader() -> dict:
        return program(
            *("run.py", "reader"),
            name="reader",
            essential=False,
            user="root:4242",
            dependsOn=[{"containerName": "sidecar", "condition": "HEALTHY"}],
            volumesFrom=[{"sourceContainer": "seed", "readOnly": True}],
            linuxParameters={"capabilities": {"drop": ["NET_RAW", "MKNOD", "CHOWN"], "add": ["SYS_PTRACE"]}},
        )

    def run_small(self) -> None:
        target = shell("exec sleep 987654", "target")
        self.run("pids", program("run.py", "pids"), target, definition={"pidMode": "task"})
        ebs = {"roleArn": self.account.role, "sizeInGiB": 1, "filesystemType": "ext4", "volumeType": "gp3"}
        self.run(
            "storage",
            program(
                *("run.py", "storage"),
                environment=variables(STORAGE_MIB=str(STORAGE_MIB)),
                mountPoints=[mount("volume", "/volume"), mount("ebs", "/ebs")],
            ),
            definition={"volumes": [{"name": "volume"}, {"name": "ebs", "configuredAtLaunch": True}]},
            volumeConfigurations=[{"name": "ebs", "managedEBSVolume": ebs}],
        )
        given = variables(EXPECTED_ROLE_NAME=self.account.role_name, BUCKET=self.account.bucket)
        self.run("cli", program("run.py", "cli", environment=given))
        self.run_service()
        first = {
            **{"name": "first", "image": "quits:latest", "stopTimeout": 10, "mountPoints": [mount("shared", "/shared")]},
            "dependsOn": [{"containerName": "last", "condition": "START"}],
        }
        last = program("ending.py", "last", name="last", essential=False, mountPoints=[mount("shared", "/shared")])
        self.run("ending", first, last, definition={"volumes": [{"name": "shared"}]})

    def run_service(self) -> None:
        cluster = self.cluster("service")
        given = variables(EXPECTED_SERVICE="protected")
        definition = cluster.register(program("run.py", "protected", environment=given), taskRoleArn=self.account.role)
        ecs = self.client("ecs")
        ecs.create_service(
            cluster=cluster.name,
            serviceName="protected",
            taskDefinition=definition,
            desiredCount=1,
            launchType="FARGATE",
            networkConfiguration=cluster.network(),
        )
        listed = until(lambda: ecs.list_tasks(cluster=cluster.name, serviceName="protected")["taskArns"], "its task")
        self.arns["service"] = listed[0]

    @functools.cache
    def lines(self, task: str, container: str) -> list[str]:
        """Returns what a container has said, once it has said all of it."""

        def said() -> list[str] | None:
            lines = self.tasks[task].output(self.arns[task], container)
            if "done" in lines:
                return lines
            [seen] = self.tasks[task].describe(self.arns[task])
            assert seen["lastStatus"] != "STOPPED", f"{seen['stoppedReason']}: {seen['containers']}: {lines}"
            return None

        return until(said, f"all lines of {container} in {task}", CONFORMANCE_S)

    @functools.cache
    def stopped(self, task: str) -> dict:
        """Stops a task, and returns it."""
        for container in self.tasks[task].describe(self.arns[task])[0]["containers"]:
            self.lines(task, container["name"])
        self.client("ecs").stop_task(cluster=self.tasks[task].name, task=self.arns[task])
        [seen] = self.tasks[task].wait("STOPPED", self.arns[task])
        return seen


def address_of_the_host() -> str:
    """Returns an address by which the machine is known outside of it; the loopback's if it has no other."""
    found = subprocess.run(["hostname", "-I"], check=True, capture_output=True, text=True).stdout.split()
    return found[0] if found else "127.0.0.1"


@pytest.fixture(scope="module")
def conformance(server, client_of) -> Iterator[Conformance]:
    """All tasks, running; what they check may still be under way."""
    clients = functools.cache(lambda service: client_of(server.endpoint, service))
    with socket.create_server(("0.0.0.0", 0)) as listener:
        made = Conformance(clients, server, listener.getsockname()[1])
        made.run_all()
        yield made


def expect_ok(lines: list[str], name: str) -> None:
    seen = [line for line in lines if line == f"ok {name}" or line.startswith(f"not ok {name}:")]
    assert seen == [f"ok {name}"], seen or lines[-5:]


CASES = [pytest.param(*key, name, id=f"{'-'.join(key)}-{name}") for key, names in NAMES.items() for name in names]
# The slowest come last, so that the others' results are there first.
CASES.sort(key=lambda case: case.values[0] in ("ending", "again"))


@pytest.mark.parametrize(("task", "container", "name"), CASES)
def test_inside(conformance, task, container, name):
    if task == "ending":
        conformance.stopped(task)
        lines = conformance.tasks[task].output(conformance.arns[task], container)
    else:
        lines = conformance.lines(task, container)
    expect_ok(lines, name)


@pytest.mark.parametrize(("task", "container"), NAMES)
def test_every_line_is_expected(conformance, task, container):
    lines = conformance.lines(task, container) if task != "ending" else []
    said = [line.removeprefix("not ").removeprefix("ok ").partition(":")[0] for line in lines if line != "done"]
    assert sorted(set(said) - set(NAMES[task, container])) == []


def test_health_is_shown_outside(conformance):
    [task] = conformance.tasks["world"].describe(conformance.arns["world"])
    health = {container["name"]: container.get("healthStatus") for container in task["containers"]}
    assert (health["sidecar"], health["main"]) == ("HEALTHY", "UNKNOWN")
    # An essential container without a check leaves the task's health unknown.
    assert task["healthStatus"] == "UNKNOWN"


def test_exit_codes_are_shown_outside(conformance):
    task = conformance.stopped("ending")
    codes = {container["name"]: container.get("exitCode") for container in task["containers"]}
    assert codes == {"first": 21, "last": 22}


def test_a_restart_policy_heeds_ignored_codes_and_the_time_that_a_container_ran(conformance):
    conformance.lines("again", "main")
    ended = {}

    def all_ended() -> bool:
        [task] = conformance.tasks["again"].describe(conformance.arns["again"])
        ended.update({container["name"]: container for container in task["containers"]})
        return all(ended[name]["lastStatus"] == "STOPPED" for name in ("ignored", "early"))

    until(all_ended, "both to have ended for good")
    assert (ended["ignored"]["exitCode"], ended["early"]["exitCode"]) == (4, 3)
    assert ended["main"]["lastStatus"] == "RUNNING"


def test_exec_runs_a_program_in_a_container(conformance):
    task, cluster = conformance.arns["peer"], conformance.tasks["peer"].name
    command = [BINARY, "exec", task, "--cluster", cluster, "--endpoint-url", conformance.server.endpoint, "--", "sh", "-c"]
    done = subprocess.run([*command, "echo in; exit 7"], capture_output=True, text=True, timeout=30)
    assert (done.stdout.strip(), done.returncode) == ("in", 7), done.stderr

"""The AWS SDK for Rust, and a client of ECS Exec in Rust, against the server of the session: `tests/`, built outside
Neargate's workspace."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tasks import ROLE, container

HERE = Path(__file__).parent
# Compiling the SDKs takes a few minutes, once.
BUILD_S, TEST_S = 900, 110


@pytest.mark.timeout(BUILD_S + TEST_S)
def test_the_sdk_for_rust(neargate, ec2, tasks):
    if not shutil.which("cargo"):
        pytest.skip("there is no cargo")
    folder = Path(os.environ.get("CARGO_TARGET_DIR", HERE.parents[1] / "target")) / "compat-rust"
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    definition = tasks.register(container("exec sleep 3600", stopTimeout=2), taskRoleArn=ROLE)
    [task] = tasks.run(definition, enableExecuteCommand=True)
    tasks.wait("RUNNING", task)
    environment = {
        **os.environ,
        "CARGO_TARGET_DIR": str(folder),
        "NEARGATE_ENDPOINT": neargate.endpoint,
        "NEARGATE_SUBNET": subnet,
        "NEARGATE_EXEC_CLUSTER": tasks.name,
        "NEARGATE_EXEC_TASK": task,
    }
    build = ["cargo", "test", "--locked", "--no-run", "--quiet"]
    subprocess.run(build, cwd=HERE, env=environment, check=True, timeout=BUILD_S)
    done = subprocess.run(
        ["cargo", "test", "--locked", "--quiet"], cwd=HERE, env=environment, capture_output=True, text=True, timeout=TEST_S
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr

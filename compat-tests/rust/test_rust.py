"""The AWS SDK for Rust against the server of the session: `tests/ecs.rs`, built outside Neargate's workspace."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent
# Compiling the SDK takes a minute or two, once.
BUILD_S, TEST_S = 900, 110


@pytest.mark.timeout(BUILD_S + TEST_S)
def test_the_sdk_for_rust(neargate, ec2):
    if not shutil.which("cargo"):
        pytest.skip("there is no cargo")
    folder = Path(os.environ.get("CARGO_TARGET_DIR", HERE.parents[1] / "target")) / "compat-rust"
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    environment = {
        **os.environ,
        "CARGO_TARGET_DIR": str(folder),
        "NEARGATE_ENDPOINT": neargate.endpoint,
        "NEARGATE_SUBNET": subnet,
    }
    build = ["cargo", "test", "--locked", "--no-run", "--quiet"]
    subprocess.run(build, cwd=HERE, env=environment, check=True, timeout=BUILD_S)
    done = subprocess.run(
        ["cargo", "test", "--locked", "--quiet"], cwd=HERE, env=environment, capture_output=True, text=True, timeout=TEST_S
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr

"""The AWS SDK for JavaScript against the server of the session: `ecs.test.js`, run by node's own runner."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def test_the_sdk_for_javascript(neargate, ec2):
    if not shutil.which("node"):
        pytest.skip("there is no node")
    if not (HERE / "node_modules").exists():
        pytest.skip("its packages are not installed: npm ci --prefix compat-tests/js")
    subnet = ec2.describe_subnets()["Subnets"][0]["SubnetId"]
    environment = {**os.environ, "NEARGATE_ENDPOINT": neargate.endpoint, "NEARGATE_SUBNET": subnet}
    done = subprocess.run(
        ["node", "--test", "--test-reporter=spec"], cwd=HERE, env=environment, capture_output=True, text=True, timeout=110
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr

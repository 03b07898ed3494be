"""The client library oci-client against Neargate's registry: `client/`, built outside Neargate's workspace."""

import os
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from distribution import password_of

HERE = Path(__file__).parent
# Compiling takes a few minutes, once.
BUILD_S, TEST_S = 900, 110


@pytest.mark.timeout(BUILD_S + TEST_S)
def test_a_client_library(registry_server, ecr, repository):
    if not shutil.which("cargo"):
        pytest.skip("there is no cargo")
    folder = Path(os.environ.get("CARGO_TARGET_DIR", HERE.parents[1] / "target")) / "compat-registry"
    other = f"{repository}/other"
    ecr.create_repository(repositoryName=other)
    token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    environment = {
        **os.environ,
        "CARGO_TARGET_DIR": str(folder),
        "NEARGATE_REGISTRY": urlsplit(registry_server.endpoint).netloc,
        "NEARGATE_PASSWORD": password_of(token),
        "NEARGATE_REPOSITORY": repository,
        "NEARGATE_OTHER_REPOSITORY": other,
    }
    client = HERE / "client"
    subprocess.run(
        ["cargo", "test", "--locked", "--no-run", "--quiet"], cwd=client, env=environment, check=True, timeout=BUILD_S
    )
    done = subprocess.run(
        ["cargo", "test", "--locked", "--quiet"], cwd=client, env=environment, capture_output=True, text=True, timeout=TEST_S
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    ecr.delete_repository(repositoryName=other, force=True)

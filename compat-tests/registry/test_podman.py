"""podman against Neargate's registry: login, push, pull back. Everything of podman's is in the test's own folder."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from distribution import password_of, write_layout

pytestmark = pytest.mark.skipif(not shutil.which("podman"), reason="there is no podman")
COMMAND_S = 120
# No lock in shared memory, no log of events, no networks of the machine.
SETTINGS = """
[engine]
lock_type = "file"
events_logger = "none"
cgroup_manager = "cgroupfs"
tmp_dir = "{folder}/tmp"
[network]
network_config_dir = "{folder}/networks"
"""


@pytest.fixture
def podman() -> Iterator[Callable[..., str]]:
    """Runs podman, which has no service: each command is the whole of it."""
    # podman takes no path of more than 50 characters for what it keeps while it runs.
    with tempfile.TemporaryDirectory(prefix="podman-", dir="/tmp") as folder:
        yield runner(Path(folder))
        mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if folder in line]
        assert not mounts, mounts


def runner(folder: Path) -> Callable[..., str]:
    (folder / "containers.conf").write_text(SETTINGS.format(folder=folder))
    (folder / "auth.json").write_text("{}")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "XDG_RUNTIME_DIR": str(folder),
        "TMPDIR": str(folder),
        "CONTAINERS_CONF": str(folder / "containers.conf"),
        "REGISTRY_AUTH_FILE": str(folder / "auth.json"),
    }
    store = ["--root", str(folder / "root"), "--runroot", str(folder / "run"), "--storage-driver", "vfs"]

    def run(*arguments: str, stdin: str | None = None, fails: bool = False) -> str:
        done = subprocess.run(
            ["podman", *store, *arguments], input=stdin, capture_output=True, text=True, env=environment, timeout=COMMAND_S
        )
        assert (done.returncode != 0) == fails, f"podman {' '.join(arguments)}: {done.stderr}"
        return done.stderr if fails else done.stdout

    return run


def test_what_podman_pushes_it_pulls_back_the_same(registry_server, ecr, repository, podman, busybox, tmp_path):
    write_layout(tmp_path / "in", [busybox.read_bytes()], ["amd64"])
    host = urlsplit(registry_server.endpoint).netloc
    image = f"{host}/{repository}:v1"
    podman("pull", "--quiet", f"oci:{tmp_path}/in:v1")
    [id] = podman("images", "--quiet", "--no-trunc").split()
    podman("tag", id, image)
    refused = podman("push", "--tls-verify=false", image, fails=True)
    assert "unauthorized" in refused.lower() or "authentication required" in refused or "no basic auth" in refused, refused
    token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    login = ["login", "--tls-verify=false", "--username", "AWS", "--password-stdin", host]
    podman(*login, stdin="wrong", fails=True)
    assert "Login Succeeded" in podman(*login, stdin=password_of(token))
    podman("push", "--quiet", "--tls-verify=false", "--digestfile", str(tmp_path / "digest"), image)
    digest = (tmp_path / "digest").read_text()
    [kept] = ecr.describe_images(repositoryName=repository)["imageDetails"]
    assert (kept["imageDigest"], kept["imageTags"]) == (digest, ["v1"])
    podman("rmi", "--all", "--force")
    assert not podman("images", "--quiet").strip()
    podman("pull", "--quiet", "--tls-verify=false", image)
    assert podman("image", "inspect", "--format", "{{.Digest}}", image).strip() == digest
    podman("rmi", "--all", "--force")
    podman("pull", "--quiet", "--tls-verify=false", f"{host}/{repository}@{digest}")
    assert podman("images", "--quiet", "--no-trunc").split() == [id], "it is the same image"
    podman("logout", host)

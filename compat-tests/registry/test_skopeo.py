"""skopeo against Neargate's registry: login, copy in, inspect, copy out."""

import hashlib
import json
import os
import shutil
import socket
import subprocess
from urllib.parse import urlsplit

import pytest

from distribution import password_of, write_layout

pytestmark = pytest.mark.skipif(not shutil.which("skopeo"), reason="there is no skopeo")
COMMAND_S = 60


@pytest.fixture
def skopeo(tmp_path):
    """Runs skopeo with credentials of the test's own."""
    environment = {**os.environ, "REGISTRY_AUTH_FILE": str(tmp_path / "auth.json")}

    def run(*arguments: str, stdin: str | None = None, fails: bool = False) -> str:
        done = subprocess.run(
            ["skopeo", *arguments], input=stdin, capture_output=True, text=True, env=environment, timeout=COMMAND_S
        )
        assert (done.returncode != 0) == fails, done.stderr
        return done.stderr if fails else done.stdout

    return run


def hosts_of(endpoint: str, uri: str) -> list[str]:
    """Returns the names of the registry that this machine can resolve."""
    named = uri.split("/")[0]
    try:
        socket.getaddrinfo(named.split(":")[0], None)
    except OSError:
        return [urlsplit(endpoint).netloc]
    return [urlsplit(endpoint).netloc, named]


@pytest.mark.parametrize("architectures", [["amd64"], ["amd64", "arm64"]], ids=["an image", "an index"])
def test_what_is_copied_in_is_copied_out_the_same(registry_server, ecr, repository, skopeo, busybox, tmp_path, architectures):
    digest = write_layout(tmp_path / "in", [busybox.read_bytes()], architectures)
    uri = ecr.describe_repositories(repositoryNames=[repository])["repositories"][0]["repositoryUri"]
    token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    for n, host in enumerate(hosts_of(registry_server.endpoint, uri)):
        target = f"docker://{host}/{repository}:v1"
        wrong = skopeo("copy", "--dest-tls-verify=false", f"oci:{tmp_path}/in:v1", target, fails=True)
        assert "authentication required" in wrong or "no basic auth credentials" in wrong or "401" in wrong, wrong
        login = ["login", "--tls-verify=false", "--username", "AWS", "--password-stdin", host]
        skopeo(*login, stdin="wrong", fails=True)
        skopeo(*login, stdin=password_of(token))
        skopeo("copy", "--all", "--dest-tls-verify=false", f"oci:{tmp_path}/in:v1", target)
        inspected = json.loads(skopeo("inspect", "--tls-verify=false", target))
        assert inspected["RepoTags"] == ["v1"]
        raw = skopeo("inspect", "--raw", "--tls-verify=false", target)
        assert "sha256:" + hashlib.sha256(raw.encode()).hexdigest() == digest
        skopeo("copy", "--all", "--src-tls-verify=false", target, f"oci:{tmp_path}/out{n}:v1")
        [out] = json.loads((tmp_path / f"out{n}/index.json").read_text())["manifests"]
        assert out["digest"] == digest
        skopeo("delete", "--tls-verify=false", target)
        skopeo("inspect", "--tls-verify=false", target, fails=True)

"""skopeo against Neargate's registry: login, copy in, inspect, copy out."""

import gzip
import hashlib
import json
import os
import shutil
import socket
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from distribution import OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, password_of

pytestmark = pytest.mark.skipif(not shutil.which("skopeo"), reason="there is no skopeo")
COMMAND_S = 60


def write_layout(folder: Path, layers: list[bytes], architectures: list[str]) -> str:
    """Makes an OCI layout of an image for each architecture; returns the digest of what its tag `v1` is. Layers are
    compressed: skopeo would compress them on their way, and so change the image."""

    def put(content: bytes, media_type: str, **more: object) -> dict:
        digest = hashlib.sha256(content).hexdigest()
        (folder / "blobs/sha256" / digest).write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content), **more}

    (folder / "blobs/sha256").mkdir(parents=True)
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    diff_ids = ["sha256:" + hashlib.sha256(layer).hexdigest() for layer in layers]
    images = []
    for architecture in architectures:
        config = {"architecture": architecture, "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}}
        manifest = {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": put(json.dumps(config).encode(), OCI_CONFIG),
            "layers": [put(gzip.compress(layer, mtime=0), f"{OCI_LAYER}+gzip") for layer in layers],
        }
        platform = {"architecture": architecture, "os": "linux"}
        images.append(put(json.dumps(manifest).encode(), OCI_MANIFEST, platform=platform))
    top = images[0]
    if len(images) > 1:
        index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": images}
        top = put(json.dumps(index).encode(), OCI_INDEX)
    named = {**top, "annotations": {"org.opencontainers.image.ref.name": "v1"}}
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [named]}))
    return top["digest"]


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

"""Caches of another registry: Debian's docker-registry, asked by Neargate's ECR for skopeo and for tasks."""

import base64
import json
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import registry
from images import pack_docker
from neargate import Neargate, running
from registry import USER, docker_registry, skopeo
from tasks import Tasks

pytestmark = pytest.mark.skipif(not registry.is_here(), reason="there is no docker-registry, or no skopeo")


@pytest.fixture(scope="module")
def node(tmp_path_factory) -> Iterator[Neargate]:
    """A server that runs containers, and has no image."""
    with running(tmp_path_factory.mktemp("node")) as server:
        yield server


@pytest.fixture
def clients(node, client_of):
    return lambda service: client_of(node.endpoint, service)


@pytest.fixture
def archive(tmp_path, busybox, name) -> Path:
    root = Path(shutil.copy(busybox, tmp_path / "root.tar"))
    with tarfile.open(root, "a") as layer:
        layer.addfile(tarfile.TarInfo(name))
    return pack_docker(tmp_path / "app.tar", root, "app:1", {"Cmd": ["/bin/echo", "from elsewhere"]})


def test_a_task_and_skopeo_have_an_image_of_another_registry_through_a_rule(tmp_path, node, clients, archive, name):
    ecr, work = clients("ecr"), Tasks(clients, name)
    user, _, password = USER.partition(":")
    address = node.endpoint.removeprefix("http://")
    aws = f"000000000000.dkr.ecr.us-east-1.amazonaws.com/{name}"
    token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    login = base64.b64decode(token).decode()
    container = {"name": "main", "image": f"{aws}/team/app:1"}
    with docker_registry(tmp_path / "upstream", is_private=True) as upstream:
        pushed = registry.push(archive, f"{upstream}/team/app:1", USER)
        registry.push(archive, f"{upstream}/other:1", USER)
        value = json.dumps({"username": user, "accessToken": password})
        secret = clients("secretsmanager").create_secret(Name=f"ecr-pullthroughcache/{name}", SecretString=value)
        ecr.create_repository_creation_template(
            prefix=name, appliedFor=["PULL_THROUGH_CACHE"], imageTagMutability="MUTABLE", resourceTags=[{"Key": "a", "Value": "b"}]
        )
        ecr.create_pull_through_cache_rule(
            ecrRepositoryPrefix=name, upstreamRegistryUrl=upstream, credentialArn=secret["ARN"]
        )
        [task] = work.wait("STOPPED", *work.run(container))
        assert (task["containers"][0].get("imageDigest"), task["containers"][0].get("exitCode")) == (pushed, 0), task
        assert work.output(task["taskArn"]) == ["from elsewhere"]
        assert registry.digest(f"{address}/{name}/other:1", login) == pushed
        [missing] = work.wait("STOPPED", *work.run({**container, "image": f"{aws}/none:1"}))
        assert "not found" in missing["stoppedReason"], missing
    # The other registry is gone: what is cached serves.
    skopeo("copy", "--src-tls-verify=false", "--src-creds", login, f"docker://{address}/{name}/team/app:1", f"dir:{tmp_path}/out")
    assert skopeo("manifest-digest", f"{tmp_path}/out/manifest.json").strip() == pushed
    [task] = work.wait("STOPPED", *work.run(container))
    assert task["containers"][0].get("exitCode") == 0, task
    [unreachable] = work.wait("STOPPED", *work.run({**container, "image": f"{aws}/later:1"}))
    assert "CannotPullContainerError" in unreachable["stoppedReason"] and "cannot be had" in unreachable["stoppedReason"]
    [image] = ecr.describe_images(repositoryName=f"{name}/team/app")["imageDetails"]
    assert (image["imageDigest"], image["imageTags"]) == (pushed, ["1"])
    arn = ecr.describe_repositories(repositoryNames=[f"{name}/team/app"])["repositories"][0]["repositoryArn"]
    assert ecr.list_tags_for_resource(resourceArn=arn)["tags"] == [{"Key": "a", "Value": "b"}]
    made = [it["repositoryName"] for it in ecr.describe_repositories()["repositories"] if it["repositoryName"].startswith(name)]
    assert sorted(made) == [f"{name}/other", f"{name}/team/app"]

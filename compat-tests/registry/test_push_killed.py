"""The server is killed in the middle of pushes: what was acknowledged is there, and nothing else."""

import http.client
import json
import os
import random
import threading
import time

import pytest

from distribution import Connection, digest_of, manifest_of
from neargate import Neargate

KILLS = 20
LAYERS, LAYER_BYTES, PART_BYTES = 4, 1_500_000, 200_000
SEED = int(os.environ.get("NEARGATE_FAULT_SEED", "5"))


class Push:
    """Pushes images one after the other until the server is gone, and remembers what it was told of."""

    def __init__(self, connection: Connection, repository: str, first: int, chance: random.Random) -> None:
        self.connection, self.repository, self.number, self.chance = connection, repository, first, chance
        self.blobs: dict[str, bytes] = {}
        self.images: dict[str, bytes] = {}
        self.begun: set[str] = set()

    def run(self) -> None:
        try:
            while True:
                self.image()
        except (OSError, http.client.HTTPException):
            pass

    def image(self) -> None:
        layers = [self.chance.randbytes(LAYER_BYTES) for _ in range(LAYERS)]
        config = json.dumps({"n": self.number}).encode()
        for content in [config, *layers]:
            self.blob(content)
        manifest, tag = manifest_of(config, layers), f"v{self.number}"
        self.begun.add(digest_of(manifest))
        reply = self.connection.put_manifest(self.repository, tag, manifest)
        assert reply.status == 201, reply
        self.images[tag] = manifest
        self.number += 1

    def blob(self, content: bytes) -> None:
        self.begun.add(digest_of(content))
        upload = self.connection.begin(self.repository)
        for start in range(0, len(content), PART_BYTES):
            part = content[start : start + PART_BYTES]
            reply = self.connection.ask("PATCH", upload, part, Content_Range=f"{start}-{start + len(part) - 1}")
            assert reply.status == 202, reply
        reply = self.connection.ask("PUT", f"{upload}?digest={digest_of(content)}")
        assert reply.status == 201, reply
        self.blobs[digest_of(content)] = content


def token_of(ecr) -> str:
    return ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]


def expect_whole(connection: Connection, repository: str, push: Push) -> None:
    """Reads everything that was acknowledged, and everything that is listed."""
    for digest, content in push.blobs.items():
        assert connection.ask("GET", f"/v2/{repository}/blobs/{digest}").body == content, digest
    for tag, manifest in push.images.items():
        for reference in (tag, digest_of(manifest)):
            assert connection.ask("GET", f"/v2/{repository}/manifests/{reference}").body == manifest, tag
    # What was not acknowledged may be there, but only whole.
    for digest in push.begun:
        for kind in ("blobs", "manifests"):
            reply = connection.ask("GET", f"/v2/{repository}/{kind}/{digest}")
            assert reply.status == 404 or digest_of(reply.body) == digest, digest
    for tag in json.loads(connection.ask("GET", f"/v2/{repository}/tags/list").body)["tags"]:
        manifest = json.loads(connection.ask("GET", f"/v2/{repository}/manifests/{tag}").body)
        for named in [manifest["config"], *manifest["layers"]]:
            reply = connection.ask("GET", f"/v2/{repository}/blobs/{named['digest']}")
            assert digest_of(reply.body) == named["digest"], (tag, named)


def expect_only_named_files(server: Neargate) -> None:
    """Each file of a layer or a manifest has the digest that it is named by."""
    for path in (server.data_dir / "ecr/blobs").glob("*/*"):
        assert digest_of(path.read_bytes()) == f"sha256:{path.name}", path


@pytest.mark.timeout(300)
def test_pushes_survive_a_kill_at_any_point(tmp_path, client_of):
    chance = random.Random(SEED)
    server = Neargate(tmp_path / "data", tmp_path / "log", node="simulated").start()
    acknowledged = 0
    try:
        client_of(server.endpoint, "ecr").create_repository(repositoryName="web")
        for kill in range(KILLS):
            connection = Connection(server.endpoint, token_of(client_of(server.endpoint, "ecr")))
            push = Push(connection, "web", kill * 1000, chance)
            thread = threading.Thread(target=push.run)
            thread.start()
            # The point is random: anywhere in the first image or two.
            time.sleep(chance.uniform(0.005, 0.5))
            server.kill()
            thread.join()
            connection.close()
            server.start()
            # The password of before holds after.
            connection = Connection(server.endpoint, connection.headers["Authorization"].removeprefix("Basic "))
            expect_whole(connection, "web", push)
            expect_only_named_files(server)
            connection.close()
            acknowledged += len(push.blobs) + len(push.images)
        print(f"{acknowledged} layers and images were acknowledged before {KILLS} kills (seed {SEED})")
        assert acknowledged > 0
        # Everything goes with its repository.
        client_of(server.endpoint, "ecr").delete_repository(repositoryName="web", force=True)
        assert server.stop() == 0
        server.start()
        assert not [path for path in (server.data_dir / "ecr").rglob("*") if path.is_file()]
    finally:
        server.stop()

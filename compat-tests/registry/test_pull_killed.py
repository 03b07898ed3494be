"""The server is killed in the middle of pulls, while it fetches and while it unpacks: what it then has is whole."""

import hashlib
import io
import json
import os
import random
import subprocess
import tarfile
import time
from pathlib import Path

import pytest

import registry
from test_skopeo import write_layout
from neargate import BINARY, Neargate
from registry import docker_registry, skopeo

pytestmark = pytest.mark.skipif(not registry.is_here(), reason="there is no docker-registry, or no skopeo")
KILLS = 20
# How often it is tried to kill the server before a pull is through.
TRIES_MAX = 10 * KILLS
COMMAND_S = 60
SEED = int(os.environ.get("NEARGATE_FAULT_SEED", "5"))
# Layers that take their time to come, and layers that take their time to be written: number, files, bytes of each file.
KINDS = {"fetched": (4, 3, 4_000_000), "unpacked": (4, 3_000, 200)}


def layer_of(chance: random.Random, number: int, files: int, size: int) -> tuple[bytes, dict[str, str]]:
    """Makes a layer; returns it with the digest of each file."""
    content, digests = io.BytesIO(), {}
    with tarfile.open(fileobj=content, mode="w") as archive:
        for file in range(files):
            data, info = chance.randbytes(size), tarfile.TarInfo(f"layer{number}/file{file}")
            info.size = size
            archive.addfile(info, io.BytesIO(data))
            digests[info.name] = hashlib.sha256(data).hexdigest()
    return content.getvalue(), digests


def images(server: Neargate, *arguments: str) -> subprocess.Popen:
    command = [str(BINARY), "image", *arguments, "--endpoint-url", server.endpoint]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def told(server: Neargate, *arguments: str) -> dict:
    process = images(server, *arguments)
    output, _ = process.communicate(timeout=COMMAND_S)
    assert process.returncode == 0, arguments
    return json.loads(output)


def expect_whole(server: Neargate, known: dict[str, dict[str, str]]) -> int:
    """Reads all that the store has on the disk and all that it lists; returns how many images that is."""
    store = server.data_dir / "images"
    assert list((store / "staging").iterdir()) == []
    for blob in (store / "blobs/sha256").iterdir():
        assert hashlib.sha256(blob.read_bytes()).hexdigest() == blob.name
    listed = told(server, "ls", "--json")["images"]
    needed = set()
    for image in listed:
        for layer in told(server, "inspect", image["reference"])["layers"]:
            needed.add(layer["digest"].removeprefix("sha256:"))
            folder = store / "layers" / layer["digest"].removeprefix("sha256:")
            found = {
                str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
                for path in folder.rglob("*")
                if path.is_file()
            }
            assert found == known[layer["digest"]], image
    assert {folder.name for folder in (store / "layers").iterdir()} == needed
    return len(listed)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", KINDS)
def test_a_kill_in_the_middle_of_a_pull_leaves_nothing_half_done(tmp_path: Path, kind: str):
    chance = random.Random(SEED)
    count, files, size = KINDS[kind]
    layers = [layer_of(chance, number, files, size) for number in range(count)]
    known = {f"sha256:{hashlib.sha256(layer).hexdigest()}": digests for layer, digests in layers}
    write_layout(tmp_path / "layout", [layer for layer, _ in layers], ["amd64"])
    server = Neargate(tmp_path / "data", tmp_path / "log").start()
    try:
        with docker_registry(tmp_path / "registry") as address:
            image = f"{address}/app:1"
            skopeo("copy", "--dest-tls-verify=false", f"oci:{tmp_path}/layout:v1", f"docker://{image}")
            begin = time.monotonic()
            assert images(server, "pull", image).wait(COMMAND_S) == 0
            whole_s = time.monotonic() - begin
            assert expect_whole(server, known) == 1
            cut_off = 0
            for _ in range(TRIES_MAX):
                if told(server, "ls", "--json")["images"]:
                    server.remove_image(image)
                pulling = images(server, "pull", image)
                # The moment is what the test is about.
                time.sleep(chance.uniform(0, whole_s))
                server.kill()
                pulling.wait(COMMAND_S)
                server.start()
                if expect_whole(server, known) == 0:
                    cut_off += 1
                    if cut_off == KILLS:
                        break
                else:
                    # It was through already: pulls have become faster.
                    whole_s *= 0.9
            assert cut_off == KILLS, "few kills were in the middle"
            assert images(server, "pull", image).wait(COMMAND_S) == 0
            assert expect_whole(server, known) == 1
    finally:
        server.stop()
    assert not server.leftovers(), server.leftovers()

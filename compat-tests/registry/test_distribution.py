"""The registry as the OCI distribution specification has it, by requests made by hand."""

import hashlib
import json
import os
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from distribution import OCI_INDEX, OCI_MANIFEST, Connection, digest_of, manifest_of

MIB = 1024 * 1024
# How much more memory the server may take while a layer of any size goes through it, in KiB.
GROWTH_KIB_MAX = 64 * 1024
TAGS, TAGS_PER_IMAGE_MAX, CONNECTIONS = 10_000, 1_000, 4


def test_whoever_is_not_logged_in_is_asked_to(registry_server, connect):
    stranger = Connection(registry_server.endpoint, "QVdTOndyb25n", "000000000000.dkr.ecr.us-east-1.localhost:4566")
    refused = stranger.ask("GET", "/v2/")
    assert (refused.status, refused.code) == (401, "UNAUTHORIZED")
    assert refused.headers["WWW-Authenticate"].startswith(
        'Basic realm="https://000000000000.dkr.ecr.us-east-1.localhost:4566/"'
    )
    assert connect().ask("GET", "/v2/").status == 200


def test_parts_come_in_their_order_or_not_at_all(connect, repository):
    one, two, three = os.urandom(MIB), os.urandom(2 * MIB), os.urandom(100)
    connection = connect()
    upload = connection.begin(repository)

    def patch(part: bytes, first: int):
        return connection.ask("PATCH", upload, part, Content_Range=f"{first}-{first + len(part) - 1}")

    assert patch(two, len(one)).status == 416
    assert patch(one, 0).headers["Range"] == f"0-{len(one) - 1}"
    refused = patch(one, 0)
    assert (refused.status, refused.headers["Range"]) == (416, f"0-{len(one) - 1}")
    # Another connection goes on, as after a break.
    status = connect().ask("GET", upload)
    assert (status.status, status.headers["Range"]) == (204, f"0-{len(one) - 1}")
    assert patch(two, len(one)).status == 202
    digest = digest_of(one + two + three)
    done = connection.ask("PUT", f"{upload}?digest={digest}", three)
    assert (done.status, done.headers["Docker-Content-Digest"]) == (201, digest)
    assert connection.ask("GET", done.headers["Location"]).body == one + two + three
    assert connection.ask("GET", upload).status == 404


def test_a_body_of_unknown_length_is_taken(connect, repository):
    parts = [os.urandom(300_000) for _ in range(5)]
    connection = connect()
    upload = connection.begin(repository)
    reply = connection.ask("PATCH", upload, iter(parts))
    assert (reply.status, reply.headers["Range"]) == (202, "0-1499999")
    assert connection.ask("PUT", f"{upload}?digest={digest_of(b''.join(parts))}").status == 201


def test_what_arrived_before_a_break_stays_and_is_gone_on_with(registry_server, connect, repository):
    content = os.urandom(4 * MIB)
    half = len(content) // 2
    upload = connect().begin(repository)
    breaking = connect()
    breaking.connection.putrequest("PATCH", upload)
    for name, value in {**breaking.headers, "Content-Length": str(len(content))}.items():
        breaking.connection.putheader(name, value)
    breaking.connection.endheaders()
    breaking.connection.send(content[:half])
    breaking.close()
    connection = connect()
    # The server hears of the break a moment later; until then the upload is somebody's.
    deadline = time.monotonic() + 20
    while True:
        arrived = int(connection.ask("GET", upload).headers["Range"].split("-")[1]) + 1
        rest = content[arrived:]
        reply = connection.ask("PATCH", upload, rest, Content_Range=f"{arrived}-{len(content) - 1}")
        if reply.status == 202:
            break
        # 429: the server has not seen yet that the other connection broke.
        assert reply.status in (400, 416, 429) and time.monotonic() < deadline, reply
    assert arrived <= half
    assert connection.ask("PUT", f"{upload}?digest={digest_of(content)}").status == 201


@pytest.mark.parametrize("kind", ["at once", "by parts"])
def test_the_wrong_digest_leaves_nothing(connect, repository, kind):
    connection, wrong = connect(), digest_of(b"wrong")
    if kind == "at once":
        reply = connection.ask("POST", f"/v2/{repository}/blobs/uploads/?digest={wrong}", b"right")
    else:
        upload = connection.begin(repository)
        reply = connection.ask("PUT", f"{upload}?digest={wrong}", b"right")
    assert (reply.status, reply.code) == (400, "DIGEST_INVALID")
    for digest in (wrong, digest_of(b"right")):
        assert connection.ask("HEAD", f"/v2/{repository}/blobs/{digest}").status == 404


def test_unknown_uploads_are_not_found(connect, repository):
    for method, query in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("PUT", f"?digest={digest_of(b'')}")):
        reply = connect().ask(method, f"/v2/{repository}/blobs/uploads/none{query}")
        assert (reply.status, reply.code) == (404, "BLOB_UPLOAD_UNKNOWN"), method


def test_a_repository_that_is_not_there_takes_nothing(connect):
    for method, path in (("POST", "blobs/uploads/"), ("PUT", "manifests/v1"), ("GET", "tags/list")):
        reply = connect().ask(method, f"/v2/none/{path}", b"{}" if method != "GET" else None)
        assert (reply.status, reply.code) == (404, "NAME_UNKNOWN"), method
        assert b"'none' does not exist in the registry with id '000000000000'" in reply.body


def test_ranges_of_a_layer(connect, repository):
    content = os.urandom(MIB)
    connection = connect()
    path = f"/v2/{repository}/blobs/{connection.push_blob(repository, content)}"
    part = connection.ask("GET", path, Range="bytes=1000-70000")
    assert (part.status, part.headers["Content-Range"]) == (206, f"bytes 1000-70000/{MIB}")
    assert part.body == content[1000:70001]
    assert connection.ask("GET", path, Range=f"bytes={MIB}-").status == 416
    head = connection.ask("HEAD", path)
    assert (head.status, head.headers["Content-Length"]) == (200, str(MIB))


def test_a_layer_is_mounted_instead_of_uploaded(connect, ecr, repository):
    other = f"{repository}/other"
    ecr.create_repository(repositoryName=other)
    connection = connect()
    digest = connection.push_blob(repository, b"layer")
    assert connection.ask("HEAD", f"/v2/{other}/blobs/{digest}").status == 404
    mounted = connection.ask("POST", f"/v2/{other}/blobs/uploads/?mount={digest}&from={repository}")
    assert mounted.status == 201
    assert connection.ask("GET", mounted.headers["Location"]).body == b"layer"
    assert connection.ask("POST", f"/v2/{other}/blobs/uploads/?mount={digest_of(b'x')}&from={repository}").status == 202
    ecr.delete_repository(repositoryName=other, force=True)


def test_the_api_shows_what_was_pushed(connect, ecr, repository):
    connection = connect()
    config, layer = b'{"architecture":"amd64","os":"linux"}', b"layer"
    for content in (config, layer):
        connection.push_blob(repository, content)
    manifest = manifest_of(config, [layer])
    assert connection.put_manifest(repository, "v1", manifest).status == 201
    [image] = ecr.describe_images(repositoryName=repository)["imageDetails"]
    assert (image["imageDigest"], image["imageTags"]) == (digest_of(manifest), ["v1"])
    [got] = ecr.batch_get_image(repositoryName=repository, imageIds=[{"imageTag": "v1"}])["images"]
    assert got["imageManifest"].encode() == manifest
    ecr.put_image_tag_mutability(repositoryName=repository, imageTagMutability="IMMUTABLE")
    connection.push_blob(repository, b"other")
    refused = connection.put_manifest(repository, "v1", manifest_of(config, [b"other"]))
    assert (refused.status, refused.code) == (400, "TAG_INVALID")


def test_indexes_referrers_and_deletes(connect, repository):
    connection = connect()
    connection.push_blob(repository, b"{}")
    image = manifest_of(b"{}", [])
    connection.put_manifest(repository, "amd64", image)
    entry = {"mediaType": OCI_MANIFEST, "digest": digest_of(image), "size": len(image)}
    index = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}).encode()
    assert connection.put_manifest(repository, "all", index, OCI_INDEX).status == 201
    assert connection.ask("DELETE", f"/v2/{repository}/manifests/{digest_of(image)}").status == 403
    about = manifest_of(b"{}", [], artifactType="example/sbom", subject=entry)
    put = connection.put_manifest(repository, digest_of(about), about)
    assert (put.status, put.headers["OCI-Subject"]) == (201, digest_of(image))
    path = f"/v2/{repository}/referrers/{digest_of(image)}"
    [referrer] = json.loads(connection.ask("GET", path).body)["manifests"]
    assert (referrer["digest"], referrer["artifactType"]) == (digest_of(about), "example/sbom")
    filtered = connection.ask("GET", f"{path}?artifactType=example/other")
    assert (json.loads(filtered.body)["manifests"], filtered.headers["OCI-Filters-Applied"]) == ([], "artifactType")
    for reference in ("all", "amd64"):
        assert connection.ask("DELETE", f"/v2/{repository}/manifests/{reference}").status == 202, reference
    # What is about an image goes with it.
    assert connection.ask("GET", f"/v2/{repository}/manifests/{digest_of(about)}").status == 404
    assert json.loads(connection.ask("GET", path).body)["manifests"] == []
    assert json.loads(connection.ask("GET", f"/v2/{repository}/tags/list").body)["tags"] == []


def test_ten_thousand_tags_are_listed_by_pages(connect, repository):
    connection = connect()
    connection.push_blob(repository, b"{}")
    tags = [f"v{n:05}" for n in range(TAGS)]
    images = [manifest_of(b"{}", [], annotations={"n": str(n)}) for n in range(TAGS // TAGS_PER_IMAGE_MAX)]
    mine = threading.local()

    def put(n: int) -> int:
        mine.connection = getattr(mine, "connection", None) or connect()
        return mine.connection.put_manifest(repository, tags[n], images[n % len(images)]).status

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        assert set(pool.map(put, range(TAGS))) == {201}
    listed, path = [], f"/v2/{repository}/tags/list?n=777"
    while path:
        page = connection.ask("GET", path)
        found = json.loads(page.body)["tags"]
        assert 0 < len(found) <= 777
        listed += found
        path = (re.match(r'<(.+)>; rel="next"$', page.headers["Link"] or "") or [None, None])[1]
    assert listed == tags


def memory_kib(pid: int, what: str) -> int:
    with open(f"/proc/{pid}/status") as status:
        return int(re.search(rf"{what}:\s+(\d+) kB", status.read())[1])


@pytest.mark.timeout(300)
def test_a_layer_of_a_gibibyte_goes_through_flat_memory(registry_server, connect, repository):
    piece, count = os.urandom(MIB), 1024
    whole = hashlib.sha256()
    for _ in range(count):
        whole.update(piece)
    digest = f"sha256:{whole.hexdigest()}"
    pid = registry_server.process.pid
    connection = connect()
    upload = connection.begin(repository)
    before = memory_kib(pid, "VmRSS")
    with open(f"/proc/{pid}/clear_refs", "w") as peak:
        peak.write("5")
    started = time.monotonic()
    sent = connection.ask("PATCH", upload, (piece for _ in range(count)), Content_Length=str(count * MIB))
    assert (sent.status, sent.headers["Range"]) == (202, f"0-{count * MIB - 1}")
    done = connection.ask("PUT", f"{upload}?digest={digest}")
    assert done.status == 201
    pushed = time.monotonic()
    answer, got = connection.open("GET", done.headers["Location"]), hashlib.sha256()
    while part := answer.read(MIB):
        got.update(part)
    assert f"sha256:{got.hexdigest()}" == digest
    pulled = time.monotonic()
    growth = memory_kib(pid, "VmHWM") - before
    print(f"1 GiB: pushed in {pushed - started:.1f} s, pulled in {pulled - pushed:.1f} s, {growth} KiB more memory")
    assert growth < GROWTH_KIB_MAX

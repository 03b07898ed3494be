"""Layers over ECR's own API: sent up in the largest parts, fetched by the address that the API gives, and pushed on."""

import hashlib
import json
import os
import urllib.error
import urllib.request

import pytest

PART_BYTES = 20 * 1024 * 1024
ACCOUNT = "100000000201"
OCI = "application/vnd.oci.image"


@pytest.fixture
def ecr(client):
    """An account with the repository `app` for the test."""
    ecr = client("ecr", key=ACCOUNT)
    ecr.create_repository(repositoryName="app")
    yield ecr
    ecr.delete_repository(repositoryName="app", force=True)


def upload(ecr, data: bytes) -> str:
    """Sends a layer up in parts, and returns its digest."""
    begun = ecr.initiate_layer_upload(repositoryName="app")
    assert begun["partSize"] == PART_BYTES
    for first in range(0, len(data), PART_BYTES):
        part = data[first : first + PART_BYTES]
        place = {"partFirstByte": first, "partLastByte": first + len(part) - 1}
        sent = ecr.upload_layer_part(repositoryName="app", uploadId=begun["uploadId"], layerPartBlob=part, **place)
        assert sent["lastByteReceived"] == place["partLastByte"]
    digests = [f"sha256:{hashlib.sha256(data).hexdigest()}"]
    done = ecr.complete_layer_upload(repositoryName="app", uploadId=begun["uploadId"], layerDigests=digests)
    return done["layerDigest"]


def test_a_layer_comes_back_from_the_address_that_the_api_gives(ecr):
    data = os.urandom(PART_BYTES + 1)
    digest = upload(ecr, data)
    url = ecr.get_download_url_for_layer(repositoryName="app", layerDigest=digest)["downloadUrl"]
    with urllib.request.urlopen(url, timeout=30) as answer:
        assert hashlib.sha256(answer.read()).digest() == hashlib.sha256(data).digest()
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(url.partition("?")[0], timeout=30)
    assert refused.value.code == 401


def test_an_image_is_tagged_anew_by_its_manifest(ecr):
    config = {"mediaType": f"{OCI}.config.v1+json", "digest": upload(ecr, b"{}"), "size": 2}
    manifest = json.dumps({"schemaVersion": 2, "mediaType": f"{OCI}.manifest.v1+json", "config": config, "layers": []})
    first = ecr.put_image(repositoryName="app", imageManifest=manifest, imageTag="one")["image"]["imageId"]
    [image] = ecr.batch_get_image(repositoryName="app", imageIds=[{"imageTag": "one"}])["images"]
    again = ecr.put_image(repositoryName="app", imageManifest=image["imageManifest"], imageTag="two")["image"]["imageId"]
    assert again["imageDigest"] == first["imageDigest"]
    with pytest.raises(ecr.exceptions.ImageAlreadyExistsException):
        ecr.put_image(repositoryName="app", imageManifest=manifest, imageTag="two")
    [detail] = ecr.describe_images(repositoryName="app")["imageDetails"]
    assert detail["imageTags"] == ["one", "two"]
    assert detail["lastRecordedPullTime"] >= detail["imagePushedAt"]


def test_a_scan_is_waited_for_and_finds_nothing(ecr):
    config = {"mediaType": f"{OCI}.config.v1+json", "digest": upload(ecr, b"{}"), "size": 2}
    manifest = json.dumps({"schemaVersion": 2, "mediaType": f"{OCI}.manifest.v1+json", "config": config, "layers": []})
    image = {"imageDigest": ecr.put_image(repositoryName="app", imageManifest=manifest)["image"]["imageId"]["imageDigest"]}
    ecr.start_image_scan(repositoryName="app", imageId=image)
    ecr.get_waiter("image_scan_complete").wait(repositoryName="app", imageId=image)
    found = ecr.describe_image_scan_findings(repositoryName="app", imageId=image)
    assert found["imageScanFindings"]["findings"] == []
    assert "does not scan" in found["imageScanStatus"]["description"]

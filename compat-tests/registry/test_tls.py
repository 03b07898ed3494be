"""TLS on request: with the certificate of the data directory, clients need no flag that says that they may do without."""

import shutil
import ssl
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import boto3
import pytest

from distribution import password_of, write_layout
from neargate import Neargate


@pytest.fixture
def secured(tmp_path):
    """A server that speaks TLS, and where its certificate is."""
    server = Neargate(tmp_path / "data", tmp_path / "log", node="simulated", options=["--tls"]).start()
    yield server, server.data_dir / "tls/ca.pem"
    assert server.stop() == 0


def status_of(url: str, authority: Path | None) -> int:
    context = ssl.create_default_context(cafile=authority)
    try:
        with urllib.request.urlopen(url, context=context) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_one_address_speaks_tls_and_plain_http(secured):
    server, authority = secured
    url = server.endpoint.replace("http:", "https:")
    assert status_of(f"{url}/_neargate/health", authority) == 200
    assert status_of(f"{url.replace('127.0.0.1', 'localhost')}/v2/", authority) == 401
    assert status_of(f"{server.endpoint}/_neargate/health", None) == 200
    with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
        status_of(f"{url}/_neargate/health", None)


def test_sdks_and_skopeo_trust_the_certificate(secured, tmp_path):
    server, authority = secured
    url = server.endpoint.replace("http:", "https:")
    credentials = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    ecr = boto3.client("ecr", endpoint_url=url, region_name="us-east-1", verify=str(authority), **credentials)
    ecr.create_repository(repositoryName="web")
    if not shutil.which("skopeo"):
        pytest.skip("there is no skopeo")
    token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    certificates = tmp_path / "certificates"
    certificates.mkdir()
    shutil.copy(authority, certificates / "ca.crt")
    write_layout(tmp_path / "image", [b"layer"], ["amd64"])
    source, target = f"oci:{tmp_path}/image:v1", f"docker://{url.removeprefix('https://')}/web:v1"
    login = ["--dest-creds", f"AWS:{password_of(token)}", "--dest-cert-dir", str(certificates)]
    subprocess.run(["skopeo", "copy", *login, source, target], check=True, capture_output=True, timeout=60)
    [image] = ecr.describe_images(repositoryName="web")["imageDetails"]
    assert image["imageTags"] == ["v1"]

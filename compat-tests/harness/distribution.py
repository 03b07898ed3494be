"""A client of the OCI distribution API made by hand: it can do what real clients never would."""

import base64
import gzip
import hashlib
import http.client
import json
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
TIMEOUT_S = 60


@dataclass
class Reply:
    """An answer, and its body unless that is read bit by bit."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def code(self) -> str:
        """The code of an error."""
        return json.loads(self.body)["errors"][0]["code"]


def digest_of(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def descriptor(content: bytes, media_type: str) -> dict:
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}


def manifest_of(config: bytes, layers: list[bytes], **more: object) -> bytes:
    """Makes a manifest of a configuration and layers."""
    named = [descriptor(layer, OCI_LAYER) for layer in layers]
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor(config, OCI_CONFIG),
        "layers": named,
        **more,
    }
    return json.dumps(manifest).encode()


class Connection:
    """A connection to a registry, with the credentials of a login."""

    def __init__(self, endpoint: str, token: str, host: str | None = None) -> None:
        self.connection = http.client.HTTPConnection(urlsplit(endpoint).netloc, timeout=TIMEOUT_S)
        self.headers = {"Authorization": f"Basic {token}"} | ({"Host": host} if host else {})

    def open(self, method: str, path: str, body: object = None, **headers: str) -> http.client.HTTPResponse:
        """Sends a request, and leaves the answer's body to be read. Underscores in names of headers are hyphens."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.connection.request(method, path, body, self.headers | named)
        return self.connection.getresponse()

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> Reply:
        answer = self.open(method, path, body, **headers)
        return Reply(answer.status, answer.headers, answer.read())

    def push_blob(self, name: str, content: bytes) -> str:
        """Uploads a layer at once."""
        digest = digest_of(content)
        reply = self.ask("POST", f"/v2/{name}/blobs/uploads/?digest={digest}", content)
        assert reply.status == 201, reply
        return digest

    def begin(self, name: str) -> str:
        """Begins an upload and returns its path."""
        reply = self.ask("POST", f"/v2/{name}/blobs/uploads/")
        assert reply.status == 202, reply
        return reply.headers["Location"]

    def put_manifest(self, name: str, reference: str, manifest: bytes, media_type: str = OCI_MANIFEST) -> Reply:
        return self.ask("PUT", f"/v2/{name}/manifests/{reference}", manifest, Content_Type=media_type)

    def close(self) -> None:
        self.connection.close()


def password_of(token: str) -> str:
    """Takes the password out of what GetAuthorizationToken gave."""
    return base64.b64decode(token).decode().removeprefix("AWS:")


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

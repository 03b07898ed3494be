"""A client of the OCI distribution API made by hand: it can do what real clients never would."""

import base64
import hashlib
import http.client
import json
from dataclasses import dataclass
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

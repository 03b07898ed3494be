"""Debian's docker-registry on loopback, and a proxy that makes any registry misbehave."""

import http.client
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from waiting import until

PROGRAM = "docker-registry"
COMMAND_S = 60
PIECE_BYTES = 64 * 1024
# The one user of a registry that asks for one, and bcrypt of the password, which is all that docker-registry takes.
USER = "puller:open sesame"
USER_HASHED = "puller:$2b$04$FKLb5KUxIPufgDtNnKi.TOQxgV0FKybv1RhSapxhySdTmIgy.A6kW"


def is_here() -> bool:
    """Returns whether this machine has what these tests need."""
    return bool(shutil.which(PROGRAM) and shutil.which("skopeo"))


def skopeo(*arguments: str, stdin: str | None = None) -> str:
    """Runs skopeo against registries without TLS."""
    done = subprocess.run(["skopeo", *arguments], input=stdin, capture_output=True, text=True, timeout=COMMAND_S)
    assert done.returncode == 0, f"skopeo {' '.join(arguments)}: {done.stderr}"
    return done.stdout


def push(archive: Path, reference: str, user: str | None = None) -> str:
    """Pushes a docker archive; returns the digest that skopeo names the image by."""
    credentials = ["--dest-creds", user] if user else []
    skopeo("copy", "--dest-tls-verify=false", *credentials, f"docker-archive:{archive}", f"docker://{reference}")
    return digest(reference, user)


def digest(reference: str, user: str | None = None) -> str:
    """Returns the digest of an image in a registry."""
    credentials = ["--creds", user] if user else []
    return skopeo("inspect", "--tls-verify=false", "--format", "{{.Digest}}", *credentials, f"docker://{reference}").strip()


@contextmanager
def docker_registry(folder: Path, is_private: bool = False) -> Iterator[str]:
    """Runs a registry, and yields its address. A private one is for `USER` alone."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    folder.mkdir(parents=True)
    auth = ""
    if is_private:
        (folder / "users").write_text(USER_HASHED + "\n")
        auth = f"auth: {{htpasswd: {{realm: test, path: {folder / 'users'}}}}}\n"
    config = folder / "config.yml"
    config.write_text(
        f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {folder / 'data'}}}}}\n"
        f"http: {{addr: '{address}'}}\n{auth}"
    )
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([PROGRAM, "serve", str(config)], stdout=log, stderr=log)
    try:
        until(lambda: answers(address) or process.poll() is not None, "the registry to listen")
        assert process.poll() is None, (folder / "log").read_text()
        yield address
    finally:
        process.terminate()
        process.wait(COMMAND_S)


def answers(address: str) -> bool:
    """Returns whether somebody listens."""
    host, _, port = address.rpartition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


class Trouble:
    """What a proxy does instead of passing an answer on."""

    def __init__(self, status: int = 0, body: bytes = b"", cut_at: int | None = None, corrupt: bool = False, **headers: str):
        self.status, self.body, self.cut_at, self.corrupt = status, body, cut_at, corrupt
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class Proxy:
    """Stands before a registry, counts what is asked for, and makes the trouble that a test says: `trouble` is given
    method, path and how often the same was asked before."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.asked: list[str] = []
        self.seen_headers: list[dict[str, str]] = []
        self.trouble: Callable[[str, str, int], Trouble | None] = lambda method, path, before: None
        self.lock = threading.Lock()
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                proxy.answer(self)

            do_HEAD = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def blobs(self) -> list[str]:
        """Returns the blobs that were asked for, in order."""
        return [line.rpartition("/")[2] for line in self.asked if "/blobs/" in line]

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        line = f"{handler.command} {handler.path}"
        with self.lock:
            before = self.asked.count(line)
            self.asked.append(line)
            self.seen_headers.append(dict(handler.headers))
        trouble = self.trouble(handler.command, handler.path, before)
        try:
            if trouble and trouble.status:
                reply(handler, trouble.status, trouble.headers, trouble.body)
            else:
                self.forward(handler, trouble)
        except OSError:
            handler.close_connection = True

    def forward(self, handler: BaseHTTPRequestHandler, trouble: Trouble | None) -> None:
        connection = http.client.HTTPConnection(self.upstream, timeout=COMMAND_S)
        passed = {name: value for name, value in handler.headers.items() if name.lower() not in ("host", "connection")}
        # So that redirects and challenges of the registry lead back here.
        connection.request(handler.command, handler.path, headers={**passed, "Host": self.address})
        answer = connection.getresponse()
        body = answer.read()
        headers = {name: value for name, value in answer.getheaders() if name.lower() not in ("transfer-encoding", "date")}
        connection.close()
        if trouble and trouble.corrupt and body:
            body = bytes([body[0] ^ 1]) + body[1:]
        if trouble and trouble.cut_at is not None:
            body, length = body[: trouble.cut_at], headers["Content-Length"]
            handler.send_response(answer.status)
            handler.send_header("Content-Length", length)
            handler.end_headers()
            handler.wfile.write(body)
            handler.wfile.flush()
            handler.close_connection = True
            handler.connection.shutdown(socket.SHUT_RDWR)
            return
        if handler.command == "HEAD":
            handler.send_response(answer.status)
            for name, value in headers.items():
                handler.send_header(name, value)
            handler.end_headers()
            return
        headers.pop("Content-Length", None)
        reply(handler, answer.status, headers, body)


def reply(handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str], body: bytes) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    if handler.command != "HEAD":
        for start in range(0, len(body), PIECE_BYTES):
            handler.wfile.write(body[start : start + PIECE_BYTES])

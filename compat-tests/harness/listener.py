"""HTTP servers of the tests' own, which the server under test calls."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TypeVar

S = TypeVar("S", bound=HTTPServer)

SHUTDOWN_POLL_S = 0.05


class Handler(BaseHTTPRequestHandler):
    """Takes JSON, and logs nothing."""

    def body(self) -> dict:
        return json.loads(self.rfile.read(int(self.headers["content-length"])))

    def log_message(self, *_) -> None:
        """Says nothing."""


@contextmanager
def serving(server: S) -> Iterator[S]:
    """Serves beside the test, until its end."""
    thread = threading.Thread(target=server.serve_forever, args=(SHUTDOWN_POLL_S,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()

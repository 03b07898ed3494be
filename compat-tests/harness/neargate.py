"""Runs the built server, as a user would."""

import fcntl
import io
import json
import os
import re
import signal
import subprocess
import tarfile
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from machine import Leftovers
from waiting import until

ROOT = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("NEARGATE_BINARY", ROOT / "target/release/neargate"))
# Where a server without a data directory keeps its images.
DATA_DIR_DEFAULT = Path("/var/lib/neargate")
# How long a server may take to start, and to end with its tasks.
START_S, STOP_S = 10, 60


class Neargate:
    """A server with a data directory of its own. It can be killed and started again on the same directory."""

    def __init__(
        self,
        data_dir: Path,
        log: Path,
        keeps_state: bool = True,
        node: str | None = None,
        options: Sequence[str] = (),
    ) -> None:
        self.data_dir = data_dir.resolve()
        self.log = log
        self.keeps_state = keeps_state
        self.node = node
        self.options = options
        self.process: subprocess.Popen | None = None
        self.endpoint = ""

    def start(self) -> "Neargate":
        """Starts the server and waits until it has said where it is."""
        # No test asks a registry on the internet.
        command = [str(BINARY), "serve", "--listen", "127.0.0.1:0", "--offline"]
        if self.keeps_state:
            command += ["--data-dir", str(self.data_dir)]
        if self.node:
            command += ["--node", self.node]
        command += self.options
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "NEARGATE_"))}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, env=inherited)
        lines = []
        for line in io.TextIOWrapper(self.process.stdout):
            lines.append(line)
            if found := re.search(r"endpoint\s+(http://\S+)", line):
                self.endpoint = found.group(1)
            if line.lstrip().startswith("aws "):
                break
        assert self.endpoint, f"the server did not start: {''.join(lines)}{self.log.read_text()}"
        return self

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Sends a signal, and returns the exit status."""
        self.process.send_signal(number)
        return self.process.wait(STOP_S)

    def kill(self) -> None:
        """Ends the server as a crash does: it can clean up nothing."""
        self.process.kill()
        self.process.wait(STOP_S)

    def forget(self) -> None:
        """Removes the state from the data directory, so that the next start knows none of the tasks."""
        (self.data_dir / "state.redb").unlink()

    def reset(self) -> None:
        """Empties the server; returns when its tasks are gone."""
        self.admin("POST", "reset")

    def admin(self, method: str, path: str) -> dict:
        """Asks for what AWS does not have."""
        request = urllib.request.Request(f"{self.endpoint}/_neargate/{path}", method=method)
        with urllib.request.urlopen(request, timeout=STOP_S) as answer:
            return json.load(answer)

    def load_image(self, archive: Path, reference: str) -> None:
        """Loads an image with the command that users load it with."""
        command = [str(BINARY), "image", "load", str(archive), "--name", reference, "--endpoint-url", self.endpoint]
        subprocess.run(command, check=True, capture_output=True, timeout=STOP_S)

    def remove_image(self, reference: str) -> None:
        """Removes an image."""
        command = [str(BINARY), "image", "rm", reference, "--endpoint-url", self.endpoint]
        subprocess.run(command, check=True, capture_output=True, timeout=STOP_S)

    def leftovers(self) -> Leftovers:
        """Returns what of this server is on the machine."""
        return Leftovers.of(self.data_dir)

    def expect_no_tasks_left(self) -> None:
        """Waits until nothing of any task is on the machine."""
        until(lambda: not self.leftovers().of_tasks(), f"no leftovers of tasks: {self.leftovers().of_tasks()}")


@contextmanager
def running(folder: Path, options: Sequence[str] = ()) -> Iterator[Neargate]:
    """Runs a server in a folder of its own. When it ends, as it was asked to, nothing of it may be left on the machine."""
    server = Neargate(folder / "data", folder / "log", options=options).start()
    try:
        yield server
        server.reset()
        server.expect_no_tasks_left()
    finally:
        status = server.stop()
    assert status == 0, server.log.read_text()
    assert not server.leftovers(), server.leftovers()


def is_locked(data_dir: Path) -> bool:
    """Returns whether a server uses a data directory."""
    lock = data_dir / "images/lock"
    if not lock.exists():
        return False
    with lock.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def pack_busybox(path: Path) -> Path:
    """Makes the root file system of an image from the machine's own static busybox."""
    busybox = Path("/bin/busybox")
    applets = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True).stdout.split()

    def entry(name: str, kind: bytes, mode: int, **more: object) -> tarfile.TarInfo:
        info = tarfile.TarInfo(name)
        info.type, info.mode = kind, mode
        for member, value in more.items():
            setattr(info, member, value)
        return info

    with tarfile.open(path, "w") as archive:
        for name, mode in (("bin", 0o755), ("etc", 0o755), ("tmp", 0o1777), ("www", 0o755)):
            archive.addfile(entry(name, tarfile.DIRTYPE, mode))
        program = busybox.read_bytes()
        archive.addfile(entry("bin/busybox", tarfile.REGTYPE, 0o755, size=len(program)), io.BytesIO(program))
        for applet in sorted(set(applets) - {"busybox"}):
            archive.addfile(entry(f"bin/{applet}", tarfile.SYMTYPE, 0o777, linkname="busybox"))
        files = {"etc/passwd": b"root:x:0:0::/:/bin/sh\n", "etc/group": b"root:x:0:\n", "www/index.html": b"hello\n"}
        for name, text in files.items():
            archive.addfile(entry(name, tarfile.REGTYPE, 0o644, size=len(text)), io.BytesIO(text))
    return path

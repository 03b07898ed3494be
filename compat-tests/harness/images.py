"""Images that are made at test time, from what the machine has: Debian's Python, and the AWS CLI of the tests."""

import hashlib
import importlib.metadata
import io
import json
import os
import re
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

PYTHON = Path("/usr/bin/python3")
# What is in the AWS CLI's folders that no command needs.
CLI_LEFT_OUT = re.compile(r"(awscli/examples|awscli/topics|docutils/parsers/rst/include)/")
# What is in Python's standard library that no program needs here.
PYTHON_LEFT_OUT = {"test", "idlelib", "lib2to3", "ensurepip", "distutils", "pydoc_data", "turtledemo", "dist-packages"}
USERS = "root:x:0:0::/root:/bin/sh\napp:x:1000:2000::/home/app:/bin/sh\n"
GROUPS = "root:x:0:\napp:x:2000:\nextra:x:3000:app\n"
# Where the CLI's packages are in the image.
PACKAGES = "usr/lib/packages"


class Layer:
    """The root file system of an image, as a tar archive that is being written."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        self.archive, self.names = archive, set()

    def folder(self, name: str, mode: int = 0o755, uid: int = 0, gid: int = 0) -> None:
        if name and name not in self.names:
            self.folder(os.path.dirname(name))
            self._add(name, tarfile.DIRTYPE, mode, uid=uid, gid=gid)

    def text(self, name: str, content: str, mode: int = 0o644) -> None:
        self.bytes(name, content.encode(), mode)

    def bytes(self, name: str, content: bytes, mode: int = 0o644, mtime: int = 0) -> None:
        self.folder(os.path.dirname(name))
        if name not in self.names:
            self._add(name, tarfile.REGTYPE, mode, content, mtime=mtime)

    def link(self, name: str, target: str) -> None:
        self.folder(os.path.dirname(name))
        if name not in self.names:
            self._add(name, tarfile.SYMTYPE, 0o777, linkname=target)

    def file(self, source: Path, name: str | None = None) -> None:
        """Adds a file of the machine, where it is there or under another name. Its time is kept: Python compares it."""
        status = source.stat()
        name = name or str(source).lstrip("/")
        self.bytes(name, source.read_bytes(), status.st_mode & 0o777, int(status.st_mtime))

    def _add(self, name: str, kind: bytes, mode: int, content: bytes = b"", **members: object) -> None:
        info = tarfile.TarInfo(name)
        info.type, info.mode, info.size = kind, mode, len(content)
        for member, value in members.items():
            setattr(info, member, value)
        self.archive.addfile(info, io.BytesIO(content) if content else None)
        self.names.add(name)


def pack_python(path: Path, programs: Path) -> Path:
    """Makes a root file system with busybox, Debian's Python, the AWS CLI, and the programs of a folder in /checks."""
    with tarfile.open(path, "w") as archive:
        layer = Layer(archive)
        for name, mode in (("tmp", 0o1777), ("root", 0o700), ("home", 0o755), ("proc", 0o555), ("sys", 0o555)):
            layer.folder(name, mode)
        layer.folder("home/app", 0o755, 1000, 2000)
        # What the image has where a volume is mounted.
        layer.folder("seeded", 0o750, 1000, 2000)
        layer.text("seeded/file", "from the image\n")
        layer.text("etc/passwd", USERS)
        layer.text("etc/group", GROUPS)
        _busybox(layer)
        _python(layer)
        _cli(layer)
        for program in sorted(programs.iterdir()):
            if program.is_file():
                layer.file(program, f"checks/{program.name}")
    return path


def pack_docker(path: Path, root: Path, reference: str, config: dict) -> Path:
    """Makes an image with a configuration, as `docker save` does, of a root file system."""
    layer = root.read_bytes()
    digest = hashlib.sha256(layer).hexdigest()
    image = {
        "architecture": "amd64",
        "os": "linux",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    }
    document = json.dumps(image).encode()
    name = hashlib.sha256(document).hexdigest()
    manifest = [{"Config": f"{name}.json", "RepoTags": [reference], "Layers": [f"{digest}/layer.tar"]}]
    with tarfile.open(path, "w") as archive:
        files = Layer(archive)
        files.bytes(f"{digest}/layer.tar", layer)
        files.bytes(f"{name}.json", document)
        files.text("manifest.json", json.dumps(manifest))
    return path


def _busybox(layer: Layer) -> None:
    busybox = Path("/bin/busybox")
    layer.file(busybox, "bin/busybox")
    applets = subprocess.run([busybox, "--list"], check=True, capture_output=True, text=True).stdout.split()
    for applet in sorted(set(applets) - {"busybox"}):
        layer.link(f"bin/{applet}", "busybox")


def _python(layer: Layer) -> None:
    program = PYTHON.resolve()
    library = Path("/usr/lib") / program.name
    layer.file(program)
    layer.link("usr/bin/python3", program.name)
    needed = {program}
    for file in _files(library, PYTHON_LEFT_OUT):
        layer.file(file)
        if file.suffix == ".so":
            needed.add(file)
    for library in _libraries(needed):
        layer.file(library.resolve(), str(library).lstrip("/"))


def _files(folder: Path, left_out: set[str]) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in left_out and not name.startswith("config-"))
        # Links lead to configuration of the machine.
        yield from (Path(parent, name) for name in sorted(files) if not Path(parent, name).is_symlink())


def _libraries(programs: set[Path]) -> list[Path]:
    """What the programs are linked with, under the names by which it is looked for."""
    found = subprocess.run(["ldd", *sorted(programs)], check=True, capture_output=True, text=True).stdout
    return sorted({Path(name) for name in re.findall(r"(/\S+) \(0x", found)})


def _cli(layer: Layer) -> None:
    wanted, found = ["awscli"], set()
    while wanted:
        name = wanted.pop()
        if name in found:
            continue
        found.add(name)
        distribution = importlib.metadata.distribution(name)
        for file in distribution.files or []:
            _package(layer, Path(distribution.locate_file(file)), str(file))
        # Neither extras nor what only other versions of Python need.
        needs = [need for need in distribution.requires or [] if "extra ==" not in need]
        wanted += [re.match(r"[\w.-]+", need).group() for need in needs]
    layer.text("bin/aws", f"#!/bin/sh\nPYTHONPATH=/{PACKAGES} exec /usr/bin/python3 -m awscli \"$@\"\n", 0o755)


def _package(layer: Layer, file: Path, name: str) -> None:
    is_wanted = not CLI_LEFT_OUT.search(name)
    # Programs of a package are outside its folder, and its compiled parts are for another Python.
    if is_wanted and not name.startswith("..") and file.suffix != ".so" and file.is_file():
        layer.file(file, f"{PACKAGES}/{name}")

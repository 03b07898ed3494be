"""What the kernel says and allows: the parts that more than one container is checked for."""

import ctypes
import errno
import os
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
# Their numbers on x86-64.
SYSCALLS = {"add_key": 248, "keyctl": 250, "unshare": 272, "kexec_load": 246, "bpf": 321, "mount": 165}
CAPABILITIES = {
    "CHOWN": 0,
    "DAC_OVERRIDE": 1,
    "FOWNER": 3,
    "FSETID": 4,
    "KILL": 5,
    "SETGID": 6,
    "SETUID": 7,
    "SETPCAP": 8,
    "NET_BIND_SERVICE": 10,
    "NET_RAW": 13,
    "SYS_CHROOT": 18,
    "SYS_PTRACE": 19,
    "MKNOD": 27,
    "AUDIT_WRITE": 29,
    "SETFCAP": 31,
}
# What Docker gives, and Fargate.
CAPABILITIES_DEFAULT = set(CAPABILITIES) - {"SYS_PTRACE"}
MIB = 1024 * 1024


def status() -> dict[str, str]:
    """Returns what /proc tells of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def bits(names: set[str]) -> int:
    return sum(1 << CAPABILITIES[name] for name in names)


def capabilities(kind: str) -> set[str]:
    """Returns the names in one of the process's sets: Eff, Prm, Bnd, Inh, Amb."""
    mask = int(status()[f"Cap{kind}"], 16)
    names = {bit: name for name, bit in CAPABILITIES.items()}
    return {names.get(bit, str(bit)) for bit in range(64) if mask >> bit & 1}


def syscall(name: str, *arguments: int) -> None:
    """Calls the kernel, past the C library's ideas."""
    if LIBC.syscall(SYSCALLS[name], *arguments) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)


def is_read_only(path: str) -> bool:
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def size_mib(path: str) -> float:
    seen = os.statvfs(path)
    return seen.f_blocks * seen.f_frsize / MIB


def mounts() -> dict[str, tuple[str, str]]:
    """Returns type and options of what is mounted, by its place."""
    lines = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    return {place: (kind, options) for _, place, kind, options, *_ in lines}


def fill(path: str, bytes_max: int) -> int:
    """Writes until the disk is full or that much is written; returns how much it was, and removes it."""
    block, written = bytes(MIB), 0
    try:
        with open(path, "wb", buffering=0) as file:
            try:
                while written < bytes_max:
                    written += file.write(block)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
        return written
    finally:
        os.unlink(path)

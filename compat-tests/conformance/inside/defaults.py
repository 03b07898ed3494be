"""A container of which the definition says little: what Fargate gives everybody."""

import errno
import os
import re
import resource
import socket
import stat
from pathlib import Path

import kernel
from report import check, fails, holds, same

CONTAINER_MEMORY_BYTES = 384 * kernel.MIB
DEVICES = {"console", "core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout"}
DEVICES |= {"tty", "urandom", "zero"}


def environment(name: str) -> str:
    return os.environ[name]


@check
def environment_of_the_platform() -> None:
    same(environment("AWS_EXECUTION_ENV"), "AWS_ECS_FARGATE")
    same(environment("AWS_REGION"), "us-east-1")
    same(environment("AWS_DEFAULT_REGION"), "us-east-1")
    same(environment("AWS_ENDPOINT_URL"), "http://169.254.170.2:4566")
    uri = environment("ECS_CONTAINER_METADATA_URI_V4")
    found = re.fullmatch(r"http://169\.254\.170\.2/v4/([0-9a-f]{32}-[0-9]{9,10})", uri)
    holds(found, uri)
    same(environment("ECS_CONTAINER_METADATA_URI"), f"http://169.254.170.2/v3/{found[1]}")
    same(environment("ECS_AGENT_URI"), f"http://169.254.170.2/api/{found[1]}")
    path = environment("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
    holds(re.fullmatch(r"/v2/credentials/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", path), path)


@check
def environment_has_no_keys() -> None:
    holds(not {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"} & set(os.environ), set(os.environ))


@check
def environment_of_definition_and_override() -> None:
    same(environment("FROM_DEFINITION"), "definition")
    same(environment("FROM_BOTH"), "override")
    same(environment("FROM_OVERRIDE"), "override")


@check
def environment_has_path_and_home() -> None:
    same(environment("PATH"), "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    same(environment("HOME"), "/root")


@check
def secrets_of_secrets_manager() -> None:
    same(environment("SECRET_WHOLE"), '{"user":"me","password":"of version 2"}')
    same(environment("SECRET_KEY"), "of version 2")
    same(environment("SECRET_STAGE"), "of version 1")


@check
def secrets_of_parameter_store() -> None:
    same(environment("PARAMETER_BY_NAME"), "a plain value")
    same(environment("PARAMETER_BY_ARN"), "a secure value")


@check
def environment_files_of_s3() -> None:
    same(environment("FILE_ONLY"), "from = the file")
    same(environment("FILE_AND_DEFINITION"), "definition")
    same(environment("FILE_FIRST"), "first file")
    holds("COMMENTED" not in os.environ, "COMMENTED")


@check
def hostname_is_the_private_dns_name() -> None:
    holds(re.fullmatch(r"ip-\d+-\d+-\d+-\d+\.ec2\.internal", socket.gethostname()), socket.gethostname())
    same(environment("HOSTNAME"), socket.gethostname())


@check
def etc_hosts() -> None:
    lines = [line.split() for line in Path("/etc/hosts").read_text().splitlines()]
    holds(["127.0.0.1", "localhost"] in lines, lines)
    address = socket.gethostname().partition(".")[0].removeprefix("ip-").replace("-", ".")
    holds(any(line[0] == address and socket.gethostname() in line for line in lines), lines)


@check
def etc_resolv_conf() -> None:
    lines = [line.split() for line in Path("/etc/resolv.conf").read_text().splitlines()]
    holds(["nameserver", "169.254.169.253"] in lines, lines)
    holds(["search", "ec2.internal"] in lines, lines)


@check
def ulimits_by_default() -> None:
    # Where the host forbids so many, as many as it allows.
    expected = int(environment("EXPECTED_NOFILE"))
    same(resource.getrlimit(resource.RLIMIT_NOFILE), (expected, expected))
    same(resource.getrlimit(resource.RLIMIT_FSIZE), (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@check
def capabilities_are_the_default_ones() -> None:
    for kind in ("Eff", "Prm", "Bnd"):
        same(kernel.capabilities(kind), kernel.CAPABILITIES_DEFAULT)
    same(kernel.capabilities("Inh") | kernel.capabilities("Amb"), set())


@check
def seccomp_filters() -> None:
    same(kernel.status()["Seccomp"], "2")


@check
def system_calls_are_refused() -> None:
    fails(lambda: kernel.syscall("keyctl", 0, -3, 0), errno.EPERM)
    fails(lambda: kernel.syscall("add_key", 0, 0, 0, 0, 0), errno.EPERM)
    fails(lambda: kernel.syscall("unshare", 0x1000_0000), errno.EPERM)
    fails(lambda: kernel.syscall("unshare", 0x0002_0000), errno.EPERM)
    fails(lambda: kernel.syscall("bpf", 0, 0, 0), errno.EPERM)
    fails(lambda: kernel.syscall("mount", 0, 0, 0, 0, 0), errno.EPERM)


@check
def devices_are_only_those_of_every_container() -> None:
    same(set(os.listdir("/dev")) - DEVICES, set())
    same({"null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts", "shm"} - set(os.listdir("/dev")), set())
    same(Path("/dev/zero").open("rb").read(3), bytes(3))


@check
def devices_that_are_made_cannot_be_opened() -> None:
    for kind, number in ((stat.S_IFBLK, os.makedev(254, 0)), (stat.S_IFCHR, os.makedev(1, 1))):
        os.mknod("/tmp/device", kind | 0o600, number)
        try:
            fails(lambda: os.open("/tmp/device", os.O_RDONLY), errno.EPERM)
        finally:
            os.unlink("/tmp/device")


@check
def paths_are_masked() -> None:
    for path in ("/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/interrupts"):
        if os.path.exists(path):
            same(Path(path).open("rb").read(1), b"")
    for path in ("/proc/acpi", "/proc/scsi", "/sys/firmware"):
        if os.path.exists(path):
            same(os.listdir(path), [])


@check
def proc_is_read_only_where_it_reaches_the_host() -> None:
    for path in ("/proc/sys", "/proc/irq", "/proc/bus", "/proc/sysrq-trigger"):
        if os.path.exists(path):
            holds(kernel.is_read_only(path), path)
    fails(lambda: Path("/proc/sys/kernel/core_pattern").write_text("x"), errno.EROFS)


@check
def sys_is_read_only() -> None:
    holds(kernel.is_read_only("/sys"), kernel.mounts().get("/sys"))
    fails(lambda: os.mkdir("/sys/fs/cgroup/mine"), errno.EROFS)


def of_cgroup(first: str, second: str) -> int:
    """Reads the first of two files that there is: one of version 1, or one of version 2."""
    folder = Path("/sys/fs/cgroup")
    for path in (folder / first, folder / second):
        if path.exists():
            return int(path.read_text())
    raise AssertionError(f"saw neither {first} nor {second}, but {sorted(os.listdir(folder))}")


@check
def cgroup_shows_the_memory_limit() -> None:
    same(of_cgroup("memory/memory.limit_in_bytes", "memory.max"), CONTAINER_MEMORY_BYTES)


@check
def cgroup_is_the_root_of_its_namespace() -> None:
    paths = [line.split(":", 2)[2] for line in Path("/proc/self/cgroup").read_text().splitlines()]
    same(set(paths), {"/"})


@check
def cgroup_limits_processes() -> None:
    holds(0 < of_cgroup("pids/pids.max", "pids.max") < 100_000, "no limit")


@check
def shared_memory_is_64_mib() -> None:
    same(kernel.mounts()["/dev/shm"][0], "tmpfs")
    same(kernel.size_mib("/dev/shm"), 64)
    same(kernel.fill("/dev/shm/full", 80 * kernel.MIB), 64 * kernel.MIB)


@check
def user_is_root() -> None:
    same((os.getuid(), os.geteuid(), os.getgid(), os.getegid()), (0, 0, 0, 0))


@check
def working_directory_is_the_root() -> None:
    same(os.getcwd(), "/")


@check
def program_is_process_1_and_alone() -> None:
    same(os.getpid(), 1)
    same([name for name in os.listdir("/proc") if name.isdigit()], ["1"])


@check
def no_file_of_the_platform_is_open() -> None:
    folder = Path("/proc/self/fd")
    opened = {int(name): os.readlink(folder / name) for name in os.listdir(folder) if (folder / name).is_symlink()}
    extra = {number: target for number, target in opened.items() if number > 2 and not target.startswith("/proc/")}
    same(extra, {})
    same(opened[0], "/dev/null")


@check
def root_is_writable() -> None:
    Path("/written").write_text("here")
    same(Path("/written").read_text(), "here")
    same(kernel.mounts()["/"][0], "overlay")


@check
def signals_are_as_the_kernel_has_them() -> None:
    masks = {name: int(kernel.status()[name], 16) for name in ("SigBlk", "SigIgn")}
    # Python itself ignores two: SIGPIPE (13) and SIGXFSZ (25).
    same(masks, {"SigBlk": 0, "SigIgn": 1 << 12 | 1 << 24})


@check
def network_has_one_interface() -> None:
    same(sorted(name for _, name in socket.if_nameindex()), ["eth1", "lo"])


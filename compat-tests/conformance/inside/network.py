"""What a task reaches: its side-cars, other tasks, names, and nothing of the host."""

import errno
import fcntl
import json
import os
import random
import socket
import struct
import urllib.error
import urllib.request

from report import check, fails, holds, same

PLATFORM = "169.254.170.2"
RESOLVERS = ("169.254.169.253", "172.31.0.2")
NAME_ERROR = 3
# Would take an interface down.
SIOCSIFFLAGS = 0x8914
CONNECT_S = 1.0


def connect(address: str, port: int) -> None:
    with socket.create_connection((address, port), timeout=CONNECT_S):
        pass


def query(name: str) -> bytes:
    """Returns a DNS query for a name's address, as RFC 1035 has it."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack(">6H", random.randrange(0x10000), 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(">2H", 1, 1)


def answered(reply: bytes) -> tuple[int, list[str]]:
    """Returns the code of a DNS reply, and the addresses that are its last four bytes each: one record at most here."""
    _, flags, _, answers, _, _ = struct.unpack(">6H", reply[:12])
    found = reply.find(struct.pack(">2H", 1, 1), 12)
    addresses = []
    for _ in range(answers):
        # A record of an address: type, class, time to live, length, and the address.
        found = reply.find(struct.pack(">2H", 1, 1), found + 4)
        addresses.append(socket.inet_ntoa(reply[found + 10 : found + 14]))
    return flags & 15, addresses


def ask(resolver: str, name: str) -> tuple[int, list[str]]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.settimeout(5)
        udp.sendto(query(name), (resolver, 53))
        return answered(udp.recv(4096))


def ask_by_tcp(resolver: str, name: str) -> tuple[int, list[str]]:
    with socket.create_connection((resolver, 53), timeout=5) as tcp, tcp.makefile("rwb") as stream:
        asked = query(name)
        stream.write(struct.pack(">H", len(asked)) + asked)
        stream.flush()
        (length,) = struct.unpack(">H", stream.read(2))
        return answered(stream.read(length))


def own_address() -> str:
    return socket.gethostname().partition(".")[0].removeprefix("ip-").replace("-", ".")


@check
def side_car_answers_on_localhost() -> None:
    with urllib.request.urlopen("http://127.0.0.1:8080/file", timeout=5) as answer:
        same(answer.read(), b"from the image\n")


@check
def another_task_answers_at_its_address() -> None:
    with urllib.request.urlopen(f"http://{os.environ['PEER_ADDRESS']}:8080/file", timeout=5) as answer:
        same(answer.read(), b"from the image\n")


@check
def another_task_has_a_name() -> None:
    same(socket.gethostbyname(os.environ["PEER_NAME"]), os.environ["PEER_ADDRESS"])
    # The search domain completes it.
    same(socket.gethostbyname(os.environ["PEER_NAME"].partition(".")[0]), os.environ["PEER_ADDRESS"])


@check
def resolvers_know_the_task_itself() -> None:
    for resolver in RESOLVERS:
        same(ask(resolver, socket.gethostname()), (0, [own_address()]))
        same(ask_by_tcp(resolver, socket.gethostname()), (0, [own_address()]))


@check
def names_of_aws_lead_to_the_platform() -> None:
    for name in ("ecs", "sts", "s3", "logs", "secretsmanager", "ssm", "some-bucket.s3"):
        same(ask(RESOLVERS[0], f"{name}.us-east-1.amazonaws.com"), (0, [PLATFORM]))
    same(socket.gethostbyname("ecs.us-east-1.amazonaws.com"), PLATFORM)


@check
def names_that_nobody_has_are_unknown() -> None:
    same(ask(RESOLVERS[0], "ip-172-31-255-254.ec2.internal"), (NAME_ERROR, []))
    same(ask(RESOLVERS[0], "nobody.ec2.internal"), (NAME_ERROR, []))


@check
def api_answers_at_its_endpoint() -> None:
    headers = {"X-Amz-Target": "AmazonEC2ContainerServiceV20141113.ListClusters", "Content-Type": "application/x-amz-json-1.1"}
    request = urllib.request.Request(os.environ["AWS_ENDPOINT_URL"], b"{}", headers)
    with urllib.request.urlopen(request, timeout=5) as answer:
        holds("clusterArns" in json.load(answer), "another answer")


@check
def what_is_the_operator_s_is_refused_to_tasks() -> None:
    for path, method in (("health", "GET"), ("reset", "POST"), ("images", "GET")):
        request = urllib.request.Request(f"{os.environ['AWS_ENDPOINT_URL']}/_neargate/{path}", method=method)
        try:
            urllib.request.urlopen(request, timeout=5).close()
        except urllib.error.HTTPError as error:
            same(error.code, 403)
        else:
            raise AssertionError(f"{path} was answered")


@check
def services_of_the_host_are_out_of_reach() -> None:
    port = int(os.environ["HOST_PORT"])
    gateway = own_address().rpartition(".")[0].rpartition(".")[0] + ".0.1"
    out_of_reach = (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EACCES, errno.EPERM, errno.ETIMEDOUT)
    for address in ("127.0.0.1", PLATFORM, *RESOLVERS, gateway, os.environ["HOST_ADDRESS"]):
        try:
            connect(address, port)
        except TimeoutError:
            continue
        except OSError as error:
            holds(error.errno in out_of_reach, f"{address}: {error}")
        else:
            raise AssertionError(f"{address} lets tasks in")


@check
def loopback_is_the_task_s_own() -> None:
    fails(lambda: connect("127.0.0.1", 4566), errno.ECONNREFUSED)


@check
def raw_sockets_are_allowed() -> None:
    # CAP_NET_RAW is among the default capabilities: ping works.
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()


@check
def ports_below_1024_are_allowed() -> None:
    with socket.socket() as listener:
        listener.bind(("0.0.0.0", 81))


@check
def interfaces_cannot_be_changed() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sH22x", b"eth1", 0)
        fails(lambda: fcntl.ioctl(any_socket, SIOCSIFFLAGS, request), errno.EPERM)

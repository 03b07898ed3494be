"""Requests made from a service's model: what a client may send, and what it may not.

Values come from a `Values`, which knows names that exist, so that requests get further than "not found". Everything else
about a request is the model's: members, types, constraints.
"""

import copy
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from botocore.model import ListShape, MapShape, OperationModel, Shape, StringShape, StructureShape

# How deep a recursive shape is followed.
DEPTH_MAX = 8
# The longest text that is sent where the model has no bound.
TEXT_LENGTH = 70_000
RANDOM_BODIES = 60
TRUNCATIONS = 20
# One value of each of JSON's types, and some that fit no machine's.
WRONG = [None, True, 7, -1, 1.5, 2**31, 2**63, 10**40, "x", "", [], [None], {}, {"x": 1}]
# Bodies that are no object, or no JSON.
BODIES = [
    b"",
    b"{",
    b"[]",
    b"null",
    b"7",
    b'"x"',
    b"{}{}",
    b"{} x",
    b'{"":{}}',
    b"\xff\xfe{}",
    b'{"a":"\xff"}',
    b'{"a":"\\ud800"}',
    b'{"a":01}',
    b'{"a":1e999999}',
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b'{"unknown":{"deep":[1,{"x":null}]}}',
    b'{"a":1,"a":2}',
    b"\x00",
]

Path = tuple[str | int, ...]


@dataclass
class Request:
    """A body, and what is odd about it."""

    label: str
    body: bytes


class Values(Protocol):
    """Knows what fits into requests."""

    def base(self, operation: str) -> dict[str, object]:
        """Returns members that make a request of an operation succeed, as far as the model's own rules do not."""

    def value(self, operation: str, path: Path, shape: Shape) -> object:
        """Returns a value for one place; none leaves it to the model."""


def good(operation: OperationModel, values: Values) -> Iterator[Request]:
    """Yields requests without a mistake that the model knows: the least, with each other member alone, with all."""
    shape = operation.input_shape
    if shape is None:
        yield _request("empty", {})
        return
    maker = _Maker(operation.name, values)
    yield _request("minimal", maker.minimal(shape))
    yield _request("base", maker.base(shape))
    yield _request("unknown members", {**maker.base(shape), "neargateUnknown": {"a": [1, None]}})
    for name, member in shape.members.items():
        yield _request(f"base and {name}", {**maker.base(shape), name: maker.value(member, (name,))})
        shallow = maker.value(member, (name,), only_required=True)
        yield _request(f"base and shallow {name}", {**maker.base(shape), name: shallow})
        for path, each in _paths(member, maker.value(member, (name,)), (name,)):
            for value in getattr(each, "enum", None) or []:
                changed = {**maker.base(shape), name: maker.value(member, (name,))}
                yield _request(f"base and {_text(path)} = {value}", _with(changed, path, value))
    yield _request("maximal", maker.maximal(shape))


def bad(operation: OperationModel, values: Values) -> Iterator[Request]:
    """Yields requests with one mistake: a member missing, a constraint violated, a value of a wrong type."""
    shape = operation.input_shape
    if shape is None:
        return
    maker = _Maker(operation.name, values)
    for label, whole in (("maximal", maker.maximal(shape)), ("base", maker.base(shape))):
        for path, each in _paths(shape, whole):
            for value in [*_violations(each), *WRONG]:
                yield _request(f"{label}, {_text(path)} = {json.dumps(value)[:40]}", _with(whole, path, value))
            if isinstance(each, StructureShape):
                for name in each.required_members:
                    yield _request(f"{label} without {_text((*path, name))}", _with(whole, (*path, name), _ABSENT))
        for name in shape.required_members:
            yield _request(f"{label} without {name}", _with(whole, (name,), _ABSENT))


def random_bodies(operation: OperationModel, values: Values, seed: int) -> Iterator[Request]:
    """Yields bodies that nobody meant, the same ones for the same seed."""
    source = random.Random(seed)
    for body in BODIES:
        yield Request(f"body {body[:24]!r}", body)
    shape = operation.input_shape
    maximal = json.dumps(_Maker(operation.name, values).maximal(shape) if shape else {}).encode()
    for _ in range(RANDOM_BODIES):
        yield Request("random bytes", source.randbytes(source.randrange(1, 2_000)))
    for _ in range(TRUNCATIONS):
        yield Request("cut off", maximal[: source.randrange(len(maximal))])
        damaged = bytearray(maximal)
        for _ in range(source.randrange(1, 8)):
            damaged[source.randrange(len(damaged))] = source.randrange(256)
        yield Request(f"damaged {bytes(damaged)[:200]!r}", bytes(damaged))


class _Absent:
    """Stands for a member that is taken out."""


_ABSENT = _Absent()


def _request(label: str, value: object) -> Request:
    return Request(label, json.dumps(value).encode())


def _text(path: Path) -> str:
    return ".".join(map(str, path))


class _Maker:
    """Makes values for one operation."""

    def __init__(self, operation: str, values: Values) -> None:
        self.operation, self.values = operation, values

    def minimal(self, shape: StructureShape) -> dict[str, object]:
        return self._structure(shape, (), only_required=True)

    def base(self, shape: StructureShape) -> dict[str, object]:
        return {**self.minimal(shape), **self.values.base(self.operation)}

    def maximal(self, shape: StructureShape) -> dict[str, object]:
        return self._structure(shape, (), only_required=False)

    def value(self, shape: Shape, path: Path, only_required: bool = False) -> object:
        given = self.values.value(self.operation, path, shape)
        if given is not None:
            return given
        if isinstance(shape, StructureShape):
            return self._structure(shape, path, only_required)
        if isinstance(shape, ListShape):
            if len(path) > DEPTH_MAX:
                return []
            return [self.value(shape.member, (*path, 0), only_required)] * (shape.metadata.get("min") or 1)
        if isinstance(shape, MapShape):
            return {} if only_required else {"key": self.value(shape.value, (*path, "key"))}
        if isinstance(shape, StringShape) and shape.enum:
            return shape.enum[0]
        least = shape.metadata.get("min") or 0
        plain = {"string": "x" * max(least, 1), "boolean": True, "timestamp": 1_767_225_600, "double": 1.5, "float": 1.5}
        return plain.get(shape.type_name, max(least, 1))

    def _structure(self, shape: StructureShape, path: Path, only_required: bool) -> dict[str, object]:
        if len(path) > DEPTH_MAX:
            return {}
        made = {
            name: self.value(member, (*path, name), only_required)
            for name, member in shape.members.items()
            if name in shape.required_members or not only_required
        }
        # A token is some listing's, and none that can be made up.
        made.pop("nextToken", None)
        return made


def _paths(shape: Shape, value: object, path: Path = ()) -> Iterator[tuple[Path, Shape]]:
    """Yields every place in a value, with its shape."""
    if path:
        yield path, shape
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        for name, member in shape.members.items():
            if name in value:
                yield from _paths(member, value[name], (*path, name))
    elif isinstance(shape, ListShape) and isinstance(value, list) and value:
        yield from _paths(shape.member, value[0], (*path, 0))
    elif isinstance(shape, MapShape) and isinstance(value, dict):
        for name, item in value.items():
            yield from _paths(shape.value, item, (*path, name))


def _with(value: object, path: Path, new: object) -> object:
    """Returns a copy with one place changed."""
    changed = copy.deepcopy(value)
    place = changed
    for step in path[:-1]:
        place = place[step]
    if new is _ABSENT:
        if isinstance(place, dict):
            place.pop(path[-1], None)
    else:
        place[path[-1]] = new
    return changed


def _violations(shape: Shape) -> list[object]:
    """Returns values of the right type that the model does not allow, or that nothing should take."""
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if isinstance(shape, ListShape):
        sizes = [size for size in ((least or 0) - 1, (most or 1_000) + 1) if size >= 0]
        return [["x"] * size for size in sizes]
    if isinstance(shape, StringShape):
        found = ["", " ", "\u0000", "ä ☃ 𝄞", "a/b:c", "arn:aws:ecs:us-east-1:000000000000:", "x" * TEXT_LENGTH]
        found += ["x" * length for length in ((least or 0) - 1, (most or 0) + 1) if length > 0]
        return found + (["NEARGATE_UNKNOWN"] if shape.enum else [])
    if shape.type_name in ("integer", "long", "double", "float"):
        return [bound for bound in (0, -1, (least or 0) - 1, (most or 2**30) + 1, -(2**31), 2**31 - 1)]
    return []

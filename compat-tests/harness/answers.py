"""Checks every answer against the model that the SDK itself was built from.

The SDK forgives: it drops members that it does not know and takes any text for an enum. Here nothing is forgiven.
"""

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator

from botocore.model import ListShape, MapShape, Shape, StructureShape

# JSON's types for each type of the model.
JSON_TYPES = {
    "string": str,
    "character": str,
    "blob": str,
    "boolean": bool,
    "integer": int,
    "long": int,
    "float": (int, float),
    "double": (int, float),
    "timestamp": (int, float),
}
# A date in JSON is in seconds; in milliseconds, as Logs has them in longs, it would be beyond this.
EPOCH_SECONDS_MAX = 10_000_000_000


class ModelViolation(AssertionError):
    """An answer that the model does not allow."""


def watch(client) -> None:
    """Makes a client fail on answers that its model does not allow."""
    client.meta.events.register("before-parse.*.*", _check)


def _check(operation_model, response_dict, **_) -> None:
    shape, body = operation_model.output_shape, response_dict["body"]
    if response_dict["status_code"] >= 300 or shape is None:
        return
    headers = {name.lower(): value for name, value in response_dict["headers"].items()}
    # The protocol that the model prefers is not the one that the client speaks, where there are several.
    protocol = operation_model.service_model.resolved_protocol
    if protocol.startswith("rest-"):
        # Members are in the headers as well as in the body, or are the body; the golden cases look at those.
        assert headers.get("x-amzn-requestid") or headers.get("x-amz-request-id"), "an answer has no request id"
        return
    assert headers.get("x-amzn-requestid") or b"equestId>" in body, "an answer has no request id"
    if protocol == "json":
        found = list(_json(shape, json.loads(body), operation_model.name))
    else:
        found = list(_xml(shape, _result(ElementTree.fromstring(body), shape, protocol), operation_model.name, protocol))
    if found:
        raise ModelViolation("; ".join(found))


def violations(shape: Shape | None, value: object, path: str) -> Iterator[str]:
    """Yields what of an output in JSON its model does not allow. An output without a shape is an empty object."""
    if shape is not None:
        yield from _json(shape, value, path)
    elif value != {}:
        yield f"{path} should be empty: {value!r}"


def _json(shape: Shape, value: object, path: str) -> Iterator[str]:
    if isinstance(shape, StructureShape):
        if not isinstance(value, dict):
            yield f"{path} is no object: {value!r}"
            return
        for name in shape.required_members:
            if name not in value:
                yield f"{path} lacks {name}"
        for name, member in value.items():
            if name in shape.members:
                yield from _json(shape.members[name], member, f"{path}.{name}")
            else:
                yield f"{path} has a member that the model lacks: {name}"
    elif isinstance(shape, ListShape):
        if not isinstance(value, list):
            yield f"{path} is no list: {value!r}"
            return
        for index, item in enumerate(value):
            yield from _json(shape.member, item, f"{path}[{index}]")
    elif isinstance(shape, MapShape):
        if not isinstance(value, dict):
            yield f"{path} is no map: {value!r}"
            return
        for name, item in value.items():
            yield from _json(shape.value, item, f"{path}.{name}")
    else:
        yield from _scalar(shape, value, path)


def _scalar(shape: Shape, value: object, path: str) -> Iterator[str]:
    is_odd_bool = isinstance(value, bool) and shape.type_name != "boolean"
    if not isinstance(value, JSON_TYPES[shape.type_name]) or is_odd_bool:
        yield f"{path} should be a {shape.type_name}: {value!r}"
    elif shape.type_name == "timestamp" and value > EPOCH_SECONDS_MAX:
        yield f"{path} is not in seconds: {value!r}"
    elif getattr(shape, "enum", None) and value not in shape.enum:
        yield f"{path} should be one of {shape.enum}: {value!r}"


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _result(root: ElementTree.Element, shape: Shape, protocol: str) -> ElementTree.Element:
    if protocol == "query" and (wrapper := shape.serialization.get("resultWrapper")):
        return next(child for child in root if _name(child) == wrapper)
    return root


def _xml(shape: Shape, element: ElementTree.Element, path: str, protocol: str) -> Iterator[str]:
    if isinstance(shape, StructureShape):
        members = {each.serialization.get("name", name): each for name, each in shape.members.items()}
        for child in element:
            name = _name(child)
            if name in members:
                yield from _xml(members[name], child, f"{path}.{name}", protocol)
            elif name not in ("requestId", "ResponseMetadata"):
                yield f"{path} has a member that the model lacks: {name}"
    elif isinstance(shape, ListShape):
        item_name = shape.member.serialization.get("name", "member")
        for child in element:
            if _name(child) != item_name:
                yield f"{path} has an item that is called {_name(child)} and not {item_name}"
            yield from _xml(shape.member, child, f"{path}[]", protocol)
    else:
        yield from _text(shape, element.text or "", path)


def _text(shape: Shape, text: str, path: str) -> Iterator[str]:
    if shape.type_name == "boolean" and text not in ("true", "false"):
        yield f"{path} should be a boolean: {text!r}"
    elif shape.type_name in ("integer", "long") and not text.lstrip("-").isdigit():
        yield f"{path} should be a {shape.type_name}: {text!r}"
    elif getattr(shape, "enum", None) and text not in shape.enum:
        yield f"{path} should be one of {shape.enum}: {text!r}"

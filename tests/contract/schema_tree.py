"""Finds what does not fit together in a `schemas` directory: declarations, schemas, records, examples, consumers."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from shared.adapters.avro import RECORD_TYPES, Codec
from shared.adapters.topic_declarations import load_declarations
from shared.domain.errors import ChannelsError, ConfigError
from shared.domain.topics import Topic

SCHEMAS = Path(__file__).parents[2] / "schemas"
SERVICES = Path(__file__).parents[2] / "services"

_PRIMITIVES = {str: "string", int: "long", float: "double", bool: "boolean", bytes: "bytes"}


def example_files(root: Path = SCHEMAS) -> list[tuple[Topic, Path]]:
    """Every example with its topic, for known topics."""
    return [(topic, path) for topic in Topic for path in sorted((root / "examples" / topic.value).glob("*"))]


def read_example(topic: Topic, path: Path) -> Any:
    """The example as the topic's record; raises msgspec's errors."""
    return msgspec.json.decode(path.read_bytes(), type=RECORD_TYPES[topic])


def tree_faults(root: Path) -> list[str]:
    """All faults of the directory, one line each; empty: everything is known to everything else."""
    try:
        declared = load_declarations(root / "topics")
    except ConfigError as error:
        return [str(error)]
    faults = [
        f"{topic.value}: declared with {declaration.schema}, but the codec uses {RECORD_TYPES[topic].__name__}"
        for topic, declaration in declared.items()
        if declaration.schema != RECORD_TYPES[topic].__name__
    ]
    used = {f"{kind.__name__}.avsc" for kind in RECORD_TYPES.values()}
    present = {path.name for path in (root / "avro").iterdir()}
    faults += [f"avro/{name}: no topic uses it" for name in sorted(present - used)]
    faults += [f"avro/{name}: missing" for name in sorted(used - present)]
    known = {topic.value for topic in Topic}
    faults += [f"examples/{path.name}: no such topic" for path in sorted((root / "examples").iterdir()) if path.name not in known]
    filled: set[str] = set()
    for topic in Topic:
        faults += _example_faults(root, topic, filled)
    declared_fields = {name for kind in RECORD_TYPES.values() for name in _fields(kind)}
    return faults or [f"examples: none fills {name}" for name in sorted(declared_fields - filled)]


def consumer_faults(root: Path, services: Path = SERVICES) -> list[str]:
    """Examples that a declared consumer of this repository cannot decode, in either way from bytes to record."""
    codec = Codec()
    faults = []
    for topic, declaration in load_declarations(root / "topics").items():
        readers = [consumer.service for consumer in declaration.consumers if (services / consumer.service).is_dir()]
        for path in sorted((root / "examples" / topic.value).glob("*.json")):
            for service in readers:
                try:
                    record = read_example(topic, path)
                    if codec.decode(topic, codec.encode(topic, record)) != record:
                        faults.append(f"{service}: {topic.value}/{path.name} comes out as another record")
                except (msgspec.MsgspecError, ChannelsError) as error:
                    faults.append(f"{service}: {topic.value}/{path.name}: {error}")
    return faults


def _example_faults(root: Path, topic: Topic, filled: set[str]) -> list[str]:
    paths = sorted((root / "examples" / topic.value).glob("*"))
    if not paths:
        return [f"examples/{topic.value}: none"]
    faults = []
    for path in paths:
        where = f"examples/{topic.value}/{path.name}"
        try:
            record = read_example(topic, path)
        except msgspec.MsgspecError as error:
            faults.append(f"{where}: {error}")
            continue
        if msgspec.json.decode(msgspec.json.encode(record)) != msgspec.json.decode(path.read_bytes()):
            faults.append(f"{where}: does not hold exactly the fields of {RECORD_TYPES[topic].__name__}")
        filled |= set(_filled(record))
    return faults


def _filled(value: Any) -> Iterator[str]:
    if isinstance(value, tuple):
        for part in value:
            yield from _filled(part)
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            part = getattr(value, field.name)
            if part not in (None, (), {}):
                yield f"{type(value).__name__}.{field.name}"
                yield from _filled(part)


def _fields(kind: Any) -> Iterator[str]:
    if dataclasses.is_dataclass(kind):
        for field, hint in get_type_hints(kind).items():
            yield f"{getattr(kind, '__name__', kind)}.{field}"
            yield from _fields(hint)
    for part in get_args(kind):
        yield from _fields(part)


def shape_faults(kind: type, schema: Any) -> list[str]:
    """Where the dataclass and the Avro record differ: names, order, types, nullability, defaults."""
    hints = get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    names = [field["name"] for field in schema["fields"]]
    if schema["name"] != kind.__name__ or names != list(fields):
        return [f"{kind.__name__} has {list(fields)}, {schema['name']}.avsc has {names}"]
    faults = []
    for declared in schema["fields"]:
        where = f"{kind.__name__}.{declared['name']}"
        faults += _type_faults(where, hints[declared["name"]], declared["type"])
        default = fields[declared["name"]].default
        wanted = [] if default == () else default
        if default is not dataclasses.MISSING and declared.get("default", "none") != wanted:
            faults.append(f"{where}: default {default!r}, but {declared.get('default', 'none')!r} in the schema")
    return faults


def _type_faults(where: str, hint: Any, declared: Any) -> list[str]:
    arguments = get_args(hint)
    if isinstance(hint, types.UnionType):
        if not isinstance(declared, list) or len(declared) != 2 or declared[0] != "null":
            return [f"{where}: may be None, but the schema says {declared}"]
        return _type_faults(where, next(part for part in arguments if part is not type(None)), declared[1])
    if get_origin(hint) is tuple and isinstance(declared, dict) and declared["type"] == "array":
        return _type_faults(where, arguments[0], declared["items"])
    if get_origin(hint) is dict and isinstance(declared, dict) and declared["type"] == "map":
        return _type_faults(where, arguments[1], declared["values"])
    if dataclasses.is_dataclass(hint) and isinstance(declared, dict) and declared["type"] == "record":
        return shape_faults(hint if isinstance(hint, type) else type(hint), declared)
    return [] if declared == _wanted(where, hint) else [f"{where}: {hint}, but the schema says {declared}"]


def _wanted(where: str, hint: Any) -> Any:
    if where.endswith("_ms"):
        return {"type": "long", "logicalType": "timestamp-millis"}
    if dataclasses.is_dataclass(hint):
        return getattr(hint, "__name__", None)  # by name: an earlier field of the file spelled it out
    return "string" if isinstance(hint, type) and issubclass(hint, StrEnum) else _PRIMITIVES.get(hint)

"""Writes our own dataclasses as Avro, by functions that are compiled once per record type.

fastavro takes dictionaries: a record would be turned into one first, and every union tried by its parts. Here a schema and
its dataclass become nested functions that take attributes directly, for a third of the time. Only what our schemas use is
compiled: null-or-one unions, strings (also of StrEnums), longs, doubles, booleans, bytes, arrays, maps and records.
The bytes are fastavro's; a property test holds both together. Reading stays with fastavro: in Python it would be no faster.
https://avro.apache.org/docs/1.12.0/specification/#binary-encoding
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any

Write = Callable[[bytearray, Any], None]
"""Appends one value. Raises TypeError, ValueError, OverflowError or AttributeError for what does not fit."""

_DOUBLE = struct.Struct("<d")
_LONG_BITS = 63


def compile_writer(schema: Any) -> Write:
    """The writer of one schema, in the form in which fastavro parses it. Raises ValueError for a type that is not ours."""
    return _compile(schema, {})


def _compile(schema: Any, records: dict[str, Mapping[str, Any]]) -> Write:
    if isinstance(schema, list):
        return _optional(schema, records)
    name = schema["type"] if isinstance(schema, dict) else schema
    if name == "record":
        records[schema["name"]] = schema
        return _record(schema, records)
    if name == "array":
        return _array(_compile(schema["items"], records))
    if name == "map":
        return _map(_compile(schema["values"], records))
    if name in records:
        return _record(records[name], records)
    if name not in _PRIMITIVES:
        raise ValueError(f"no writer for the Avro type {name}")
    return _PRIMITIVES[name]


def _record(schema: Mapping[str, Any], records: dict[str, Mapping[str, Any]]) -> Write:
    names = [field["name"] for field in schema["fields"]]
    writers = [_compile(field["type"], records) for field in schema["fields"]]
    values_of = attrgetter(names[0], *names) if len(names) == 1 else attrgetter(*names)  # of one name it gives no tuple

    def write(out: bytearray, value: Any) -> None:
        for write_field, part in zip(writers, values_of(value), strict=False):
            write_field(out, part)

    return write


def _optional(schema: list[Any], records: dict[str, Mapping[str, Any]]) -> Write:
    if len(schema) != 2 or "null" not in schema:
        raise ValueError(f"no writer for the Avro union {schema}")
    none = schema.index("null")
    some = 1 - none
    write_some = _compile(schema[some], records)

    def write(out: bytearray, value: Any) -> None:
        if value is None:
            out.append(2 * none)
        else:
            out.append(2 * some)
            write_some(out, value)

    return write


def _array(write_item: Write) -> Write:
    def write(out: bytearray, value: Any) -> None:
        if value:
            _write_long(out, len(value))
            for item in value:
                write_item(out, item)
        out.append(0)

    return write


def _map(write_value: Write) -> Write:
    def write(out: bytearray, value: Any) -> None:
        if value:
            _write_long(out, len(value))
            for key, item in value.items():
                _write_string(out, key)
                write_value(out, item)
        out.append(0)

    return write


def _encode_long(value: int) -> bytes:
    if not -(1 << _LONG_BITS) <= value < 1 << _LONG_BITS:
        raise OverflowError("not a 64-bit integer")
    zigzag = value << 1 if value >= 0 else (-value << 1) - 1
    out = bytearray()
    while zigzag > 0x7F:
        out.append(zigzag & 0x7F | 0x80)
        zigzag >>= 7
    out.append(zigzag)
    return bytes(out)


_SMALL = [_encode_long(value) for value in range(4_096)]  # most lengths and counts


def _write_long(out: bytearray, value: Any) -> None:
    if not isinstance(value, int):
        raise TypeError("not an integer")
    out += _SMALL[value] if 0 <= value < 4_096 else _encode_long(value)


def _write_bytes(out: bytearray, value: Any) -> None:
    if not isinstance(value, bytes):
        raise TypeError("not bytes")
    size = len(value)
    out += _SMALL[size] if size < 4_096 else _encode_long(size)
    out += value


def _write_string(out: bytearray, value: Any) -> None:
    encoded = value.encode()
    size = len(encoded)
    out += _SMALL[size] if size < 4_096 else _encode_long(size)
    out += encoded


def _write_boolean(out: bytearray, value: Any) -> None:
    if not isinstance(value, bool):
        raise TypeError("not a boolean")
    out.append(value)


def _write_double(out: bytearray, value: Any) -> None:
    try:
        out += _DOUBLE.pack(value)
    except struct.error:
        raise TypeError("not a number") from None


_PRIMITIVES: dict[str, Write] = {
    "string": _write_string,
    "long": _write_long,
    "bytes": _write_bytes,
    "boolean": _write_boolean,
    "double": _write_double,
}

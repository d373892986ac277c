"""Writes our own dataclasses as Avro, by one Python function per record type that is made from its schema.

fastavro takes dictionaries: a record would be turned into one first, and every union tried by its parts. Here the schema is
unrolled, as `dataclasses` unrolls a constructor: into the source of a function that takes the attributes and writes one after
the other, without a call per field. Most fields of a message are empty, so what may be empty is asked for in groups: one test,
one constant. A message takes half the time of nested functions, and a fifth of fastavro's.
Only what our schemas use is unrolled: null-or-one unions, strings (also of StrEnums), longs, doubles, booleans, bytes,
arrays, maps and records. The bytes are fastavro's; a property test holds both together. Reading stays with fastavro.
https://avro.apache.org/docs/1.12.0/specification/#binary-encoding
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import groupby
from operator import attrgetter
from typing import Any

Parts = list[bytes]
Write = Callable[[Parts, Any], None]
"""Appends the bytes of one value. Raises TypeError, ValueError, OverflowError or AttributeError for what does not fit."""
_Fields = list[tuple[str, Any]]  # variable, schema

_DOUBLE = struct.Struct("<d")


def compile_writer(schema: Any) -> Write:
    """The writer of one record schema, in the form in which fastavro parses it. Raises ValueError for a type not ours."""
    return _Unrolled().record(schema)


class _Unrolled:
    """Makes the functions of one schema. `names` is what their source may refer to."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {"data": _data, "long": _long, "flag": _flag, "double": _double}
        self.names |= {"small": _SMALL, "length": _encode_long}
        self._records: dict[str, Mapping[str, Any]] = {}

    def record(self, schema: Mapping[str, Any]) -> Write:
        """The function of one record type."""
        self._records[schema["name"]] = schema
        fields = [(f"v{index}", field["type"]) for index, field in enumerate(schema["fields"])]
        take = attrgetter(*(field["name"] for field in schema["fields"]))
        variables = ", ".join(name for name, _ in fields)
        lines = ["def write(out, value):", f"    {variables} = take(value)"]
        for may_be_empty, neighbours in groupby(fields, lambda field: _empty(*field) is not None):
            group = list(neighbours)
            lines += _indented(self._group(group) if may_be_empty else self._fields(group))
        scope = {"take": take, **self.names}
        exec("\n".join(lines), scope)  # noqa: S102 - its text comes from our own schema files, no value of a record is in it
        write: Write = scope["write"]
        return write

    def _group(self, fields: _Fields) -> Iterator[str]:
        """Neighbours that may all be empty: mostly they are; else one half of them, and so on."""
        tests, nothing = zip(*(_empty(name, schema) or ("", b"") for name, schema in fields), strict=True)
        yield f"if {' and '.join(tests)}: out.append({b''.join(nothing)!r})"
        yield "else:"
        if len(fields) == 1:
            yield from _indented(self._filled(*fields[0]))
            return
        middle = len(fields) // 2
        yield from _indented(self._group(fields[:middle]))
        yield from _indented(self._group(fields[middle:]))

    def _filled(self, name: str, schema: Any) -> Iterator[str]:
        """Something that may be empty and is not."""
        if isinstance(schema, list):
            none, some = _union(schema)
            yield f"out.append({bytes((2 - 2 * none,))!r})"
            yield from self._fields([(name, some)])
            return
        item = f"item{name}"
        yield f"out.append(length(len({name})))"
        if schema["type"] == "array":
            yield f"for {item} in {name}:"
            yield from _indented(self._each([(item, schema["items"])]))
        else:
            yield f"for key{name}, {item} in {name}.items():"
            yield from _indented(self._each([(f"key{name}", "string"), (item, schema["values"])]))
        yield "out.append(b'\\0')"

    def _each(self, fields: _Fields) -> Iterator[str]:
        for field in fields:
            yield from self._fields([field]) if _empty(*field) is None else self._group([field])

    def _fields(self, fields: _Fields) -> Iterator[str]:
        """Neighbours that are never empty: all in one extension, but for records."""
        for is_plain, neighbours in groupby(fields, lambda field: _kind(field[1]) in _PRIMITIVES):
            if not is_plain:
                yield from (f"{self._function(schema)}(out, {name})" for name, schema in neighbours)
                continue
            plain = [(name, _kind(schema)) for name, schema in neighbours]
            yield from (f"e{name} = {name}.encode(); n{name} = len(e{name})" for name, kind in plain if kind == "string")
            parts = (_PRIMITIVES[kind].replace("$", name) for name, kind in plain)
            yield f"out += ({', '.join(parts)},)"

    def _function(self, schema: Any) -> str:
        """The name of a record's function; made when it is first met."""
        record = self._records.get(_kind(schema), schema)
        if _kind(record) != "record":
            raise ValueError(f"no writer for the Avro type {_kind(schema)}")
        function = f"write_{record['name'].replace('.', '_')}"
        if function not in self.names:
            self.names[function] = self.record(record)
        return function


def _kind(schema: Any) -> str:
    return str(schema["type"] if isinstance(schema, dict) else schema)


def _empty(name: str, schema: Any) -> tuple[str, bytes] | None:
    """How to see that nothing stands here, and the bytes of that; None for what never is empty."""
    if isinstance(schema, list):
        return f"{name} is None", bytes((2 * _union(schema)[0],))
    if isinstance(schema, dict) and schema["type"] in ("array", "map"):
        return f"not {name}", b"\0"
    return None


def _union(schema: list[Any]) -> tuple[int, Any]:
    """Where null stands, and what else there is."""
    if len(schema) != 2 or "null" not in schema:
        raise ValueError(f"no writer for the Avro union {schema}")
    none = schema.index("null")
    return none, schema[1 - none]


def _indented(lines: Iterable[str]) -> Iterator[str]:
    return (f"    {line}" for line in lines)


def _encode_long(value: int) -> bytes:
    zigzag = value << 1 if value >= 0 else (-value << 1) - 1
    if zigzag < 1 << 14:
        return _ENDS[zigzag]
    if zigzag < 1 << 28:  # most offsets
        return _GOES_ON[zigzag & 0x3FFF] + _ENDS[zigzag >> 14]
    if zigzag < 1 << 42:  # times of our day, in milliseconds
        return _GOES_ON[zigzag & 0x3FFF] + _GOES_ON[zigzag >> 14 & 0x3FFF] + _ENDS[zigzag >> 28]
    if zigzag >= 1 << 64:
        raise OverflowError("not a 64-bit integer")
    out = bytearray()
    while zigzag > 0x7F:
        out.append(zigzag & 0x7F | 0x80)
        zigzag >>= 7
    out.append(zigzag)
    return bytes(out)


# Two groups of seven bits, where others follow and where none does.
_GOES_ON = [bytes((pair & 0x7F | 0x80, pair >> 7 | 0x80)) for pair in range(1 << 14)]
_ENDS = [bytes((pair,) if pair < 0x80 else (pair & 0x7F | 0x80, pair >> 7)) for pair in range(1 << 14)]
_SMALL = _ENDS[0 : 2 * 4_096 : 2]  # most lengths and counts


def _long(value: Any) -> bytes:
    if not isinstance(value, int):
        raise TypeError("not an integer")
    return _SMALL[value] if 0 <= value < 4_096 else _encode_long(value)


def _data(value: Any) -> bytes:
    if not isinstance(value, bytes):
        raise TypeError("not bytes")
    return _long(len(value)) + value


def _flag(value: Any) -> bytes:
    if not isinstance(value, bool):
        raise TypeError("not a boolean")
    return b"\1" if value else b"\0"


def _double(value: Any) -> bytes:
    try:
        return _DOUBLE.pack(value)
    except struct.error:
        raise TypeError("not a number") from None


# The parts of each type; `$` is the variable, of a string e$ are its bytes and n$ is their number.
_PRIMITIVES: dict[str, str] = {
    "string": "small[n$] if n$ < 4096 else length(n$), e$",
    "bytes": "data($)",
    "long": "long($)",
    "boolean": "flag($)",
    "double": "double($)",
}

"""The verdict of the compatibility check, compared each time with what reading an old record really does."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import fastavro
import pytest

from shared.adapters.schema_compatibility import incompatibilities
from shared.adapters.schema_files import AvroSchema, current_schemas, parse_text, released_schemas

_INNER = {"type": "record", "name": "Inner", "fields": [{"name": "x", "type": "long"}]}
_OLD: list[dict[str, Any]] = [
    {"name": "id", "type": "string"},
    {"name": "count", "type": "int"},
    {"name": "note", "type": ["null", "string"], "default": None},
    {"name": "inner", "type": ["null", _INNER], "default": None},
    {"name": "list", "type": {"type": "array", "items": "string"}},
    {"name": "map", "type": {"type": "map", "values": "string"}},
]
_VALUE = {"id": "a", "count": 3, "note": "n", "inner": {"x": 1}, "list": ["p"], "map": {"k": "v"}}


def _schema(fields: list[dict[str, Any]], name: str = "Record") -> AvroSchema:
    return parse_text(json.dumps({"type": "record", "name": name, "namespace": "channels", "fields": fields}))


def _with(field_name: str, /, **change: Any) -> list[dict[str, Any]]:
    return [{**field, **change} if field["name"] == field_name else field for field in _OLD]


def _faults(current: AvroSchema) -> list[str]:
    return incompatibilities({"Record": current}, {"0.1.0": {"Record": _schema(_OLD)}})


def _reads(current: AvroSchema) -> bool:
    stream = BytesIO()
    fastavro.schemaless_writer(stream, _schema(_OLD).parsed, _VALUE)
    stream.seek(0)
    try:
        fastavro.schemaless_reader(stream, _schema(_OLD).parsed, current.parsed)
    except (fastavro.read.SchemaResolutionError, ValueError, TypeError):
        return False
    return True


@pytest.mark.parametrize(
    "fields",
    [
        _OLD,
        [*_OLD, {"name": "new", "type": ["null", "string"], "default": None}],
        [*_OLD, {"name": "new", "type": "string", "default": ""}],
        [field for field in _OLD if field["name"] != "note"],
        list(reversed(_OLD)),
        _with("count", type="long"),
        _with("id", type=["null", "string"], default=None),
        _with("id", name="key", aliases=["id"]),
        _with("id", doc="another text"),
    ],
    ids=["same", "added optional", "added default", "removed", "reordered", "int to long", "nullable", "renamed", "doc"],
)
def test_a_compatible_change_passes_and_reads(fields: list[dict[str, Any]]) -> None:
    assert _faults(_schema(fields)) == []
    assert _reads(_schema(fields))


@pytest.mark.req(6)
@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ([*_OLD, {"name": "new", "type": "string"}], "reader_field_missing_default_value at /fields/6 (new)"),
        (_with("count", type="string"), "type_mismatch at /fields/1/type"),
        (_with("id", name="key"), "reader_field_missing_default_value at /fields/0 (key)"),
        (_with("note", type="long", default=0), "type_mismatch"),
        (_with("list", type={"type": "array", "items": "long"}), "type_mismatch"),
        (_with("map", type={"type": "map", "values": "long"}), "type_mismatch"),
        (_with("inner", type=["null", {**_INNER, "fields": [{"name": "y", "type": "long"}]}]), "missing_union_branch"),
    ],
    ids=["added required", "type", "renamed", "union narrowed", "array", "map", "nested"],
)
def test_an_incompatible_change_is_named_and_would_not_read(fields: list[dict[str, Any]], fault: str) -> None:
    (line,) = _faults(_schema(fields))
    assert line.startswith("Record: cannot read what 0.1.0 wrote: ")
    assert fault in line
    assert not _reads(_schema(fields))


def test_a_narrowed_union_is_found_even_where_the_sample_reads() -> None:
    assert "type_mismatch" in _faults(_schema(_with("note", type="string", default="")))[0]


def test_another_record_name_is_a_fault() -> None:
    assert "name_mismatch" in _faults(_schema(_OLD, name="Other"))[0]


def test_every_release_is_asked_not_only_the_last() -> None:
    first = _schema(_OLD)
    second = _schema([*_OLD, {"name": "new", "type": ["null", "string"], "default": None}])
    third = _schema([*_OLD, {"name": "new", "type": "string"}])
    faults = incompatibilities({"Record": third}, {"0.1.0": {"Record": first}, "0.2.0": {"Record": second}})
    assert [line.split(": ")[1] for line in faults] == ["cannot read what 0.1.0 wrote", "cannot read what 0.2.0 wrote"]


def test_a_schema_that_is_gone_is_a_fault() -> None:
    assert incompatibilities({}, {"0.1.0": {"Record": _schema(_OLD)}}) == [
        "Record: cannot read what 0.1.0 wrote: the schema is gone"
    ]


def test_our_own_schemas_read_every_release() -> None:
    assert list(released_schemas()) != []
    assert incompatibilities(current_schemas(), released_schemas()) == []

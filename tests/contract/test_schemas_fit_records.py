"""The dataclasses and the Avro files say the same, field by field."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from shared.adapters.avro import RECORD_TYPES
from shared.domain.topics import Topic
from tests.contract.schema_tree import SCHEMAS, shape_faults


def _schema(name: str) -> Any:
    return json.loads((SCHEMAS / "avro" / f"{name}.avsc").read_text())


@pytest.mark.parametrize("topic", list(Topic), ids=str)
def test_the_record_is_its_schema(topic: Topic) -> None:
    kind = RECORD_TYPES[topic]
    assert shape_faults(kind, _schema(kind.__name__)) == []


@dataclass
class _Sample:
    name: str
    at_ms: int
    note: str | None


_FIELDS: list[Any] = [
    {"name": "name", "type": "string"},
    {"name": "at_ms", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "note", "type": ["null", "string"], "default": None},
]


def test_the_comparison_accepts_an_equal_pair() -> None:
    assert shape_faults(_Sample, {"name": "_Sample", "fields": _FIELDS}) == []


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ([_FIELDS[1], _FIELDS[0], _FIELDS[2]], "has ['name', 'at_ms', 'note']"),
        (_FIELDS[:2], "has ['name', 'at_ms', 'note']"),
        ([{**_FIELDS[0], "type": "bytes"}, *_FIELDS[1:]], "_Sample.name: <class 'str'>, but the schema says bytes"),
        ([_FIELDS[0], {**_FIELDS[1], "type": "long"}, _FIELDS[2]], "_Sample.at_ms"),
        ([*_FIELDS[:2], {**_FIELDS[2], "type": "string"}], "_Sample.note: may be None"),
    ],
    ids=["order", "missing", "type", "time", "nullability"],
)
def test_the_comparison_sees_a_difference(fields: list[Any], fault: str) -> None:
    assert fault in shape_faults(_Sample, {"name": "_Sample", "fields": fields})[0]

"""The Avro schemas that ship with the package: the current ones and every released one, parsed once."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from fastavro.schema import fingerprint, parse_schema, to_parsing_canonical_form


@dataclass(frozen=True, slots=True)
class AvroSchema:
    """One schema file. `text` is the file as JSON on one line; `parsed` is what fastavro works with."""

    name: str
    text: str
    parsed: Any
    fingerprint: bytes  # CRC-64-AVRO of the parsing canonical form, 8 bytes, little-endian


def schema_root() -> Traversable:
    """The directory `schemas/`, in a checkout as well as in an installed tree."""
    return files("schemas")


def parse_text(text: str) -> AvroSchema:
    """Parse one schema; raises what `json` or fastavro raise on a text that is not an Avro record schema."""
    declared = json.loads(text)
    parsed = parse_schema(_without_logical_types(declared))
    digest = fingerprint(to_parsing_canonical_form(parsed), "CRC-64-AVRO")
    return AvroSchema(declared["name"], json.dumps(declared, separators=(",", ":")), parsed, bytes.fromhex(digest))


@cache
def current_schemas() -> dict[str, AvroSchema]:
    """Name of the record → its schema of today (`schemas/avro/*.avsc`)."""
    return _read_directory(schema_root() / "avro")


@cache
def released_schemas() -> dict[str, dict[str, AvroSchema]]:
    """Version → name of the record → the schema which that version wrote (`schemas/released/<version>/*.avsc`)."""
    versions = [entry for entry in (schema_root() / "released").iterdir() if entry.is_dir()]
    return {entry.name: _read_directory(entry) for entry in sorted(versions, key=lambda entry: _version_key(entry.name))}


def _read_directory(directory: Traversable) -> dict[str, AvroSchema]:
    found = sorted((entry for entry in directory.iterdir() if entry.name.endswith(".avsc")), key=lambda entry: entry.name)
    return {entry.name.removesuffix(".avsc"): parse_text(entry.read_text(encoding="utf-8")) for entry in found}


def _version_key(version: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in version.split(".")]


def _without_logical_types(schema: Any) -> Any:
    """Our records carry times as integers; fastavro would turn them into datetime objects. The wire is the same."""
    if isinstance(schema, dict):
        return {key: _without_logical_types(part) for key, part in schema.items() if key != "logicalType"}
    if isinstance(schema, list):
        return [_without_logical_types(part) for part in schema]
    return schema

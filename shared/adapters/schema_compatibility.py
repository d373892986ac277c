"""Judges the Avro schemas of today against every released one: BACKWARD_TRANSITIVE.

Today's reader must read what any release wrote, for such records may still lie in the topics. The rules are those of
the `avro` package (https://avro.apache.org/docs/1.12.0/specification/#schema-resolution), a development dependency.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.adapters.schema_files import AvroSchema
from shared.domain.errors import ConfigError


def incompatibilities(current: Mapping[str, AvroSchema], released: Mapping[str, Mapping[str, AvroSchema]]) -> list[str]:
    """One line for each place where a schema of today cannot read a released one; empty: all is well.

    `released`: version → name → schema. Raises ConfigError where the `avro` package is not installed.
    """
    return [
        f"{name}: cannot read what {version} wrote: {fault}"
        for version, schemas in released.items()
        for name, writer in schemas.items()
        for fault in _faults(current.get(name), writer)
    ]


def _faults(reader: AvroSchema | None, writer: AvroSchema) -> list[str]:
    if reader is None:
        return ["the schema is gone"]
    try:
        # late: only a developer's machine and CI have it
        from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
        from avro.schema import parse
    except ImportError as error:
        raise ConfigError("the compatibility check needs the package `avro`; install channels[dev]") from error

    checker: Any = ReaderWriterCompatibilityChecker
    verdict = checker().get_compatibility(parse(reader.text), parse(writer.text))
    if verdict.compatibility is SchemaCompatibilityType.compatible:
        return []
    kinds = ", ".join(dict.fromkeys(kind.value for kind in verdict.incompatibilities))
    return [f"{kinds} at {' '.join(sorted(verdict.locations - {'/'})) or '/'} ({'; '.join(sorted(verdict.messages))})"]

"""Reads and writes the records of the topics with fastavro and `schemas/`, nothing else of channels: to be copied."""

import json
import os
from io import BytesIO
from pathlib import Path

from fastavro import parse_schema, schemaless_reader, schemaless_writer
from fastavro.schema import fingerprint, to_parsing_canonical_form

SCHEMAS = Path(os.environ.get("CHANNELS_SCHEMAS", "schemas"))
MARK = b"\xc3\x01"  # Avro's single-object encoding; eight bytes follow that name the schema of whoever wrote it


class Record:
    """One kind of record, such as `MessageReceived`."""

    def __init__(self, name: str) -> None:
        today = SCHEMAS / "avro" / f"{name}.avsc"
        known = {}  # what may still lie in a topic: each released schema, and today's
        for path in (*SCHEMAS.glob(f"released/*/{name}.avsc"), today):
            schema = parse_schema(json.loads(path.read_text()))
            known[bytes.fromhex(fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))] = schema
        self._known, self._today = known, schema
        self._mark = MARK + list(known)[-1]

    def read(self, data: bytes) -> dict:
        """The fields, as today's schema names them. Raises KeyError for a schema that is newer than this checkout."""
        return schemaless_reader(BytesIO(data[10:]), self._known[data[2:10]], self._today)

    def write(self, fields: dict) -> bytes:
        """The bytes of a record."""
        stream = BytesIO()
        schemaless_writer(stream, self._today, fields)
        return self._mark + stream.getvalue()

"""Topics, schemas, records and examples know each other; a planted bad file proves that the check bites."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import fastavro
import msgspec
import pytest

from shared.adapters.avro import RECORD_TYPES, Codec
from shared.adapters.schema_files import released_schemas
from shared.domain.enums import MessageKind
from shared.domain.topics import Topic
from tests.contract.schema_tree import SCHEMAS, consumer_faults, example_files, read_example, tree_faults

_EXAMPLES = example_files()
_IDS = [f"{topic.value}/{path.name}" for topic, path in _EXAMPLES]


def test_nothing_is_missing_and_nothing_is_left_over() -> None:
    assert tree_faults(SCHEMAS) == []


@pytest.mark.req(6)
def test_every_declared_consumer_decodes_every_example() -> None:
    assert consumer_faults(SCHEMAS) == []


def test_every_kind_of_message_has_an_example() -> None:
    kinds = {read_example(topic, path).message.kind for topic, path in _EXAMPLES if topic is Topic.MESSAGE_RECEIVED}
    assert kinds == set(MessageKind)


@pytest.mark.parametrize(("topic", "path"), _EXAMPLES, ids=_IDS)
@pytest.mark.parametrize("version", list(released_schemas()))
def test_todays_consumer_reads_what_a_release_wrote(version: str, topic: Topic, path: Path) -> None:
    schema = released_schemas()[version].get(RECORD_TYPES[topic].__name__)
    if schema is None:
        pytest.skip(f"{version} had no {RECORD_TYPES[topic].__name__}")
    record = read_example(topic, path)
    stream = BytesIO()
    fastavro.schemaless_writer(stream, schema.parsed, msgspec.to_builtins(record, builtin_types=(bytes,)))
    decoded = Codec().decode(topic, b"\xc3\x01" + schema.fingerprint + stream.getvalue())
    assert type(decoded) is RECORD_TYPES[topic]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for part in ("topics", "avro", "examples"):
        shutil.copytree(SCHEMAS / part, tmp_path / part)
    return tmp_path


def _orphan_schema(tree: Path) -> None:
    shutil.copy(tree / "avro" / "SyncRequired.avsc", tree / "avro" / "Nobody.avsc")


def _lost_schema(tree: Path) -> None:
    (tree / "avro" / "SyncRequired.avsc").unlink()


def _orphan_examples(tree: Path) -> None:
    (tree / "examples" / "message.sent").mkdir()


def _lost_examples(tree: Path) -> None:
    shutil.rmtree(tree / "examples" / "channels.audit")


def _unknown_enum_value(tree: Path) -> None:
    path = tree / "examples" / "channels.audit" / "one_range.json"
    path.write_text(path.read_text().replace('"duplicate"', '"twice"'))


def _unknown_field(tree: Path) -> None:
    path = tree / "examples" / "channels.audit" / "one_range.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "colour": "red"}))


def _not_json(tree: Path) -> None:
    (tree / "examples" / "channels.audit" / "notes.txt").write_text("see one_range.json")


def _never_filled(tree: Path) -> None:
    (tree / "examples" / "channels.audit" / "one_range.json").unlink()


def _lost_declaration(tree: Path) -> None:
    (tree / "topics" / "channels.audit.yaml").unlink()


def _orphan_declaration(tree: Path) -> None:
    text = (tree / "topics" / "channels.audit.yaml").read_text()
    (tree / "topics" / "channels.books.yaml").write_text(text.replace("name: channels.audit", "name: channels.books"))


def _other_schema(tree: Path) -> None:
    path = tree / "topics" / "channels.audit.yaml"
    path.write_text(path.read_text().replace("schema: AuditRecorded", "schema: SyncRequired"))


@pytest.mark.parametrize(
    ("plant", "fault"),
    [
        (_orphan_schema, "avro/Nobody.avsc: no topic uses it"),
        (_lost_schema, "avro/SyncRequired.avsc: missing"),
        (_orphan_examples, "examples/message.sent: no such topic"),
        (_lost_examples, "examples/channels.audit: none"),
        (_unknown_enum_value, "examples/channels.audit/one_range.json: Invalid enum value 'twice'"),
        (_unknown_field, "examples/channels.audit/one_range.json: does not hold exactly the fields"),
        (_not_json, "examples/channels.audit/notes.txt: JSON is malformed"),
        (_never_filled, "examples: none fills AuditCount.account_id"),
        (_lost_declaration, "channels.audit.yaml: missing"),
        (_orphan_declaration, "channels.books.yaml: name: not in shared/domain/topics.py"),
        (_other_schema, "channels.audit: declared with SyncRequired, but the codec uses AuditRecorded"),
    ],
)
def test_a_planted_fault_is_found(tree: Path, plant: Callable[[Path], None], fault: str) -> None:
    assert tree_faults(tree) == []
    plant(tree)
    found = tree_faults(tree)
    assert any(fault in line for line in found), found


def test_a_consumer_that_cannot_decode_is_named(tree: Path) -> None:
    path = tree / "examples" / "channels.webhook.received" / "sealed_body.json"
    path.write_text(path.read_text().replace('"body_size_bytes": 612', f'"body_size_bytes": {2**64}'))
    assert [line for line in consumer_faults(tree) if line.startswith("router: channels.webhook.received/sealed_body.json")]

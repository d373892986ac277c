"""`channels tail`: print the decoded records of one topic."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import click
import msgspec

from services.cli.groups import Command
from shared.domain.errors import CorruptData, InvalidInput
from shared.domain.topics import Topic
from shared.runtime.settings import KafkaSettings, load

_SEALED_TEXTS = frozenset({"segredo", "wrapped"})  # unreadable to everybody; their length is all there is to see


@click.command(
    cls=Command,
    examples=(
        "channels tail message.received -f",
        "channels tail channels.webhook.received -n 100 --json | jq .value.account_id",
    ),
)
@click.argument("topic")
@click.option("-n", "count", type=click.IntRange(min=0), default=10, show_default=True, help="How many of the last records.")
@click.option("-f", "follow", is_flag=True, help="Go on with new records until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per line, for other programs.")
@click.option("--key", help="Only records with this key.")
def tail(topic: str, count: int, follow: bool, as_json: bool, key: str | None) -> None:
    """Print decoded records of TOPIC, committed ones only; sealed bytes are shown by their size."""
    from shared.adapters.avro import Codec
    from shared.adapters.kafka import full_name
    from shared.adapters.topic_reader import TopicReader, TopicRecord

    wanted_topic = _known(topic)
    kafka = load(KafkaSettings)
    codec = Codec(kafka.schema_registry_url)

    def wanted(record: TopicRecord) -> bool:
        return key is None or record.key == key

    def show(record: TopicRecord) -> None:
        line = _fields(wanted_topic, codec, record)
        click.echo(json.dumps(line, ensure_ascii=False) if as_json else _columns(line))

    with TopicReader(kafka.kafka_bootstrap, full_name(kafka.topic_prefix, wanted_topic)) as reader:
        for record in reader.read_last(count, wanted):
            show(record)
        if follow:
            try:
                for record in filter(wanted, reader.follow()):
                    show(record)
            except KeyboardInterrupt:
                return


def _known(name: str) -> Topic:
    try:
        return Topic(name)
    except ValueError as error:
        names = "\n  ".join(topic.value for topic in Topic)
        raise InvalidInput(f"no topic {name!r}; there are\n  {names}") from error


def _fields(topic: Topic, codec: Any, record: Any) -> dict[str, Any]:
    """The record as plain values. One that cannot be decoded says so instead of ending the listing."""
    fields: dict[str, Any] = {
        "partition": record.partition,
        "offset": record.offset,
        "key": record.key,
        "ce_type": record.headers.get("ce_type"),
        "time": datetime.fromtimestamp(record.time_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
    if record.value is None:
        return {**fields, "value": None}
    try:
        decoded = codec.decode(topic, record.value)
    except CorruptData as error:
        return {**fields, "value": None, "error": str(error)}
    return {**fields, "value": _masked(msgspec.to_builtins(decoded, builtin_types=(bytes,)))}


def _masked(value: Any, name: str = "") -> Any:
    if isinstance(value, bytes) or (name in _SEALED_TEXTS and isinstance(value, str)):
        return f"<sealed {len(value)} bytes>"
    if isinstance(value, dict):
        return {key: _masked(part, key) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_masked(part) for part in value]
    return value


def _columns(line: dict[str, Any]) -> str:
    head = f"{line['time']}  {line['partition']}/{line['offset']}  {line['ce_type'] or '-'}  key={line['key'] or '-'}"
    if "error" in line:
        return f"{head}\n    cannot be decoded: {line['error']}"
    if line["value"] is None:
        return f"{head}\n    deleted"
    return f"{head}\n    {json.dumps(_without_nulls(line['value']), ensure_ascii=False)}"


def _without_nulls(value: Any) -> Any:
    """For a person's eyes: what is not set takes no room."""
    if isinstance(value, dict):
        return {key: _without_nulls(part) for key, part in value.items() if part is not None}
    if isinstance(value, list):
        return [_without_nulls(part) for part in value]
    return value

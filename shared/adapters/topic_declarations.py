"""The declared topics: `schemas/topics/<name>.yaml`, checked against `schemas/topic-declaration.schema.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources.abc import Traversable
from typing import Any

import jsonschema
import yaml

from shared.adapters.schema_files import schema_root
from shared.domain.errors import ConfigError
from shared.domain.topics import Topic

_DAY_MS = 24 * 60 * 60 * 1000
_TOMBSTONE_DAYS = 8  # a snapshot reader that lost its broker for as long as work is kept still meets every deletion


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicConsumer:
    """Who reads a topic. `group` is without prefix; None: assigns itself all partitions, or names its own groups."""

    service: str
    group: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicDeclaration:
    """One topic as declared. `retention_days` None: compacted."""

    topic: Topic
    purpose: str
    key: str
    schema: str
    owner: str
    producers: tuple[str, ...]
    consumers: tuple[TopicConsumer, ...]
    partitions: int
    retention_days: int | None
    dlq: str | None

    @property
    def groups(self) -> tuple[str, ...]:
        """The consumer groups that need a committed offset from the start."""
        return tuple(consumer.group for consumer in self.consumers if consumer.group is not None)

    def topic_config(self) -> dict[str, str]:
        """The topic's settings at the broker: retention by the broker's clock alone, never by size."""
        if self.retention_days is None:
            return {
                "cleanup.policy": "compact",
                "delete.retention.ms": str(_TOMBSTONE_DAYS * _DAY_MS),
                "max.compaction.lag.ms": str(_DAY_MS),
            }
        return {
            "cleanup.policy": "delete",
            "retention.ms": str(self.retention_days * _DAY_MS),
            "retention.bytes": "-1",
            "message.timestamp.type": "LogAppendTime",
        }


@cache
def declarations() -> Mapping[Topic, TopicDeclaration]:
    """All declared topics, in the order of `Topic`. Raises ConfigError that names every fault of every file."""
    return load_declarations(schema_root() / "topics")


def load_declarations(directory: Traversable) -> dict[Topic, TopicDeclaration]:
    """As `declarations`, from another directory."""
    schema = json.loads((schema_root() / "topic-declaration.schema.json").read_text(encoding="utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    faults: list[str] = []
    found: dict[Topic, TopicDeclaration] = {}
    for entry in sorted(directory.iterdir(), key=lambda entry: entry.name):
        try:
            declared = yaml.safe_load(entry.read_text(encoding="utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            faults.append(f"{entry.name}: not YAML: {' '.join(str(error).split())}")
            continue
        broken = _faults(entry.name, declared, validator)
        faults += broken
        if not broken:
            declaration = _declaration(declared)
            found[declaration.topic] = declaration
    faults += [f"{topic.value}.yaml: missing" for topic in Topic if topic not in found and not _mentioned(topic, faults)]
    faults += [
        f"{declaration.topic.value}.yaml: dlq: {declaration.dlq} is not declared"
        for declaration in found.values()
        if declaration.dlq is not None and declaration.dlq not in {topic.value for topic in found}
    ]
    if faults:
        raise ConfigError("schemas/topics: " + "; ".join(faults))
    return {topic: found[topic] for topic in Topic}


def _faults(file_name: str, declared: Any, validator: jsonschema.Draft202012Validator) -> list[str]:
    errors = sorted(validator.iter_errors(declared), key=lambda error: error.json_path)
    if errors:
        return [f"{file_name}: {error.json_path.removeprefix('$').lstrip('.') or 'file'}: {error.message}" for error in errors]
    if file_name != f"{declared['name']}.yaml":
        return [f"{file_name}: name: must equal the file's name, not {declared['name']}"]
    if declared["name"] not in {topic.value for topic in Topic}:
        return [f"{file_name}: name: not in shared/domain/topics.py"]
    if declared["cleanup"] == "compact" and "retention_days" in declared:
        return [f"{file_name}: retention_days: only with cleanup: delete; a compacted topic keeps the last record of each key"]
    if declared.get("dlq", f"{declared['name']}.dlq") != f"{declared['name']}.dlq":
        return [f"{file_name}: dlq: must be {declared['name']}.dlq"]
    return []


def _mentioned(topic: Topic, faults: list[str]) -> bool:
    return any(fault.startswith(f"{topic.value}.yaml:") for fault in faults)


def _declaration(declared: dict[str, Any]) -> TopicDeclaration:
    return TopicDeclaration(
        topic=Topic(declared["name"]),
        purpose=" ".join(declared["purpose"].split()),
        key=declared["key"],
        schema=declared["schema"],
        owner=declared["owner"],
        producers=tuple(declared["producers"]),
        consumers=tuple(TopicConsumer(**consumer) for consumer in declared["consumers"]),
        partitions=declared["partitions"],
        retention_days=declared.get("retention_days"),
        dlq=declared.get("dlq"),
    )

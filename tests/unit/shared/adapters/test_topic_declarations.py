from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from shared.adapters.topic_declarations import TopicConsumer, declarations, load_declarations
from shared.domain.errors import ConfigError
from shared.domain.topics import Topic

TOPICS = Path(__file__).parents[4] / "schemas" / "topics"


def test_the_raw_topic_is_read_as_declared() -> None:
    raw = declarations()[Topic.WEBHOOK_RECEIVED]
    assert (raw.partitions, raw.key, raw.dlq) == (6, "connector_id", "channels.webhook.received.dlq")
    assert raw.consumers == (TopicConsumer(service="router", group="channels-router"),)
    assert raw.groups == ("channels-router",)


@pytest.mark.parametrize("topic", [Topic.WEBHOOK_RECEIVED, Topic.MESSAGE_RECEIVED])
def test_work_is_kept_eight_days_by_time_only(topic: Topic) -> None:
    assert declarations()[topic].topic_config() == {
        "cleanup.policy": "delete",
        "retention.ms": str(8 * 86_400_000),
        "retention.bytes": "-1",
        "message.timestamp.type": "LogAppendTime",
    }


def test_dead_letters_are_kept_thirty_days() -> None:
    assert declarations()[Topic.WEBHOOK_RECEIVED_DLQ].topic_config()["retention.ms"] == str(30 * 86_400_000)


@pytest.mark.parametrize("topic", [Topic.CONNECTOR_SNAPSHOT, Topic.ACCOUNT_SNAPSHOT])
def test_snapshots_are_compacted_and_never_expire(topic: Topic) -> None:
    config = declarations()[topic].topic_config()
    assert config["cleanup.policy"] == "compact"
    assert "retention.ms" not in config


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    shutil.copytree(TOPICS, tmp_path / "topics")
    return tmp_path / "topics"


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("partitions: 6", "partitions: 0", "partitions: 0 is less than the minimum of 1"),
        ("partitions: 6\n", "", "file: 'partitions' is a required property"),
        ("retention_days: 30\n", "", "file: 'retention_days' is a required property"),
        ("cleanup: delete", "cleanup: both", "cleanup: 'both' is not one of ['delete', 'compact']"),
        ("cleanup: delete", "cleanup: compact", "retention_days: only with cleanup: delete"),
        ("key: raw partition", "colour: red", "'colour' was unexpected"),
        ("name: channels.audit", "name: channels.books", "name: must equal the file's name, not channels.books"),
        ("cleanup: delete", "cleanup: delete\ndlq: other.dlq", "dlq: must be channels.audit.dlq"),
        ("cleanup: delete", "cleanup: delete\ndlq: channels.audit.dlq", "dlq: channels.audit.dlq is not declared"),
        ("name: channels.audit", "name: [", "not YAML"),
    ],
)
def test_a_fault_is_named_with_file_and_field(copies: Path, old: str, new: str, fault: str) -> None:
    path = copies / "channels.audit.yaml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ConfigError) as caught:
        load_declarations(copies)
    assert str(caught.value).startswith("schemas/topics: channels.audit.yaml: ")
    assert fault in str(caught.value)


def test_all_faults_are_named_at_once(copies: Path) -> None:
    (copies / "message.received.yaml").unlink()
    (copies / "channels.audit.yaml").write_text("- a list")
    (copies / "notes.txt").write_text("remember")
    with pytest.raises(ConfigError) as caught:
        load_declarations(copies)
    for fault in ("channels.audit.yaml: file: ['a list'] is not", "message.received.yaml: missing", "notes.txt: file:"):
        assert fault in str(caught.value)

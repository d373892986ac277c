from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from services.cli.topics import topics
from shared.adapters import schema_files
from shared.domain.errors import ConfigError, InvalidInput
from shared.domain.topics import Topic


def test_list_names_every_topic_with_its_readers() -> None:
    result = CliRunner().invoke(topics, ["list"])
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == [topic.value for topic in Topic]
    assert "    WebhookReceived, key: connector_id, 6 partitions, 8 days" in lines
    assert "    router -> messaging, automation, usage, media" in lines
    assert "    ConnectorSnapshot, key: connector_id, 1 partitions, compacted" in lines


def test_check_schemas_passes_and_needs_no_broker() -> None:
    result = CliRunner().invoke(topics, ["check-schemas"])
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{len(schema_files.current_schemas())} schemas read everything that was written since 0.1.0")


@pytest.mark.req(6)
def test_check_schemas_fails_on_an_incompatible_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    current = dict(schema_files.current_schemas())
    text = current["SyncRequired"].text.replace('"name":"cause","type":"string"', '"name":"cause","type":"long"')
    assert text != current["SyncRequired"].text
    current["SyncRequired"] = schema_files.parse_text(text)
    monkeypatch.setattr(schema_files, "current_schemas", lambda: current)
    result = CliRunner().invoke(topics, ["check-schemas"])
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("PROBLEM    SyncRequired: cannot read what 0.1.0 wrote: type_mismatch at /fields/3/type")


@pytest.mark.parametrize("count", ["nope=3", "message.received", "message.received=0", "message.received=many"])
@pytest.mark.parametrize("command", ["apply", "verify"])
def test_a_wrong_partition_count_is_refused_before_the_broker_is_asked(
    command: str, count: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHANNELS_KAFKA_BOOTSTRAP", "127.0.0.1:1")
    error = CliRunner().invoke(topics, [command, "--partitions", count]).exception
    assert isinstance(error, InvalidInput)
    assert f"--partitions {count}: must be TOPIC=N" in str(error)


def test_without_an_address_the_setting_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CHANNELS_KAFKA_BOOTSTRAP", raising=False)
    error = CliRunner().invoke(topics, ["verify"]).exception
    assert isinstance(error, ConfigError)
    assert "CHANNELS_KAFKA_BOOTSTRAP" in str(error)
    assert "channels up" in str(error)

"""The codec beside a schema registry: Confluent framing, cached look-ups, and what each failure becomes."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from shared.adapters.avro import Codec
from shared.adapters.schema_files import current_schemas
from shared.domain.errors import ConfigError, CorruptData, Unavailable
from shared.domain.records import SyncRequired
from shared.domain.topics import Topic
from tests.registry_double import RegistryDouble, registry_double

SYNC = Topic.SYNC_REQUIRED
RECORD = SyncRequired(tenant_id="t", connector_id="c", account_id=None, cause="x", detail="", requested_at_ms=5)
SUBJECT = "channel.account.sync_required-value"


@pytest.fixture
def registry() -> Iterator[RegistryDouble]:
    with registry_double() as double:
        double.schemas.append('"string"')  # so that our first id is not the first
        yield double


def test_the_framing_is_a_zero_byte_and_the_registrys_id(registry: RegistryDouble) -> None:
    data = Codec(registry.address).encode(SYNC, RECORD)
    assert data == b"\x00\x00\x00\x00\x02" + Codec().encode(SYNC, RECORD)[10:]
    assert registry.subjects == {SUBJECT: 2}
    assert json.loads(registry.schemas[1]) == json.loads(current_schemas()["SyncRequired"].text)


def test_each_schema_is_asked_for_once(registry: RegistryDouble) -> None:
    writer, reader = Codec(registry.address), Codec(registry.address)
    for _ in range(3):
        data = writer.encode(SYNC, RECORD)
        assert writer.decode(SYNC, data) == RECORD
        assert reader.decode(SYNC, data) == RECORD
    assert registry.requests == [f"POST /subjects/{SUBJECT}/versions", "GET /schemas/ids/2"]


def test_prepare_registers_ahead_of_the_first_record(registry: RegistryDouble) -> None:
    codec = Codec(registry.address)
    codec.prepare([SYNC, Topic.AUDIT])
    assert sorted(registry.subjects) == [SUBJECT, "channels.audit-value"]
    registry.fail_with = 503
    assert codec.decode(SYNC, codec.encode(SYNC, RECORD)) == RECORD


def test_records_from_before_the_switch_are_still_read(registry: RegistryDouble) -> None:
    assert Codec(registry.address).decode(SYNC, Codec().encode(SYNC, RECORD)) == RECORD
    assert registry.requests == []


def test_a_newer_writers_schema_is_fetched_and_resolved(registry: RegistryDouble) -> None:
    newer = json.loads(current_schemas()["SyncRequired"].text)
    newer["fields"].append({"name": "urgency", "type": "string", "default": ""})
    registry.schemas.append(json.dumps(newer))
    data = b"\x00\x00\x00\x00\x02" + Codec().encode(SYNC, RECORD)[10:] + b"\x08high"
    assert Codec(registry.address).decode(SYNC, data) == RECORD


def test_an_unknown_id_is_corrupt_data(registry: RegistryDouble) -> None:
    with pytest.raises(CorruptData, match="the registry does not know schema 99"):
        Codec(registry.address).decode(SYNC, b"\x00\x00\x00\x00\x63x")


def test_a_schema_that_is_no_record_or_another_record_is_corrupt_data(registry: RegistryDouble) -> None:
    registry.schemas.append(current_schemas()["AuditRecorded"].text)
    codec = Codec(registry.address)
    with pytest.raises(CorruptData, match="is not an Avro record"):
        codec.decode(SYNC, b"\x00\x00\x00\x00\x01\x02a")
    with pytest.raises(CorruptData, match="not a SyncRequired"):
        codec.decode(SYNC, b"\x00\x00\x00\x00\x02" + b"\x00" * 8)


@pytest.mark.parametrize(
    ("status", "error"), [(500, Unavailable), (503, Unavailable), (429, Unavailable), (409, ConfigError), (401, ConfigError)]
)
def test_a_failing_registry_is_unavailable_and_a_refusal_a_wrong_setting(
    registry: RegistryDouble, status: int, error: type[Exception]
) -> None:
    codec = Codec(registry.address)
    registry.fail_with = status
    with pytest.raises(error, match=str(status)):
        codec.encode(SYNC, RECORD)
    with pytest.raises(error, match=str(status)):
        codec.decode(SYNC, b"\x00\x00\x00\x00\x02x")
    registry.fail_with = None
    assert codec.decode(SYNC, codec.encode(SYNC, RECORD)) == RECORD


def test_a_registry_that_is_away_is_unavailable(registry: RegistryDouble) -> None:
    with pytest.raises(Unavailable, match=r"http://127\.0\.0\.1:1 does not answer"):
        Codec("http://127.0.0.1:1").encode(SYNC, RECORD)


def test_an_address_without_a_registry_is_a_wrong_setting(registry: RegistryDouble) -> None:
    with pytest.raises(ConfigError, match="no schema registry at http://127"):
        Codec(f"{registry.address}/elsewhere").encode(SYNC, RECORD)


@pytest.mark.parametrize("address", ["registry:8081", "file:///etc/passwd", "http://"])
def test_an_address_that_is_no_address_is_refused_at_once(address: str) -> None:
    with pytest.raises(ConfigError, match="CHANNELS_SCHEMA_REGISTRY_URL"):
        Codec(address)


def test_the_login_is_sent_and_never_shown(registry: RegistryDouble) -> None:
    address = registry.address.replace("http://", "http://ana:p%40ss-word@")
    codec = Codec(address)
    codec.encode(SYNC, RECORD)
    assert registry.logins == ["Basic YW5hOnBAc3Mtd29yZA=="]
    registry.fail_with = 401
    with pytest.raises(ConfigError) as caught:
        codec.prepare([Topic.AUDIT])
    assert "ss-word" not in str(caught.value)

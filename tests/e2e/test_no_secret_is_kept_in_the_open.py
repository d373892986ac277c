"""Canaries: what was given as a secret, and what people wrote, is searched for in all that an installation leaves."""

from __future__ import annotations

import base64
import json
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition
from psycopg import sql

from deploy.local.stack import LocalStack
from shared.domain.topics import Topic
from shared.providers.whatsapp_official import samples
from tests.e2e.api_tour import HANDED_IN, MISPLACED, toured
from tests.e2e.installation import ROOT, Installation, channels, installed
from tests.pipeline import UNIT_NUMBER, messages_value, meta_body, text_item
from tests.waiting import allowed

MANIFEST = ROOT / "deploy" / "demo" / "channels.yaml"
TENANT_ID = "01900000-0000-7000-8000-000000000001"
CONNECTOR_ID = "01900000-0000-7000-8000-000000000031"
SECRETS = {
    "CHANNELS_DEMO_APP_SECRET": "canary-app-secret-5f1c",
    "CHANNELS_DEMO_VERIFY_TOKEN": "canary-verify-token-5f1c",
    "CHANNELS_DEMO_ACCESS_TOKEN": "canary-access-token-5f1c",
}
ADDED = "canary-added-secret-5f1c"
TEXT, NAME, FORGED = "canary-text-5f1c", "canary-name-5f1c", "canary-forged-5f1c"
MAY_HOLD_TEXT = {Topic.MESSAGE_RECEIVED.value, Topic.INTAKE_REQUESTED.value}
LARGE_TEXT = 60_000


def body(number: str, item_id: str, text: str, **more: object) -> bytes:
    contact = {"wa_id": "5511900000009", "profile": {"name": NAME}}
    return meta_body(messages_value(number, [text_item(item_id, text)]) | {"contacts": [contact]} | more)


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """An installation that has met every way in: good, large, forged, unknown number, junk, handshakes."""
    with installed(tmp_path_factory.mktemp("canary"), MANIFEST, SECRETS) as made:
        world, secret = made.world, SECRETS["CHANNELS_DEMO_APP_SECRET"].encode()
        large = meta_body(
            *(messages_value(UNIT_NUMBER, [text_item(f"wamid.l{number}", TEXT + "x" * LARGE_TEXT)]) for number in range(6))
        )
        assert len(large) > 262_144
        bodies = [
            body(UNIT_NUMBER, "wamid.1", TEXT),
            large,
            body("100000000000099", "wamid.2", TEXT),
            body(UNIT_NUMBER, "wamid.3", TEXT, messages=[TEXT]),
            f"{{ {TEXT}".encode(),
        ]
        deadline = time.monotonic() + allowed(20)
        while world.handshake(CONNECTOR_ID, SECRETS["CHANNELS_DEMO_VERIFY_TOKEN"], "0")[0] != 200:
            assert time.monotonic() < deadline, "the edge did not learn of the connector"
            time.sleep(0.05)
        assert [world.post(CONNECTOR_ID, one, samples.sign(one, secret)) for one in bodies] == [200] * len(bodies)
        assert world.post(CONNECTOR_ID, bodies[0], f"sha256={FORGED}") == 401
        assert world.post(CONNECTOR_ID, bodies[0], samples.sign(bodies[0], FORGED.encode())) == 401
        assert world.handshake(CONNECTOR_ID, SECRETS["CHANNELS_DEMO_VERIFY_TOKEN"], "1")[0] == 200
        assert world.handshake(CONNECTOR_ID, FORGED, "1")[0] == 403
        deadline = time.monotonic() + allowed(60)
        while len(world.events(Topic.MESSAGE_RECEIVED)) < 7 or len(world.events(Topic.WEBHOOK_RECEIVED_DLQ)) < 3:
            assert time.monotonic() < deadline, "the messages did not come out"
            time.sleep(0.2)
        yield made


@pytest.fixture(scope="module")
def told(installation: Installation) -> str:
    """What commands say that handle keys and secrets, those that fail included; afterwards everything is sealed anew."""
    home, connector = installation.home, ("--connector", CONNECTOR_ID)
    tenant = ("--tenant", TENANT_ID)
    lines = [
        channels(home, "webhooks", "secrets", "add", *connector, environment={"CHANNELS_NEW_SECRET": ADDED}),
        channels(home, "webhooks", "secrets", "add", *connector, environment={"CHANNELS_NEW_SECRET": ADDED}, expected=(1,)),
        channels(home, "webhooks", "secrets", "list", *connector),
        channels(home, "webhooks", "secrets", "list", *connector, "--json"),
        channels(home, "keys", "rotate", "--new-key-file"),
        channels(home, "keys", "reseal", *tenant),
        channels(home, "apply", "-f", str(MANIFEST), "--dry-run", environment=SECRETS),
        channels(home, "apply", "-f", str(MANIFEST), "--json", environment=SECRETS),
        channels(home, "export", "--all"),
        channels(home, "export", *tenant, "--json"),
        channels(home, "status"),
        channels(home, "topics", "verify"),
    ]
    return "\n".join(lines)


@pytest.fixture(scope="module")
def answered(installation: Installation) -> str:
    """What the management API answers to everything there is to ask, and to secrets in all the wrong places."""
    return toured(installation.home, TENANT_ID, CONNECTOR_ID)


def test_a_body_above_the_limit_of_kafka_records_comes_out_whole(installation: Installation) -> None:
    texts = [event.message.content.text for event in installation.world.events(Topic.MESSAGE_RECEIVED)]
    assert texts == [TEXT] + [TEXT + "x" * LARGE_TEXT] * 6
    stored = [path for path in (installation.home / "objects").rglob("*") if path.is_file()]
    assert len(stored) == 1  # one body in the object store, the others inside their records


@pytest.mark.req(2, 75)
def test_no_secret_and_no_text_is_found_in_what_the_installation_leaves(
    installation: Installation, answered: str, told: str
) -> None:
    secrets, texts = [*SECRETS.values(), ADDED, HANDED_IN, MISPLACED, *_key_lines(installation.home)], [TEXT, NAME]
    found = []
    places = {
        **{f"table {name}": (data, secrets + texts) for name, data in _tables(installation.home).items()},
        **{
            f"topic {name}": (data, secrets if name in MAY_HOLD_TEXT else secrets + texts)
            for name, data in _topics(installation.home).items()
        },
        **{f"file {name}": (data, [*secrets, *texts, FORGED]) for name, data in _files(installation.home).items()},
        **{f"metrics {port}": (data, [*secrets, *texts, FORGED]) for port, data in _metrics(installation.home).items()},
        "what commands say": (told.encode(), secrets + texts),
        "what the API answers": (answered.encode(), secrets + texts),
    }
    for purpose in ("ingest", "credential"):  # the one place where a key-encryption key may stand
        data, canaries = places[f"file keys/{purpose}.key"]
        places[f"file keys/{purpose}.key"] = (data, [one for one in canaries if one.encode() not in data])
    for place, (data, canaries) in places.items():
        found += [f"{canary} in {place}" for canary in canaries for form in _forms(canary) if form in data]
    assert found == []
    assert any(TEXT.encode() in places[f"topic {topic}"][0] for topic in MAY_HOLD_TEXT), "the search finds what is there"
    assert CONNECTOR_ID in answered
    assert b"/v1/connectors" in places["metrics control"][0]
    assert len(places) > 30


def _key_lines(home: Path) -> list[str]:
    """The key-encryption keys of all generations."""
    lines = [line for path in (home / "keys").glob("*.key") for line in path.read_text().split()]
    assert len(lines) == 4
    return lines


def _forms(canary: str) -> list[bytes]:
    """Plain, hexadecimal, and Base64 at each of the three alignments (without the letters its neighbours change)."""
    plain = canary.encode()
    return [plain, plain.hex().encode(), *(base64.b64encode(b"\0" * shift + plain)[4:-4] for shift in range(3))]


def _tables(home: Path) -> dict[str, bytes]:
    """Every row of every table of the database, as text."""
    addresses = LocalStack(home).running()
    assert addresses is not None
    worker: str = json.loads((home / "stack.json").read_text())["settings"]["database_worker_url"]
    database = worker.partition("?")[0].rpartition("/")[2]
    url = addresses.superuser_url.replace("postgresql+psycopg", "postgresql")
    with psycopg.connect(url, dbname=database) as connection:
        names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        return {
            name: "\n".join(
                row[0] for row in connection.execute(sql.SQL("SELECT t::text FROM {} AS t").format(sql.Identifier(name)))
            ).encode()
            for (name,) in names
        }


def _topics(home: Path) -> dict[str, bytes]:
    """Keys, headers and values of every record of every topic, aborted ones too."""
    bootstrap = json.loads((home / "stack.json").read_text())["settings"]["kafka_bootstrap"]
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "search",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": "read_uncommitted",
        }
    )
    try:
        topics = {name: meta.partitions for name, meta in consumer.list_topics(timeout=10).topics.items()}
        places = [TopicPartition(name, number, OFFSET_BEGINNING) for name, numbers in topics.items() for number in numbers]
        consumer.assign(places)
        found, open_places = {name: bytearray() for name in topics}, len(places)
        while open_places:
            message = consumer.poll(10)
            assert message is not None, "the topics did not come to an end"
            error = message.error()
            if error is not None:
                assert error.code() == KafkaError._PARTITION_EOF, error
                open_places -= 1
                continue
            headers = b" ".join(value or b"" for _, value in message.headers() or ())
            found[message.topic() or ""] += b"\n".join((message.key() or b"", headers, message.value() or b""))
        return {name: bytes(data) for name, data in found.items()}
    finally:
        consumer.close()


def _files(home: Path) -> dict[str, bytes]:
    """Logs, settings, keys and stored bodies; the data folders of Kafka and PostgreSQL were read through their front doors."""
    kept = [path for path in home.rglob("*") if path.is_file() and path.relative_to(home).parts[0] not in {"kafka", "postgres"}]
    return {str(path.relative_to(home)): path.read_bytes() for path in kept}


def _metrics(home: Path) -> dict[str, bytes]:
    settings = json.loads((home / "stack.json").read_text())["settings"]
    pages = {}
    for name in sorted(one for one in settings if one.endswith("_operations_port")):
        with urllib.request.urlopen(f"http://127.0.0.1:{settings[name]}/metrics", timeout=10) as answer:
            pages[name.removesuffix("_operations_port")] = answer.read()
    assert {"ingest", "router", "relay", "control"} <= pages.keys()
    return pages

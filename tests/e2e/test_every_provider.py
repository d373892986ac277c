"""Every provider from end to end: configured by one manifest, heard through the edge, told once as `message.received`."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from services.simulator.people import person
from services.simulator.simulator import Simulator
from services.simulator.utterances import Utterance
from services.simulator.wire import Post
from shared.adapters.clock import new_uuid7
from shared.domain.enums import ConnectorType
from shared.domain.records import MessageReceived
from shared.domain.topics import Topic
from tests.contract.providers.voices import VOICES, Speaker, Voice
from tests.e2e.installation import Installation, installed
from tests.e2e.test_simulator_and_edge import post_to
from tests.waiting import allowed

WHO = person(3)
SPOKEN = 3
LEFT_OUT = "email-ses"  # needs Amazon's certificate: tests/integration/test_certificates.py goes that way
TENANT, UNIT = "01900000-0000-7000-8000-000000000001", "Sales"


@dataclass
class Line:
    """One voice and the connector that hears it."""

    speaker: Speaker
    connector_id: str


def line(voice: Voice) -> Line:
    """A voice whose clock begins now, because timestamps are checked."""
    return Line(Speaker(voice, simulator=Simulator(seed=2, start_ms=time.time_ns() // 1_000_000)), new_uuid7())


def connector(line: Line, environment: dict[str, str]) -> dict[str, Any]:
    """The manifest's entry; secrets go to the environment, as a user would give them."""
    voice, account = line.speaker.voice, line.speaker.account
    name = voice.name.upper().replace("-", "_")
    environment[f"SECRET_{name}"] = line.speaker.secret.decode()
    environment[f"TOKEN_{name}"] = "an-invented-credential-0001"
    entry: dict[str, Any] = {
        "nome": voice.name,
        "id": line.connector_id,
        "tipo": voice.tipo.value,
        "config": {**voice.settings, **_more_settings(voice, account.about)},
        "webhooks": [{"secrets": [{"use": "sign", "env": f"SECRET_{name}"}]}],
        "accounts": [{**_account(voice, account.id, account.about), "org_unit": UNIT}],
    }
    if voice.provider.required_token is not None:
        entry["tokens"] = [{"kind": voice.provider.required_token.value, "env": f"TOKEN_{name}"}]
    return entry


def _more_settings(voice: Voice, about: Mapping[str, Any]) -> dict[str, Any]:
    if voice.tipo is ConnectorType.WHATSAPP_OFFICIAL:
        return {"waba_id": about["waba_id"]}
    if voice.tipo is ConnectorType.WHATSAPP_UNOFFICIAL:
        return {"base_url": "https://gateway.example"}
    return {}


def _account(voice: Voice, account_id: str, about: Mapping[str, Any]) -> dict[str, Any]:
    number = str(about.get("display_phone_number") or about.get("wuid") or about.get("me") or about.get("phone"))
    match voice.tipo:
        case ConnectorType.WHATSAPP_OFFICIAL:
            return {"identidade": f"+{number}", "config": {"phone_number_id": account_id}}
        case ConnectorType.WHATSAPP_UNOFFICIAL:
            return {"identidade": f"+{number.split('@', maxsplit=1)[0]}", "config": {"instance": account_id}}
        case _:
            return {"identidade": account_id}


@pytest.fixture(scope="module")
def lines() -> dict[str, Line]:
    return {voice.name: line(voice) for voice in VOICES if not voice.name.startswith(LEFT_OUT)}


@pytest.fixture(scope="module")
def installation(lines: dict[str, Line], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    home, environment = tmp_path_factory.mktemp("every"), dict[str, str]()
    tenant = {
        "name": "Example Shop",
        "id": TENANT,
        "org_units": [{"name": UNIT}],
        "connectors": [connector(one, environment) for one in lines.values()],
    }
    manifest = Path(home) / "channels.yaml"
    manifest.write_text(json.dumps({"version": 1, "tenants": [tenant]}))
    with installed(home, manifest, environment) as made:
        yield made


@pytest.fixture(scope="module")
def told(installation: Installation, lines: dict[str, Line]) -> dict[str, list[MessageReceived]]:
    """Each voice says a few texts, each posted twice; what came out, by voice."""
    port = json.loads((installation.home / "stack.json").read_text())["settings"]["ingest_port"]
    names = {one.connector_id: name for name, one in lines.items()}
    for one in lines.values():
        for number in range(SPOKEN):
            _, post = one.speaker.says(WHO, Utterance(kind="text", text=f"text {number}"))
            here = _at(post, port, one.connector_id)
            deadline = time.monotonic() + allowed(20)  # the edge learns of the connectors from their snapshots
            while post_to(here).status not in (200, 201, 202, 204):
                assert time.monotonic() < deadline, f"{one.speaker.voice.name}: {post_to(here)}"
                time.sleep(0.1)
            post_to(here)
    found: dict[str, list[MessageReceived]] = {name: [] for name in lines}
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and any(len(events) < SPOKEN for events in found.values()):
        time.sleep(0.5)
        found = {name: [] for name in lines}
        for event in installation.world.events(Topic.MESSAGE_RECEIVED):
            found[names[event.message.connector_id]].append(event)
    return found


def _at(post: Post, port: int, connector_id: str) -> Post:
    query = urlsplit(post.url).query
    return replace(post, url=f"http://127.0.0.1:{port}/webhooks/{connector_id}" + (f"?{query}" if query else ""))


NAMES = [voice.name for voice in VOICES if not voice.name.startswith(LEFT_OUT)]


@pytest.mark.req(94)
@pytest.mark.parametrize("name", NAMES)
def test_each_message_comes_out_once_in_order_and_for_the_unit(name: str, told: dict[str, list[MessageReceived]]) -> None:
    events = told[name]
    texts = [(event.message.content.text or "").strip() for event in events]
    assert texts == [f"text {number}" for number in range(SPOKEN)]
    assert {event.decision.rule for event in events} == {"org_unit"}
    assert len({event.message.conversation_id for event in events}) == 1

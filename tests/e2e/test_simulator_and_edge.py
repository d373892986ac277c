"""Every provider, dialect and way of proof: the simulator posts to a real edge, and what Kafka holds is what was meant."""

from __future__ import annotations

import dataclasses
import http.client
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from services.simulator.people import person
from services.simulator.simulator import Simulator
from services.simulator.utterances import Utterance
from services.simulator.wire import Answer, Post
from shared.adapters.clock import new_uuid7
from shared.domain.enums import SecretUse
from shared.domain.items import MessageItem
from shared.domain.snapshots import Certificate
from shared.providers.contract import ReceivingSecret
from tests.contract.providers.meaning import meant, understood
from tests.contract.providers.voices import VOICES, Speaker, Voice
from tests.edge import Edge

WHO = person(3)


@dataclass
class Line:
    """One voice with a connector of its own at the edge."""

    voice: Voice
    connector_id: str
    speaker: Speaker


def post_to(post: Post) -> Answer:
    """One webhook over a real socket."""
    place = urlsplit(post.url)
    connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=15)
    began = time.monotonic()
    try:
        connection.request(post.method, place._replace(scheme="", netloc="").geturl(), post.body, dict(post.headers))
        response = connection.getresponse()
        headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(status=response.status, headers=headers, body=response.read(), seconds=time.monotonic() - began)
    except OSError:
        return Answer(status=None)
    finally:
        connection.close()


@pytest.fixture(scope="module")
def edge(kafka_bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    folder: Path = tmp_path_factory.mktemp("edge")
    edge = Edge.create(kafka_bootstrap, f"s{new_uuid7()[-12:]}.", folder)
    yield edge
    edge.stop()


@pytest.fixture(scope="module")
def lines(edge: Edge) -> dict[str, Line]:
    """A connector for each voice, published before the edge starts; the virtual clock begins now, as timestamps are checked."""
    found = {}
    for voice in VOICES:
        speaker = Speaker(voice, simulator=Simulator(seed=2, start_ms=time.time_ns() // 1_000_000))
        connector_id, webhook_id = new_uuid7(), new_uuid7()
        secret = ReceivingSecret(id="", use=SecretUse.SIGN, value=speaker.secret)
        certificates = tuple(Certificate(url=url, pem=pem.decode()) for url, pem in speaker.certificates.items())
        snapshot = edge.connector(
            connector_id=connector_id,
            tipo=voice.tipo,
            config=json.dumps(dict(voice.settings)),
            webhooks=(edge.webhook((secret,), webhook_id),),
            certificates=certificates,
        )
        edge.publish(snapshot)
        query = urlsplit(speaker.account.callback_url).query
        address = f"http://127.0.0.1:{edge.port}/webhooks/{connector_id}"
        speaker.account.callback_url = f"{address}?{query}" if query else address
        found[voice.name] = Line(voice, connector_id, speaker)
    edge.start()
    return found


def voice_secret(line: Line) -> str:
    """How the voice shows its secret: SNS keeps a credential back until it is asked for it by a 401."""
    return "basic" if line.voice.stand_in == "sns" and line.speaker.account.about["basic"] else ""


@pytest.mark.parametrize("name", [voice.name for voice in VOICES])
def test_what_was_said_is_in_kafka_as_often_as_it_was_posted(name: str, edge: Edge, lines: dict[str, Line]) -> None:
    line = lines[name]
    speaker, stand_in = line.speaker, line.speaker.stand_in
    what = Utterance(kind="text", text=f"Olá de {name} → 😀")
    stand_in.disturbance = dataclasses.replace(stand_in.disturbance, repeats=1.0)
    stand_in.say(speaker.account.id, WHO, what)
    speaker.simulator.advance(1, post_to)
    assert [(one.status, one.outcome) for one in speaker.simulator.ledger if one.status != 401] == [(200, "delivered")] * 2
    challenges = [one for one in speaker.simulator.ledger if one.status == 401]
    assert len(challenges) == (2 if "basic" in voice_secret(line) else 0)
    kept = [one for one in edge.stored() if one.key == line.connector_id]
    assert len(kept) == 2
    for one in kept:
        (item,) = line.voice.provider.normalise(one.body, one.record.headers, dict(line.voice.settings))
        assert isinstance(item, MessageItem)
        assert understood(item) == meant(what, line.voice)


@pytest.mark.parametrize("name", [voice.name for voice in VOICES if voice.name.startswith(("whatsapp", "telegram"))])
def test_under_a_wrong_secret_each_provider_does_what_its_table_says(name: str, edge: Edge, lines: dict[str, Line]) -> None:
    line = lines[name]
    speaker = line.speaker
    right, seen = speaker.account, len(speaker.simulator.ledger)
    right.secret, secret = "a-wrong-secret", right.secret
    right.callback_url, url = right.callback_url.replace(secret, "a-wrong-secret"), right.callback_url
    speaker.stand_in.disturbance = dataclasses.replace(speaker.stand_in.disturbance, repeats=0.0)
    speaker.stand_in.say(right.id, WHO, Utterance(kind="text", text="under another secret"))
    speaker.simulator.advance(0.5, post_to)
    refused = line.voice.provider.receiving.answers_for(line.voice.settings).statuses["refused"]
    first = speaker.simulator.ledger[seen]
    assert first.status == refused
    gives_up = line.voice.stand_in in ("evolution", "zapi")
    assert first.outcome == ("dropped" if gives_up else "waiting")
    right.secret, right.callback_url = secret, url
    speaker.simulator.advance(60, post_to)
    assert speaker.simulator.ledger[-1].outcome == ("dropped" if gives_up else "delivered")

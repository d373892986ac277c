"""The edge tells whether a secret is live in its snapshot, to who has it and to nobody else; nothing is written."""

from __future__ import annotations

from dataclasses import replace

import pytest

from services.ingest.decide import Caller, parse_target
from services.ingest.probing import answer_probe
from shared.domain import edge_probe
from shared.domain.enums import ConnectorStatus, ConnectorType, SecretUse
from shared.domain.snapshots import ConnectorSnapshot
from shared.providers.contract import ReceivingSecret, Request
from shared.providers.receiving import receiving_of

CONNECTOR, NOW = "01900000-0000-7000-8000-000000000001", 1_900_000_000_000
PROBE = edge_probe.Probe(connector_id=CONNECTOR, at_ms=NOW, nonce="0" * 32)
SECRETS = (
    ReceivingSecret(id="w/0", use=SecretUse.SIGN, value=b"one"),
    ReceivingSecret(id="w/1", use=SecretUse.HANDSHAKE, value=b"two"),
    ReceivingSecret(id="w/2", use=SecretUse.SIGN, value=b"over", not_after_ms=NOW - 1),
    ReceivingSecret(id="w/3", use=SecretUse.SIGN, value=b"to come", not_before_ms=NOW + 1),
)


def caller(tipo: ConnectorType = ConnectorType.TELEGRAM) -> Caller:
    target = parse_target(f"/webhooks/{CONNECTOR}/probe".encode())
    assert target is not None
    snapshot = ConnectorSnapshot(
        version=7,
        connector_id=CONNECTOR,
        tenant_id="t",
        tipo=tipo,
        status=ConnectorStatus.ACTIVE,
        config="{}",
        webhooks=(),
        ingest_keys=(),
    )
    receiving = receiving_of(tipo)
    assert receiving is not None
    return Caller(target=target, connector=snapshot, receiving=receiving)


def answered(secret: bytes, probe: edge_probe.Probe = PROBE, now_ms: int = NOW) -> tuple[int, int | None]:
    header = edge_probe.question(probe, secret).encode()
    request = Request(method="GET", query="", headers={edge_probe.HEADER: header}, body=b"")
    answer = answer_probe(caller(), request, SECRETS, now_ms)
    return answer.status, edge_probe.read_answer(probe, secret, answer.body)


@pytest.mark.parametrize(("secret", "told"), [(b"one", (200, 7)), (b"two", (200, 7))])
def test_who_has_a_live_secret_learns_the_version(secret: bytes, told: tuple[int, int]) -> None:
    assert answered(secret) == told


@pytest.mark.parametrize("secret", [b"over", b"to come", b"guessed"])
def test_others_learn_nothing(secret: bytes) -> None:
    assert answered(secret) == (403, None)


def test_an_old_question_and_one_about_another_connector_are_refused() -> None:
    assert answered(b"one", now_ms=NOW + edge_probe.TOLERANCE_MS + 1) == (403, None)
    assert answered(b"one", replace(PROBE, connector_id="01900000-0000-7000-8000-000000000002"))[0] == 403


@pytest.mark.parametrize("header", [b"", b"1.2.3", b"\xff" * 40, f"{NOW}.{'0' * 32}.{'0' * 64}\n".encode()])
def test_what_is_no_question_is_refused(header: bytes) -> None:
    request = Request(method="GET", query="", headers={edge_probe.HEADER: header}, body=b"")
    assert answer_probe(caller(), request, SECRETS, NOW).status == 403


def test_an_answer_cannot_be_forged_or_played_back() -> None:
    good = edge_probe.answer(PROBE, b"one", 7)
    assert edge_probe.read_answer(PROBE, b"one", good) == 7
    assert edge_probe.read_answer(PROBE, b"two", good) is None
    assert edge_probe.read_answer(replace(PROBE, nonce="1" * 32), b"one", good) is None
    assert edge_probe.read_answer(PROBE, b"one", good.replace(b"7.", b"8.", 1)) is None
    assert edge_probe.read_answer(PROBE, b"one", b"<html>welcome</html>") is None


def test_only_get_is_a_probe_and_it_is_no_address_of_an_account() -> None:
    for tipo in (ConnectorType.TELEGRAM, ConnectorType.WHATSAPP_OFFICIAL, ConnectorType.WEBCHAT):
        assert caller(tipo).methods == {"GET"}
    target = parse_target(f"/webhooks/{CONNECTOR}/probe?x=1".encode())
    assert target is not None
    assert (target.probe, target.account_id) == (True, None)
    assert parse_target(f"/webhooks/{CONNECTOR}/probes".encode()) is None
    assert parse_target(f"/webhooks/{CONNECTOR}/{CONNECTOR}/probe".encode()) is None

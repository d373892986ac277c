"""What the edge decides, fact by fact."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from services.ingest import decide
from services.ingest.answers import Answer, Outcome
from services.ingest.decide import Caller
from shared.domain.enums import ConnectorStatus, ConnectorType, RecordSource, SecretUse
from shared.domain.records import BodyReference
from shared.domain.snapshots import ConnectorSnapshot
from shared.providers.contract import Answers, HandshakeAnswer, Receiving, ReceivingSecret, Refused, Request, Verified

CONNECTOR_ID = "0199a3c0-7c00-7abc-8def-0123456789ab"
ACCOUNT_ID = "0199a3c0-7c00-7abc-8def-0123456789ac"
MADE_MS = 0x0199A3C07C00


def by_value(request: Request, secrets: Sequence[ReceivingSecret]) -> Verified | Refused:
    for secret in secrets:
        if request.headers.get("key") == secret.value:
            return Verified(secret_id=secret.id)
    return Refused(reason="key_wrong")


def receiving(**changes: Any) -> Receiving:
    given = {
        "tipo": ConnectorType.WHATSAPP_OFFICIAL,
        "verify": by_value,
        "handshake": lambda request, secrets: HandshakeAnswer(status=200 if secrets else 403, body=b"yes"),
        "answers": Answers(
            statuses={
                "accepted": 204,
                "refused": 403,
                "unknown_connector": 410,
                "too_large": 406,
                "rate_limited": 429,
                "busy": 429,
                "unavailable": 503,
            },
            consequences={},
            source="docs/none",
        ),
        "kept_headers": frozenset({"content-type"}),
        "max_body_bytes": 100,
    }
    return Receiving(**(given | changes))


def connector(status: ConnectorStatus = ConnectorStatus.ACTIVE) -> ConnectorSnapshot:
    return ConnectorSnapshot(
        version=1,
        connector_id=CONNECTOR_ID,
        tenant_id="t1",
        tipo=ConnectorType.WHATSAPP_OFFICIAL,
        status=status,
        config="{}",
        webhooks=(),
        ingest_keys=(),
    )


def caller(**changes: Any) -> Caller:
    target = decide.Target(connector_id=CONNECTOR_ID, account_id=None, query="a=b")
    return Caller(target=target, connector=connector(), receiving=receiving(**changes))


def secret(name: str, use: SecretUse = SecretUse.SIGN, start: int | None = None, end: int | None = None) -> ReceivingSecret:
    return ReceivingSecret(id=name, use=use, value=name.encode(), not_before_ms=start, not_after_ms=end)


def request(key: bytes = b"", **headers: bytes) -> Request:
    return Request(method="POST", query="", headers={"key": key, **headers}, body=b"abc")


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (f"/webhooks/{CONNECTOR_ID}", (CONNECTOR_ID, None, "")),
        (f"/webhooks/{CONNECTOR_ID}/{ACCOUNT_ID}", (CONNECTOR_ID, ACCOUNT_ID, "")),
        (f"/webhooks/{CONNECTOR_ID.upper()}?a=b&c=d?e", (CONNECTOR_ID, None, "a=b&c=d?e")),
        (f"http://edge.example/webhooks/{CONNECTOR_ID}?", (CONNECTOR_ID, None, "")),
    ],
)
def test_the_url_names_connector_and_account(target: str, expected: tuple[str, str | None, str]) -> None:
    found = decide.parse_target(target.encode())
    assert found is not None
    assert (found.connector_id, found.account_id, found.query) == expected


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "*",
        "/webhooks",
        "/webhooks/",
        f"/webhooks/{CONNECTOR_ID}/",
        f"/webhooks/{CONNECTOR_ID[:-1]}",
        f"/webhooks/{CONNECTOR_ID}0",
        f"/webhooks/{CONNECTOR_ID.replace('-', '')}",
        f"/webhooks/{CONNECTOR_ID}/me",
        f"/webhooks/{CONNECTOR_ID}/{ACCOUNT_ID}/x",
        f"/Webhooks/{CONNECTOR_ID}",
        f"/x/../webhooks/{CONNECTOR_ID}",
        f"//webhooks/{CONNECTOR_ID}",
        f"/webhooks/%30{CONNECTOR_ID[1:]}",
        f"/webhooks/{CONNECTOR_ID}\n",
        f"ftp://a/webhooks/{CONNECTOR_ID}",
    ],
)
def test_every_other_path_is_nowhere(target: str) -> None:
    assert decide.parse_target(target.encode()) is None
    answer = decide.admit(None, None, None, snapshots_read=True, now_ms=0)
    assert isinstance(answer, Answer)
    assert answer.status == 404


def admit(
    connector: ConnectorSnapshot | None, *, now_ms: int = 0, snapshots_read: bool = True, connector_id: str = CONNECTOR_ID
) -> Caller | Answer:
    target = decide.Target(connector_id=connector_id, account_id=None, query="")
    known = receiving() if connector is not None else None
    return decide.admit(target, connector, known, snapshots_read=snapshots_read, now_ms=now_ms)


@pytest.mark.parametrize("status", [status for status in ConnectorStatus if status is not ConnectorStatus.ARCHIVED])
def test_every_state_but_archived_takes_webhooks(status: ConnectorStatus) -> None:
    assert isinstance(admit(connector(status)), Caller)


def test_an_archived_connector_is_answered_as_its_provider_understands() -> None:
    answer = admit(connector(ConnectorStatus.ARCHIVED))
    assert isinstance(answer, Answer)
    assert (answer.status, answer.outcome, answer.reason) == (410, Outcome.UNKNOWN_CONNECTOR, "connector_archived")


@pytest.mark.parametrize(
    ("age_ms", "status"), [(0, 503), (59_999, 503), (60_000, 404), (86_400_000, 404), (-59_999, 503), (-60_000, 404)]
)
def test_a_young_unknown_connector_may_be_on_its_way(age_ms: int, status: int) -> None:
    answer = admit(None, now_ms=MADE_MS + age_ms)
    assert isinstance(answer, Answer)
    assert answer.status == status
    assert (answer.retry_after_seconds is not None) == (status == 503)


def test_only_a_uuid_of_version_7_tells_its_age() -> None:
    answer = admit(None, now_ms=MADE_MS, connector_id=CONNECTOR_ID[:14] + "4" + CONNECTOR_ID[15:])
    assert isinstance(answer, Answer)
    assert answer.status == 404


def test_nothing_is_unknown_before_the_snapshots_are_read() -> None:
    answer = admit(None, now_ms=MADE_MS + 10**9, snapshots_read=False)
    assert isinstance(answer, Answer)
    assert (answer.status, answer.reason) == (503, "snapshots_unread")


def test_a_connector_whose_provider_is_not_here_is_unknown() -> None:
    target = decide.Target(connector_id=CONNECTOR_ID, account_id=None, query="")
    answer = decide.admit(target, connector(), None, snapshots_read=True, now_ms=0)
    assert isinstance(answer, Answer)
    assert answer.status == 404


@pytest.mark.parametrize(
    ("method", "length", "status"),
    [
        ("POST", 100, None),
        ("POST", None, None),
        ("POST", 101, 406),
        ("GET", 0, None),
        ("PUT", 0, 405),
        ("HEAD", 0, 405),
        ("SOURCE", 0, 405),
    ],
)
def test_the_head_alone_refuses_sizes_and_methods(method: str, length: int | None, status: int | None) -> None:
    answer = decide.admit_size(caller(), method, length)
    assert (None if answer is None else answer.status) == status


def test_the_allowed_methods_are_those_of_the_provider() -> None:
    with_handshake = decide.admit_size(caller(), "PUT", 0)
    without = decide.admit_size(caller(handshake=None), "GET", 0)
    assert with_handshake is not None
    assert without is not None
    assert (with_handshake.allow, without.allow, without.status) == ("GET, POST", "POST", 405)


@pytest.mark.parametrize(
    ("start", "end", "lives"),
    [(None, None, True), (1_000, None, True), (1_001, None, False), (None, 1_000, True), (None, 999, False), (900, 1_100, True)],
)
def test_a_secret_lives_within_its_bounds(start: int | None, end: int | None, lives: bool) -> None:
    verdict = decide.judge(caller(), request(b"s1"), [secret("s1", start=start, end=end)], 1_000)
    assert isinstance(verdict, Verified) is lives


def test_every_live_signing_secret_counts_and_no_other() -> None:
    secrets = [secret("old"), secret("new"), secret("shake", SecretUse.HANDSHAKE)]
    assert decide.judge(caller(), request(b"old"), secrets, 0) == Verified(secret_id="old")
    assert decide.judge(caller(), request(b"new"), secrets, 0) == Verified(secret_id="new")
    assert isinstance(decide.judge(caller(), request(b"shake"), secrets, 0), Refused)
    assert isinstance(decide.judge(caller(), request(b"old"), [], 0), Refused)


def test_the_handshake_sees_handshake_secrets_only() -> None:
    good = decide.shake_hands(caller(), request(), [secret("shake", SecretUse.HANDSHAKE)], 0)
    bad = decide.shake_hands(caller(), request(), [secret("sign")], 0)
    assert (good.status, good.outcome, good.body) == (200, Outcome.HANDSHAKE, b"yes")
    assert (bad.status, bad.outcome, bad.reason) == (403, Outcome.REFUSED, "handshake_refused")


@pytest.mark.parametrize(
    ("situation", "status", "retry"),
    [("accepted", 204, None), ("refused", 403, None), ("busy", 429, 5), ("unavailable", 503, 2)],
)
def test_the_status_is_the_providers_own(situation: Any, status: int, retry: int | None) -> None:
    answer = decide.answer(receiving(), situation)
    assert (answer.status, answer.outcome.value, answer.retry_after_seconds) == (status, situation, retry)


REFERENCE = BodyReference(key="raw/t1/r1", size_bytes=3, sha256="00")


def test_the_record_keeps_only_the_allowed_headers() -> None:
    given = Request(method="POST", query="q", headers={"content-type": b"a/b", "authorization": b"x"}, body=b"abc")
    record = decide.raw_record(
        caller(), given, Verified(secret_id="w/0"), record_id="r1", received_at_ms=5, body_reference=REFERENCE
    )
    assert record.headers == {"content-type": "a/b"}
    assert (record.source, record.secret_id, record.body_size_bytes) == (RecordSource.WEBHOOK, "w/0", 3)
    assert (record.connector_id, record.tenant_id, record.url_account_id) == (CONNECTOR_ID, "t1", None)
    assert (record.sealed_body, record.body_reference) == (None, REFERENCE)


TRACE, SPAN = b"0af7651916cd43dd8448eb211c80319c", b"b7ad6b7169203331"


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (b"00-" + TRACE + b"-" + SPAN + b"-01", True),
        (b"00-" + TRACE.upper() + b"-" + SPAN + b"-01", False),
        (b"00-" + b"0" * 32 + b"-" + SPAN + b"-01", False),
        (b"00-" + TRACE + b"-" + b"0" * 16 + b"-01", False),
        (b"ff-" + TRACE + b"-" + SPAN + b"-01", False),
        (b"00-" + TRACE + b"-" + SPAN + b"-01\r\n", False),
        (b"", False),
    ],
)
def test_a_valid_trace_is_taken_over(value: bytes, kept: bool) -> None:
    assert decide.given_trace({"traceparent": value}) == (value.decode() if kept else None)
    assert decide.given_trace({}) is None

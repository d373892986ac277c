"""Orders become signed posts; answers become outcomes; health asks the other end."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.domain.content import Location
from shared.domain.enums import AliasKind, ErrorClass, HealthStatus, SecretUse
from shared.domain.errors import InvalidInput
from shared.domain.items import Alias
from shared.providers import provider_of
from shared.providers.calling import CallContext, ProviderCall, ProviderResponse, TransportFault, placed
from shared.providers.contract import ReceivingSecret, Verified
from shared.providers.sending import Accepted, Option, OutboundContent, OutboundKind, OutboundMedia, Rejected, Section, SendOrder
from shared.providers.webchat.standard_webhooks import verify_signed

NOW_MS = 1_790_000_000_500
SETTINGS = {"widget_ids": ["wgt_example1"], "origins": ["https://www.example.com"], "delivery_url": "https://hub.example.com/in"}
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
VISITOR = Alias(kind=AliasKind.USER, value="vis_example1")
PROVIDER = provider_of("webchat")
SENDING, CHECKING = PROVIDER.sending, PROVIDER.checking
assert SENDING is not None
assert CHECKING is not None


def context(**settings: Any) -> CallContext:
    return CallContext(
        connector_id="c",
        account_id="a",
        identidade="wgt_example1",
        settings={**SETTINGS, **settings},
        account_config={},
        now_ms=NOW_MS,
    )


def build(kind: OutboundKind, *, content: dict[str, Any] | None = None, **order: Any) -> ProviderCall:
    order = {"recipient": (Alias(kind=AliasKind.USER, value="external:c-1"), VISITOR), **order}
    made = SendOrder(message_id="0190a000-m", kind=kind, content=OutboundContent(**(content or {})), **order)
    (call,) = SENDING.build(made, context())
    return call


def data(kind: OutboundKind, type_: str, **parts: Any) -> dict[str, Any]:
    call = build(kind, **parts)
    assert isinstance(call.body, bytes)
    document = json.loads(call.body)
    assert (document["type"], document["timestamp"]) == (type_, "2026-09-21T14:13:20.500Z")
    told = dict(document["data"])
    assert (told.pop("widget_id"), told.pop("visitor_id"), told.pop("message_id")) == (
        "wgt_example1",
        "vis_example1",
        "0190a000-m",
    )
    assert told.pop("kind") == kind.value
    return told


def test_whoever_has_the_secret_can_prove_the_post() -> None:
    made = placed(build(OutboundKind.TEXT, content={"text": "Olá"}), {"secret": SECRET})
    headers = {name: value.encode() for name, value in made.headers}
    known = [ReceivingSecret(id="w/0", use=SecretUse.SIGN, value=SECRET.encode())]
    assert isinstance(made.body, bytes)
    assert verify_signed(headers, made.body, NOW_MS, known) == Verified(secret_id="w/0")
    assert SECRET not in repr(made)
    assert headers["webhook-id"] == b"0190a000-m", "stays the same over repeats"
    assert made.call.idempotent


@pytest.mark.parametrize("secret", ["", "plain", "whsec_AAAA"])
def test_a_secret_of_another_form_is_named(secret: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        placed(build(OutboundKind.TEXT, content={"text": "x"}), {"secret": secret})
    assert raised.value.reason == "credential_malformed"


class TestBodies:
    def test_text_and_files(self) -> None:
        reply = data(OutboundKind.TEXT, "message.created", content={"text": "Olá"}, reply_to_provider_message_id="m-1")
        assert reply == {"text": "Olá", "in_reply_to": "m-1"}
        media = OutboundMedia(provider_media_id="upl_1", caption="nota", filename="nota.pdf")
        told = data(OutboundKind.DOCUMENT, "message.created", content={"media": media})
        assert told == {"media": {"id": "upl_1", "name": "nota.pdf", "caption": "nota"}}
        place = data(OutboundKind.LOCATION, "message.created", content={"location": Location(latitude=1.5, longitude=2.5)})
        assert place == {"location": {"latitude": 1.5, "longitude": 2.5, "live": False}}

    def test_choices(self) -> None:
        options = (Option(id="a", title="A"),)
        told = data(OutboundKind.BUTTONS, "message.created", content={"text": "?", "options": options})
        assert [option["id"] for option in told["options"]] == ["a"]
        section = Section(title=None, rows=options)
        listed = data(OutboundKind.LIST, "message.created", content={"text": "?", "sections": (section,), "list_button": "Ver"})
        assert (listed["list_button"], listed["sections"][0]["rows"][0]["title"]) == ("Ver", "A")

    def test_what_is_about_an_earlier_message(self) -> None:
        target = {"target_provider_message_id": "m-1"}
        about = {"target_message_id": "m-1"}
        assert data(OutboundKind.REACTION, "message.reaction", content={"emoji": "👍"}, **target) == {**about, "emoji": "👍"}
        assert data(OutboundKind.EDIT, "message.edited", content={"text": "novo"}, **target) == {**about, "text": "novo"}
        assert data(OutboundKind.REVOKE, "message.deleted", **target) == about
        assert data(OutboundKind.READ, "message.read", **target) == about
        assert data(OutboundKind.TYPING, "typing") == {}


@pytest.mark.parametrize(
    ("kind", "parts", "pointer"),
    [
        (OutboundKind.TEXT, {"content": {"text": "x" * 4001}}, "/content/text"),
        (OutboundKind.TEXT, {"content": {"text": "x"}, "recipient": ()}, "/recipient"),
        (OutboundKind.IMAGE, {"content": {"media": OutboundMedia(data=b"x")}}, "/content/media"),
        (OutboundKind.BUTTONS, {"content": {"text": "x"}}, "/content/options"),
        (OutboundKind.LOCATION, {}, "/content/location"),
        (OutboundKind.REVOKE, {}, "/target_provider_message_id"),
        (OutboundKind.TEMPLATE, {}, "/kind"),
    ],
)
def test_what_cannot_be_sent_is_named(kind: OutboundKind, parts: dict[str, Any], pointer: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        build(kind, **parts)
    assert (raised.value.reason, raised.value.pointer) == ("cannot_send", pointer)


class TestAnswers:
    def read(self, status: int, kind: OutboundKind = OutboundKind.TEXT, **headers: str) -> Any:
        made = build(kind, content={"text": "x"}, target_provider_message_id="m-1")
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return SENDING.read(made, ProviderResponse(status=status, body=b"", headers=given))

    @pytest.mark.parametrize("status", [200, 202, 204])
    def test_any_2xx_is_taken(self, status: int) -> None:
        assert self.read(status) == Accepted(provider_message_ids=("0190a000-m",), chat_scope="vis_example1")
        assert self.read(status, OutboundKind.READ).provider_message_ids == ()

    @pytest.mark.parametrize(
        ("status", "error_class"),
        [
            (401, ErrorClass.AUTH),
            (410, ErrorClass.ACCOUNT_BLOCKED),
            (429, ErrorClass.RATE_LIMITED),
            (302, ErrorClass.RETRYABLE),
            (502, ErrorClass.RETRYABLE),
            (504, ErrorClass.RETRYABLE),
            (400, ErrorClass.CONTENT_PERMANENT),
        ],
    )
    def test_every_refusal_has_its_class(self, status: int, error_class: ErrorClass) -> None:
        assert self.read(status).fault.error_class is error_class

    def test_retry_after_is_kept_and_a_lost_answer_is_asked_for_again(self) -> None:
        assert self.read(503, retry_after="7").fault.retry_after_seconds == 7
        lost = SENDING.read(build(OutboundKind.TEXT, content={"text": "x"}), TransportFault(kind="timeout", may_have_left=True))
        assert isinstance(lost, Rejected)
        assert lost.fault.error_class is ErrorClass.RETRYABLE


class TestHealth:
    def grade(self, answer: Any, **settings: Any) -> dict[str, tuple[HealthStatus | None, str]]:
        answers = {} if answer is None else {"ping": answer}
        return {one.check: (one.status, one.cause) for one in CHECKING.grade(answers, context(**settings))}

    def test_a_signed_ping_is_posted(self) -> None:
        (call,) = CHECKING.build(context())
        assert json.loads(call.body)["type"] == "ping"  # type: ignore[arg-type]
        assert CHECKING.build(context(delivery_url=None)) == ()

    @pytest.mark.parametrize(
        ("answer", "expected"),
        [
            (ProviderResponse(status=204, body=b""), (HealthStatus.PASSED, "ok")),
            (ProviderResponse(status=410, body=b""), (HealthStatus.FAILED, "delivery_refused")),
            (ProviderResponse(status=401, body=b""), (HealthStatus.FAILED, "delivery_refused")),
            (ProviderResponse(status=503, body=b""), (HealthStatus.WARNING, "delivery_unreachable")),
            (TransportFault(kind="connect", may_have_left=False), (HealthStatus.WARNING, "delivery_unreachable")),
            (None, (None, "not_asked")),
        ],
    )
    def test_the_delivery_is_graded(self, answer: Any, expected: tuple[HealthStatus | None, str]) -> None:
        assert self.grade(answer)["delivery"] == expected

    def test_the_settings_are_graded(self) -> None:
        assert self.grade(None)["widget"] == (HealthStatus.PASSED, "ok")
        assert self.grade(None, origins=[])["widget"] == (HealthStatus.FAILED, "origins_missing")
        assert self.grade(None, origins=[], dialect="server")["widget"] == (HealthStatus.PASSED, "ok")
        assert self.grade(None, delivery_url=None)["delivery"] == (HealthStatus.WARNING, "delivery_url_missing")

"""Orders as calls of each dialect, and what becomes of them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.domain.content import ContactCard, Location
from shared.domain.enums import AliasKind, ErrorClass
from shared.domain.errors import InvalidInput
from shared.domain.items import Alias
from shared.providers.calling import CallContext, ProviderCall, ProviderResponse, TransportFault, placed
from shared.providers.sending import (
    Accepted,
    Option,
    OutboundContent,
    OutboundKind,
    OutboundMedia,
    Rejected,
    Section,
    SendOrder,
    UnknownOutcome,
)
from shared.providers.whatsapp_unofficial.sending import SENDING

PHONE = Alias(kind=AliasKind.PHONE, value="5511900000001")
LID = Alias(kind=AliasKind.LID, value="99000000000001")
GROUP = "120363000000000001@g.us"
KEYS = {"api_key": "THE-KEY", "secret": "THE-SECURITY-TOKEN"}
BASES = {"evolution": "https://evolution.example", "waha": "https://waha.example", "zapi": "https://api.z-api.io"}
CONTENTS: dict[OutboundKind, OutboundContent] = {
    OutboundKind.TEXT: OutboundContent(text="oi"),
    OutboundKind.IMAGE: OutboundContent(media=OutboundMedia(link="https://files.example/a.jpg", caption="a nota")),
    OutboundKind.AUDIO: OutboundContent(media=OutboundMedia(data=b"ogg", mime_type="audio/ogg", voice=True)),
    OutboundKind.VIDEO: OutboundContent(media=OutboundMedia(data=b"mp4", mime_type="video/mp4")),
    OutboundKind.DOCUMENT: OutboundContent(media=OutboundMedia(link="https://files.example/a.pdf", filename="a.pdf")),
    OutboundKind.STICKER: OutboundContent(media=OutboundMedia(link="https://files.example/a.webp")),
    OutboundKind.LOCATION: OutboundContent(location=Location(latitude=-23.5, longitude=-46.6, name="Loja")),
    OutboundKind.CONTACTS: OutboundContent(
        contacts=(ContactCard(name="Ana Dias", phones=("+55 11 90000-0002",), user_ids=("5511900000002",)),)
    ),
    OutboundKind.BUTTONS: OutboundContent(text="Vamos?", options=(Option(id="s", title="Sim"), Option(id="n", title="Não"))),
    OutboundKind.LIST: OutboundContent(
        text="Qual?", list_button="Ver", sections=(Section(title="Cortes", rows=(Option(id="c1", title="Corte"),)),)
    ),
    OutboundKind.REACTION: OutboundContent(emoji="👍"),
    OutboundKind.EDIT: OutboundContent(text="corrigido"),
    OutboundKind.REVOKE: OutboundContent(),
    OutboundKind.READ: OutboundContent(),
    OutboundKind.TYPING: OutboundContent(),
}
# operation at the end of the path, by dialect; None: the dialect cannot
OPERATIONS: dict[OutboundKind, tuple[str | None, str | None, str | None]] = {
    OutboundKind.TEXT: ("sendText", "sendText", "send-text"),
    OutboundKind.IMAGE: ("sendMedia", "sendImage", "send-image"),
    OutboundKind.AUDIO: ("sendWhatsAppAudio", "sendVoice", "send-audio"),
    OutboundKind.VIDEO: ("sendMedia", "sendVideo", "send-video"),
    OutboundKind.DOCUMENT: ("sendMedia", "sendFile", "send-document/pdf"),
    OutboundKind.STICKER: ("sendSticker", None, "send-sticker"),
    OutboundKind.LOCATION: ("sendLocation", "sendLocation", "send-location"),
    OutboundKind.CONTACTS: ("sendContact", "sendContactVcard", "send-contact"),
    OutboundKind.BUTTONS: ("sendButtons", None, "send-button-list"),
    OutboundKind.LIST: ("sendList", "sendList", "send-option-list"),
    OutboundKind.REACTION: ("sendReaction", "reaction", "send-reaction"),
    OutboundKind.EDIT: ("updateMessage", "messages/true_5511900000001%40c.us_T1", "send-text"),
    OutboundKind.REVOKE: ("deleteMessageForEveryone", "messages/true_5511900000001%40c.us_T1", "messages"),
    OutboundKind.READ: ("markMessageAsRead", "sendSeen", "read-message"),
    OutboundKind.TYPING: ("sendPresence", "startTyping", None),
}
CASES = [(kind, dialect, names[i]) for kind, names in OPERATIONS.items() for i, dialect in enumerate(BASES)]


def context(dialect: str, **more: Any) -> CallContext:
    settings = {"dialect": dialect, "base_url": BASES[dialect]}
    config = {"instance": "loja 1"}
    given = {"settings": settings, "account_config": config} | more
    return CallContext(connector_id="c", account_id="a", identidade="551140000001", now_ms=0, **given)


def order(kind: OutboundKind, content: OutboundContent | None = None, **more: Any) -> SendOrder:
    given = {"recipient": (PHONE, LID), "target_provider_message_id": "T1"} | more
    return SendOrder(message_id="m", kind=kind, content=content or CONTENTS[kind], **given)


def call_of(dialect: str, kind: OutboundKind, content: OutboundContent | None = None, **more: Any) -> ProviderCall:
    (call,) = SENDING.build(order(kind, content, **more), context(dialect))
    return call


def body_of(call: ProviderCall) -> dict[str, Any]:
    assert isinstance(call.body, bytes)
    document: dict[str, Any] = json.loads(call.body)
    return document


class TestBuild:
    @pytest.mark.parametrize(("kind", "dialect", "operation"), CASES, ids=[f"{d}-{k}" for k, d, _ in CASES])
    def test_each_kind_has_its_call_or_is_refused(self, kind: OutboundKind, dialect: str, operation: str | None) -> None:
        if operation is None:
            with pytest.raises(InvalidInput) as caught:
                call_of(dialect, kind)
            assert (caught.value.reason, caught.value.pointer) == ("cannot_send", "/kind")
            return
        call = call_of(dialect, kind)
        path = call.url.removeprefix(BASES[dialect]).split("?")[0].removesuffix("/loja%201")
        assert path.endswith(f"/{operation}")
        assert call.step.startswith(f"{dialect}_")

    def test_every_kind_that_is_offered_can_be_sent_by_some_dialect(self) -> None:
        assert set(OPERATIONS) == SENDING.kinds

    @pytest.mark.parametrize("dialect", BASES)
    def test_the_key_is_placed_at_the_last_moment(self, dialect: str) -> None:
        call = call_of(dialect, OutboundKind.TEXT)
        assert not any(key in repr(call) + call.url for key in KEYS.values())
        ready = placed(call, KEYS)
        if dialect == "zapi":
            assert "/instances/loja%201/token/THE-KEY/send-text" in ready.url
            assert ("client-token", "THE-SECURITY-TOKEN") in ready.headers
        else:
            assert ({"evolution": "apikey", "waha": "x-api-key"}[dialect], "THE-KEY") in ready.headers

    @pytest.mark.parametrize(
        ("recipient", "group", "named"),
        [
            ((PHONE, LID), None, ("5511900000001", "5511900000001@c.us", "5511900000001")),
            ((LID,), None, ("99000000000001@lid", "99000000000001@lid", "99000000000001@lid")),
            ((PHONE,), GROUP, (GROUP, GROUP, "120363000000000001-group")),
            ((), "5511900000009-15@g.us", ("5511900000009-15@g.us", "5511900000009-15@g.us", "5511900000009-15")),
        ],
    )
    def test_the_recipient_is_written_as_each_wants_it(
        self, recipient: tuple[Alias, ...], group: str | None, named: tuple[str, str, str]
    ) -> None:
        for dialect, field, expected in zip(BASES, ("number", "chatId", "phone"), named, strict=True):
            call = call_of(dialect, OutboundKind.TEXT, recipient=recipient, group_id=group)
            assert body_of(call)[field] == expected

    @pytest.mark.parametrize("dialect", BASES)
    def test_without_a_name_that_can_be_written_to_it_is_refused(self, dialect: str) -> None:
        with pytest.raises(InvalidInput) as caught:
            call_of(dialect, OutboundKind.TEXT, recipient=(Alias(kind=AliasKind.MAIL, value="a@example.com"),))
        assert caught.value.pointer == "/recipient"

    def test_an_answer_names_what_it_answers(self) -> None:
        calls = [body_of(call_of(dialect, OutboundKind.TEXT, reply_to_provider_message_id="Q1")) for dialect in BASES]
        assert calls[0]["quoted"] == {"key": {"id": "Q1"}}
        assert calls[1]["reply_to"] == "false_5511900000001@c.us_Q1"
        assert calls[2]["messageId"] == "Q1"

    def test_in_a_group_waha_wants_the_member_too(self) -> None:
        body = body_of(call_of("waha", OutboundKind.REACTION, group_id=GROUP))
        assert body["messageId"] == f"false_{GROUP}_T1_5511900000001@c.us"

    def test_a_reaction_can_be_taken_away(self) -> None:
        none = OutboundContent(emoji=None)
        assert body_of(call_of("evolution", OutboundKind.REACTION, none))["reaction"] == ""
        assert body_of(call_of("waha", OutboundKind.REACTION, none))["reaction"] == ""
        assert call_of("zapi", OutboundKind.REACTION, none).url.endswith("/send-remove-reaction")

    def test_bytes_go_as_base64(self) -> None:
        assert body_of(call_of("evolution", OutboundKind.VIDEO))["media"] == "bXA0"
        assert body_of(call_of("waha", OutboundKind.VIDEO))["file"]["data"] == "bXA0"
        assert body_of(call_of("zapi", OutboundKind.VIDEO))["video"] == "data:video/mp4;base64,bXA0"

    @pytest.mark.parametrize(
        ("kind", "content"),
        [
            (OutboundKind.TEXT, OutboundContent()),
            (OutboundKind.IMAGE, OutboundContent()),
            (OutboundKind.IMAGE, OutboundContent(media=OutboundMedia(provider_media_id="1"))),
            (OutboundKind.LOCATION, OutboundContent()),
            (OutboundKind.CONTACTS, OutboundContent()),
            (OutboundKind.CONTACTS, OutboundContent(contacts=(ContactCard(name="Ana"),))),
            (OutboundKind.LIST, OutboundContent(text="Qual?")),
        ],
    )
    @pytest.mark.parametrize("dialect", BASES)
    def test_an_order_that_says_nothing_is_refused(self, dialect: str, kind: OutboundKind, content: OutboundContent) -> None:
        with pytest.raises(InvalidInput) as caught:
            call_of(dialect, kind, content)
        assert caught.value.reason == "cannot_send"

    @pytest.mark.parametrize("dialect", ["evolution", "waha"])
    def test_words_that_would_not_be_shown_are_refused(self, dialect: str) -> None:
        spoken = OutboundContent(media=OutboundMedia(link="https://files.example/a.ogg", voice=True, caption="words"))
        with pytest.raises(InvalidInput) as caught:
            call_of(dialect, OutboundKind.AUDIO, spoken)
        assert caught.value.pointer == "/content/media/caption"

    def test_a_missing_setting_is_named(self) -> None:
        with pytest.raises(InvalidInput) as caught:
            SENDING.build(order(OutboundKind.TEXT), context("waha", account_config={}))
        assert (caught.value.reason, caught.value.pointer) == ("setting_missing", "/instance")


def answer(status: int, document: Any) -> ProviderResponse:
    return ProviderResponse(status=status, body=json.dumps(document).encode())


ACCEPTED = {
    "evolution": answer(
        201, {"key": {"remoteJid": "551190000001@s.whatsapp.net", "fromMe": True, "id": "OUT1"}, "status": "PENDING"}
    ),
    "waha": answer(201, {"id": "true_551190000001@c.us_OUT1", "fromMe": True}),
    "zapi": answer(200, {"zaapId": "Z1", "messageId": "OUT1", "id": "OUT1"}),
}
FAULTS: list[tuple[str, ProviderResponse, ErrorClass]] = [
    (
        "evolution",
        answer(401, {"status": 401, "error": "Unauthorized", "response": {"message": "Unauthorized"}}),
        ErrorClass.AUTH,
    ),
    ("evolution", answer(404, {"response": {"message": ['The "x" instance does not exist']}}), ErrorClass.AUTH),
    ("evolution", answer(400, {"response": {"message": [{"exists": False, "number": "1"}]}}), ErrorClass.RECIPIENT_PERMANENT),
    ("evolution", answer(400, {"response": {"message": [["instance requires property"]]}}), ErrorClass.CONTENT_PERMANENT),
    ("evolution", answer(400, {"response": {"message": ["Error: Connection Closed"]}}), ErrorClass.RETRYABLE),
    ("evolution", answer(400, {"response": {"message": ["Error: rate-overlimit"]}}), ErrorClass.RETRYABLE),
    ("evolution", answer(429, {}), ErrorClass.RATE_LIMITED),
    ("waha", answer(401, {"message": "Unauthorized", "statusCode": 401}), ErrorClass.AUTH),
    ("waha", answer(422, {"error": "Session status is not as expected"}), ErrorClass.RETRYABLE),
    ("waha", answer(400, {"message": ["chatId should not be empty"]}), ErrorClass.CONTENT_PERMANENT),
    ("zapi", answer(403, {"error": "Client-Token is required"}), ErrorClass.AUTH),
    ("zapi", answer(400, {"error": "Instance not found"}), ErrorClass.AUTH),
    ("zapi", answer(400, {"error": "null not allowed"}), ErrorClass.AUTH),
    ("zapi", answer(400, {"error": "You need to restore the session."}), ErrorClass.RETRYABLE),
    ("zapi", answer(405, {"error": "Method Not Allowed"}), ErrorClass.CONTENT_PERMANENT),
]


class TestRead:
    @pytest.mark.parametrize("dialect", BASES)
    def test_an_accepted_message_has_whatsapps_own_id(self, dialect: str) -> None:
        outcome = SENDING.read(call_of(dialect, OutboundKind.TEXT), ACCEPTED[dialect])
        assert isinstance(outcome, Accepted)
        assert outcome.provider_message_ids == ("OUT1",)
        spelled = [alias.value for alias in outcome.recipient]
        assert spelled == ([] if dialect == "zapi" else ["551190000001", "5511990000001"])

    @pytest.mark.parametrize("document", [{"key": {"id": "A"}}, {"id": {"_serialized": "true_1@c.us_A"}}, {"id": {"id": "A"}}])
    def test_each_engine_of_waha_names_the_id_in_its_way(self, document: Any) -> None:
        outcome = SENDING.read(call_of("waha", OutboundKind.TEXT), answer(201, document))
        assert isinstance(outcome, Accepted)
        assert outcome.provider_message_ids == ("A",)

    @pytest.mark.parametrize("status", [400, 403])
    def test_a_token_that_the_answer_repeats_stays_out_of_the_fault(self, status: int) -> None:
        outcome = SENDING.read(call_of("zapi", OutboundKind.TEXT), answer(status, {"error": "F0example0secret not allowed"}))
        assert isinstance(outcome, Rejected)
        assert outcome.fault.error_class is ErrorClass.AUTH
        assert "secret" not in repr(outcome)

    @pytest.mark.parametrize(("dialect", "given", "error_class"), FAULTS)
    def test_a_refusal_has_its_class(self, dialect: str, given: ProviderResponse, error_class: ErrorClass) -> None:
        outcome = SENDING.read(call_of(dialect, OutboundKind.TEXT), given)
        assert isinstance(outcome, Rejected)
        assert outcome.fault.error_class is error_class

    @pytest.mark.parametrize("dialect", BASES)
    @pytest.mark.parametrize(
        "given",
        [
            TransportFault(kind="timeout", may_have_left=True),
            ProviderResponse(status=502, body=b"<html>"),
            ProviderResponse(status=200, body=b"[]"),
            ProviderResponse(status=201, body=b"\xff"),
        ],
    )
    def test_what_may_have_left_is_never_repeated_blindly(self, dialect: str, given: Any) -> None:
        assert isinstance(SENDING.read(call_of(dialect, OutboundKind.TEXT), given), UnknownOutcome)

    @pytest.mark.parametrize("dialect", BASES)
    def test_what_never_left_can_be_tried_again(self, dialect: str) -> None:
        outcome = SENDING.read(call_of(dialect, OutboundKind.TEXT), TransportFault(kind="connect", may_have_left=False))
        assert isinstance(outcome, Rejected)
        assert outcome.fault.error_class is ErrorClass.RETRYABLE

    @pytest.mark.parametrize("dialect", BASES)
    def test_an_address_that_is_not_called_is_for_a_person_to_mend(self, dialect: str) -> None:
        refused = TransportFault(kind="refused", may_have_left=False, detail="egress_refused: x is at an address of kind private")
        outcome = SENDING.read(call_of(dialect, OutboundKind.TEXT), refused)
        assert isinstance(outcome, Rejected)
        assert (outcome.fault.error_class, outcome.fault.action) == (ErrorClass.ACCOUNT_BLOCKED, "fix_config")

    @pytest.mark.parametrize("dialect", BASES)
    @pytest.mark.parametrize("kind", [OutboundKind.READ, OutboundKind.REVOKE, OutboundKind.EDIT])
    def test_a_mark_can_always_be_tried_again(self, dialect: str, kind: OutboundKind) -> None:
        call = call_of(dialect, kind)
        lost = SENDING.read(call, TransportFault(kind="timeout", may_have_left=True))
        assert isinstance(lost, Rejected)
        assert SENDING.read(call, ProviderResponse(status=200, body=b"")) == Accepted()

"""Orders become documented calls of the Bot API; answers become outcomes. Nothing that may have left is called rejected."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.domain.content import ContactCard, Location
from shared.domain.enums import AliasKind, ErrorClass
from shared.domain.errors import InvalidInput
from shared.domain.items import Alias
from shared.providers import provider_of
from shared.providers.calling import CallContext, Part, ProviderCall, ProviderResponse, TransportFault, placed
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

CONTEXT = CallContext(
    connector_id="c", account_id="a", identidade="example_bot", settings={}, account_config={}, now_ms=1_790_000_000_000
)
USER = Alias(kind=AliasKind.USER, value="55667788")
SENDING = provider_of("telegram").sending
assert SENDING is not None


def build(kind: OutboundKind, *, content: dict[str, Any] | None = None, **order: Any) -> ProviderCall:
    order = {"recipient": (USER,), **order}
    (call,) = SENDING.build(SendOrder(message_id="m", kind=kind, content=OutboundContent(**(content or {})), **order), CONTEXT)
    return call


def body(kind: OutboundKind, method: str, **parts: Any) -> dict[str, Any]:
    call = build(kind, **parts)
    assert (call.step, call.method, call.url) == ("send", "POST", f"https://api.telegram.org/bot{{token}}/{method}")
    assert isinstance(call.body, bytes)
    return dict(json.loads(call.body))


def answered(status: int, document: object, kind: OutboundKind = OutboundKind.TEXT) -> Any:
    made = build(kind, content={"text": "x", "emoji": "👍"}, target_provider_message_id="9")
    return SENDING.read(made, ProviderResponse(status=status, body=json.dumps(document).encode()))


class TestBodies:
    def test_text_with_a_reply(self) -> None:
        assert body(OutboundKind.TEXT, "sendMessage", content={"text": "Olá"}, reply_to_provider_message_id="7") == {
            "chat_id": 55667788,
            "text": "Olá",
            "link_preview_options": {"is_disabled": True},
            "reply_parameters": {"message_id": 7, "allow_sending_without_reply": True},
        }

    def test_an_answer_to_a_pressed_button_quotes_nothing(self) -> None:
        document = body(OutboundKind.TEXT, "sendMessage", content={"text": "x"}, reply_to_provider_message_id="callback:44")
        assert "reply_parameters" not in document

    def test_a_topic_of_a_group_and_a_business_chat_are_reached(self) -> None:
        topic = body(OutboundKind.TEXT, "sendMessage", content={"text": "x"}, group_id="-1001000000001/45")
        assert (topic["chat_id"], topic["message_thread_id"]) == (-1001000000001, 45)
        business = body(OutboundKind.TEXT, "sendMessage", content={"text": "x"}, chat_scope="business:B1:55667788")
        assert (business["chat_id"], business["business_connection_id"]) == (55667788, "B1")

    @pytest.mark.parametrize(
        ("kind", "method", "field"),
        [
            (OutboundKind.IMAGE, "sendPhoto", "photo"),
            (OutboundKind.VIDEO, "sendVideo", "video"),
            (OutboundKind.DOCUMENT, "sendDocument", "document"),
            (OutboundKind.AUDIO, "sendAudio", "audio"),
        ],
    )
    def test_media_by_id_and_by_link(self, kind: OutboundKind, method: str, field: str) -> None:
        media = OutboundMedia(provider_media_id="AgAC", caption="nota")
        assert body(kind, method, content={"media": media}) == {"chat_id": 55667788, "caption": "nota", field: "AgAC"}
        link = OutboundMedia(link="https://example.com/a")
        assert body(kind, method, content={"media": link}) == {"chat_id": 55667788, field: "https://example.com/a"}

    def test_bytes_go_as_a_form(self) -> None:
        media = OutboundMedia(data=b"\x00\x01", mime_type="audio/ogg", filename="a.ogg", voice=True)
        call = build(OutboundKind.AUDIO, content={"media": media}, reply_to_provider_message_id="7")
        assert call.url.endswith("/sendVoice")
        parts = {part.name: part for part in call.body if isinstance(part, Part)}  # type: ignore[union-attr]
        assert parts["chat_id"].content == b"55667788"
        assert json.loads(parts["reply_parameters"].content)["message_id"] == 7
        assert (parts["voice"].content, parts["voice"].filename, parts["voice"].mime_type) == (b"\x00\x01", "a.ogg", "audio/ogg")

    def test_buttons_and_the_rows_of_a_list_are_one_a_row(self) -> None:
        options = (Option(id="k1", title="Sim"), Option(id="", title="Site", url="https://example.com"))
        document = body(OutboundKind.BUTTONS, "sendMessage", content={"text": "Vamos?", "header": "Oi", "options": options})
        assert document["text"] == "Oi\n\nVamos?"
        assert document["reply_markup"]["inline_keyboard"] == [
            [{"text": "Sim", "callback_data": "k1"}],
            [{"text": "Site", "url": "https://example.com"}],
        ]
        section = Section(title="A", rows=(Option(id="r1", title="Um"),))
        listed = body(OutboundKind.LIST, "sendMessage", content={"text": "x", "sections": (section,)})
        assert listed["reply_markup"]["inline_keyboard"] == [[{"text": "Um", "callback_data": "r1"}]]

    def test_places_and_cards(self) -> None:
        place = Location(latitude=-23.5, longitude=-46.6)
        assert body(OutboundKind.LOCATION, "sendLocation", content={"location": place})["latitude"] == -23.5
        named = Location(latitude=-23.5, longitude=-46.6, name="Praça")
        assert body(OutboundKind.LOCATION, "sendVenue", content={"location": named})["address"] == "Praça"
        card = ContactCard(name="Bia", phones=("+5511900000002",))
        assert body(OutboundKind.CONTACTS, "sendContact", content={"contacts": (card,)})["first_name"] == "Bia"

    def test_what_is_about_an_earlier_message(self) -> None:
        target = {"target_provider_message_id": "9"}
        reaction = body(OutboundKind.REACTION, "setMessageReaction", content={"emoji": "👍"}, **target)
        assert reaction == {"chat_id": 55667788, "message_id": 9, "reaction": [{"type": "emoji", "emoji": "👍"}]}
        assert body(OutboundKind.REACTION, "setMessageReaction", **target)["reaction"] == []
        assert body(OutboundKind.EDIT, "editMessageText", content={"text": "novo"}, **target)["text"] == "novo"
        caption = {"media": OutboundMedia(caption="nova")}
        assert body(OutboundKind.EDIT, "editMessageCaption", content=caption, **target)["caption"] == "nova"
        assert body(OutboundKind.REVOKE, "deleteMessage", **target) == {"chat_id": 55667788, "message_id": 9}
        business = body(OutboundKind.REVOKE, "deleteBusinessMessages", chat_scope="business:B1:55667788", **target)
        assert business == {"business_connection_id": "B1", "message_ids": [9]}

    def test_a_pressed_button_is_answered(self) -> None:
        call = build(OutboundKind.READ, target_provider_message_id="callback:44")
        assert (json.loads(call.body), call.idempotent) == ({"callback_query_id": "44"}, True)  # type: ignore[arg-type]

    def test_typing_is_shown(self) -> None:
        assert body(OutboundKind.TYPING, "sendChatAction") == {"chat_id": 55667788, "action": "typing"}

    def test_the_token_is_put_in_last_and_never_shown(self) -> None:
        call = build(OutboundKind.TEXT, content={"text": "x"})
        made = placed(call, {"access_token": "5500000001:AAE_x-y"})
        assert made.url == "https://api.telegram.org/bot5500000001:AAE_x-y/sendMessage"
        assert "AAE_x-y" not in repr(made) + repr(call)


@pytest.mark.parametrize(
    ("kind", "parts", "pointer"),
    [
        (OutboundKind.TEXT, {"content": {"text": ""}}, "/content/text"),
        (OutboundKind.TEXT, {"content": {"text": "x" * 4097}}, "/content/text"),
        (OutboundKind.TEXT, {"content": {"text": "x"}, "recipient": ()}, "/recipient"),
        (OutboundKind.TEMPLATE, {}, "/kind"),
        (OutboundKind.IMAGE, {}, "/content/media"),
        (OutboundKind.IMAGE, {"content": {"media": OutboundMedia(link="x", caption="x" * 1025)}}, "/content/media/caption"),
        (OutboundKind.BUTTONS, {"content": {"text": "x"}}, "/content/options"),
        (OutboundKind.BUTTONS, {"content": {"text": "x", "options": (Option(id="é" * 33, title="a"),)}}, "/content/options"),
        (OutboundKind.CONTACTS, {}, "/content/contacts"),
        (OutboundKind.LOCATION, {}, "/content/location"),
        (OutboundKind.EDIT, {"content": {"text": "x"}}, "/target_provider_message_id"),
        (OutboundKind.READ, {"target_provider_message_id": "9"}, "/kind"),
    ],
)
def test_what_cannot_be_sent_is_named(kind: OutboundKind, parts: dict[str, Any], pointer: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        build(kind, **parts)
    assert (raised.value.reason, raised.value.pointer) == ("cannot_send", pointer)


class TestAnswers:
    def test_a_message_is_known_by_its_number_and_chat(self) -> None:
        result = {"message_id": 12, "chat": {"id": 55667788, "type": "private"}, "date": 1, "text": "x"}
        assert answered(200, {"ok": True, "result": result}) == Accepted(provider_message_ids=("12",), chat_scope="55667788")
        business = answered(200, {"ok": True, "result": {**result, "business_connection_id": "B1"}})
        assert business.chat_scope == "business:B1:55667788"
        assert answered(200, {"ok": True, "result": True}, OutboundKind.REACTION) == Accepted()

    @pytest.mark.parametrize(
        ("status", "description", "error_class", "scope"),
        [
            (401, "Unauthorized", ErrorClass.AUTH, "connector"),
            (404, "Not Found", ErrorClass.AUTH, "connector"),
            (403, "Forbidden: bot was blocked by the user", ErrorClass.RECIPIENT_PERMANENT, "peer"),
            (403, "Forbidden: user is deactivated", ErrorClass.RECIPIENT_PERMANENT, "peer"),
            (403, "Forbidden: bot was kicked from the supergroup chat", ErrorClass.RECIPIENT_PERMANENT, "peer"),
            (403, "Forbidden: bot can't initiate conversation with a user", ErrorClass.RECIPIENT_PERMANENT, "peer"),
            (400, "Bad Request: chat not found", ErrorClass.RECIPIENT_PERMANENT, "peer"),
            (400, "Bad Request: PEER_ID_INVALID", ErrorClass.RECIPIENT_PERMANENT, "peer"),
            (400, "Bad Request: message is too long", ErrorClass.CONTENT_PERMANENT, "message"),
            (400, "Bad Request: can't parse entities", ErrorClass.CONTENT_PERMANENT, "message"),
            (400, "Bad Request: BUTTON_DATA_INVALID", ErrorClass.CONTENT_PERMANENT, "message"),
            (413, "Request Entity Too Large", ErrorClass.CONTENT_PERMANENT, "message"),
            (409, "Conflict: terminated by other getUpdates request", ErrorClass.ACCOUNT_BLOCKED, "connector"),
            (500, "Internal Server Error", ErrorClass.RETRYABLE, "connector"),
        ],
    )
    def test_every_documented_error_has_its_class(
        self, status: int, description: str, error_class: ErrorClass, scope: str
    ) -> None:
        outcome = answered(status, {"ok": False, "error_code": status, "description": description})
        assert isinstance(outcome, Rejected)
        assert (outcome.fault.error_class, outcome.fault.scope, outcome.fault.detail) == (error_class, scope, description)

    @pytest.mark.parametrize(("told", "seconds"), [(35, 35.0), (10**9, 86_400.0), ("x", 1.0), (None, 1.0), (True, 1.0)])
    def test_too_many_requests_say_how_long_to_wait(self, told: object, seconds: float) -> None:
        document = {"ok": False, "error_code": 429, "description": "Too Many Requests", "parameters": {"retry_after": told}}
        outcome = answered(429, document)
        assert outcome.fault.error_class is ErrorClass.RATE_LIMITED
        assert (outcome.fault.retry_after_seconds, outcome.fault.scope) == (seconds, "peer")

    def test_a_group_that_moved_tells_its_new_number(self) -> None:
        parameters = {"migrate_to_chat_id": -1001000000001}
        document = {
            "ok": False,
            "error_code": 400,
            "description": "Bad Request: group chat was upgraded",
            "parameters": parameters,
        }
        fault = answered(400, document).fault
        assert (fault.code, fault.detail, fault.action) == ("migrate_to_chat_id", "-1001000000001", "use_new_chat")

    @pytest.mark.parametrize(
        "said", ["Bad Request: message is not modified: x", "Bad Request: query is too old and response timeout"]
    )
    def test_what_is_so_already_counts_as_done(self, said: str) -> None:
        assert answered(400, {"ok": False, "error_code": 400, "description": said}) == Accepted()

    def test_a_lost_answer_leaves_the_outcome_unknown(self) -> None:
        made = build(OutboundKind.TEXT, content={"text": "x"})
        assert isinstance(SENDING.read(made, TransportFault(kind="timeout", may_have_left=True)), UnknownOutcome)
        assert isinstance(SENDING.read(made, TransportFault(kind="connect", may_have_left=False)), Rejected)
        assert isinstance(SENDING.read(made, ProviderResponse(status=502, body=b"<html>")), UnknownOutcome)
        assert isinstance(SENDING.read(made, ProviderResponse(status=200, body=b"<html>")), UnknownOutcome)

    def test_an_address_that_is_not_called_is_for_a_person_to_mend(self) -> None:
        made = build(OutboundKind.TEXT, content={"text": "x"})
        refused = TransportFault(kind="refused", may_have_left=False, detail="egress_refused: x is at an address of kind private")
        outcome = SENDING.read(made, refused)
        assert isinstance(outcome, Rejected)
        assert (outcome.fault.error_class, outcome.fault.action) == (ErrorClass.ACCOUNT_BLOCKED, "fix_config")

    @pytest.mark.parametrize("colon", [":", "%3A", "%3a"])
    def test_what_is_told_of_a_lost_call_does_not_tell_the_token(self, colon: str) -> None:
        made = build(OutboundKind.TEXT, content={"text": "x"})
        token = f"123456789{colon}AAExampleExampleExampleExampleExample"
        fault = TransportFault(
            kind="connect", may_have_left=False, detail=f"refused: https://api.telegram.org/bot{token}/sendMessage"
        )
        outcome = SENDING.read(made, fault)
        assert isinstance(outcome, Rejected)
        assert outcome.fault.detail == "refused: https://api.telegram.org/bot***/sendMessage"

    def test_what_may_be_repeated_is_never_unknown(self) -> None:
        made = build(OutboundKind.REACTION, target_provider_message_id="9")
        outcome = SENDING.read(made, TransportFault(kind="timeout", may_have_left=True))
        assert isinstance(outcome, Rejected)
        assert outcome.fault.error_class is ErrorClass.RETRYABLE
        assert isinstance(SENDING.read(made, ProviderResponse(status=502, body=b"<html>")), Rejected)

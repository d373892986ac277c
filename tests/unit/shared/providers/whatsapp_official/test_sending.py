"""Orders become Meta's documented calls; answers become outcomes. Nothing that may have left is called rejected."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.domain.content import ContactCard, Location
from shared.domain.enums import AliasKind, ErrorClass
from shared.domain.errors import InvalidInput
from shared.domain.items import Alias
from shared.providers import provider_of
from shared.providers.calling import CallContext, ProviderCall, ProviderResponse, TransportFault, carried, placed
from shared.providers.sending import (
    Accepted,
    Option,
    OutboundContent,
    OutboundKind,
    OutboundMedia,
    Proceed,
    Rejected,
    Section,
    SendOrder,
    TemplateOrder,
    UnknownOutcome,
)

CONTEXT = CallContext(
    connector_id="c",
    account_id="a",
    identidade="551140000001",
    settings={"waba_id": "200000000000001", "graph_version": "v25.0"},
    account_config={"phone_number_id": "100000000000001"},
    now_ms=1_790_000_000_000,
)
PHONE = Alias(kind=AliasKind.PHONE, value="5511900000001")
BSUID = Alias(kind=AliasKind.BSUID, value="BR.70112233445566")
SENDING = provider_of("whatsapp_official").sending
assert SENDING is not None
MESSAGE_ID = "0190a000-0000-7000-8000-000000000001"
URL = "https://graph.facebook.com/v25.0/100000000000001"


def build(kind: OutboundKind, *, recipient: tuple[Alias, ...] = (PHONE,), content: dict[str, Any] | None = None, **order: Any):
    made = SendOrder(message_id=MESSAGE_ID, kind=kind, recipient=recipient, content=OutboundContent(**(content or {})), **order)
    return SENDING.build(made, CONTEXT)


def body(kind: OutboundKind, **parts: Any) -> dict[str, Any]:
    (call,) = build(kind, **parts)
    assert (call.step, call.method, call.url) == ("send", "POST", f"{URL}/messages")
    document = json.loads(call.body)
    assert document.pop("messaging_product") == "whatsapp"
    assert document.pop("biz_opaque_callback_data") == MESSAGE_ID
    assert document.pop("recipient_type") == "individual"
    assert document.pop("to") == "5511900000001"
    return document


def row(number: int) -> Option:
    return Option(id=f"r{number}", title=f"Row {number}")


class TestBodies:
    def test_text_with_a_reply(self) -> None:
        document = body(OutboundKind.TEXT, content={"text": "Olá"}, reply_to_provider_message_id="wamid.A")
        assert document == {"type": "text", "text": {"body": "Olá", "preview_url": False}, "context": {"message_id": "wamid.A"}}

    def test_media_by_id_and_by_link(self) -> None:
        media = OutboundMedia(provider_media_id="300", caption="nota", filename="nota.pdf")
        assert body(OutboundKind.DOCUMENT, content={"media": media})["document"] == {
            "id": "300",
            "caption": "nota",
            "filename": "nota.pdf",
        }
        link = OutboundMedia(link="https://example.com/a.ogg", voice=True)
        assert body(OutboundKind.AUDIO, content={"media": link})["audio"] == {"link": "https://example.com/a.ogg", "voice": True}

    def test_a_place_a_card_a_template_and_a_reaction(self) -> None:
        place = body(OutboundKind.LOCATION, content={"location": Location(latitude=-23.5, longitude=-46.6, name="Aqui")})
        assert place["location"] == {"latitude": -23.5, "longitude": -46.6, "name": "Aqui"}
        card = ContactCard(name="Bia", phones=("+55 11 90000-0002",), organization="Exemplo")
        assert body(OutboundKind.CONTACTS, content={"contacts": (card,)})["contacts"] == [
            {
                "name": {"formatted_name": "Bia", "first_name": "Bia"},
                "phones": [{"phone": "+55 11 90000-0002"}],
                "org": {"company": "Exemplo"},
            }
        ]
        component = {"type": "body", "parameters": [{"type": "text", "text": "10"}]}
        template = TemplateOrder(name="order_update", language="pt_BR", components=(component,))
        assert body(OutboundKind.TEMPLATE, content={"template": template})["template"] == {
            "name": "order_update",
            "language": {"code": "pt_BR"},
            "components": [component],
        }
        reaction = body(OutboundKind.REACTION, content={"emoji": "👍"}, target_provider_message_id="wamid.A")
        assert reaction["reaction"] == {"message_id": "wamid.A", "emoji": "👍"}
        removed = body(OutboundKind.REACTION, target_provider_message_id="wamid.A")
        assert removed["reaction"]["emoji"] == ""

    def test_buttons_a_link_and_a_list(self) -> None:
        options = (Option(id="y", title="Sim"), Option(id="n", title="Não"))
        buttons = body(OutboundKind.BUTTONS, content={"text": "Confirma?", "options": options, "footer": "Loja"})["interactive"]
        assert buttons["type"] == "button"
        assert [button["reply"]["title"] for button in buttons["action"]["buttons"]] == ["Sim", "Não"]
        assert buttons["footer"] == {"text": "Loja"}
        link = body(
            OutboundKind.BUTTONS, content={"text": "Veja", "options": (Option(id="u", title="Abrir", url="https://example.com"),)}
        )
        assert link["interactive"]["action"]["parameters"] == {"display_text": "Abrir", "url": "https://example.com"}
        sections = (Section(title="A", rows=(row(1),)), Section(title="B", rows=(row(2), row(3))))
        listed = body(OutboundKind.LIST, content={"text": "Escolha", "sections": sections, "list_button": "Ver"})["interactive"]
        assert [len(section["rows"]) for section in listed["action"]["sections"]] == [1, 2]

    def test_a_person_without_a_phone_is_reached_by_id_and_a_group_by_its_own(self) -> None:
        (call,) = build(OutboundKind.TEXT, recipient=(BSUID,), content={"text": "Oi"})
        assert json.loads(call.body)["recipient"] == "BR.70112233445566"
        (both,) = build(OutboundKind.TEXT, recipient=(BSUID, PHONE), content={"text": "Oi"})
        assert json.loads(both.body)["to"] == "5511900000001"
        (group,) = build(OutboundKind.TEXT, group_id="G1", content={"text": "Oi"})
        assert (json.loads(group.body)["recipient_type"], json.loads(group.body)["to"]) == ("group", "G1")

    def test_marks_are_safe_to_repeat(self) -> None:
        (read,) = build(OutboundKind.READ, target_provider_message_id="wamid.A")
        assert json.loads(read.body) == {"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.A"}
        (typing,) = build(OutboundKind.TYPING, target_provider_message_id="wamid.A")
        assert json.loads(typing.body)["typing_indicator"] == {"type": "text"}
        assert read.idempotent
        assert typing.idempotent

    def test_bytes_are_uploaded_first_and_sent_by_their_id(self) -> None:
        media = OutboundMedia(data=b"PNG", mime_type="image/png", caption="nota")
        upload, send = build(OutboundKind.IMAGE, content={"media": media})
        assert upload.url == f"{URL}/media"
        assert [(part.name, part.content) for part in upload.body] == [
            ("messaging_product", b"whatsapp"),
            ("type", b"image/png"),
            ("file", b"PNG"),
        ]
        done = carried(send, {"upload": ProviderResponse(status=200, body=b'{"id":"300000000000009"}')})
        assert json.loads(done.body)["image"] == {"id": "300000000000009", "caption": "nota"}

    def test_the_token_is_in_the_header_and_the_proof_in_the_query(self) -> None:
        (call,) = build(OutboundKind.TEXT, content={"text": "Oi"})
        assert placed(call, {"access_token": "T"}).headers[-1] == ("Authorization", "Bearer T")
        proving = CallContext(
            **{name: getattr(CONTEXT, name) for name in CONTEXT.__slots__} | {"settings": {"prove_calls": True}}
        )
        order = SendOrder(message_id="m", kind=OutboundKind.TEXT, recipient=(PHONE,), content=OutboundContent(text="Oi"))
        (proven,) = SENDING.build(order, proving)
        url = placed(proven, {"access_token": "T", "app_secret": "S"}).url
        # printf T | openssl dgst -sha256 -hmac S
        assert url.endswith("?appsecret_proof=e1785f02b5e5ffd73395592554b927bfe123c47a28485c132be2b91412dbe1fd")

    @pytest.mark.parametrize(
        ("kind", "parts", "pointer"),
        [
            (OutboundKind.TEXT, {"content": {"text": "x" * 4097}}, "/content/text"),
            (OutboundKind.TEXT, {"content": {}}, "/content/text"),
            (OutboundKind.TEXT, {"recipient": (), "content": {"text": "x"}}, "/recipient"),
            (OutboundKind.EMAIL, {}, "/kind"),
            (OutboundKind.EDIT, {"content": {"text": "x"}}, "/kind"),
            (OutboundKind.IMAGE, {}, "/content/media"),
            (OutboundKind.IMAGE, {"content": {"media": OutboundMedia()}}, "/content/media"),
            (OutboundKind.IMAGE, {"content": {"media": OutboundMedia(data=b"x")}}, "/content/media/mime_type"),
            (OutboundKind.IMAGE, {"content": {"media": OutboundMedia(link="l", caption="x" * 1025)}}, "/content/media/caption"),
            (OutboundKind.AUDIO, {"content": {"media": OutboundMedia(link="l", caption="x")}}, "/content/media/caption"),
            (OutboundKind.STICKER, {"content": {"media": OutboundMedia(link="l", caption="x")}}, "/content/media/caption"),
            (OutboundKind.REACTION, {}, "/target_provider_message_id"),
            (OutboundKind.READ, {}, "/target_provider_message_id"),
            (OutboundKind.BUTTONS, {"content": {"text": "x", "options": tuple(row(n) for n in range(4))}}, "/content/options"),
            (OutboundKind.BUTTONS, {"content": {"text": "x", "options": (row(1), row(1))}}, "/content/options"),
            (
                OutboundKind.BUTTONS,
                {"content": {"text": "x", "options": (Option(id="a", title="t" * 21),)}},
                "/content/options/0/title",
            ),
            (
                OutboundKind.LIST,
                {"content": {"text": "x", "sections": (Section(title="A", rows=tuple(row(n) for n in range(11))),)}},
                "/content/sections",
            ),
            (OutboundKind.LOCATION, {}, "/content/location"),
            (OutboundKind.CONTACTS, {}, "/content/contacts"),
            (OutboundKind.TEMPLATE, {}, "/content/template"),
        ],
    )
    def test_what_meta_would_refuse_is_refused_before(self, kind: OutboundKind, parts: dict[str, Any], pointer: str) -> None:
        with pytest.raises(InvalidInput) as caught:
            build(kind, **parts)
        assert (caught.value.reason, caught.value.pointer) == ("cannot_send", pointer)

    def test_without_the_numbers_id_nothing_is_built(self) -> None:
        order = SendOrder(message_id="m", kind=OutboundKind.TEXT, recipient=(PHONE,), content=OutboundContent(text="Oi"))
        bare = CallContext(connector_id="c", account_id=None, identidade=None, settings={}, account_config={}, now_ms=0)
        with pytest.raises(InvalidInput, match="phone_number_id"):
            SENDING.build(order, bare)


SEND = ProviderCall(step="send", method="POST", url=URL)
UPLOAD = ProviderCall(step="upload", method="POST", url=URL, idempotent=True)
MARK = ProviderCall(step="mark", method="POST", url=URL, idempotent=True)


def answer(status: int, document: object, **headers: str) -> ProviderResponse:
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    return ProviderResponse(status=status, body=data, headers={name.replace("_", "-"): value for name, value in headers.items()})


def error(code: int, status: int = 400, **more: Any) -> ProviderResponse:
    return answer(status, {"error": {"code": code, "message": f"(#{code}) Invented", **more}})


class TestOutcomes:
    def test_accepted_with_the_numbers_true_spelling(self) -> None:
        document = {
            "messaging_product": "whatsapp",
            "contacts": [{"input": "5511990000001", "wa_id": "551190000001", "user_id": "BR.70112233445566"}],
            "messages": [{"id": "wamid.OUT1==", "message_status": "accepted"}],
        }
        outcome = SENDING.read(SEND, answer(200, document))
        assert isinstance(outcome, Accepted)
        assert outcome.provider_message_ids == ("wamid.OUT1==",)
        assert [alias.key for alias in outcome.recipient] == [
            "phone:551190000001",
            "phone:5511990000001",
            "bsuid:BR.70112233445566",
        ]

    def test_steps_that_make_no_message(self) -> None:
        assert SENDING.read(UPLOAD, answer(200, {"id": "300"})) == Proceed()
        assert SENDING.read(MARK, answer(200, {"success": True})) == Accepted()
        missing = SENDING.read(UPLOAD, answer(200, {}))
        assert isinstance(missing, Rejected)
        assert missing.fault.code == "upload_without_id"

    @pytest.mark.parametrize(
        ("response", "kind", "scope", "after", "action"),
        [
            (error(190, 401, error_subcode=463), ErrorClass.AUTH, "connector", None, "renew_token"),
            (error(0, 401), ErrorClass.AUTH, "connector", None, "renew_token"),
            (error(10, 403), ErrorClass.ACCOUNT_BLOCKED, "account", None, "grant_permission"),
            (error(250), ErrorClass.ACCOUNT_BLOCKED, "account", None, "see_account"),
            (error(131031), ErrorClass.ACCOUNT_BLOCKED, "account", None, "see_restriction"),
            (error(131042), ErrorClass.ACCOUNT_BLOCKED, "account", None, "fix_payment"),
            (error(4), ErrorClass.RATE_LIMITED, "connector", 60.0, None),
            (error(130429), ErrorClass.RATE_LIMITED, "account", 1.0, None),
            (error(131056), ErrorClass.RATE_LIMITED, "peer", 4.0, None),
            (error(131048), ErrorClass.RATE_LIMITED, "account", 3600.0, "slow_down"),
            (error(131000, 500), ErrorClass.RETRYABLE, "message", None, None),
            (error(131057), ErrorClass.RETRYABLE, "account", 60.0, None),
            (error(999_999, 500, is_transient=True), ErrorClass.RETRYABLE, "message", None, None),
            (error(131047), ErrorClass.WINDOW_CLOSED, "peer", None, "use_template"),
            (error(131026), ErrorClass.RECIPIENT_PERMANENT, "peer", None, None),
            (error(131050), ErrorClass.RECIPIENT_PERMANENT, "peer", None, None),
            (error(132001, 404), ErrorClass.CONTENT_PERMANENT, "message", None, "check_template"),
            (error(131053), ErrorClass.CONTENT_PERMANENT, "message", None, "check_media"),
            (error(999_999), ErrorClass.CONTENT_PERMANENT, "message", None, None),
            (answer(401, b"<html>"), ErrorClass.AUTH, "connector", None, "renew_token"),
            (answer(429, b"", retry_after="17"), ErrorClass.RATE_LIMITED, "account", 17.0, None),
            (answer(503, b"<html>", retry_after="5"), ErrorClass.RETRYABLE, "account", 5.0, None),
            (answer(400, b"not json"), ErrorClass.CONTENT_PERMANENT, "message", None, None),
        ],
    )
    def test_rejected(
        self, response: ProviderResponse, kind: ErrorClass, scope: str, after: float | None, action: str | None
    ) -> None:
        outcome = SENDING.read(SEND, response)
        assert isinstance(outcome, Rejected)
        fault = outcome.fault
        assert (fault.error_class, fault.scope, fault.retry_after_seconds, fault.action) == (kind, scope, after, action)

    def test_a_header_outweighs_our_own_pause(self) -> None:
        limited = answer(429, {"error": {"code": 130429, "message": "Invented"}}, retry_after="30")
        outcome = SENDING.read(SEND, limited)
        assert isinstance(outcome, Rejected)
        assert outcome.fault.retry_after_seconds == 30.0

    def test_code_and_subcode_and_details_are_told(self) -> None:
        response = error(190, 401, error_subcode=463, error_data={"details": "Session has expired"})
        outcome = SENDING.read(SEND, response)
        assert isinstance(outcome, Rejected)
        assert (outcome.fault.code, outcome.fault.detail) == ("190.463", "Session has expired")

    @pytest.mark.parametrize(
        "response",
        [
            TransportFault(kind="timeout", may_have_left=True),
            TransportFault(kind="lost", may_have_left=True),
            answer(502, b"<html>"),
            answer(504, b""),
            answer(500, b"{}"),
            answer(200, b"<html>"),
            answer(200, {"messages": []}),
        ],
    )
    def test_what_may_have_left_is_of_unknown_outcome(self, response: ProviderResponse | TransportFault) -> None:
        assert isinstance(SENDING.read(SEND, response), UnknownOutcome)
        if not isinstance(response, ProviderResponse) or response.status != 200:
            for call in (UPLOAD, MARK):  # nothing is lost by doing these again
                again = SENDING.read(call, response)
                assert isinstance(again, Rejected)
                assert again.fault.error_class is ErrorClass.RETRYABLE

    def test_what_never_left_may_be_tried_again(self) -> None:
        outcome = SENDING.read(SEND, TransportFault(kind="connect", may_have_left=False))
        assert isinstance(outcome, Rejected)
        assert outcome.fault.error_class is ErrorClass.RETRYABLE

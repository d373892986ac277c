"""Sending through the Bot API: an order as one call, and what its answer means.

Telegram takes no key against repeats, so an answer that is lost leaves the outcome unknown.
Source: https://core.telegram.org/bots/api#available-methods
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from shared.domain.enums import AliasKind, ErrorClass
from shared.domain.errors import InvalidInput
from shared.providers.calling import (
    CallContext,
    Fault,
    Part,
    ProviderAnswer,
    ProviderCall,
    ProviderResponse,
    json_body,
    json_object,
)
from shared.providers.sending import (
    Accepted,
    Option,
    OutboundContent,
    OutboundKind,
    OutboundMedia,
    Rejected,
    Sending,
    SendOrder,
    SendOutcome,
    UnknownOutcome,
)
from shared.providers.telegram.answers import CALLBACK_PREFIX
from shared.providers.telegram.calls import call, fault_of, result_of
from shared.providers.telegram.capabilities import CAPTION_MAX_CHARACTERS, MAX_BUTTONS, TEXT_MAX_CHARACTERS

_MAX_CALLBACK_BYTES = 64
_UPLOAD_SECONDS = 120.0

# our kind -> method and the field that names the file
_FILES = {
    OutboundKind.IMAGE: ("sendPhoto", "photo"),
    OutboundKind.AUDIO: ("sendAudio", "audio"),
    OutboundKind.VIDEO: ("sendVideo", "video"),
    OutboundKind.DOCUMENT: ("sendDocument", "document"),
    OutboundKind.STICKER: ("sendSticker", "sticker"),
}
# Answers that say "it is so already", in lower case.
_DONE = ("message is not modified", "query is too old", "message to delete not found")
_BAD_GATEWAY = 500


@dataclass(frozen=True, slots=True)
class _Chat:
    chat_id: int
    thread_id: int | None = None
    business: str | None = None

    @property
    def fields(self) -> dict[str, Any]:
        """Where the message goes, as every sending method takes it."""
        return {"chat_id": self.chat_id, "message_thread_id": self.thread_id, "business_connection_id": self.business}


def build(order: SendOrder, context: CallContext) -> tuple[ProviderCall, ...]:
    """The one call of an order; raises InvalidInput (`cannot_send`) with a JSON pointer into the order."""
    make = _MAKERS.get(order.kind)
    if make is None:
        raise _cannot("Telegram has no such kind", "/kind")
    return (make(order, context),)


def read(made: ProviderCall, answer: ProviderAnswer) -> SendOutcome:
    """What one answer means. A gateway's page instead of Telegram's own error leaves open whether the call got through."""
    if not isinstance(answer, ProviderResponse):
        fault = fault_of(answer)
        return _unknown(fault) if answer.may_have_left and not made.idempotent else Rejected(fault=fault)
    document = json_object(answer.body)
    if document.get("ok") is True:
        return _accepted(result_of(answer))
    fault = fault_of(answer)
    if any(part in (fault.detail or "").lower() for part in _DONE):
        return Accepted()
    unsaid = document.get("ok") is not False
    if unsaid and not made.idempotent and (answer.status >= _BAD_GATEWAY or answer.status < 400):
        return _unknown(fault)
    return Rejected(fault=fault)


def _accepted(result: Any) -> Accepted:
    """The message as Telegram made it names its chat; other methods answer `true`."""
    if not isinstance(result, dict) or type(result.get("message_id")) is not int:
        return Accepted()
    chat = result.get("chat")
    chat_id = chat.get("id") if isinstance(chat, dict) else None
    business = result.get("business_connection_id")
    scope = None if chat_id is None else f"business:{business}:{chat_id}" if business else str(chat_id)
    return Accepted(provider_message_ids=(str(result["message_id"]),), chat_scope=scope)


def _unknown(fault: Fault) -> UnknownOutcome:
    return UnknownOutcome(fault=Fault(error_class=ErrorClass.UNKNOWN_OUTCOME, code=fault.code, detail=fault.detail))


def _chat(order: SendOrder) -> _Chat:
    """Where to: the topic of a group, the scope of earlier messages, else the person's own number."""
    group, _, thread = (order.group_id or "").partition("/")
    business, scope = None, order.chat_scope or ""
    if scope.startswith("business:"):
        _, business, scope = scope.split(":", 2) if scope.count(":") == 2 else ("", None, "")
    users = [alias.value for alias in order.recipient if alias.kind in (AliasKind.USER, AliasKind.GROUP)]
    for candidate in (group, scope, *users[:1]):
        if candidate and _is_number(candidate):
            return _Chat(int(candidate), int(thread) if group and _is_number(thread) else None, business)
    raise _cannot("no chat: neither a group, nor a scope, nor a user", "/recipient")


def _is_number(text: str) -> bool:
    digits = text.removeprefix("-")
    return digits.isascii() and digits.isdigit() and len(digits) <= 19


def _send(method: str, order: SendOrder, context: CallContext, fields: dict[str, Any]) -> ProviderCall:
    return call("send", method, context, {**_chat(order).fields, **fields, **_reply(order)})


def _reply(order: SendOrder) -> dict[str, Any]:
    given = order.reply_to_provider_message_id
    if given is None or not _is_number(given):
        return {}  # a pressed button, a reaction: nothing that could be quoted
    return {"reply_parameters": {"message_id": int(given), "allow_sending_without_reply": True}}


def _target(order: SendOrder) -> int:
    given = (order.target_provider_message_id or "").partition(":")[0]
    if not _is_number(given) or not given:
        raise _cannot("the message meant is missing", "/target_provider_message_id")
    return int(given)


def _about(method: str, order: SendOrder, context: CallContext, fields: dict[str, Any]) -> ProviderCall:
    """A call about an earlier message: done twice it changes nothing. Topics do not count here."""
    chat = _chat(order)
    where = {"chat_id": chat.chat_id, "business_connection_id": chat.business, "message_id": _target(order)}
    if method == "setMessageReaction":
        del where["business_connection_id"]  # it knows none
    return call("send", method, context, {**where, **fields}, idempotent=True)


def _plain_text(order: SendOrder, context: CallContext) -> ProviderCall:
    preview = {"is_disabled": not order.content.preview_url}
    return _send("sendMessage", order, context, {"text": _text(order.content.text), "link_preview_options": preview})


def _buttons(order: SendOrder, context: CallContext) -> ProviderCall:
    return _send("sendMessage", order, context, _with_keyboard(order.content))


def _reaction(order: SendOrder, context: CallContext) -> ProviderCall:
    emoji = order.content.emoji
    return _about("setMessageReaction", order, context, {"reaction": [{"type": "emoji", "emoji": emoji}] if emoji else []})


def _typing(order: SendOrder, context: CallContext) -> ProviderCall:
    return call("send", "sendChatAction", context, {**_chat(order).fields, "action": "typing"}, idempotent=True)


def _edit(order: SendOrder, context: CallContext) -> ProviderCall:
    content = order.content
    if content.media is not None:
        return _about("editMessageCaption", order, context, {"caption": _caption(content.media) or ""})
    if content.options or content.sections:
        return _about("editMessageText", order, context, _with_keyboard(content))
    return _about("editMessageText", order, context, {"text": _text(content.text)})


def _revoke(order: SendOrder, context: CallContext) -> ProviderCall:
    chat = _chat(order)
    if chat.business is None:
        return _about("deleteMessage", order, context, {})
    fields = {"business_connection_id": chat.business, "message_ids": [_target(order)]}
    return call("send", "deleteBusinessMessages", context, fields, idempotent=True)


def _read_mark(order: SendOrder, context: CallContext) -> ProviderCall:
    """Bots cannot mark as read. A pressed button is answered instead, so that the app stops waiting."""
    target = order.target_provider_message_id or ""
    if target.startswith(CALLBACK_PREFIX):
        answer = {"callback_query_id": target.removeprefix(CALLBACK_PREFIX), "text": order.content.text}
        return call("send", "answerCallbackQuery", context, answer, idempotent=True)
    if _chat(order).business is None:
        raise _cannot("bots cannot mark messages as read", "/kind")
    return _about("readBusinessMessage", order, context, {})


def _location(order: SendOrder, context: CallContext) -> ProviderCall:
    place = order.content.location
    if place is None:
        raise _cannot("the place is missing", "/content/location")
    fields = {"latitude": place.latitude, "longitude": place.longitude}
    if not place.name:
        return _send("sendLocation", order, context, fields)
    return _send("sendVenue", order, context, {**fields, "title": place.name, "address": place.address or place.name})


def _contact(order: SendOrder, context: CallContext) -> ProviderCall:
    cards = order.content.contacts
    if len(cards) != 1 or not cards[0].phones:
        raise _cannot("exactly one card with a phone", "/content/contacts")
    fields = {"phone_number": cards[0].phones[0], "first_name": cards[0].name or cards[0].phones[0]}
    return _send("sendContact", order, context, fields)


def _file(order: SendOrder, context: CallContext) -> ProviderCall:
    method, name = _FILES[order.kind]
    media = order.content.media
    if media is None:
        raise _cannot("the file is missing", "/content/media")
    if media.voice and order.kind is OutboundKind.AUDIO:
        method, name = "sendVoice", "voice"
    fields: dict[str, Any] = {} if order.kind is OutboundKind.STICKER else {"caption": _caption(media)}
    if media.data is None:
        given = media.provider_media_id or media.link
        if not given:
            raise _cannot("neither id, nor link, nor bytes", "/content/media")
        return _send(method, order, context, {**fields, name: given})
    everything = {**_chat(order).fields, **fields, **_reply(order)}
    parts = [Part(name=key, content=_form_value(value)) for key, value in everything.items() if value is not None]
    file = Part(name=name, content=media.data, filename=media.filename or name, mime_type=media.mime_type)
    return call("send", method, context, (*parts, file), timeout_seconds=_UPLOAD_SECONDS)


def _form_value(value: object) -> bytes:
    return json_body(value) if isinstance(value, dict) else str(value).encode("utf-8")


def _caption(media: OutboundMedia) -> str | None:
    if media.caption and len(media.caption) > CAPTION_MAX_CHARACTERS:
        raise _cannot(f"at most {CAPTION_MAX_CHARACTERS} characters", "/content/media/caption")
    return media.caption or None


def _text(text: str | None, pointer: str = "/content/text") -> str:
    if not text or len(text) > TEXT_MAX_CHARACTERS:
        raise _cannot(f"1 to {TEXT_MAX_CHARACTERS} characters", pointer)
    return text


def _with_keyboard(content: OutboundContent) -> dict[str, Any]:
    """Buttons below the text, one a row. Telegram has no list: its rows become buttons, its titles are left out."""
    options = (*content.options, *(row for section in content.sections for row in section.rows))
    if not 0 < len(options) <= MAX_BUTTONS:
        raise _cannot(f"1 to {MAX_BUTTONS} buttons", "/content/options")
    text = "\n\n".join(part for part in (content.header, content.text, content.footer) if part)
    return {"text": _text(text), "reply_markup": {"inline_keyboard": [[_button(option)] for option in options]}}


def _button(option: Option) -> dict[str, str]:
    if option.url:
        return {"text": option.title, "url": option.url}
    if not 0 < len(option.id.encode("utf-8")) <= _MAX_CALLBACK_BYTES:
        raise _cannot(f"an id of 1 to {_MAX_CALLBACK_BYTES} bytes", "/content/options")
    return {"text": option.title, "callback_data": option.id}


def _cannot(message: str, pointer: str) -> InvalidInput:
    return InvalidInput(message, reason="cannot_send", pointer=pointer)


_MAKERS: dict[OutboundKind, Callable[[SendOrder, CallContext], ProviderCall]] = {
    OutboundKind.TEXT: _plain_text,
    OutboundKind.BUTTONS: _buttons,
    OutboundKind.LIST: _buttons,
    OutboundKind.LOCATION: _location,
    OutboundKind.CONTACTS: _contact,
    OutboundKind.REACTION: _reaction,
    OutboundKind.EDIT: _edit,
    OutboundKind.REVOKE: _revoke,
    OutboundKind.READ: _read_mark,
    OutboundKind.TYPING: _typing,
    **dict.fromkeys(_FILES, _file),
}

SENDING = Sending(kinds=frozenset(_MAKERS), build=build, read=read)

"""Messages of WAHA, and what becomes of those that went out."""

from __future__ import annotations

from msgspec.structs import replace

from shared.domain.content import Content, Revoke
from shared.domain.enums import DeliveryStatus, MessageKind, WebhookEvent
from shared.domain.items import AnyItem
from shared.providers.documents import Malformed, fingerprint
from shared.providers.whatsapp_unofficial.fields import JsonObject, elements, flag, inner, milliseconds, text
from shared.providers.whatsapp_unofficial.jids import Jid, parse_jid
from shared.providers.whatsapp_unofficial.origins import Origin, Written, edited, message, message_id_of, receipt
from shared.providers.whatsapp_unofficial.shapes import Said, choice, content_kind, reaction
from shared.providers.whatsapp_unofficial.waha.contents import spoken
from shared.providers.whatsapp_unofficial.waha.names import MessageName, parse_name

_STATUSES = {
    "ERROR": DeliveryStatus.FAILED,
    "PENDING": DeliveryStatus.ACCEPTED,
    "SERVER": DeliveryStatus.SENT,
    "DEVICE": DeliveryStatus.DELIVERED,
    "READ": DeliveryStatus.READ,
    "PLAYED": DeliveryStatus.PLAYED,
}
_NUMBERED = {-1: "ERROR", 0: "PENDING", 1: "SERVER", 2: "DEVICE", 3: "READ", 4: "PLAYED"}  # WAHA's numbers, not Baileys'
_MEMBER_ADDRESSES = ("participantAlt", "participantPn", "participantLid")
_CHAT_ADDRESSES = ("remoteJidAlt", "senderPn", "senderLid")
# Notes of the app itself, and messages whose keys are still on their way (they come again under the same id).
_PLACEHOLDERS = frozenset({"ciphertext", "e2e_notification", "notification_template", "protocol", "gp2", "notification", "debug"})


def message_posted(origin: Origin, payload: JsonObject) -> AnyItem:
    """`message` and `message.any`. What a call to this API sent is a receipt of ours. Raises Malformed."""
    written = _written(payload)
    if written.chat.is_audience:
        return origin.audience(written.chat)
    data = payload.get("_data")
    type_ = data.get("type") if isinstance(data, dict) else None
    if isinstance(type_, str) and type_ in _PLACEHOLDERS:
        return origin.left_out("placeholder")
    if written.from_me and text(payload, "source") == "api":
        return _accepted(origin, written)
    return message(origin, written, spoken(payload))


def _accepted(origin: Origin, written: Written) -> AnyItem:
    first, *others = (*written.addresses, None)
    return receipt(origin, written.message_id, DeliveryStatus.ACCEPTED, chat=first, others=tuple(others), time_ms=written.time_ms)


def message_waiting(origin: Origin, _: JsonObject) -> AnyItem:
    """`message.waiting`: the content follows under the same id."""
    return origin.left_out("placeholder")


def reaction_posted(origin: Origin, payload: JsonObject) -> AnyItem:
    """`message.reaction`: an empty text takes the reaction away."""
    written = _written(payload)
    if written.chat.is_audience:
        return origin.audience(written.chat)
    if written.from_me and text(payload, "source") == "api":
        return _accepted(origin, written)
    mark = inner(payload, "reaction")
    target = parse_name(text(mark, "messageId"))
    content = reaction(target.bare if target is not None else None, text(mark, "text"))
    if content is None:
        raise Malformed("reaction_target_missing")
    return message(origin, written, content_kind(MessageKind.REACTION, content))


def message_edited(origin: Origin, payload: JsonObject) -> AnyItem:
    """`message.edited`: the new text, with an id of its own and the bare id of what it replaces."""
    written = _written(payload)
    if written.chat.is_audience:
        return origin.audience(written.chat)
    target = parse_name(text(payload, "editedMessageId"))
    found = spoken(payload)
    if found.kind is MessageKind.UNSUPPORTED and payload.get("body"):  # the engine's data names the note, not its content
        found = content_kind(MessageKind.TEXT, Content(text=text(payload, "body")))
    return edited(origin, written, target.bare if target is not None else None, found)


def message_revoked(origin: Origin, payload: JsonObject) -> AnyItem:
    """`message.revoked`: `after` is the note that says so, `before` the message if the engine still has it."""
    known = inner(payload, "after") or inner(payload, "before")
    if not known:
        raise Malformed("peer_missing")
    written = _written(known)
    if written.chat.is_audience:
        return origin.audience(written.chat)
    target = parse_name(text(payload, "revokedMessageId") or text(inner(payload, "before"), "id") or text(known, "id"))
    if target is None:
        raise Malformed("revoke_target_missing")
    revoke = Revoke(target_provider_message_id=message_id_of(target.bare))
    return message(origin, written, content_kind(MessageKind.REVOKE, Content(revoke=revoke)))


def message_acknowledged(origin: Origin, payload: JsonObject) -> AnyItem:
    """`message.ack`, and `message.ack.group` for one member: by name, else by number."""
    name = parse_name(text(payload, "id"))
    message_id = message_id_of(name.bare if name is not None else None)
    chat = _chat(name, payload, from_me=True) if name is not None else None
    if chat is not None and chat.is_audience:
        return origin.audience(chat)
    status = _STATUSES.get(_ack_name(payload) or "")
    if status is None:
        raise Malformed("status_unknown")
    if not flag(payload, "fromMe") and not (name is not None and name.from_me):
        return origin.left_out("of_a_message_of_the_peer", WebhookEvent.MESSAGE_STATUS)
    in_group = chat is not None and chat.is_group
    return receipt(
        origin,
        message_id,
        status,
        chat=f"{chat.user}@{chat.server}" if chat is not None else None,
        others=_engine_addresses(payload, in_group),
        participant=text(payload, "participant") if in_group else None,
    )


def _ack_name(payload: JsonObject) -> str | None:
    name, number = payload.get("ackName"), payload.get("ack")
    if isinstance(name, str) and name in _STATUSES:
        return name
    return _NUMBERED.get(number) if type(number) is int else None


def poll_voted(origin: Origin, payload: JsonObject) -> AnyItem:
    """`poll.vote`: the options that this person has chosen by now."""
    vote, poll = inner(payload, "vote"), parse_name(text(inner(payload, "poll"), "id"))
    written = _written(vote)
    if written.chat.is_audience:
        return origin.audience(written.chat)
    chosen = [option for option in elements(vote, "selectedOptions") if isinstance(option, str)]
    said = choice("poll_vote", None, ", ".join(chosen))
    # a person who votes anew does so under the id of the poll in some engines: the moment tells the votes apart
    vote_id = message_id_of(f"{written.message_id}:vote:{fingerprint(chosen, vote.get('timestamp'))[:16]}")
    spoken_vote = Said(kind=MessageKind.INTERACTIVE, content=said, reply_to=poll.bare if poll is not None else None)
    return message(origin, replace(written, message_id=vote_id), spoken_vote)


def _written(payload: JsonObject) -> Written:
    """Who wrote a message. Raises Malformed (`id_missing`, `chat_missing`)."""
    name = parse_name(text(payload, "id"))
    if name is None:
        raise Malformed("id_missing")
    from_me = flag(payload, "fromMe") or name.from_me is True
    chat = _chat(name, payload, from_me=from_me)
    if chat is None:
        raise Malformed("chat_missing")
    if chat.is_group:
        addresses: tuple[str | None, ...] = (text(payload, "participant"), text(payload, "author"), name.member)
    else:
        addresses = (f"{chat.user}@{chat.server}",)
    return Written(
        message_id=message_id_of(name.bare),
        from_me=from_me,
        chat=chat,
        addresses=(*addresses, *_engine_addresses(payload, chat.is_group)),
        name=_push_name(payload),
        time_ms=milliseconds(payload.get("timestamp")),
    )


def _chat(name: MessageName, payload: JsonObject, *, from_me: bool) -> Jid | None:
    """The chat by the id; engines disagree about whether `from` is the chat or the author."""
    return name.chat or parse_jid(text(payload, "to") if from_me else text(payload, "from")) or parse_jid(text(payload, "from"))


def _engine_addresses(payload: JsonObject, in_group: bool) -> tuple[str | None, ...]:
    """The person's other address, phone or LID, where the engine knows it: `key` is NOWEB's, `Info` GOWS'."""
    data = payload.get("_data")
    if not isinstance(data, dict):
        return ()
    key, info = data.get("key"), data.get("Info")
    names = _MEMBER_ADDRESSES if in_group else _CHAT_ADDRESSES
    found = [key.get(name) for name in names] if isinstance(key, dict) else []
    if isinstance(info, dict):
        found.append(info.get("RecipientAlt" if info.get("IsFromMe") is True else "SenderAlt"))
    return tuple([address for address in found if isinstance(address, str)])


def _push_name(payload: JsonObject) -> str | None:
    data = payload.get("_data")
    if not isinstance(data, dict):
        return None
    info = data.get("Info")
    for name in (data.get("notifyName"), data.get("pushName"), info.get("PushName") if isinstance(info, dict) else None):
        if isinstance(name, str) and name:
            return name
    return None

"""Messages of Evolution, and what becomes of those that went out.

`key` names a message: `remoteJid` is the chat, `participant` the member of a group; `remoteJidAlt`, `participantAlt` and, in
older versions, `senderPn`, `participantPn` and `previousRemoteJid` are further addresses of the same person, by phone
where the first is a LID and the other way round.
"""

from __future__ import annotations

from typing import Any

from msgspec import to_builtins
from msgspec.structs import replace

from shared.domain.content import Revoke
from shared.domain.enums import DeliveryStatus, MessageKind, WebhookEvent
from shared.domain.items import AnyItem, Content
from shared.providers.cleaning import MAX_URL_CHARACTERS, exact_text
from shared.providers.documents import Malformed, fingerprint
from shared.providers.whatsapp_unofficial.fields import JsonObject, elements, flag, inner, milliseconds, text
from shared.providers.whatsapp_unofficial.jids import Jid, aliases_of, parse_jid
from shared.providers.whatsapp_unofficial.origins import Origin, Written, edited, message, message_id_of, receipt
from shared.providers.whatsapp_unofficial.proto import MediaSource, is_revoke, said, with_source
from shared.providers.whatsapp_unofficial.shapes import Said, choice, content_kind

_STATUSES = {
    "ERROR": DeliveryStatus.FAILED,
    "PENDING": DeliveryStatus.ACCEPTED,
    "SERVER_ACK": DeliveryStatus.SENT,
    "DELIVERY_ACK": DeliveryStatus.DELIVERED,
    "READ": DeliveryStatus.READ,
    "PLAYED": DeliveryStatus.PLAYED,
}
OWN_EDIT = "send.message.update"  # ordered by a call to this API
_NUMBERED = ("ERROR", "PENDING", "SERVER_ACK", "DELIVERY_ACK", "READ", "PLAYED")  # Baileys' own numbers, from 0
_CHAT_ADDRESSES = ("remoteJid", "remoteJidAlt", "senderPn", "senderLid", "previousRemoteJid")
_MEMBER_ADDRESSES = ("participant", "participantAlt", "participantPn", "participantLid")


def message_upserted(origin: Origin, data: JsonObject) -> AnyItem:
    """`messages.upsert`: somebody wrote, or the company did in its phone app. Raises Malformed."""
    written = _written(inner(data, "key"), data)
    if written.chat.is_audience:
        return origin.audience(written.chat)
    body = inner(data, "message")
    if not body:  # a note that something happened in the chat, or a message whose keys are still on their way
        return origin.left_out("placeholder")
    spoken = said(body, inner(data, "contextInfo"), text(data, "messageType"))
    if spoken.protocol is not None:
        return _protocol(origin, written, body)
    if spoken.content.media is not None:
        spoken = with_source(spoken, _media_source(origin, body, written.message_id))
    return message(origin, written, spoken)


def _protocol(origin: Origin, written: Written, body: JsonObject) -> AnyItem:
    note = inner(_innermost(body), "protocolMessage")
    if not inner(note, "editedMessage"):
        return origin.left_out("protocol")
    return edited(origin, written, text(inner(note, "key"), "id"), said(inner(note, "editedMessage"), {}))


def _innermost(body: JsonObject) -> JsonObject:
    wrapped = inner(inner(body, "editedMessage"), "message")
    return wrapped or body


def own_message_sent(origin: Origin, data: JsonObject) -> AnyItem:
    """`send.message`: a call to this API sent it, so it is a receipt of ours and no message of somebody else."""
    key = inner(data, "key")
    return receipt(
        origin,
        message_id_of(text(key, "id")),
        DeliveryStatus.ACCEPTED,
        chat=text(key, "remoteJid"),
        others=_addresses(key, _CHAT_ADDRESSES[1:]),
        time_ms=milliseconds(data.get("messageTimestamp")),
    )


def message_edited(origin: Origin, data: JsonObject) -> AnyItem:
    """`messages.edited`: a `protocolMessage`, whose `key` names the ORIGINAL. It comes for every such note.

    A revocation is told again by `messages.delete`, which names the chat as we see it: so this one is left out.
    """
    note = inner(data, "protocolMessage") or data
    body = inner(note, "editedMessage") or inner(data, "message")
    if not body:
        return origin.left_out("revoke_follows" if is_revoke(note.get("type", -1)) else "protocol")
    key = inner(note, "key")
    written = _written(key, data)
    if origin.event != OWN_EDIT:
        written = _by_its_author(origin, written, text(key, "participant"))
    if written.chat.is_audience:
        return origin.audience(written.chat)
    moment = milliseconds(note.get("timestampMs") or data.get("messageTimestamp"))
    target = written.message_id
    spoken = with_source(said(body, {}), _media_source(origin, {}, target))
    edit_id = message_id_of(f"{target}:edit:{moment if moment is not None else _told_by(spoken)}")
    return edited(origin, replace(written, message_id=edit_id, time_ms=moment), target, spoken)


def _by_its_author(origin: Origin, written: Written, participant: str | None) -> Written:
    """Who edited. Baileys hands the note's key on as its author wrote it, so `fromMe` is true for everybody's edits.

    Then a chat that is our own number means that somebody edited, and the key does not say who; in a group the participant
    tells, if there is one. What the key does not tell nobody guesses: such an edit stays with the address that it gives
    (our number, the group, a hidden id that may be ours), and `edit` names the message and thereby the true talk.
    Source: https://github.com/EvolutionAPI/evolution-api/issues/1647
    """
    if not written.from_me or written.chat.is_audience:
        return written
    own = set(aliases_of(origin.own_address))
    if written.chat.is_group:
        return replace(written, from_me=bool(own & set(aliases_of(participant))))
    return replace(written, from_me=not own & set(aliases_of(*written.addresses)))


def message_deleted(origin: Origin, data: JsonObject) -> AnyItem:
    """`messages.delete`: the key of the message, or, after a deletion by this API, its row with the key in it."""
    written = _written(inner(data, "key") or data, data)
    if written.chat.is_audience:
        return origin.audience(written.chat)
    return message(
        origin, written, content_kind(MessageKind.REVOKE, Content(revoke=Revoke(target_provider_message_id=written.message_id)))
    )


def message_updated(origin: Origin, data: JsonObject) -> AnyItem:
    """`messages.update`: a receipt, a deletion, an edit, or the votes of a poll. Raises Malformed."""
    key = inner(data, "key")
    message_id = message_id_of(text(data, "keyId") or text(key, "id"))
    fields = {**key, **{name: value for name, value in data.items() if name != "key"}, "id": message_id}
    chat = parse_jid(text(fields, "remoteJid"))
    if chat is not None and chat.is_audience:
        return origin.audience(chat)
    if data.get("pollUpdates"):
        return _votes(origin, fields)
    if inner(inner(data, "message"), "editedMessage"):
        return _edited_by_update(origin, fields)
    return _status(origin, fields, message_id)


def _status(origin: Origin, fields: JsonObject, message_id: str) -> AnyItem:
    if fields.get("status") is None:  # an edit's second event, whose content is in the first
        return origin.left_out("no_status", WebhookEvent.MESSAGE_STATUS)
    name = _status_name(fields["status"])
    if name == "DELETED":
        return message_deleted(origin, fields)
    status = _STATUSES.get(name or "")
    if status is None:
        raise Malformed("status_unknown")
    if not flag(fields, "fromMe"):
        return origin.left_out("of_a_message_of_the_peer", WebhookEvent.MESSAGE_STATUS)  # read by us on another device
    return receipt(
        origin,
        message_id,
        status,
        chat=text(fields, "remoteJid"),
        others=_addresses(fields, _CHAT_ADDRESSES[1:]),
        participant=text(fields, "participant"),
    )


def _edited_by_update(origin: Origin, fields: JsonObject) -> AnyItem:
    """Releases after 2.3.6 tell an edit here, too, with its true author: news where `messages.edited` cannot name the peer.

    It carries no time, so its content tells it from another edit of the same message.
    """
    written, body = _written(fields, fields), inner(fields, "message")
    if written.from_me or written.chat.is_group:
        return origin.left_out("told_by_messages_edited")
    spoken = with_source(said(body, {}), _media_source(origin, {}, written.message_id))
    edit_id = message_id_of(f"{written.message_id}:edit:{_told_by(spoken)}")
    return edited(origin, replace(written, message_id=edit_id), written.message_id, spoken)


def _told_by(spoken: Said) -> str:
    """What tells an edit without a time from another one: its content as we read it, so that new fields change nothing."""
    return fingerprint(to_builtins(spoken.content))[:16]


def _status_name(status: Any) -> str | None:
    if isinstance(status, bool) or not isinstance(status, int | str):
        return None
    if isinstance(status, str) and not status.isdigit():
        return status.upper()
    number = int(status) if len(str(status)) < 4 else -1
    return _NUMBERED[number] if 0 <= number < len(_NUMBERED) else str(status)[:16]


def _votes(origin: Origin, fields: JsonObject) -> AnyItem:
    """Votes come as the whole state of the poll, per option: clear in a talk of two, and in a group if one has voted."""
    options = [option for option in elements(fields, "pollUpdates") if isinstance(option, dict)]
    chosen = [option for option in options if _voters(option)]
    voters = sorted({voter for option in chosen for voter in _voters(option)})
    written = _written({**fields, "fromMe": False}, fields)
    if written.chat.is_group:
        if len(voters) != 1:
            return origin.left_out("poll_of_many")
        written = replace(written, addresses=(voters[0],))
    titles = ", ".join(title for option in chosen if (title := text(option, "name")))
    vote = replace(content_kind(MessageKind.INTERACTIVE, choice("poll_vote", None, titles)), reply_to=written.message_id)
    vote_id = message_id_of(f"{written.message_id}:vote:{fingerprint(titles, voters, origin.stamp)[:16]}")
    return message(origin, replace(written, message_id=vote_id), vote)


def _voters(option: JsonObject) -> list[str]:
    return [voter for voter in elements(option, "voters") if isinstance(voter, str)]


def _written(key: JsonObject, data: JsonObject) -> Written:
    """Who wrote a message, from its key. Raises Malformed (`id_missing`, `chat_missing`)."""
    message_id = message_id_of(text(key, "id"))
    chat: Jid | None = parse_jid(text(key, "remoteJid"))
    if chat is None:
        raise Malformed("chat_missing")
    names = _MEMBER_ADDRESSES if chat.is_group else _CHAT_ADDRESSES
    return Written(
        message_id=message_id,
        from_me=flag(key, "fromMe"),
        chat=chat,
        addresses=(*_addresses(key, names), *_addresses(data, names[1:])),
        name=text(data, "pushName"),
        time_ms=milliseconds(data.get("messageTimestamp")),
    )


def _addresses(fields: JsonObject, names: tuple[str, ...]) -> tuple[str | None, ...]:
    return tuple([text(fields, name) for name in names if name in fields])


def _media_source(origin: Origin, body: JsonObject, message_id: str) -> MediaSource:
    """The bytes by the message's id at the server, where S3 is on by URL, where `base64` is on in this very body."""
    return MediaSource(
        provider_media_id=message_id,
        url=exact_text(text(body, "mediaUrl"), MAX_URL_CHARACTERS),
        raw_part=f"{origin.path}/message/base64" if text(body, "base64") else None,
    )

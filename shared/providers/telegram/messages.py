"""Messages: what a person or a channel wrote, what a connected business account wrote itself (echo), and edits of both."""

from __future__ import annotations

from dataclasses import replace

from msgspec import ValidationError, convert

from shared.domain.enums import AliasKind, Direction, MessageKind, WebhookEvent
from shared.domain.items import ConnectorEventItem, Content, Edit, MessageItem, Peer, Quoted, Unsupported
from shared.providers.cleaning import MAX_CODE_CHARACTERS, MAX_NAME_CHARACTERS, clean_text, exact_text
from shared.providers.documents import Malformed
from shared.providers.phones import phone_aliases
from shared.providers.telegram.contents import CONTENTS
from shared.providers.telegram.payloads import Chat, Message, Origin
from shared.providers.telegram.service_messages import ENVELOPE, SERVICE, detail_of, service_event
from shared.providers.telegram.updates import (
    Update,
    account_refs,
    chat_as_peer,
    chat_scope,
    full_name,
    group_name_of,
    group_of,
    milliseconds,
    number,
    person,
)

JsonObject = dict[str, object]


def message(update: Update, element: JsonObject) -> MessageItem | ConnectorEventItem:
    """One new message, channel post, or message of a connected business account.

    What a group tells of itself (members, title, migration) is an event. Raises Malformed, or ValidationError for a field
    of a wrong type.
    """
    parsed = convert(element, Message)
    chat = _chat_of(parsed)
    if chat.type != "private":
        told = next((name for name in element if name in SERVICE), None)
        if told is not None:
            return service_event(update, parsed, chat, told)
    return _message(update, element, parsed, chat)


def edited_message(update: Update, element: JsonObject) -> MessageItem:
    """A message as it is now. Telegram gives an edit no id of its own, and several may fall into one second."""
    parsed = convert(element, Message)
    item = _message(update, element, parsed, _chat_of(parsed))
    edited_ms = milliseconds(parsed.edit_date) or item.provider_time_ms
    edit_id = f"{item.provider_message_id}:edit:{edited_ms}:{update.update_id}"
    return replace(
        item,
        dedup_key=f"{item.chat_scope}:{edit_id}",
        provider_time_ms=edited_ms,
        provider_message_id=edit_id,
        kind=MessageKind.EDIT,
        content=replace(item.content, edit=Edit(target_provider_message_id=item.provider_message_id, kind=item.kind)),
    )


def _chat_of(parsed: Message) -> Chat:
    if parsed.chat is None:
        raise Malformed("chat_missing")
    number(parsed.chat.id, "chat_missing")
    return parsed.chat


def _message(update: Update, element: JsonObject, parsed: Message, chat: Chat) -> MessageItem:
    message_id = str(number(parsed.message_id, "id_missing"))
    scope = chat_scope(chat.id or 0, parsed.business_connection_id)
    direction, peer = _written_by(parsed, chat)
    kind, content = _content(element, parsed)
    peer = _with_own_phone(peer, parsed, content)
    origin = parsed.forward_origin
    return MessageItem(
        path=update.path,
        evento=WebhookEvent.MESSAGE_IN,
        account_refs=account_refs(parsed.business_connection_id),
        dedup_key=f"{scope}:{message_id}",
        provider_time_ms=milliseconds(parsed.date),
        direction=direction,
        kind=kind,
        provider_message_id=message_id,
        peer=peer,
        content=content,
        group_id=group_of(chat, parsed.message_thread_id, parsed.is_topic_message),
        chat_scope=scope,
        reply_to_provider_message_id=_replied_id(parsed),
        forwarded=origin is not None or parsed.forward_date is not None,
        forwarded_from=_origin_name(origin),
        group_name=group_name_of(chat),
    )


def _written_by(parsed: Message, chat: Chat) -> tuple[Direction, Peer]:
    """In a chat of a business account the peer is the chat; whoever else writes there writes for the account."""
    if parsed.business_connection_id:
        mine = parsed.sender is not None and parsed.sender.id != chat.id
        peer = chat_as_peer(chat) if mine else person(parsed.sender) or chat_as_peer(chat)
        direction = Direction.ECHO if mine else Direction.INBOUND
    else:
        # `sender_chat` wrote in truth; `from` is then a stand-in (GroupAnonymousBot and the like)
        peer = chat_as_peer(parsed.sender_chat) or person(parsed.sender) or chat_as_peer(chat)
        direction = Direction.INBOUND
    if peer is None:
        raise Malformed("peer_missing")
    return direction, peer


def _with_own_phone(peer: Peer, parsed: Message, content: Content) -> Peer:
    """Who shares a contact that is their own user tells their number: Telegram fills in `user_id` by the number itself."""
    card = content.contacts[0] if len(content.contacts) == 1 else None
    own = card is not None and parsed.sender is not None and card.user_ids == (str(parsed.sender.id),)
    if card is None or not own or not card.phones or peer.aliases[0].kind is not AliasKind.USER:
        return peer
    return replace(peer, aliases=(*peer.aliases, *phone_aliases(card.phones[0])))


def _content(element: JsonObject, parsed: Message) -> tuple[MessageKind, Content]:
    kind, content = _read(element)
    caption = clean_text(parsed.caption) if parsed.caption else None
    if caption and content.media is not None:
        content = replace(content, media=replace(content.media, caption=caption))
    elif caption and content.unsupported is not None:
        content = replace(content, text=caption)
    album_id = exact_text(parsed.media_group_id) if parsed.media_group_id else None
    quoted = _quoted(parsed) if parsed.quote is not None or parsed.reply_to_message is not None else None
    if album_id is not None or quoted is not None:
        content = replace(content, album_id=album_id, quoted=quoted)
    return kind, content


def _read(element: JsonObject) -> tuple[MessageKind, Content]:
    for name, (kind, read) in CONTENTS.items():
        value = element.get(name)
        content = None if value is None else read(value)
        if content is not None:
            return kind, content
    name = next((name for name in element if name not in ENVELOPE), "missing")
    provider_type = clean_text(name, MAX_CODE_CHARACTERS) or "missing"
    return MessageKind.UNSUPPORTED, Content(unsupported=Unsupported(provider_type=provider_type, detail=detail_of(element, name)))


def _replied_id(parsed: Message) -> str | None:
    replied = parsed.reply_to_message
    if replied is None:
        return None
    message_id = replied.get("message_id")
    if type(message_id) is not int or not 0 < message_id < 2**63:
        return None
    # in a forum everything "answers" the note that opened its topic
    opened = parsed.is_topic_message and message_id == parsed.message_thread_id and "forum_topic_created" in replied
    return None if opened else str(message_id)


def _quoted(parsed: Message) -> Quoted | None:
    """What Telegram repeats of the answered message; it is told again, so a fault in it costs nothing but itself."""
    if parsed.reply_to_message is not None and _replied_id(parsed) is None:
        return None
    marked = parsed.quote.text if parsed.quote is not None else None
    kind = author = text = None
    if parsed.reply_to_message is not None:
        try:
            replied = convert(parsed.reply_to_message, Message)
            kind, content = _read(parsed.reply_to_message)
            text = content.text or replied.caption
            writer = chat_as_peer(replied.sender_chat) or person(replied.sender)
            author = None if writer is None else writer.aliases[0].key
        except (ValidationError, Malformed):
            kind = author = text = None
    return Quoted(kind=kind, text=clean_text(marked or text) or None, author=author)


def _origin_name(origin: Origin | None) -> str | None:
    if origin is None:
        return None
    if origin.sender_user is not None:
        return full_name(origin.sender_user.first_name, origin.sender_user.last_name)
    chat = origin.sender_chat or origin.chat
    return clean_text(origin.sender_user_name or (chat.title if chat is not None else None), MAX_NAME_CHARACTERS) or None

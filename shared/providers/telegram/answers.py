"""What people do with messages that are there: press a button, react, vote, delete. Each is a message of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import convert

from shared.domain.enums import Direction, MessageKind, WebhookEvent
from shared.domain.items import AnyItem, Choice, Content, MessageItem, Reaction, Revoke
from shared.providers.cleaning import MAX_NAME_CHARACTERS, clean_text, exact_text
from shared.providers.documents import Malformed
from shared.providers.telegram.payloads import (
    CallbackQuery,
    Chat,
    DeletedMessages,
    MessageReaction,
    PollAnswer,
    PressedMessage,
    ReactionType,
)
from shared.providers.telegram.updates import (
    Update,
    account_refs,
    chat_as_peer,
    chat_scope,
    group_name_of,
    group_of,
    milliseconds,
    number,
    person,
    poison,
)

CALLBACK_PREFIX = "callback:"  # of the id of a pressed button: `READ` of it answers the query, so that the app stops waiting

_PAID_EMOJI = "\N{WHITE MEDIUM STAR}"


def callback_query(update: Update, element: dict[str, Any]) -> MessageItem:
    """Somebody pressed a button; `choice.id` is the button's data. The query tells no time."""
    query = convert(element, CallbackQuery)
    query_id, peer = exact_text(query.id, 64), person(query.sender)
    if query_id is None or peer is None:
        raise Malformed("id_missing" if query_id is None else "peer_missing")
    pressed = convert(query.message or {}, PressedMessage)
    chat, refs = pressed.chat, account_refs(pressed.business_connection_id)
    in_chat = chat is not None and chat.id
    return MessageItem(
        path=update.path,
        evento=WebhookEvent.MESSAGE_IN,
        account_refs=refs,
        dedup_key=f"{CALLBACK_PREFIX}{query_id}",
        direction=Direction.INBOUND,
        kind=MessageKind.INTERACTIVE,
        provider_message_id=f"{CALLBACK_PREFIX}{query_id}",
        peer=peer,
        content=Content(
            choice=Choice(
                type="callback",
                id=exact_text(query.data) or exact_text(query.game_short_name),
                title=_title(pressed, query.data),
            )
        ),
        group_id=group_of(chat, pressed.message_thread_id, pressed.is_topic_message) if chat and in_chat else None,
        chat_scope=chat_scope(chat.id or 0, pressed.business_connection_id) if chat and in_chat else None,
        reply_to_provider_message_id=str(pressed.message_id) if pressed.message_id else exact_text(query.inline_message_id),
        group_name=group_name_of(chat) if chat and in_chat else None,
    )


def _title(pressed: PressedMessage, data: str | None) -> str | None:
    rows = pressed.reply_markup.inline_keyboard if pressed.reply_markup is not None else None
    for row in rows or ():
        for button in row:
            if data is not None and button.callback_data == data:
                return clean_text(button.text, MAX_NAME_CHARACTERS)
    return None


def message_reaction(update: Update, element: dict[str, Any]) -> MessageItem:
    """Somebody changed their reactions. Told is the one that is new; if only some went, what is left; without any, removal."""
    change = convert(element, MessageReaction)
    chat = _chat(change.chat)
    target = str(number(change.message_id, "id_missing"))
    peer = person(change.user) or chat_as_peer(change.actor_chat)
    if peer is None:
        raise Malformed("peer_missing")
    old, new = ([_emoji(one) for one in marks or ()] for marks in (change.old_reaction, change.new_reaction))
    told = next((emoji for emoji in new if emoji not in old), new[-1] if new else None)
    scope, own_id = chat_scope(chat.id or 0), f"{target}:reaction:{peer.aliases[0].value}:{update.update_id}"
    return MessageItem(
        path=update.path,
        evento=WebhookEvent.MESSAGE_IN,
        account_refs=account_refs(),
        dedup_key=f"{scope}:{own_id}",
        provider_time_ms=milliseconds(change.date),
        direction=Direction.INBOUND,
        kind=MessageKind.REACTION,
        provider_message_id=own_id,
        peer=peer,
        content=Content(reaction=Reaction(target_provider_message_id=target, emoji=told)),
        group_id=group_of(chat, None, None),
        chat_scope=scope,
        group_name=group_name_of(chat),
    )


def _emoji(reaction: ReactionType) -> str:
    if reaction.type == "custom_emoji":
        return f"custom_emoji:{exact_text(reaction.custom_emoji_id, 40) or ''}"
    if reaction.type == "paid":
        return _PAID_EMOJI
    return clean_text(reaction.emoji, 64) or clean_text(reaction.type, 64) or "unknown"


def poll_answer(update: Update, element: dict[str, Any]) -> MessageItem:
    """Somebody voted, or took the vote back (`choice.id` None). Telegram names the poll, not its chat or message."""
    answer = convert(element, PollAnswer)
    poll_id = exact_text(answer.poll_id, 64)
    peer = chat_as_peer(answer.voter_chat) or person(answer.user)
    if poll_id is None or peer is None:
        raise Malformed("id_missing" if poll_id is None else "peer_missing")
    options = sorted(set(answer.option_ids or ()))[:100]
    own_id = f"poll:{poll_id}:{peer.aliases[0].value}:{update.update_id}"
    return MessageItem(
        path=update.path,
        evento=WebhookEvent.MESSAGE_IN,
        account_refs=account_refs(),
        dedup_key=own_id,
        direction=Direction.INBOUND,
        kind=MessageKind.INTERACTIVE,
        provider_message_id=own_id,
        peer=peer,
        content=Content(
            choice=Choice(
                type="poll_vote",
                id=",".join(str(option) for option in options) or None,
                payload=json.dumps({"poll_id": poll_id, "option_ids": options}, separators=(",", ":")),
            )
        ),
    )


def deleted_business_messages(update: Update, element: dict[str, Any]) -> Iterator[AnyItem]:
    """One item per message that was deleted in a chat of a connected business account; by whom is not told."""
    deleted = convert(element, DeletedMessages)
    chat, peer = _chat(deleted.chat), chat_as_peer(deleted.chat)
    refs, scope = account_refs(deleted.business_connection_id), chat_scope(chat.id or 0, deleted.business_connection_id)
    ids: Sequence[Any] = deleted.message_ids if deleted.message_ids is not None else ()
    if not ids or peer is None:
        raise Malformed("id_missing" if not ids else "peer_missing")
    for index, target in enumerate(ids):
        path = f"{update.path}/message_ids/{index}"
        if type(target) is not int or not 0 < target < 2**63:
            yield poison(path, "wrong_type", target, WebhookEvent.MESSAGE_IN)
            continue
        yield MessageItem(
            path=path,
            evento=WebhookEvent.MESSAGE_IN,
            account_refs=refs,
            dedup_key=f"{scope}:{target}:revoke",
            direction=Direction.INBOUND,
            kind=MessageKind.REVOKE,
            provider_message_id=f"{target}:revoke",
            peer=peer,
            content=Content(revoke=Revoke(target_provider_message_id=str(target))),
            group_id=group_of(chat, None, None),
            chat_scope=scope,
        )


def _chat(chat: Chat | None) -> Chat:
    if chat is None:
        raise Malformed("chat_missing")
    number(chat.id, "chat_missing")
    return chat

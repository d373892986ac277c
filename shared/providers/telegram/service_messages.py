"""What a chat tells of itself in the shape of a message, and what of an unknown message may be shown.

Source: https://core.telegram.org/bots/api#message
"""

from __future__ import annotations

from typing import Any

from shared.domain.enums import AliasKind, ConnectorEventName, WebhookEvent
from shared.domain.items import Alias, ConnectorEventItem, PeopleChange
from shared.providers.cleaning import MAX_NAME_CHARACTERS, clean_text
from shared.providers.telegram.payloads import Chat, Message
from shared.providers.telegram.updates import Update, account_refs, chat_scope, milliseconds, number

# Fields that make a message of a group or channel a note of its own life. In a private chat such a note is kept as a
# message that we cannot show, because there it is about the person (`write_access_allowed`, …).
SERVICE = frozenset(
    {
        *("new_chat_members", "left_chat_member", "new_chat_title", "new_chat_photo", "delete_chat_photo"),
        *("group_chat_created", "supergroup_chat_created", "channel_chat_created", "message_auto_delete_timer_changed"),
        *("migrate_to_chat_id", "migrate_from_chat_id", "pinned_message", "proximity_alert_triggered", "boost_added"),
        *("chat_background_set", "forum_topic_created", "forum_topic_edited", "forum_topic_closed", "forum_topic_reopened"),
        *("general_forum_topic_hidden", "general_forum_topic_unhidden", "video_chat_scheduled", "video_chat_started"),
        *("video_chat_ended", "video_chat_participants_invited", "chat_owner_left", "chat_owner_changed"),
    }
)

# Fields that stand beside any content: the first field that is none of these names an unknown kind.
ENVELOPE = frozenset(
    {
        *("message_id", "message_thread_id", "from", "sender_chat", "sender_boost_count", "sender_business_bot", "sender_tag"),
        *("date", "edit_date", "chat", "business_connection_id", "forward_origin", "is_topic_message", "is_automatic_forward"),
        *("reply_to_message", "external_reply", "quote", "reply_to_story", "reply_to_checklist_task_id", "via_bot"),
        *("has_protected_content", "is_from_offline", "is_paid_post", "media_group_id", "author_signature", "paid_star_count"),
        *("entities", "link_preview_options", "suggested_post_info", "effect_id", "caption", "caption_entities"),
        *("show_caption_above_media", "has_media_spoiler", "reply_markup", "direct_messages_topic", "reply_to_poll_option_id"),
        *("forward_from", "forward_from_chat", "forward_from_message_id", "forward_signature", "forward_sender_name"),
        *("forward_date", "guest_query_id", "guest_bot_caller_user", "guest_bot_caller_chat"),
    }
)


def service_event(update: Update, message: Message, chat: Chat, told: str) -> ConnectorEventItem:
    """A group tells of itself. When it became a supergroup its number changed, and both numbers are the same people."""
    chat_id = number(chat.id, "chat_missing")
    values = {"event": told, "group_id": str(chat_id)}
    people = None
    old, new = (message.migrate_from_chat_id, chat_id) if message.migrate_from_chat_id else (chat_id, message.migrate_to_chat_id)
    if old and new and old != new:
        values |= {"old_group_id": str(old), "new_group_id": str(new)}
        people = PeopleChange(old=(_group(old),), new=(_group(new),))
    scope = chat_scope(chat_id, message.business_connection_id)
    return ConnectorEventItem(
        path=update.path,
        evento=WebhookEvent.FALLBACK,
        account_refs=account_refs(message.business_connection_id),
        dedup_key=f"{scope}:{number(message.message_id, 'id_missing')}",
        provider_time_ms=milliseconds(message.date),
        name=ConnectorEventName.GROUP_CHANGED,
        provider_event=told,
        values=values,
        people=people,
    )


def _group(chat_id: int) -> Alias:
    return Alias(kind=AliasKind.GROUP, value=str(chat_id))


def detail_of(element: dict[str, Any], name: str) -> str | None:
    """A short line about content without a shape here: what was asked, thrown or paid. None if nothing is known."""
    value = element.get(name)
    if not isinstance(value, dict):
        return None
    match name:
        case "dice":
            told = [value.get("emoji"), value.get("value")]
        case "poll":
            told = [value.get("question")]
        case "game" | "invoice" | "checklist":
            told = [value.get("title")]
        case "successful_payment":
            told = [value.get("currency"), value.get("total_amount"), value.get("invoice_payload")]
        case _:
            told = []
    words = [str(word) for word in told if isinstance(word, str | int) and word != ""]
    return clean_text(" ".join(words), MAX_NAME_CHARACTERS) or None

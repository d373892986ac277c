"""What Telegram tells beside messages: who blocked the bot, who joined, what was asked through inline mode or payments.

Values are short codes, numbers and times, never what somebody wrote.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import convert

from shared.domain.enums import AliasKind, ConnectorEventName, HealthStatus, WebhookEvent
from shared.domain.items import Alias, ConnectorEventItem, PeopleChange
from shared.providers.cleaning import MAX_CODE_CHARACTERS, clean_text
from shared.providers.documents import Malformed
from shared.providers.telegram.payloads import BusinessConnection, MemberChange, OtherUpdate
from shared.providers.telegram.updates import Update, account_refs, milliseconds, number

# Updates that change nothing for a talk: what they are for us. Payments and inline mode are other products of the bot.
OTHERS: Mapping[str, ConnectorEventName] = {
    "inline_query": ConnectorEventName.FOREIGN,
    "chosen_inline_result": ConnectorEventName.FOREIGN,
    "shipping_query": ConnectorEventName.FOREIGN,
    "pre_checkout_query": ConnectorEventName.FOREIGN,
    "purchased_paid_media": ConnectorEventName.FOREIGN,
    "poll": ConnectorEventName.FOREIGN,
    "managed_bot": ConnectorEventName.FOREIGN,
    "message_reaction_count": ConnectorEventName.GROUP_CHANGED,
    "chat_join_request": ConnectorEventName.GROUP_CHANGED,
    "chat_boost": ConnectorEventName.GROUP_CHANGED,
    "removed_chat_boost": ConnectorEventName.GROUP_CHANGED,
}

_GONE = frozenset({"kicked", "left"})


def other_event(update: Update, element: dict[str, Any]) -> ConnectorEventItem:
    """An update that is known and no message. A new kind keeps its name: `unknown`."""
    told = convert(element, OtherUpdate)
    name = OTHERS.get(update.kind, ConnectorEventName.UNKNOWN)
    kind = clean_text(update.kind, MAX_CODE_CHARACTERS) or "missing"
    key = "object" if name is ConnectorEventName.FOREIGN else "event"
    values = {key: kind}
    if name is ConnectorEventName.GROUP_CHANGED and told.chat is not None and told.chat.id:
        values["group_id"] = str(told.chat.id)
    return _event(update, name, kind, values, time_s=told.date)


def member_event(update: Update, element: dict[str, Any]) -> ConnectorEventItem:
    """`my_chat_member`: a person blocked the bot or came back, a group took it in or threw it out. `chat_member`: of others."""
    change = convert(element, MemberChange)
    if change.chat is None or change.new_chat_member is None:
        raise Malformed("chat_missing" if change.chat is None else "wrong_type")
    chat_id = number(change.chat.id, "chat_missing")
    status = clean_text(change.new_chat_member.status, MAX_CODE_CHARACTERS) or "missing"
    if update.kind == "my_chat_member" and change.chat.type == "private":
        who = (Alias(kind=AliasKind.USER, value=str(chat_id)),)
        state = "blocked" if status in _GONE else "unblocked"
        values = {"state": state, "event": status}
        people = PeopleChange(old=(), new=who)
        name, evento = ConnectorEventName.PERSON_BLOCKED, WebhookEvent.CONTACT_UPDATE
        return _event(update, name, f"my_chat_member:{status}", values, time_s=change.date, evento=evento, people=people)
    values = {"event": f"{update.kind}:{status}", "group_id": str(chat_id)}
    member = change.new_chat_member.user
    if update.kind == "chat_member" and member is not None and member.id:
        values["user_id"] = str(member.id)
    return _event(update, ConnectorEventName.GROUP_CHANGED, f"{update.kind}:{status}", values, time_s=change.date)


def business_connection_event(update: Update, element: dict[str, Any]) -> ConnectorEventItem:
    """A business account is connected to the bot, or no longer: then nothing can be sent for it."""
    connection = convert(element, BusinessConnection)
    if not connection.id:
        raise Malformed("id_missing")
    enabled = bool(connection.is_enabled)
    return _event(
        update,
        ConnectorEventName.CONNECTION_STATE,
        "business_connection",
        {"state": "open" if enabled else "close", "reason": "business_connection"},
        time_s=connection.date,
        health=HealthStatus.PASSED if enabled else HealthStatus.FAILED,
        business_connection_id=connection.id,
    )


def _event(
    update: Update,
    name: ConnectorEventName,
    provider_event: str,
    values: dict[str, str],
    *,
    time_s: int | None = None,
    evento: WebhookEvent = WebhookEvent.FALLBACK,
    health: HealthStatus | None = None,
    people: PeopleChange | None = None,
    business_connection_id: str | None = None,
) -> ConnectorEventItem:
    return ConnectorEventItem(
        path=update.path,
        evento=evento,
        account_refs=account_refs(business_connection_id),
        dedup_key=f"update:{update.update_id}:{update.kind[:MAX_CODE_CHARACTERS]}",
        provider_time_ms=milliseconds(time_s),
        name=name,
        provider_event=provider_event,
        values=values,
        health=health,
        people=people,
    )

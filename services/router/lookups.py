"""How an item finds its facts: its people, its conversation, the messages it names. Pure."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from services.router.facts import Candidate, Facts, MessageRow
from services.router.keys import conversation_key, message_key
from services.router.people import choose
from shared.domain.enums import AliasKind, ConnectorEventName
from shared.domain.items import Alias, AnyItem, ConnectorEventItem, MessageItem, PeopleChange, ReceiptItem, SendResultItem


def people_of(candidate: Candidate) -> tuple[Alias, ...]:
    """Aliases of the person whom the item is about, as the item itself names them."""
    item = candidate.item
    if isinstance(item, MessageItem):
        return _persons(item.peer.aliases)
    if isinstance(item, SendResultItem):
        return _persons(item.recipient)
    change = change_of(item)
    return tuple(dict.fromkeys(change.old + change.new)) if change is not None else ()


def change_of(item: AnyItem) -> PeopleChange | None:
    """The change of a person's aliases that an event tells; None where it tells of none, or of a group's."""
    if not isinstance(item, ConnectorEventItem) or item.name is not ConnectorEventName.PERSON_CHANGED or item.people is None:
        return None
    change = PeopleChange(old=_no_groups(item.people.old), new=_no_groups(item.people.new))
    return change if change.old and change.new else None


def _persons(aliases: tuple[Alias, ...]) -> tuple[Alias, ...]:
    """A group's own alias stands for people only where no person is named: it never joins them."""
    return aliases if len(aliases) == 1 else _no_groups(aliases) or aliases[:1]


def _no_groups(aliases: tuple[Alias, ...]) -> tuple[Alias, ...]:
    return tuple(alias for alias in aliases if alias.kind is not AliasKind.GROUP)


def contact_of(candidate: Candidate, keys: Sequence[str], facts: Facts) -> str | None:
    """The contact of one item: the oldest that any of its own aliases (their keys) names."""
    if len(keys) == 1:
        return facts.contacts[candidate.opened.connector_id, keys[0]]
    known = {key: facts.contacts[candidate.opened.connector_id, key] for key in keys}
    return choose(frozenset(keys), known)[0]


def conversation_of(candidate: Candidate) -> str | None:
    """External key of the conversation that a message or result belongs to, once its contact is known; else None."""
    if candidate.account is None or not isinstance(candidate.item, MessageItem | SendResultItem):
        return None
    group = candidate.item.group_id if isinstance(candidate.item, MessageItem) else None
    return conversation_key(candidate.account.account_id, candidate.contact_id, group)


def participant_of(item: ReceiptItem | SendResultItem) -> str:
    """Group member of a receipt; empty outside of groups."""
    return item.participant if isinstance(item, ReceiptItem) else ""


def message_key_of(candidate: Candidate, item: MessageItem) -> str:
    """External key of a message itself; `item` is the candidate's."""
    key = candidate.message_key
    if key is None:
        if candidate.account is None:
            raise TypeError("a claimed item has an account")
        key = candidate.message_key = message_key(candidate.account.account_id, item.chat_scope, item.provider_message_id)
    return key


def messages_brought_by(candidate: Candidate) -> list[tuple[str, str | None]]:
    """(external key, message id) of the messages that this item makes known; None: a message that has no id yet."""
    item, account = candidate.item, candidate.account
    if account is None:
        return []
    if isinstance(item, MessageItem):
        return [(message_key_of(candidate, item), None)]
    if isinstance(item, SendResultItem):
        return [(message_key(account.account_id, item.chat_scope, one), item.message_id) for one in item.provider_message_ids]
    return []


def target_of(candidate: Candidate) -> str | None:
    """External key of the message that an item is about and makes no sense without: of a receipt, an edit, a reaction."""
    item, account = candidate.item, candidate.account
    if account is None or not isinstance(item, MessageItem | ReceiptItem):
        return None
    if isinstance(item, ReceiptItem):
        return message_key(account.account_id, item.chat_scope, item.provider_message_id)
    about = item.content.edit or item.content.revoke or item.content.reaction
    return None if about is None else message_key(account.account_id, item.chat_scope, about.target_provider_message_id)


def known_by_callback(candidate: Candidate, facts: Facts) -> bool:
    """Whether a receipt carries the id of a message of ours."""
    callback = callback_id(candidate)
    return callback is not None and (candidate.opened.connector_id, callback) in facts.known_message_ids


def targets_of(candidate: Candidate) -> list[str]:
    """External keys of other messages that this item names."""
    item, account = candidate.item, candidate.account
    if account is None:
        return []
    names: list[str | None] = []
    if isinstance(item, ReceiptItem):
        names = [item.provider_message_id]
    elif isinstance(item, MessageItem):
        about = item.content.edit or item.content.revoke or item.content.reaction
        names = [item.reply_to_provider_message_id, about.target_provider_message_id if about is not None else None]
    scope = item.chat_scope if isinstance(item, MessageItem | ReceiptItem) else None
    return [message_key(account.account_id, scope, name) for name in names if name]


def callback_id(candidate: Candidate) -> str | None:
    """Our own message id, if the provider echoed it (`biz_opaque_callback_data` and its like)."""
    if not isinstance(candidate.item, ReceiptItem) or candidate.item.callback_data is None:
        return None
    try:
        return str(uuid.UUID(candidate.item.callback_data))
    except ValueError:
        return None


def message_of_receipt(candidate: Candidate, facts: Facts) -> MessageRow | None:
    """Which message a receipt or result is about: callback data first, then the provider's id; None if unknown."""
    item, account, connector = candidate.item, candidate.account, candidate.opened.connector_id
    if account is None:
        return None
    if isinstance(item, SendResultItem):
        conversation = facts.conversations.get((connector, candidate.conversation_key or ""))
        return MessageRow(item.message_id, conversation)
    if not isinstance(item, ReceiptItem):
        return None
    callback = callback_id(candidate)
    if callback is not None and (connector, callback) in facts.known_message_ids:
        return facts.known_message_ids[connector, callback]
    return facts.messages.get((connector, message_key(account.account_id, item.chat_scope, item.provider_message_id)))

"""What Meta tells about the account, its templates, its limits and its people: short codes, never a message, never free text."""

from __future__ import annotations

from typing import Any

from msgspec import convert

from shared.domain.enums import ConnectorEventName, WebhookEvent
from shared.domain.items import Alias, ConnectorEventItem, PeopleChange
from shared.providers.cleaning import MAX_CODE_CHARACTERS, clean_text
from shared.providers.documents import Malformed, fingerprint
from shared.providers.whatsapp_official.changes import Change, milliseconds
from shared.providers.whatsapp_official.errors import explanation
from shared.providers.whatsapp_official.event_codes import NAMES, code_at, codes_of, health_of
from shared.providers.whatsapp_official.payloads import Error, JsonObject
from shared.providers.whatsapp_official.people import aliases
from shared.providers.whatsapp_official.person_payloads import Preference, SystemMessage, UserIdUpdate

# Fields that speak of a person; all others speak of the account. `fallback` is the class for what no other class takes.
_CONTACT_FIELDS = frozenset({"user_preferences", "user_id_update", "smb_app_state_sync"})

_CALL_CODES = ("event", "direction", "status", "type", "duration")


def evento_of(field: str) -> WebhookEvent:
    """The class of webhook row under which a field without messages falls."""
    return WebhookEvent.CONTACT_UPDATE if field in _CONTACT_FIELDS else WebhookEvent.FALLBACK


def connector_event(change: Change) -> ConnectorEventItem:
    """The whole change as one event named after its field. Raises Malformed if it is nested too deep to be hashed."""
    name, codes = NAMES.get(change.field, ConnectorEventName.UNKNOWN), codes_of(change.value)
    return ConnectorEventItem(
        path=change.path,
        evento=evento_of(change.field),
        account_refs=change.wide_refs,
        dedup_key=fingerprint(change.entry_id, change.entry_time, change.field, change.value),
        provider_time_ms=change.provider_time_ms,
        name=name,
        provider_event=_field(change),
        values=codes,
        health=health_of(name, codes),
    )


def error_event(change: Change, path: str, element: JsonObject) -> ConnectorEventItem:
    """One element of `value.errors`: Meta could not deliver something to us, and says why."""
    code, _ = explanation([convert(element, Error)])
    return ConnectorEventItem(
        path=path,
        evento=WebhookEvent.FALLBACK,
        account_refs=change.wide_refs,
        dedup_key=fingerprint(change.entry_id, change.entry_time, change.field, change.account_refs, element),
        provider_time_ms=change.provider_time_ms,
        name=ConnectorEventName.PROVIDER_ERROR,
        provider_event=_field(change),
        values={} if code is None else {"code": code},
    )


def preference_event(change: Change, path: str, element: JsonObject) -> ConnectorEventItem:
    """One element of `value.user_preferences`: the person stops or resumes marketing messages."""
    preference = convert(element, Preference)
    person = aliases(preference.wa_id, preference.user_id, preference.parent_user_id)
    if not person:
        raise Malformed("peer_missing")
    codes = {"category": preference.category, "value": preference.value}
    return _person_event(
        change, path, element, ConnectorEventName.PERSON_PREFERENCE, codes, (), person, preference.timestamp or change.entry_time
    )


def user_id_event(change: Change, path: str, element: JsonObject) -> ConnectorEventItem:
    """One element of `value.user_id_update`: the person's business-scoped id is another one from now on.

    Both spellings that were seen are read: `user_id.{previous,current}` and `previous_user_id` beside `user_id`.
    """
    update = convert(element, UserIdUpdate)
    old_id, new_id = _before_and_after(update.user_id, update.previous_user_id)
    old_parent, new_parent = _before_and_after(update.parent_user_id, update.previous_parent_user_id)
    old, new = aliases(None, old_id, old_parent), aliases(update.wa_id, new_id, new_parent)
    if not old or not new:
        raise Malformed("peer_missing")
    return _person_event(
        change, path, element, ConnectorEventName.PERSON_CHANGED, {"event": "user_id"}, old, new, update.timestamp
    )


def _before_and_after(given: Any, previous: str | None) -> tuple[str | None, str | None]:
    if isinstance(given, dict):
        before, after = given.get("previous"), given.get("current")
        return before if isinstance(before, str) else None, after if isinstance(after, str) else None
    return previous, given if isinstance(given, str) else None


def system_event(change: Change, path: str, element: JsonObject) -> ConnectorEventItem:
    """A message of type `system`: nobody wrote it; the person has another number, id or device key now."""
    message = convert(element, SystemMessage)
    system = message.system
    if system is None:
        raise Malformed("system_missing")
    old = aliases(message.sender or system.customer, message.from_user_id, message.from_parent_user_id)
    new = aliases(system.new_wa_id or system.wa_id, system.user_id, system.parent_user_id)
    codes = {"event": system.type}
    if not new:  # an identity (device key) that changed: the person's names stay
        return _person_event(change, path, element, ConnectorEventName.PERSON_CHANGED, codes, (), old, message.timestamp)
    return _person_event(change, path, element, ConnectorEventName.PERSON_CHANGED, codes, old, new, message.timestamp)


def _person_event(
    change: Change,
    path: str,
    element: JsonObject,
    name: ConnectorEventName,
    codes: dict[str, str | None],
    old: tuple[Alias, ...],
    new: tuple[Alias, ...],
    timestamp: object,
) -> ConnectorEventItem:
    return ConnectorEventItem(
        path=path,
        evento=WebhookEvent.CONTACT_UPDATE,
        account_refs=change.wide_refs,
        dedup_key=fingerprint(change.field, change.account_refs, element),
        provider_time_ms=milliseconds(timestamp),
        name=name,
        provider_event=_field(change),
        values={key: text for key, code in codes.items() if (text := clean_text(code, MAX_CODE_CHARACTERS))},
        people=PeopleChange(old=old, new=new),
    )


def call_event(change: Change, path: str, element: JsonObject) -> ConnectorEventItem:
    """One element of `value.calls` or of the `value.statuses` beside them: a call begins, rings, ends."""
    codes = {part: code for part in _CALL_CODES if (code := code_at(element, part)) is not None}
    call_id = code_at(element, "id")
    return ConnectorEventItem(
        path=path,
        evento=WebhookEvent.FALLBACK,
        account_refs=change.wide_refs,
        dedup_key=fingerprint(change.field, change.account_refs, element),
        provider_time_ms=milliseconds(element.get("timestamp")),
        name=ConnectorEventName.CALL,
        provider_event=_field(change),
        values=codes if call_id is None else {**codes, "call_id": call_id},
    )


def _field(change: Change) -> str:
    return clean_text(change.field, MAX_CODE_CHARACTERS) or "missing"

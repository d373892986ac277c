"""What Meta tells about the account, its templates and its limits: short codes, never a message, never free text."""

from __future__ import annotations

from typing import Any

from msgspec import convert

from shared.domain.enums import ConnectorEventName, WebhookEvent
from shared.domain.items import ConnectorEventItem
from shared.providers.cleaning import MAX_CODE_CHARACTERS, clean_text
from shared.providers.documents import fingerprint
from shared.providers.whatsapp_official.changes import Change
from shared.providers.whatsapp_official.errors import explanation
from shared.providers.whatsapp_official.payloads import Error, JsonObject

# Fields that speak of a person; all others speak of the account. `fallback` is the class for what no other class takes.
_CONTACT_FIELDS = frozenset({"user_preferences", "user_id_update", "smb_app_state_sync"})

_NAMES: dict[str, ConnectorEventName] = {
    "account_alerts": ConnectorEventName.ACCOUNT_ALERT,
    "account_review_update": ConnectorEventName.ACCOUNT_REVIEW,
    "account_update": ConnectorEventName.ACCOUNT_STATUS,
    "business_capability_update": ConnectorEventName.ACCOUNT_LIMIT,
    "business_status_update": ConnectorEventName.ACCOUNT_STATUS,
    "calls": ConnectorEventName.CALL,
    "flows": ConnectorEventName.FLOW_STATUS,
    "group_lifecycle_update": ConnectorEventName.GROUP_CHANGED,
    "group_participants_update": ConnectorEventName.GROUP_CHANGED,
    "group_settings_update": ConnectorEventName.GROUP_CHANGED,
    "group_status_update": ConnectorEventName.GROUP_CHANGED,
    "history": ConnectorEventName.HISTORY,
    "message_template_components_update": ConnectorEventName.TEMPLATE_COMPONENTS,
    "message_template_quality_update": ConnectorEventName.TEMPLATE_QUALITY,
    "message_template_status_update": ConnectorEventName.TEMPLATE_STATUS,
    "messages": ConnectorEventName.NOTHING,
    "partner_solutions": ConnectorEventName.ACCOUNT_STATUS,
    "phone_number_name_update": ConnectorEventName.ACCOUNT_NAME,
    "phone_number_quality_update": ConnectorEventName.ACCOUNT_LIMIT,
    "security": ConnectorEventName.ACCOUNT_SECURITY,
    "smb_app_state_sync": ConnectorEventName.APP_STATE,
    "smb_message_echoes": ConnectorEventName.NOTHING,
    "template_category_update": ConnectorEventName.TEMPLATE_CATEGORY,
    "user_id_update": ConnectorEventName.PERSON_CHANGED,
    "user_preferences": ConnectorEventName.PERSON_PREFERENCE,
}

# Where the codes lie in a value; the name under which we keep each is the last part.
_CODES = (
    "event",
    "decision",
    "reason",
    "category",
    "entity_type",
    "entity_id",
    "message_template_id",
    "message_template_name",
    "message_template_language",
    "message_template_category",
    "previous_category",
    "new_category",
    "previous_quality_score",
    "new_quality_score",
    "current_limit",
    "old_limit",
    "max_daily_conversations_per_business",
    "max_daily_conversation_per_phone",
    "ban_info.waba_ban_state",
    "violation_info.violation_type",
    "restriction_info.restriction_type",
    "disconnection_info.reason",
    "alert_info.alert_severity",
    "alert_info.alert_status",
    "alert_info.alert_type",
    "other_info.title",
)


def evento_of(field: str) -> WebhookEvent:
    """The class of webhook row under which a field without messages falls."""
    return WebhookEvent.CONTACT_UPDATE if field in _CONTACT_FIELDS else WebhookEvent.FALLBACK


def connector_event(change: Change) -> ConnectorEventItem:
    """The whole change as one event named after its field. Raises Malformed if it is nested too deep to be hashed."""
    return ConnectorEventItem(
        path=change.path,
        evento=evento_of(change.field),
        account_refs=change.wide_refs,
        dedup_key=fingerprint(change.entry_id, change.entry_time, change.field, change.value),
        provider_time_ms=change.provider_time_ms,
        name=_NAMES.get(change.field, ConnectorEventName.UNKNOWN),
        provider_event=clean_text(change.field, MAX_CODE_CHARACTERS) or "missing",
        values=_codes(change.value),
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
        provider_event=clean_text(change.field, MAX_CODE_CHARACTERS) or "missing",
        values={} if code is None else {"code": code},
    )


def _codes(value: JsonObject) -> dict[str, str]:
    found: dict[str, str] = {}
    for path in _CODES:
        code = _code_at(value, path)
        if code is not None:
            found.setdefault(path.rpartition(".")[2], code)
    return found


def _code_at(value: Any, path: str) -> str | None:
    for part in path.split("."):
        value = value[0] if isinstance(value, list) and value else value
        value = value.get(part) if isinstance(value, dict) else None
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return clean_text(str(value), MAX_CODE_CHARACTERS) or None

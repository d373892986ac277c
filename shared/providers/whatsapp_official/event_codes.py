"""Which event each of Meta's fields becomes, which codes of it are kept, and what it means for the connection.

Source: https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/reference and the pages of the
single fields; those marked [pywa] are read in github.com/david-lev/pywa and not on Meta's pages.
"""

from __future__ import annotations

from typing import Any

from shared.domain.enums import ConnectorEventName, HealthStatus
from shared.providers.cleaning import MAX_CODE_CHARACTERS, clean_text

NAMES: dict[str, ConnectorEventName] = {
    "account_alerts": ConnectorEventName.ACCOUNT_ALERT,
    "account_review_update": ConnectorEventName.ACCOUNT_REVIEW,
    "account_settings_update": ConnectorEventName.ACCOUNT_STATUS,
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
    "payment_configuration_update": ConnectorEventName.ACCOUNT_STATUS,
    "phone_number_name_update": ConnectorEventName.ACCOUNT_NAME,
    "phone_number_quality_update": ConnectorEventName.ACCOUNT_LIMIT,  # despite its name it tells of limits and throughput
    "security": ConnectorEventName.ACCOUNT_SECURITY,
    "smb_app_state_sync": ConnectorEventName.APP_STATE,
    "smb_message_echoes": ConnectorEventName.NOTHING,
    "template_category_update": ConnectorEventName.TEMPLATE_CATEGORY,
    "user_id_update": ConnectorEventName.PERSON_CHANGED,
    "user_preferences": ConnectorEventName.PERSON_PREFERENCE,
}

# Where the codes lie in a value; the name under which we keep each is the last part. The first element of a list speaks for it.
_CODES = (
    "event",
    "status",
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
    "correct_category",
    "previous_quality_score",
    "new_quality_score",
    "current_limit",
    "old_limit",
    "max_daily_conversation_per_phone",
    "max_daily_conversations_per_business",
    "max_phone_numbers_per_business",
    "max_phone_numbers_per_waba",
    "rejection_reason",
    "flow_id",
    "old_status",
    "new_status",
    "alert_state",
    "solution_id",
    "solution_status",
    "configuration_name",
    "ban_info.waba_ban_state",
    "violation_info.violation_type",
    "restriction_info.restriction_type",
    "restriction_info.expiration",
    "disconnection_info.reason",
    "disconnection_info.initiated_by",
    "alert_severity",  # older; then inside of `alert_info`
    "alert_status",
    "alert_type",
    "alert_info.alert_severity",
    "alert_info.alert_status",
    "alert_info.alert_type",
    "other_info.title",
    "disable_info.disable_date",
    "rejection_info.reason",
    "groups.type",
    "groups.group_id",
    "groups.request_id",
    "history.metadata.phase",
    "history.metadata.chunk_order",
    "history.metadata.progress",
    "state_sync.type",
    "state_sync.action",
)

_FAILED, _WARNING, _PASSED = HealthStatus.FAILED, HealthStatus.WARNING, HealthStatus.PASSED

# What account events mean for the connection (providers.md 1.2, "Map to health"); `passed` asks for a check.
_ACCOUNT_HEALTH = {
    "ACCOUNT_DELETED": _FAILED,
    "ACCOUNT_OFFBOARDED": _FAILED,
    "PARTNER_REMOVED": _FAILED,
    "PARTNER_APP_UNINSTALLED": _FAILED,
    "ACCOUNT_RESTRICTION": _WARNING,
    "ACCOUNT_VIOLATION": _WARNING,
    "ACCOUNT_RECONNECTED": _PASSED,
    "PARTNER_ADDED": _PASSED,
}
_BAN_HEALTH = {"DISABLE": _FAILED, "SCHEDULE_FOR_DISABLE": _WARNING, "REINSTATE": _PASSED}
_LIMIT_HEALTH = {"FLAGGED": _WARNING, "DOWNGRADE": _WARNING, "UNFLAGGED": _PASSED}


def codes_of(value: dict[str, Any]) -> dict[str, str]:
    """The short codes of one value, under the last part of their place."""
    found: dict[str, str] = {}
    for path in _CODES:
        code = code_at(value, path)
        if code is not None:
            found.setdefault(path.rpartition(".")[2], code)
    return found


def code_at(value: Any, path: str) -> str | None:
    """One code as text; None if the place holds none, or no text and no number."""
    for part in path.split("."):
        value = value[0] if isinstance(value, list) and value else value
        value = value.get(part) if isinstance(value, dict) else None
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    try:
        return clean_text(str(value), MAX_CODE_CHARACTERS) or None
    except ValueError:  # an integer of more digits than Python prints
        return None


def health_of(name: ConnectorEventName, codes: dict[str, str]) -> HealthStatus | None:
    """What an event means for the connection; None where it means nothing."""
    event = codes.get("event", "")
    if name is ConnectorEventName.ACCOUNT_STATUS:
        return _BAN_HEALTH.get(codes.get("waba_ban_state", "")) or _ACCOUNT_HEALTH.get(event)
    if name is ConnectorEventName.ACCOUNT_ALERT:
        return _WARNING if codes.get("alert_severity") == "CRITICAL" else None
    if name is ConnectorEventName.ACCOUNT_LIMIT:
        return _LIMIT_HEALTH.get(event)
    if name is ConnectorEventName.ACCOUNT_REVIEW:
        return _FAILED if codes.get("decision") == "REJECTED" else None
    return None

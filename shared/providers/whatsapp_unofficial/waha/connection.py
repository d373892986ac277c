"""What WAHA tells about a session, a group, a call or somebody's presence: short codes, and never the QR code itself."""

from __future__ import annotations

from shared.domain.enums import ConnectorEventName, HealthStatus
from shared.domain.items import AnyItem
from shared.providers.whatsapp_unofficial.fields import JsonObject, elements, flag, inner, milliseconds, text
from shared.providers.whatsapp_unofficial.jids import parse_jid
from shared.providers.whatsapp_unofficial.origins import Origin

# Source: https://waha.devlike.pro/docs/how-to/sessions/. The state in the words that all dialects share, and what it means.
_SESSIONS = {
    "WORKING": ("open", HealthStatus.PASSED),
    "STARTING": ("connecting", HealthStatus.WARNING),
    "STOPPED": ("close", HealthStatus.FAILED),
    "FAILED": ("close", HealthStatus.FAILED),
    "PASSKEY_REQUIRED": ("close", HealthStatus.FAILED),
    "PASSKEY_CONFIRMATION_REQUIRED": ("close", HealthStatus.FAILED),
}
_CALLS = {"call.received": "received", "call.accepted": "accepted", "call.rejected": "rejected"}


def session_status(origin: Origin, payload: JsonObject) -> AnyItem:
    """`session.status`; `SCAN_QR_CODE` asks a person for a scan. `number` is the phone that is linked."""
    status = text(payload, "status")
    if status == "SCAN_QR_CODE":
        return origin.told(ConnectorEventName.CONNECTION_QR, {"state": "shown"}, health=HealthStatus.FAILED)
    state, health = _SESSIONS.get(status or "", (status, None))
    number = next((ref.removeprefix("phone:") for ref in origin.account_refs if ref.startswith("phone:")), None)
    reason = None if status in ("WORKING", "STARTING") else status
    return origin.told(ConnectorEventName.CONNECTION_STATE, {"state": state, "reason": reason, "number": number}, health=health)


def group_changed(origin: Origin, payload: JsonObject) -> AnyItem:
    """`group.*`: who joined or left stays in the record: codes only."""
    group = parse_jid(text(inner(payload, "group"), "id") or text(payload, "chatId"))
    values = {
        "event": text(payload, "type") or origin.event,
        "group_id": group.group_id if group is not None and group.is_group else None,
    }
    return origin.told(ConnectorEventName.GROUP_CHANGED, values)


def presence_updated(origin: Origin, payload: JsonObject) -> AnyItem:
    """`presence.update`, in the words of the model already."""
    first = next((one for one in elements(payload, "presences") if isinstance(one, dict)), {})
    return origin.told(ConnectorEventName.PRESENCE, {"state": text(first, "lastKnownPresence")})


def called(origin: Origin, payload: JsonObject) -> AnyItem:
    """`call.*`: somebody calls, and what became of it."""
    values = {
        "event": _CALLS[origin.event],
        "status": _CALLS[origin.event],
        "direction": "inbound",
        "type": "video" if flag(payload, "isVideo") else "voice",
        "call_id": text(payload, "id"),
    }
    return origin.told(ConnectorEventName.CALL, values, time_ms=milliseconds(payload.get("timestamp")))


def left_out(origin: Origin, _: JsonObject) -> AnyItem:
    """The phone app's own state: chats, labels, what the engine says to itself."""
    return origin.told(ConnectorEventName.APP_STATE, {"event": origin.event})

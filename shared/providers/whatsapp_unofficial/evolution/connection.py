"""What Evolution tells about a session, a group, a call or somebody's presence: short codes, and never the QR code itself."""

from __future__ import annotations

from typing import Any

from shared.domain.enums import ConnectorEventName, HealthStatus
from shared.domain.items import AnyItem
from shared.providers.whatsapp_unofficial.fields import JsonObject, flag, inner, milliseconds, text
from shared.providers.whatsapp_unofficial.jids import account_refs, parse_jid
from shared.providers.whatsapp_unofficial.origins import Origin

# After these a person must pair the phone again; after any other Evolution reconnects by itself.
# 401 logged out, 402 and 406 refused by WhatsApp, 403 banned. Source: whatsapp.baileys.service.ts (2.3.6), `connectionUpdate`.
FINAL_REASONS = frozenset({"401", "402", "403", "406"})

_HEALTH = {
    "open": HealthStatus.PASSED,
    "connecting": HealthStatus.WARNING,
    "refused": HealthStatus.FAILED,
    "closed": HealthStatus.FAILED,
}
_PRESENCES = {
    "composing": "typing",
    "recording": "recording",
    "paused": "paused",
    "available": "online",
    "unavailable": "offline",
}
_INSTANCE_EVENTS = {
    "logout.instance": ("logged_out", HealthStatus.FAILED),
    "remove.instance": ("removed", HealthStatus.FAILED),
    "instance.delete": ("removed", HealthStatus.FAILED),
    "instance.create": ("created", None),
    "application.startup": ("starting", None),
}


def connection_update(origin: Origin, data: JsonObject) -> AnyItem:
    """`connection.update`: the session opened, closed, or is trying. `number` is the phone that is linked."""
    state, reason = text(data, "state"), _plain(data.get("statusReason"))
    health = _HEALTH.get(state or "")
    if state == "close":
        health = HealthStatus.FAILED if reason in FINAL_REASONS else HealthStatus.WARNING
    number = _number(text(data, "wuid"))
    return origin.told(ConnectorEventName.CONNECTION_STATE, {"state": state, "reason": reason, "number": number}, health=health)


def status_instance(origin: Origin, data: JsonObject) -> AnyItem:
    """`status.instance`: the session ended for good."""
    values = {"state": text(data, "status"), "reason": _plain(data.get("disconnectionReasonCode"))}
    return origin.told(
        ConnectorEventName.CONNECTION_STATE, values, health=_HEALTH.get(values["state"] or "", HealthStatus.FAILED)
    )


def qrcode_updated(origin: Origin, data: JsonObject) -> AnyItem:
    """`qrcode.updated`: a person must scan a code; without `qrcode` the limit of codes is reached and none follows."""
    count = inner(data, "qrcode").get("count")
    values = {
        "count": _plain(count),
        "reason": _plain(data.get("statusCode")),
        "state": "shown" if data.get("qrcode") else "limit_reached",
    }
    return origin.told(ConnectorEventName.CONNECTION_QR, values, health=HealthStatus.FAILED)


def instance_event(origin: Origin, _: JsonObject) -> AnyItem:
    """The instance was created, removed, logged out, or its server started."""
    state, health = _INSTANCE_EVENTS[origin.event]
    return origin.told(ConnectorEventName.CONNECTION_STATE, {"state": state}, health=health)


def presence_update(origin: Origin, data: JsonObject) -> AnyItem:
    """`presence.update`: what the person (or, in a group, the first one named) is doing."""
    listed = inner(data, "presences")
    first = next((value for value in listed.values() if isinstance(value, dict)), {})
    known = text(first, "lastKnownPresence")
    return origin.told(ConnectorEventName.PRESENCE, {"state": _PRESENCES.get(known or "", known)})


def participants_update(origin: Origin, data: JsonObject) -> AnyItem:
    """`group-participants.update`: add, remove, promote, demote. Who it is stays in the record: codes only."""
    group = parse_jid(text(data, "id"))
    values = {"event": text(data, "action"), "group_id": group.group_id if group is not None and group.is_group else None}
    return origin.told(ConnectorEventName.GROUP_CHANGED, values)


def call(origin: Origin, data: JsonObject) -> AnyItem:
    """`call`: somebody calls, or stopped calling."""
    values = {
        "event": text(data, "status"),
        "status": text(data, "status"),
        "direction": "inbound",
        "type": "video" if flag(data, "isVideo") else "voice",
        "call_id": text(data, "id"),
    }
    return origin.told(ConnectorEventName.CALL, values, time_ms=milliseconds(data.get("date")))


def _number(address: str | None) -> str | None:
    refs = account_refs(None, address)
    return refs[0].removeprefix("phone:") if refs else None


def _plain(value: Any) -> str | None:
    return str(value) if isinstance(value, int | str) and not isinstance(value, bool) else None

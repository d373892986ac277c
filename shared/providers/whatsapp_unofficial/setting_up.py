"""Register our webhook with the server, with the secret that will prove it, and read back what the server has.

Evolution takes a header per instance (`jwt_key` is the magic name for signed tokens) and is asked to leave media out of the
bodies. WAHA takes the HMAC key; changing a session restarts it and replaces its other webhooks. Z-API takes one URL for all
kinds, to which our secret is appended; a header of our own choice cannot be set there.
Sources: https://doc.evolution-api.com/v2/api-reference/webhook/set, https://waha.devlike.pro/docs/how-to/sessions/#update-session,
https://developer.z-api.io/webhooks/update-every-webhooks
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any
from urllib.parse import quote

from shared.domain.enums import SecretUse
from shared.providers.calling import (
    CallContext,
    Credentials,
    Placement,
    ProviderAnswer,
    ProviderCall,
    TransportFault,
    json_object,
)
from shared.providers.setting_up import SettingUp, SetupOrder, SetupState
from shared.providers.whatsapp_unofficial.servers import dialect_of, fault_of, instance_of, server_call, zapi_path

_SECRET = SecretUse.SIGN.value

EVOLUTION_EVENTS = (
    *("MESSAGES_UPSERT", "MESSAGES_UPDATE", "MESSAGES_EDITED", "MESSAGES_DELETE", "SEND_MESSAGE"),
    *("CONNECTION_UPDATE", "QRCODE_UPDATED", "STATUS_INSTANCE", "LOGOUT_INSTANCE", "REMOVE_INSTANCE"),
    *("GROUP_PARTICIPANTS_UPDATE", "CALL"),
)
# `message.any` holds what `message` holds, and the company's own messages.
WAHA_EVENTS = (
    *("message.any", "message.reaction", "message.ack", "message.ack.group", "message.edited", "message.revoked"),
    *("message.waiting", "session.status", "poll.vote", "call.received", "call.accepted", "call.rejected"),
)
_ZAPI_BY_HAND = "In Z-API's panel, check that every webhook of the instance has our URL: no call can read them back."
_ZAPI_HEADER = "Z-API sends no header of our choice: register the instance's token as the webhook's secret."


def build_setup(order: SetupOrder, context: CallContext) -> tuple[ProviderCall, ...]:
    """Register, then read back where the server can tell."""
    return (_REGISTER[dialect_of(context)](order, context), *build_read_back(context))


def _evolution(order: SetupOrder, context: CallContext) -> ProviderCall:
    name = "jwt_key" if context.settings.get("webhook_auth") == "jwt" else "X-Channel-Secret"
    webhook = {
        "enabled": True,
        "url": order.callback_url,
        "headers": {},
        "byEvents": False,
        "base64": False,
        "events": list(order.events or EVOLUTION_EVENTS),  # an empty list would mean all of them
    }
    secret = Placement(credential=_SECRET, place="json", name=f"/webhook/headers/{name}")
    path = f"webhook/set/{instance_of(context)}"
    return server_call("register", "POST", context, path, body={"webhook": webhook}, placements=(secret,), idempotent=True)


def _waha(order: SetupOrder, context: CallContext) -> ProviderCall:
    webhook = {
        "url": order.callback_url,
        "events": list(order.events or WAHA_EVENTS),
        "hmac": {},
        "retries": {"policy": "exponential", "delaySeconds": 2, "attempts": 15},
    }
    secret = Placement(credential=_SECRET, place="json", name="/config/webhooks/0/hmac/key")
    body = {"config": {"webhooks": [webhook]}}
    path = f"api/sessions/{instance_of(context)}"
    return server_call("register", "PUT", context, path, body=body, placements=(secret,), idempotent=True)


def _zapi(order: SetupOrder, context: CallContext) -> ProviderCall:
    body: dict[str, Any] = {"value": order.callback_url, "notifySentByMe": True}
    placements: tuple[Placement, ...] = ()
    if context.settings.get("webhook_auth", "query") == "query":
        secret = partial(_with_secret, order.callback_url)
        placements = (Placement(credential=_SECRET, place="json", name="value", derive=secret),)
    path = zapi_path(context, "update-every-webhooks")
    return server_call("register", "PUT", context, path, body=body, placements=placements, idempotent=True)


def _with_secret(url: str, credentials: Credentials) -> str:
    return f"{url}?secret={quote(credentials[_SECRET], safe='')}"


_REGISTER: Mapping[str, Callable[[SetupOrder, CallContext], ProviderCall]] = {
    "evolution": _evolution,
    "waha": _waha,
    "zapi": _zapi,
}


def build_read_back(context: CallContext) -> tuple[ProviderCall, ...]:
    """What the server has; Z-API tells nobody."""
    dialect = dialect_of(context)
    if dialect == "zapi":
        return ()
    path = f"webhook/find/{instance_of(context)}" if dialect == "evolution" else f"api/sessions/{instance_of(context)}"
    return (server_call("webhook", "GET", context, path, idempotent=True),)


def read_setup(answers: Mapping[str, ProviderAnswer], order: SetupOrder) -> SetupState:
    """What is registered and what is missing; the first fault, if a call did not work."""
    fault = next((found for answer in answers.values() if (found := fault_of(answer)) is not None), None)
    dialect = next((step.partition("_")[0] for step in answers), "zapi")
    if dialect == "zapi":
        return SetupState(registered_url=None, missing=(), by_hand=(_ZAPI_BY_HAND, _ZAPI_HEADER), fault=fault)
    answer = answers.get(f"{dialect}_webhook")
    document = {} if answer is None or isinstance(answer, TransportFault) else json_object(answer.body)
    url, events, enabled = _evolution_has(document) if dialect == "evolution" else _waha_has(document, order.callback_url)
    wanted = order.events or (EVOLUTION_EVENTS if dialect == "evolution" else WAHA_EVENTS)
    missing = [] if url == order.callback_url else ["callback_url"]
    missing += [] if enabled else ["enabled"]
    missing += ["one_url"] if document.get("webhookByEvents") is True else []  # else Evolution appends the event's name
    missing += [f"event:{event}" for event in wanted if event not in events]
    return SetupState(registered_url=url, missing=tuple(missing), fault=fault)


def _evolution_has(document: Mapping[str, Any]) -> tuple[str | None, set[str], bool]:
    url = document.get("url")
    return url if isinstance(url, str) else None, _names(document.get("events")), document.get("enabled") is True


def _waha_has(document: Mapping[str, Any], ours: str) -> tuple[str | None, set[str], bool]:
    """Our own among the session's webhooks, else the first; enabled if it has an HMAC key."""
    config = document.get("config")
    listed = config.get("webhooks") if isinstance(config, dict) else None
    webhooks = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    found = next((one for one in webhooks if one.get("url") == ours), webhooks[0] if webhooks else {})
    url, hmac = found.get("url"), found.get("hmac")
    return url if isinstance(url, str) else None, _names(found.get("events")), isinstance(hmac, dict) and bool(hmac.get("key"))


def _names(listed: object) -> set[str]:
    return {name for name in listed if isinstance(name, str)} if isinstance(listed, list) else set()


SETTING_UP = SettingUp(
    build=build_setup, build_read_back=build_read_back, read=read_setup, registers=frozenset({SecretUse.SIGN}), per_account=True
)

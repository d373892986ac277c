"""Setting up a connector with Meta: subscribe the app to the business account, read back what Meta has.

A callback address can be set in two places. The override of the business account serves messages, calls, groups and
echoes; templates and account events always go to the app's own address, which all business accounts of the app share.
So the app's address is only written where the setting `owns_app` says that no other connector uses the app.
Source: https://developers.facebook.com/documentation/business-messaging/whatsapp/webhooks/override and
https://developers.facebook.com/docs/graph-api/webhooks/subscriptions-edge
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from shared.domain.enums import SecretUse
from shared.providers.calling import CallContext, Placement, ProviderAnswer, ProviderCall, TransportFault, json_object
from shared.providers.setting_up import SettingUp, SetupOrder, SetupState
from shared.providers.whatsapp_official.event_codes import NAMES
from shared.providers.whatsapp_official.graph import app_token, fault_of, graph_call, setting

_OBJECT = "whatsapp_business_account"
_NOT_ASKED = frozenset({"history", "smb_app_state_sync", "partner_solutions"})  # left out on purpose, or partners' own
EVENTS = tuple(sorted(NAMES.keys() - _NOT_ASKED))
_BY_HAND = "In the app's dashboard, set the callback address of WhatsApp and subscribe the missing fields."


def build_setup(order: SetupOrder, context: CallContext) -> tuple[ProviderCall, ...]:
    """Override of the business account; the app's own address and fields, too, where the connector owns the app."""
    verify_token = Placement(credential=SecretUse.HANDSHAKE.value, place="json", name="verify_token")
    subscribe = graph_call(
        "subscribe",
        "POST",
        context,
        f"{setting(context, 'waba_id')}/subscribed_apps",
        body={"override_callback_uri": order.callback_url},
        idempotent=True,
    )
    calls = [_placing(subscribe, verify_token)]
    if context.settings.get("owns_app"):
        app_id = setting(context, "app_id")
        body = {"object": _OBJECT, "callback_url": order.callback_url, "fields": ",".join(order.events or EVENTS)}
        app = graph_call(
            "app", "POST", context, f"{app_id}/subscriptions", body=body, placements=(app_token(app_id),), idempotent=True
        )
        calls.append(_placing(app, verify_token))
    return (*calls, *build_read_back(context))


def _placing(call: ProviderCall, placement: Placement) -> ProviderCall:
    return replace(call, placements=(*call.placements, placement))


def build_read_back(context: CallContext) -> tuple[ProviderCall, ...]:
    """What the business account has, and what the app has where its id is set."""
    calls = [graph_call("account", "GET", context, f"{setting(context, 'waba_id')}/subscribed_apps", idempotent=True)]
    app_id = context.settings.get("app_id")
    if app_id:
        path = f"{app_id}/subscriptions"
        calls.append(graph_call("fields", "GET", context, path, placements=(app_token(app_id),), idempotent=True))
    return tuple(calls)


def read_setup(answers: Mapping[str, ProviderAnswer], order: SetupOrder) -> SetupState:
    """What is registered and what is missing; the first fault, if a call did not work."""
    fault = next((found for answer in answers.values() if (found := fault_of(answer)) is not None), None)
    account, app = _subscribed(answers.get("account")), _app_subscription(answers.get("fields"))
    url = next((address for address in (account, app.get("callback_url")) if isinstance(address, str) and address), None)
    missing: list[str] = []
    if account is None:
        missing.append("subscription")
    if url != order.callback_url:
        missing.append("callback_url")
    by_hand: tuple[str, ...] = ()
    if app:
        lacking = [name for name in order.events or EVENTS if name not in _names(app.get("fields"))]
        missing += [f"event:{name}" for name in lacking]
        by_hand = (_BY_HAND,) if lacking else ()
    elif "fields" in answers or "app" not in answers:
        by_hand = (_BY_HAND,)  # nobody can see what the app has
    return SetupState(registered_url=url, missing=tuple(missing), by_hand=by_hand, fault=fault)


def _listed(answer: ProviderAnswer | None) -> list[dict[str, Any]]:
    if answer is None or isinstance(answer, TransportFault):
        return []
    data = json_object(answer.body).get("data")
    return [entry for entry in data if isinstance(entry, dict)] if isinstance(data, list) else []


def _subscribed(answer: ProviderAnswer | None) -> str | None:
    """The override address of the subscribed app; empty without one, None if no app is subscribed."""
    entries = _listed(answer)
    if not entries:
        return None
    addresses = [entry.get("override_callback_uri") for entry in entries]
    return next((address for address in addresses if isinstance(address, str)), "")


def _app_subscription(answer: ProviderAnswer | None) -> dict[str, Any]:
    return next((entry for entry in _listed(answer) if entry.get("object") == _OBJECT), {})


def _names(fields: Any) -> set[str]:
    """Subscribed fields; Meta lists them as texts or as objects with a name."""
    listed = fields if isinstance(fields, list) else ()
    names = (field.get("name") if isinstance(field, dict) else field for field in listed)
    return {name for name in names if isinstance(name, str)}


SETTING_UP = SettingUp(
    build=build_setup, build_read_back=build_read_back, read=read_setup, registers=frozenset({SecretUse.HANDSHAKE})
)

"""What a server of the unofficial kind says of the linked account: the name of its profile. None of them knows a tier.

Sources: Evolution `instance.controller.ts` (2.3.6), https://waha.devlike.pro/docs/how-to/sessions/ (buttons: …/send-messages/,
"does not work"), https://developer.z-api.io/instance/device
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from shared.domain.enums import Feature
from shared.providers.calling import CallContext, ProviderAnswer, ProviderCall
from shared.providers.cleaning import MAX_NAME_CHARACTERS, clean_text
from shared.providers.describing import AccountDescription, Describing, FeatureState
from shared.providers.whatsapp_unofficial.checking import document_of, session_call
from shared.providers.whatsapp_unofficial.servers import dialect_of, fault_of, server_call, zapi_path

_NO_BUTTONS = (FeatureState(feature=Feature.BUTTONS, enabled=False),)


def build_description(context: CallContext) -> tuple[ProviderCall, ...]:
    """One question: the session as for a check; of Z-API, whose state names nobody, the linked phone."""
    if dialect_of(context) == "zapi":
        return (server_call("session", "GET", context, zapi_path(context, "device"), idempotent=True),)
    return (session_call(context),)


def read_description(answers: Mapping[str, ProviderAnswer], context: CallContext) -> AccountDescription:  # noqa: ARG001 - the contract's signature
    """The profile's name; what else the answer holds (the instance's token) is looked at by nobody."""
    for step, answer in answers.items():
        dialect, _, asked = step.partition("_")
        if asked != "session" or dialect not in _NAMES:
            continue
        fault = fault_of(answer)
        told = None if fault is not None else _NAMES[dialect](document_of(answer))
        name = (clean_text(told, MAX_NAME_CHARACTERS) or "").strip() or None if isinstance(told, str) else None
        features = _NO_BUTTONS if dialect == "waha" and fault is None else ()
        return AccountDescription(display_name=name, features=features, fault=fault)
    return AccountDescription()


def _waha(document: Mapping[str, Any]) -> object:
    me = document.get("me")
    return me.get("pushName") if isinstance(me, dict) else None


_NAMES: Mapping[str, Callable[[Mapping[str, Any]], object]] = {
    "evolution": lambda document: document.get("profileName"),
    "waha": _waha,
    "zapi": lambda document: document.get("name"),
}

DESCRIBING = Describing(build=build_description, read=read_description)

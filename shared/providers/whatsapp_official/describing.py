"""What Meta says of a number: its verified name, how many people may be written to, how fast, and which app asks.

The messaging limit counts people who are written to outside of their windows in 24 hours, so it binds templates; all numbers of a
business portfolio share it. The throughput is the number's own. What we send stays at three quarters of it, as the preset does.
Sources: https://developers.facebook.com/documentation/business-messaging/whatsapp/messaging-limits and
https://developers.facebook.com/documentation/business-messaging/whatsapp/throughput
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from shared.domain.enums import Feature
from shared.providers.calling import CallContext, ProviderAnswer, ProviderCall, TransportFault, json_object
from shared.providers.cleaning import MAX_CODE_CHARACTERS, MAX_NAME_CHARACTERS, clean_text
from shared.providers.describing import AccountDescription, Describing, FeatureState
from shared.providers.whatsapp_official.capabilities import RATE_PER_SECOND
from shared.providers.whatsapp_official.graph import app_call, app_of, fault_of, graph_call, number_id

_FIELDS = (
    *("id", "display_phone_number", "verified_name", "name_status", "quality_rating", "throughput"),
    "whatsapp_business_manager_messaging_limit",
)
_TIER = re.compile(r"TIER_(?:([0-9]{1,9})(K?)|UNLIMITED)")
_RATES = {"STANDARD": RATE_PER_SECOND, "HIGH": 750}  # of 80 and of 1 000 messages a second, in and out together
_NAMELESS = frozenset({"DECLINED", "EXPIRED", "NONE"})  # the name is not the one that people see


def build_description(context: CallContext) -> tuple[ProviderCall, ...]:
    """The number, and the app that the token belongs to."""
    return (
        graph_call("number", "GET", context, number_id(context), query={"fields": ",".join(_FIELDS)}, idempotent=True),
        app_call(context),
    )


def read_description(answers: Mapping[str, ProviderAnswer], context: CallContext) -> AccountDescription:  # noqa: ARG001 - the contract's signature
    """The number as Meta shows it, with the limits that follow."""
    faults = [fault for step in ("number", "app") if step in answers and (fault := fault_of(answers[step])) is not None]
    number = _document(answers.get("number"))
    throughput = number.get("throughput")
    level = _code(throughput, "level") if isinstance(throughput, dict) else None
    tier = _code(number, "whatsapp_business_manager_messaging_limit")
    verified = number.get("verified_name")
    name = (clean_text(verified, MAX_NAME_CHARACTERS) or "").strip() or None if isinstance(verified, str) else None
    return AccountDescription(
        display_name=None if number.get("name_status") in _NAMELESS else name,
        verified_name=name,
        tier=tier,
        throughput=level,
        quality=_code(number, "quality_rating"),
        app_id=app_of(answers["app"]) if "app" in answers else None,
        features=(*_rate(level), *_peers(tier)),
        fault=faults[0] if faults else None,
    )


def _rate(level: str | None) -> tuple[FeatureState, ...]:
    rate = _RATES.get(level or "")
    return () if rate is None else (FeatureState(feature=Feature.MESSAGES, constraints={"rate_per_second": rate}),)


def _peers(tier: str | None) -> tuple[FeatureState, ...]:
    """A tier that is not set, or that nobody knows, says nothing."""
    found = _TIER.fullmatch(tier or "")
    if found is None:
        return ()
    peers = None if found[1] is None else int(found[1]) * (1_000 if found[2] else 1)
    return (FeatureState(feature=Feature.TEMPLATES, constraints={"peers_per_day": peers}),)


def _document(answer: ProviderAnswer | None) -> dict[str, Any]:
    if answer is None or isinstance(answer, TransportFault) or fault_of(answer) is not None:
        return {}
    return json_object(answer.body)


def _code(document: Mapping[str, Any], name: str) -> str | None:
    value = document.get(name)
    return clean_text(value, MAX_CODE_CHARACTERS) or None if isinstance(value, str) else None


DESCRIBING = Describing(build=build_description, read=read_description)

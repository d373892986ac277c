"""Renewing a 60-day token of Meta. The old one works until its own end, so it is revoked only after the switch.

Source: https://developers.facebook.com/documentation/business-messaging/whatsapp/access-tokens ("Refresh a token").
An expired token cannot be renewed: a person must make a new one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.domain.enums import ErrorClass, TokenKind
from shared.providers.calling import CallContext, Fault, Placement, ProviderAnswer, ProviderCall, TransportFault, json_object
from shared.providers.renewing import FreshToken, NotRenewed, RefreshOutcome, Renewed, Renewing
from shared.providers.whatsapp_official.graph import (
    ACCESS_TOKEN,
    APP_SECRET,
    OLD_ACCESS_TOKEN,
    fault_of,
    graph_call,
    setting,
)

_CLIENT_SECRET = Placement(credential=APP_SECRET, place="query", name="client_secret")


def build_refresh(context: CallContext) -> ProviderCall:
    """Exchange the current token for one of 60 more days; raises InvalidInput (`setting_missing`) without `app_id`."""
    query = {
        "grant_type": "fb_exchange_token",
        "client_id": setting(context, "app_id"),
        "set_token_expires_in_60_days": "true",
    }
    placements = (_CLIENT_SECRET, Placement(credential=ACCESS_TOKEN, place="query", name="fb_exchange_token"))
    return graph_call("refresh", "GET", context, "oauth/access_token", query=query, placements=placements, idempotent=True)


def build_revoke(context: CallContext) -> ProviderCall:
    """End the old token (credential `old_access_token`) by means of the new one."""
    placements = (
        _CLIENT_SECRET,
        Placement(credential=OLD_ACCESS_TOKEN, place="query", name="revoke_token"),
        Placement(credential=ACCESS_TOKEN, place="query", name="access_token"),
    )
    query = {"client_id": setting(context, "app_id")}
    return graph_call("revoke", "GET", context, "oauth/revoke", query=query, placements=placements, idempotent=True)


def read_refresh(answer: ProviderAnswer) -> RefreshOutcome:
    """The new token, or why there is none."""
    fault = fault_of(answer)
    if fault is not None or isinstance(answer, TransportFault):
        return NotRenewed(fault=fault or Fault(error_class=ErrorClass.RETRYABLE))
    document = json_object(answer.body)
    token, seconds = document.get("access_token"), document.get("expires_in")
    if not isinstance(token, str) or not token:
        return NotRenewed(fault=Fault(error_class=ErrorClass.RETRYABLE, code="token_missing"))
    lives = seconds if isinstance(seconds, int) and not isinstance(seconds, bool) and seconds > 0 else None
    return Renewed(tokens=(FreshToken(kind=TokenKind.ACCESS_TOKEN, value=token, expires_in_seconds=lives),))


def service(settings: Mapping[str, Any]) -> str | None:
    """Meta, where the app is known."""
    return "meta" if settings.get("app_id") else None


RENEWING = Renewing(
    kind=TokenKind.ACCESS_TOKEN,
    spends=TokenKind.ACCESS_TOKEN,
    service=service,
    build=build_refresh,
    read=read_refresh,
    build_revoke=build_revoke,
)

"""Renewing OAuth tokens of mailboxes at Google and Microsoft.

Google gives no new refresh token as a rule; Microsoft gives one each time, which replaces the old one.
Sources: https://developers.google.com/identity/protocols/oauth2/web-server#offline and
https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-auth-code-flow#refresh-the-access-token
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.domain.enums import ErrorClass, TokenKind
from shared.domain.errors import InvalidInput
from shared.providers.calling import (
    CallContext,
    Fault,
    Placement,
    ProviderAnswer,
    ProviderCall,
    TransportFault,
    json_object,
    retry_after_seconds,
)
from shared.providers.cleaning import MAX_NAME_CHARACTERS, clean_text
from shared.providers.renewing import FreshToken, NotRenewed, RefreshOutcome, Renewed, Renewing

GOOGLE_URL = "https://oauth2.googleapis.com/token"
MICROSOFT_URL = "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token"
MICROSOFT_SCOPE = "https://outlook.office.com/IMAP.AccessAsUser.All https://outlook.office.com/SMTP.Send offline_access"
_MAX_TOKEN = 16_384
_SIGN_IN = frozenset({"invalid_grant", "interaction_required", "consent_required", "login_required"})
_CLIENT = frozenset({"invalid_client", "unauthorized_client", "invalid_request", "unsupported_grant_type", "invalid_scope"})


def build_refresh(context: CallContext) -> ProviderCall:
    """The call; credentials `refresh_token` and `client_secret`. Raises InvalidInput (`setting_missing`).

    A lost answer may have used up a one-time refresh token, so it must not simply be repeated.
    """
    provider, client_id = context.settings.get("oauth_provider"), context.settings.get("oauth_client_id")
    if provider not in ("google", "microsoft") or not isinstance(client_id, str):
        raise InvalidInput(
            "oauth_provider and oauth_client_id are needed", reason="setting_missing", pointer="/config/oauth_provider"
        )
    fields = (("grant_type", "refresh_token"), ("client_id", client_id))
    url = GOOGLE_URL
    if provider == "microsoft":
        url = MICROSOFT_URL.format(tenant=context.settings.get("oauth_tenant") or "common")
        fields = (*fields, ("scope", MICROSOFT_SCOPE))  # type: ignore[assignment]
    return ProviderCall(
        step="refresh",
        method="POST",
        url=url,
        body=fields,
        placements=(
            Placement(credential=TokenKind.REFRESH_TOKEN.value, place="form", name="refresh_token"),
            Placement(credential="client_secret", place="form", name="client_secret"),
        ),
        idempotent=provider == "google",
    )


def read_refresh(answer: ProviderAnswer) -> RefreshOutcome:
    """New tokens, or why there are none: `invalid_grant` needs a person's consent anew and is never tried again."""
    if isinstance(answer, TransportFault):
        kind = ErrorClass.UNKNOWN_OUTCOME if answer.may_have_left else ErrorClass.RETRYABLE
        return NotRenewed(fault=Fault(error_class=kind, code=answer.kind, scope="connector"))
    document = json_object(answer.body)
    access = document.get("access_token")
    if 200 <= answer.status < 300 and isinstance(access, str) and 0 < len(access) <= _MAX_TOKEN:
        scope = document.get("scope")
        scopes = tuple(scope.split()[:50]) if isinstance(scope, str) else ()
        tokens = [
            FreshToken(
                kind=TokenKind.ACCESS_TOKEN,
                value=access,
                expires_in_seconds=_seconds(document.get("expires_in")) or 3_600,
                scopes=scopes,
            )
        ]
        refresh = document.get("refresh_token")
        if isinstance(refresh, str) and 0 < len(refresh) <= _MAX_TOKEN:
            life = _seconds(document.get("refresh_token_expires_in"))
            tokens.append(FreshToken(kind=TokenKind.REFRESH_TOKEN, value=refresh, expires_in_seconds=life, scopes=scopes))
        return Renewed(tokens=tuple(tokens))
    return NotRenewed(
        fault=_fault(answer.status, document.get("error"), document.get("error_description"), retry_after_seconds(answer))
    )


def _fault(status: int, error: object, description: object, after: float | None) -> Fault:
    code = clean_text(error, 128) if isinstance(error, str) else str(status)
    detail = clean_text(description, MAX_NAME_CHARACTERS) if isinstance(description, str) else None
    if status == 429 or status >= 500 or code == "temporarily_unavailable":
        kind = ErrorClass.RATE_LIMITED if status == 429 else ErrorClass.RETRYABLE
        return Fault(error_class=kind, code=code, detail=detail, retry_after_seconds=after, scope="connector")
    if code in _SIGN_IN:
        return Fault(error_class=ErrorClass.AUTH, code=code, detail=detail, scope="account", action="consent_again")
    if code in _CLIENT:
        return Fault(error_class=ErrorClass.AUTH, code=code, detail=detail, scope="connector", action="fix_client")
    kind = ErrorClass.RETRYABLE if 200 <= status < 300 else ErrorClass.AUTH
    return Fault(
        error_class=kind, code=code, detail=detail, scope="account", action="consent_again" if kind is ErrorClass.AUTH else None
    )


def _seconds(value: object) -> int | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 12:
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 10**10 else None


def service(settings: Mapping[str, Any]) -> str | None:
    """Google or Microsoft, where the connector has a client there."""
    provider = settings.get("oauth_provider")
    return provider if provider in ("google", "microsoft") and settings.get("oauth_client_id") else None


RENEWING = Renewing(
    kind=TokenKind.ACCESS_TOKEN,
    spends=TokenKind.REFRESH_TOKEN,
    service=service,
    build=build_refresh,
    read=read_refresh,
)

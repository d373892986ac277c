"""Who calls the management API: settings to a verifier, a request to an Identity, a refusal to `WWW-Authenticate`.

RFC 6750 (https://www.rfc-editor.org/rfc/rfc6750): the token comes in the header `Authorization: Bearer …`, nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from shared.adapters.bearer_tokens import Expectations, TokenVerifier, Verifier
from shared.adapters.development_keys import (
    DEVELOPMENT_ISSUER,
    DevelopmentKey,
    development_directory,
    is_development_key,
    key_set_path,
)
from shared.adapters.key_set_source import from_address, from_file, is_address
from shared.adapters.key_sets import Freshness, KeySet
from shared.domain.errors import ConfigError, Unauthenticated
from shared.domain.identity import Identity
from shared.runtime.settings import IdentitySettings, StackSettings

_FILE_FRESHNESS = Freshness(max_age=5.0, retry=1.0)  # a file costs nothing to read


def verifier_of(settings: IdentitySettings, stack: StackSettings) -> TokenVerifier:
    """The verifier that the settings ask for. Raises ConfigError; outside development for everything of development."""
    development = stack.environment == "development"
    if not development:
        _refuse_development(settings)
    issuer = settings.control_issuer or DEVELOPMENT_ISSUER
    expected = Expectations(
        issuer=issuer,
        audience=settings.control_audience,
        tenant_claim=settings.control_tenant_claim,
        permissions_claim=settings.control_permissions_claim,
        leeway_seconds=settings.control_leeway_seconds,
    )
    return TokenVerifier(_key_set(settings.control_jwks, stack, development=development), expected)


async def identity_of(request: Request) -> Identity:
    """The verified caller. `app.state.verifier` holds the Verifier. Raises Unauthenticated, Unavailable.

    A token that is not known yet is proved in a thread: it may have to wait for the key set.
    """
    verifier = cast(Verifier, request.app.state.verifier)
    token = _bearer(request.headers.getlist("authorization"))
    identity = verifier.recall(token)
    if identity is None:
        identity = await run_in_threadpool(verifier.verify, token)
    request.state.identity = identity
    return identity


def challenge(error: Unauthenticated) -> str:
    """`WWW-Authenticate` of a 401: bare where no token came, else with what was wrong (RFC 6750 section 3)."""
    if error.reason == "bearer_missing":
        return 'Bearer realm="channels"'
    return f'Bearer realm="channels", error="invalid_token", error_description="{error}"'


def scope_challenge(permission: str | None = None) -> str:
    """`WWW-Authenticate` of a 403."""
    scope = f', scope="{permission}"' if permission else ""
    return f'Bearer realm="channels", error="insufficient_scope"{scope}'


def _bearer(headers: list[str]) -> str:
    if not headers:
        raise Unauthenticated("this needs a bearer token in the header Authorization", reason="bearer_missing")
    scheme, _, token = headers[0].strip().partition(" ")
    if len(headers) > 1 or scheme.lower() != "bearer":
        raise Unauthenticated("the header Authorization must be one `Bearer` and a token", reason="bearer_malformed")
    return token.strip()


def _key_set(source: str, stack: StackSettings, *, development: bool) -> KeySet:
    allowed: Callable[[str | None], bool] = (lambda _: True) if development else (lambda key_id: not is_development_key(key_id))
    if is_address(source):
        return KeySet(from_address(source), allowed=allowed)
    if source:
        path = Path(source)
        if not path.is_file():
            raise ConfigError(f"CHANNELS_CONTROL_JWKS: {path} does not exist (a URL begins with https://)")
        return KeySet(from_file(path), _FILE_FRESHNESS, allowed=allowed)
    directory = development_directory(stack.home)
    DevelopmentKey(directory)
    return KeySet(from_file(key_set_path(directory)), _FILE_FRESHNESS)


def _refuse_development(settings: IdentitySettings) -> None:
    if not settings.control_jwks or not settings.control_issuer:
        raise ConfigError(
            "CHANNELS_CONTROL_JWKS and CHANNELS_CONTROL_ISSUER must be set outside development: the key of `channels token mint`"
            " would let anybody in who can read a file"
        )
    if settings.control_issuer == DEVELOPMENT_ISSUER:
        raise ConfigError(f"CHANNELS_CONTROL_ISSUER is {DEVELOPMENT_ISSUER}: tokens of that issuer are for development only")

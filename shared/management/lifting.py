"""Credentials that were pasted into a `config` are taken out of it before anything is stored. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from shared.domain.enums import TokenKind
from shared.domain.errors import InvalidInput
from shared.management.masking import SECRET_NAME

REFERENCES = "token_ids"  # where a config keeps which token row holds what was pasted: name -> token id

_LIFTED = {
    "access_token": TokenKind.ACCESS_TOKEN,
    "accesstoken": TokenKind.ACCESS_TOKEN,
    "bot_token": TokenKind.ACCESS_TOKEN,
    "token": TokenKind.ACCESS_TOKEN,
    "refresh_token": TokenKind.REFRESH_TOKEN,
    "api_key": TokenKind.API_KEY,
    "apikey": TokenKind.API_KEY,
    "app_secret": TokenKind.SECRET,
    "client_secret": TokenKind.SECRET,
    "password": TokenKind.SECRET,
    "secret": TokenKind.SECRET,
}
# What credentials look like wherever they stand: Meta's and Telegram's tokens, bearer headers, JWTs, user:password@ in a URL.
_SECRET_VALUE = re.compile(
    r"\AEAA[0-9A-Za-z]{16,}|\A\d{6,}:[\w-]{30,}\Z|\ABearer\s|\Aey[\w-]{10,}\.ey[\w-]{10,}\.|://[^/\s:@]+:[^/\s@]+@", re.IGNORECASE
)


def lift_tokens(config: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, tuple[TokenKind, str]]]:
    """Split a config into what may be stored and the credentials in it: name -> (kind, value). Old references stay out."""
    lifted: dict[str, tuple[TokenKind, str]] = {}
    kept: dict[str, Any] = {}
    for name, value in config.items():
        kind = _LIFTED.get(name.lower().replace("-", "_"))
        if name == REFERENCES:
            continue
        if kind is not None and isinstance(value, str) and value.strip():
            lifted[name] = (kind, value.strip())
        else:
            kept[name] = value
    refuse_secrets(kept, "/config")
    return kept, lifted


def refuse_secrets(value: object, pointer: str, *, named: bool = False) -> None:
    """Raise InvalidInput (`secret_in_config`) where a credential stands in JSON that is stored in clear.

    `named`: what is around it is called like one, so that every text in it is one.
    """
    if isinstance(value, Mapping):
        for name, member in value.items():
            called = SECRET_NAME.search(str(name)) is not None
            refuse_secrets(member, f"{pointer}/{str(name)[:64]}", named=named or called)
    elif isinstance(value, list | tuple):
        for index, member in enumerate(value):
            refuse_secrets(member, f"{pointer}/{index}", named=named)
    elif isinstance(value, str) and (bool(value) if named else _SECRET_VALUE.search(value) is not None):
        raise _secret(pointer)


def _secret(pointer: str) -> InvalidInput:
    return InvalidInput(
        "this holds a credential: register it as a token or as a webhook's secret", reason="secret_in_config", pointer=pointer
    )

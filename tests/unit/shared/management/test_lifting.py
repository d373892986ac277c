"""Credentials do not stay in a config."""

from __future__ import annotations

from typing import Any

import pytest

from shared.domain.enums import TokenKind
from shared.domain.errors import InvalidInput
from shared.management.lifting import lift_tokens, refuse_secrets


@pytest.mark.req(15)
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("access_token", TokenKind.ACCESS_TOKEN),
        ("Bot-Token", TokenKind.ACCESS_TOKEN),
        ("apikey", TokenKind.API_KEY),
        ("refresh_token", TokenKind.REFRESH_TOKEN),
        ("app_secret", TokenKind.SECRET),
        ("password", TokenKind.SECRET),
    ],
)
def test_a_credential_leaves_the_config_with_its_kind(name: str, kind: TokenKind) -> None:
    kept, lifted = lift_tokens({"waba_id": "1", name: " canary ", "token_ids": {"old": "id"}})
    assert kept == {"waba_id": "1"}
    assert lifted == {name: (kind, "canary")}


@pytest.mark.req(15)
@pytest.mark.parametrize(
    ("config", "pointer"),
    [
        ({"smtp": {"password": "canary"}}, "/config/smtp/password"),
        ({"passwords": [1, "canary"]}, "/config/passwords/1"),
        ({"x-api-key": {"value": "canary"}}, "/config/x-api-key/value"),
        ({"verify_token": "canary"}, "/config/verify_token"),
        ({"hosts": ["a", "https://me:canary@example.org/x"]}, "/config/hosts/1"),
        ({"note": "EAAcanarycanarycanarycanary"}, "/config/note"),
        ({"note": "123456789:canary-canary-canary-canary-canary"}, "/config/note"),
        ({"note": "Bearer canary"}, "/config/note"),
        ({"note": "eyJhbGciOiJIUzI1NiJ9.eyJjYW5hcnkiOjF9.x"}, "/config/note"),
    ],
)
def test_other_credentials_are_refused_by_place_and_not_repeated(config: dict[str, Any], pointer: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        lift_tokens(config)
    assert (caught.value.reason, caught.value.pointer) == ("secret_in_config", pointer)
    assert "canary" not in str(caught.value)


def test_ordinary_settings_stay() -> None:
    config = {
        "imap": {"host": "mail.example.org", "port": 993},
        "url": "https://example.org/a:b@c",
        "tags": ["x"],
        "token_limit": 5,
    }
    assert lift_tokens(config) == (config, {})
    refuse_secrets(None, "/metadata")

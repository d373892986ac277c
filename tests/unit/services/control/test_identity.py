"""Settings to a verifier, a request to an Identity: what the API takes in development, and refuses outside."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from starlette.datastructures import State
from starlette.requests import Request

from services.cli.token import token as token_command
from services.control.identity import challenge, identity_of, scope_challenge, verifier_of
from shared.adapters.development_keys import DEVELOPMENT_ISSUER, DevelopmentKey, development_directory, key_set_path
from shared.domain.errors import ConfigError, Unauthenticated, Unavailable
from shared.domain.identity import Identity
from shared.runtime.settings import IdentitySettings, StackSettings
from tests.unit.shared.adapters.token_keys import AUDIENCE, ISSUER, KEYS, TENANT, jwk, key_set, token


class App:
    """What `request.app` has to have."""

    def __init__(self, verifier: Any) -> None:
        self.state = State({"verifier": verifier})


def request(verifier: Any, *headers: str) -> Request:
    scope = {"type": "http", "headers": [(b"authorization", one.encode()) for one in headers], "app": App(verifier)}
    return Request(scope)


def told_by(one: Request) -> Identity:
    return asyncio.run(identity_of(one))


def stack(home: Path, environment: str = "development") -> StackSettings:
    return StackSettings(home=home, environment=environment)


def settings(**values: Any) -> IdentitySettings:
    return IdentitySettings(**values)


def mint(home: Path, *arguments: str, environment: str = "development", **variables: str) -> Any:
    names = {"CHANNELS_HOME": str(home), "CHANNELS_ENVIRONMENT": environment, **variables}
    return CliRunner().invoke(token_command, ["mint", *arguments], env=names)


@pytest.mark.req(76)
def test_a_minted_token_is_taken_in_development(tmp_path: Path) -> None:
    minted = mint(
        tmp_path, "--tenant", TENANT, "--permission", "channel.manage", "--permission", "channel.read", "--subject", "a"
    )
    assert minted.exit_code == 0
    verifier = verifier_of(settings(), stack(tmp_path))
    identity = told_by(request(verifier, f"Bearer {minted.output.strip()}"))
    assert (identity.subject, identity.tenant_id, identity.permissions) == ("a", TENANT, {"channel.manage", "channel.read"})
    again = mint(tmp_path, "--tenant", TENANT)
    assert verifier.verify(again.output.strip()).permissions == {"channel.read"}  # the same key, not a new one each time
    key = development_directory(tmp_path) / "development-token.key"
    assert (key.stat().st_mode & 0o777, key.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert "PRIVATE" not in key_set_path(development_directory(tmp_path)).read_text()


def test_mint_follows_the_settings_of_the_service(tmp_path: Path) -> None:
    names = {
        "CHANNELS_CONTROL_ISSUER": "https://local.example.test",
        "CHANNELS_CONTROL_AUDIENCE": "mine",
        "CHANNELS_CONTROL_TENANT_CLAIM": "org.tenant",
        "CHANNELS_CONTROL_PERMISSIONS_CLAIM": "scope",
    }
    minted = mint(tmp_path, "--tenant", TENANT, **names)
    given = {name.removeprefix("CHANNELS_").lower(): value for name, value in names.items()}
    assert verifier_of(settings(**given), stack(tmp_path)).verify(minted.output.strip()).tenant_id == TENANT
    with pytest.raises(Unauthenticated):
        verifier_of(settings(), stack(tmp_path)).verify(minted.output.strip())


@pytest.mark.req(76)
@pytest.mark.parametrize("environment", ["production", "staging", ""])
def test_outside_development_nothing_of_development_is_taken(tmp_path: Path, environment: str) -> None:
    outside = stack(tmp_path, environment)
    refused = mint(tmp_path, "--tenant", TENANT, environment=environment or "x")
    assert isinstance(refused.exception, ConfigError)
    local = mint(tmp_path, "--tenant", TENANT, CHANNELS_CONTROL_ISSUER=ISSUER).output.strip()
    own_set = key_set_path(development_directory(tmp_path))
    for wrong in (
        {},
        {"control_jwks": str(own_set)},
        {"control_issuer": ISSUER},
        {"control_jwks": str(own_set), "control_issuer": DEVELOPMENT_ISSUER},
        {"control_jwks": str(tmp_path / "missing.json"), "control_issuer": ISSUER},
        {"control_jwks": "http://id.example.test/keys", "control_issuer": ISSUER},
    ):
        with pytest.raises(ConfigError):
            verifier_of(settings(**wrong), outside)
    only_local = verifier_of(settings(control_jwks=str(own_set), control_issuer=ISSUER), outside)
    with pytest.raises(Unavailable, match="no key that could be used"):
        only_local.verify(local)
    both = tmp_path / "both.json"  # somebody copied the development key into the real set
    public = DevelopmentKey(development_directory(tmp_path))
    both.write_bytes(key_set(jwk(public._key, public.key_id), jwk(KEYS["ES256"], "key-ES256")))
    verifier = verifier_of(settings(control_jwks=str(both), control_issuer=ISSUER), outside)
    assert verifier.verify(token("ES256")).subject == "ana"
    with pytest.raises(Unauthenticated) as caught:
        verifier.verify(local)
    assert caught.value.reason == "key_unknown"


def test_a_damaged_or_open_key_file_is_told_and_not_quoted(tmp_path: Path) -> None:
    DevelopmentKey(tmp_path)
    path = tmp_path / "development-token.key"
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="open to others"):
        DevelopmentKey(tmp_path)
    path.chmod(0o600)
    path.write_text("canary")
    with pytest.raises(ConfigError, match="damaged") as caught:
        DevelopmentKey(tmp_path)
    assert "canary" not in str(caught.value)


@pytest.fixture
def verifier(tmp_path: Path) -> Any:
    path = tmp_path / "keys.json"
    path.write_bytes(key_set())
    return verifier_of(settings(control_jwks=str(path), control_issuer=ISSUER, control_audience=AUDIENCE), stack(tmp_path))


@pytest.mark.req(76)
@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ((), "bearer_missing"),
        (("",), "bearer_malformed"),
        (("Basic YTpi",), "bearer_malformed"),
        (("Bearer",), "token_malformed"),
        (("Bearer ",), "token_malformed"),
        (("Bearer a b",), "token_malformed"),
        (("Bearer x", "Bearer y"), "bearer_malformed"),
    ],
)
def test_a_request_without_a_token_is_told_how_to_come(verifier: Any, headers: tuple[str, ...], reason: str) -> None:
    with pytest.raises(Unauthenticated) as caught:
        told_by(request(verifier, *headers))
    assert caught.value.reason == reason
    told = challenge(caught.value)
    assert told.startswith('Bearer realm="channels"')
    assert ("invalid_token" in told) == (reason != "bearer_missing")  # RFC 6750: no error where none was tried
    assert told.isascii()
    assert told.count('"') % 2 == 0


def test_the_scheme_is_read_in_any_case_and_the_caller_is_kept(verifier: Any) -> None:
    asked = request(verifier, f"bearer {token()}")
    assert told_by(asked) is asked.state.identity


def test_a_refused_permission_is_told_by_its_scope() -> None:
    assert scope_challenge("channel.manage") == 'Bearer realm="channels", error="insufficient_scope", scope="channel.manage"'
    assert scope_challenge() == 'Bearer realm="channels", error="insufficient_scope"'

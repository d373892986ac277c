"""The provider of the renewal tests against the simulator: the same calls, and what our readers make of the answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest

from services.simulator.simulator import Simulator
from shared.domain.enums import ConnectorType, TokenKind
from shared.providers import provider_of
from shared.providers.calling import CallContext, PlacedCall, ProviderAnswer, ProviderResponse, placed
from shared.providers.renewing import NotRenewed, Renewed, Renewing
from tests.token_provider import CLIENT_SECRET, MovedClock, TokenProvider

START_MS = 1_790_000_000_000


class Played:
    """A provider with one consent: `access` and `refresh` are the values given at first."""

    access: str
    refresh: str

    def call(self, ready: PlacedCall) -> ProviderAnswer:
        raise NotImplementedError

    def move(self, seconds: float) -> None:
        raise NotImplementedError


class Fake(Played):
    def __init__(self, service: str, *, one_time: bool) -> None:
        self._clock = MovedClock(START_MS)
        self._provider = TokenProvider(self._clock)
        life = {"meta": 5_184_000, "google": 3_599, "microsoft": 4_500}[service]
        grant = self._provider.grant("ana", service, life, one_time=one_time)
        self.access, self.refresh = next(iter(grant.access)), (grant.refresh or [""])[0]
        self._service = service

    def call(self, ready: PlacedCall) -> ProviderAnswer:
        return self._provider.call(ready, self._service)

    def move(self, seconds: float) -> None:
        self._clock.move(seconds)


class Simulated(Played):
    def __init__(self, service: str, *, one_time: bool) -> None:
        self._simulator = Simulator(1, START_MS)
        about: dict[str, Any] = {"secret": CLIENT_SECRET}
        if service == "meta":
            about |= {"token_expires_ms": START_MS + 5_184_000_000, "app_id": "300000000000001"}
        else:
            about |= {"client_id": "client", "one_time": one_time}
        account = self._simulator[service].create(**about)
        self.access, self.refresh = account.about.get("access_token", ""), account.about.get("refresh_token", "")

    def call(self, ready: PlacedCall) -> ProviderAnswer:
        headers, body = dict(ready.headers), b""
        if isinstance(ready.body, tuple):
            body = urlencode(list(ready.body)).encode()  # type: ignore[arg-type]  # forms only
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        answer = self._simulator.call(ready.call.method, ready.url, headers, body)
        return ProviderResponse(status=answer.status, body=answer.body, headers={n.lower(): v for n, v in answer.headers})

    def move(self, seconds: float) -> None:
        self._simulator.clock.move_to(self._simulator.clock.now_ms + round(seconds * 1000))


Play = Callable[..., Played]


@pytest.fixture(params=[Fake, Simulated])
def play(request: pytest.FixtureRequest) -> Play:
    made: Play = request.param
    return made


def renew(played: Played, service: str, **held: str) -> Renewed | NotRenewed:
    tipo = ConnectorType.WHATSAPP_OFFICIAL if service == "meta" else ConnectorType.EMAIL
    renewing = provider_of(tipo).renewing
    assert isinstance(renewing, Renewing)
    settings = {"app_id": "300000000000001", "oauth_provider": service, "oauth_client_id": "client"}
    context = CallContext(
        connector_id="c", account_id=None, identidade=None, settings=settings, account_config={}, now_ms=START_MS
    )
    names = {"access_token": played.access, "refresh_token": played.refresh, "app_secret": CLIENT_SECRET}
    return renewing.read(played.call(placed(renewing.build(context), {**names, "client_secret": CLIENT_SECRET, **held})))


def values(outcome: Renewed | NotRenewed) -> dict[TokenKind, str]:
    assert isinstance(outcome, Renewed)
    return {fresh.kind: fresh.value for fresh in outcome.tokens}


def fault(outcome: Renewed | NotRenewed) -> tuple[str, str | None]:
    assert isinstance(outcome, NotRenewed)
    return outcome.fault.error_class.value, outcome.fault.action


def test_meta_gives_sixty_more_days_and_the_old_token_works_on(play: Play) -> None:
    played = play("meta", one_time=False)
    outcome = renew(played, "meta")
    assert isinstance(outcome, Renewed)
    assert [(fresh.kind, fresh.expires_in_seconds) for fresh in outcome.tokens] == [(TokenKind.ACCESS_TOKEN, 5_184_000)]
    assert values(outcome)[TokenKind.ACCESS_TOKEN] != played.access
    assert isinstance(renew(played, "meta"), Renewed)


def test_meta_renews_nothing_that_has_ended_or_that_it_does_not_know(play: Play) -> None:
    played = play("meta", one_time=False)
    assert fault(renew(played, "meta", access_token="unknown")) == ("auth", "renew_token")
    played.move(5_184_000)
    assert fault(renew(played, "meta")) == ("auth", "renew_token")


def test_google_keeps_the_refresh_token(play: Play) -> None:
    played = play("google", one_time=False)
    outcome = renew(played, "google")
    assert set(values(outcome)) == {TokenKind.ACCESS_TOKEN}
    assert isinstance(renew(played, "google"), Renewed)


@pytest.mark.parametrize("one_time", [False, True])
def test_microsoft_gives_a_new_refresh_token_each_time(play: Play, one_time: bool) -> None:
    played = play("microsoft", one_time=one_time)
    fresh = values(renew(played, "microsoft"))[TokenKind.REFRESH_TOKEN]
    assert fresh != played.refresh
    again = renew(played, "microsoft")
    if one_time:
        assert fault(again) == ("auth", "consent_again")
    else:
        assert isinstance(again, Renewed)
    assert isinstance(renew(played, "microsoft", refresh_token=fresh), Renewed)


@pytest.mark.parametrize("service", ["google", "microsoft"])
def test_what_is_wrong_is_refused(play: Play, service: str) -> None:
    played = play(service, one_time=False)
    assert fault(renew(played, service, refresh_token="unknown")) == ("auth", "consent_again")
    assert fault(renew(played, service, client_secret="wrong")) == ("auth", "fix_client")

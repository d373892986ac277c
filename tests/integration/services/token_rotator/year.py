"""A year of thousands of tokens in minutes: three workers, one virtual clock, the real PostgreSQL, a provider that counts."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from sqlalchemy.orm import Session

from services.token_rotator.app import Rhythm
from shared.adapters.clock import new_uuid7
from shared.adapters.renewal_rows import Budget, moment
from shared.adapters.tables import ChannelConnector
from shared.domain.enums import ConnectorStatus, ConnectorType, KeyPurpose, TokenKind
from shared.management.data_keys import ring_for
from shared.management.tokens import NewToken, sealed_token
from shared.providers.calling import PlacedCall, ProviderAnswer
from tests.integration.services.token_rotator.scene import META, RotatorScene, oauth
from tests.token_provider import CLIENT_SECRET, DAY, reply

_WORKERS = 3
_STEP_SECONDS = 8 * 3_600
# Workers die in each so many-th step only: whoever was met by that is through before the next one. A one-time token whose
# caller dies twice in a row is stopped for good reasons, which the tests of the eight cases show.
_BAD_STEP = 6
_WINDOW_SECONDS = 3_600
_KINDS = (("meta", 60), ("meta", 60), ("meta", 60), ("google", 45), ("microsoft", 90))  # service, days that a token lives
_RHYTHM = Rhythm(plan=30 * DAY, replan=60 * DAY, tell=DAY, settle=0)


class Killed(BaseException):
    """The worker is gone, between its intent and its call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What the year came to."""

    tokens: int
    days: int
    renewals: int
    per_token: tuple[int, int]  # fewest and most
    expired: int
    refused: int
    successes_beyond_one: int
    overlaps: int
    busiest_window: int
    budget: int
    least_left_days: float
    stored: int
    stopped: int
    faults: int
    kills: int
    notices: int
    seconds: float

    def lines(self) -> str:
        """For a person."""
        return "\n".join(f"  {name.replace('_', ' '):24} {getattr(self, name)}" for name in self.__slots__)


class Unruly:
    """The provider as one worker has it on bad days: one call in a hundred is answered 503 or 429, and now and then the worker
    dies with its intents committed and none of their calls made (on bad days)."""

    def __init__(self, scene: RotatorScene, chance: random.Random) -> None:
        self._scene = scene
        self._chance = chance
        self.nothing_called = True  # since the last results were written
        self.bad_day = False
        self.faults = 0
        self.kills = 0

    def call(self, placed: PlacedCall, service: str) -> ProviderAnswer:
        if self.bad_day and self.nothing_called and self._chance.random() < 0.12:
            self.kills += 1
            raise Killed
        self.nothing_called = False
        drawn = self._chance.random()
        if drawn < 0.01:
            self.faults += 1
            return reply(*((503, {}) if drawn < 0.005 else (429, {})))
        return self._scene.provider.call(placed, service)


def simulate(scene: RotatorScene, *, tokens: int, days: int, seed: int = 7) -> Summary:
    """Let the time pass. The budget is three times the mean need: the first renewals, which fall together, meet it."""
    began = time.monotonic()
    per_hour = max(4, round(tokens / (45 * 24) * 3 * 0.6))
    scene.budget = Budget(calls=per_hour * 8, window_seconds=_WINDOW_SECONDS)
    owners = _register(scene, tokens)
    callers = [Unruly(scene, random.Random(seed + number)) for number in range(_WORKERS)]
    workers = [_Worker(scene, caller) for caller in callers]
    expired = 0
    with ThreadPoolExecutor(_WORKERS) as threads:
        for step in range(days * DAY // _STEP_SECONDS):
            for caller in callers:
                caller.bad_day = step % _BAD_STEP == 0
            list(threads.map(_Worker.work, workers))
            expired += sum(1 for owner in owners if scene.provider.lives(owner) <= 0)
            scene.clock.move(_STEP_SECONDS)
    renewals = [scene.provider.renewals[owner] for owner in owners]
    ((stored,),) = scene.management.read(
        "SELECT count(*) FROM audit_log WHERE action = 'token.renewed' AND after->>'kind' = 'access_token'"
    )
    ((stopped,),) = scene.sql("SELECT count(*) FROM token_renewal WHERE state = 'stopped'")
    return Summary(
        tokens=tokens,
        days=days,
        renewals=sum(renewals),
        per_token=(min(renewals), max(renewals)),
        expired=expired,
        refused=sum(scene.provider.refused.values()),
        successes_beyond_one=sum(renewals) - stored,
        overlaps=scene.provider.overlaps,
        busiest_window=max(scene.provider.calls.values()),
        budget=scene.budget.calls,
        least_left_days=round(min(scene.provider.least_left.values()) / DAY, 1),
        stored=stored,
        stopped=stopped,
        faults=sum(one.faults for one in callers),
        kills=sum(one.kills for one in callers),
        notices=len(scene.notices()),
        seconds=round(time.monotonic() - began, 1),
    )


class _Worker:
    def __init__(self, scene: RotatorScene, unruly: Unruly) -> None:
        self._scene = scene
        self._unruly = unruly
        self._rotator = scene.rotator(caller=unruly, rhythm=_RHYTHM, calls=100)

    def work(self) -> None:
        """Until there is nothing to do; a worker that was killed is replaced, and knows nothing."""
        while True:
            try:
                while self._turn():
                    pass
                return
            except Killed:
                self._rotator = self._scene.rotator(caller=self._unruly, rhythm=_RHYTHM, calls=100)
                self._rotator._replanning = False  # no plan is missing: the look at all of them would only take its time

    def _turn(self) -> bool:
        self._unruly.nothing_called = True
        return self._rotator.turn()


def _register(scene: RotatorScene, tokens: int) -> list[str]:
    owners = [f"owner-{number}" for number in range(tokens)]
    for begin in range(0, tokens, 500):
        scene.management.run(lambda session, begin=begin: _register_some(scene, session, owners[begin : begin + 500], begin))  # type: ignore[misc]
    return owners


def _register_some(scene: RotatorScene, session: Session, owners: list[str], begin: int) -> None:
    tenant, now = scene.management.tenant, moment(scene.clock.now_ms())
    ring = ring_for(session, scene.management.vault, tenant, KeyPurpose.CREDENTIAL, actor="test")
    rows: list[object] = []
    for number, owner in enumerate(owners, begin):
        service, life_days = _KINDS[number % len(_KINDS)]
        grant = scene.provider.grant(owner, service, life_days * DAY, one_time=True)
        connector = ChannelConnector(
            id=new_uuid7(),
            tenant_id=tenant,
            tipo=ConnectorType.WHATSAPP_OFFICIAL if service == "meta" else ConnectorType.EMAIL,
            nome=owner,
            config=META if service == "meta" else oauth(service),
            status=ConnectorStatus.PENDING,
        )
        rows.append(connector)
        secret = {"name": "app_secret" if service == "meta" else "client_secret"}
        given = [NewToken(kind=TokenKind.SECRET, value=CLIENT_SECRET, metadata=secret)]
        given += [NewToken(kind=TokenKind.REFRESH_TOKEN, value=value) for value in grant.refresh]
        for value, end in grant.access.items():
            given.append(NewToken(kind=TokenKind.ACCESS_TOKEN, value=value, expires_at=moment(end), created_at=now))
        rows += [sealed_token(ring, tenant, connector.id, new) for new in given]
    session.add_all([row for row in rows if isinstance(row, ChannelConnector)])
    session.flush()
    session.add_all([row for row in rows if not isinstance(row, ChannelConnector)])

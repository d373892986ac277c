"""The fallback in an account's snapshot: there while a breaker is open, and always the one that would be chosen now."""

from __future__ import annotations

import pytest

from shared.adapters.configuration_rows import read_configuration
from shared.adapters.database import unit_of_work
from shared.domain.enums import ConnectorStatus, FallbackType
from shared.domain.snapshots import FallbackInForce
from shared.management.fallbacks import NewFallback, create_fallback, delete_fallback, set_default_fallback, update_fallback
from shared.management.pauses import pause_account
from tests.integration.management import ACTOR
from tests.integration.services.health.scene import HealthScene

OWN, SHARED = "desk@example.org", "everybody@example.org"


def _in_force(scene: HealthScene, account: str) -> FallbackInForce | None:
    """As the relay reads it, in its role."""
    with unit_of_work(scene.worker) as session:
        return read_configuration(session.connection(), [], [account]).accounts[account].fallback


def _target(scene: HealthScene, account: str) -> str | None:
    found = _in_force(scene, account)
    return None if found is None else found.destino


def _create(scene: HealthScene, account: str, destino: str, *, ativo: bool = True) -> str:
    new = NewFallback(tipo=FallbackType.EMAIL_FORWARD, destino=destino, ativo=ativo)
    return scene.management.run(lambda session: create_fallback(session, account, new, actor=ACTOR)).id


@pytest.mark.req(51, 54, 63)
def test_it_is_in_force_while_the_breaker_is_open_and_is_the_one_of_now(scene: HealthScene) -> None:
    connector = scene.management.active_connector()
    account, neighbour = scene.account(connector), scene.account(connector, 2)
    own, shared = _create(scene, account, OWN), _create(scene, neighbour, SHARED)
    scene.management.run(lambda session: set_default_fallback(session, connector, shared, actor=ACTOR))
    scene.story(account, "FF")
    assert _in_force(scene, account) is None
    scene.story(account, "F")
    assert _in_force(scene, account) == FallbackInForce(fallback_id=own, tipo=FallbackType.EMAIL_FORWARD, destino=OWN)
    assert _in_force(scene, neighbour) is None

    version = scene.management.version(account)
    scene.management.run(lambda session: update_fallback(session, own, {"ativo": False}, actor=ACTOR))
    assert (_target(scene, account), scene.management.version(account)) == (SHARED, version + 1)
    scene.management.run(lambda session: update_fallback(session, shared, {"ativo": False}, actor=ACTOR))
    assert _target(scene, account) is None
    scene.management.run(lambda session: delete_fallback(session, own, actor=ACTOR))
    _create(scene, account, "idle@example.org", ativo=False)
    _create(scene, account, "later@example.org")
    assert _target(scene, account) == "later@example.org"
    scene.story(account, "PP")
    assert (scene.route(account), _in_force(scene, account)) == (("open", None), None)


@pytest.mark.req(51)
def test_a_person_who_pauses_a_flow_moves_no_traffic_elsewhere(scene: HealthScene) -> None:
    account = scene.account(scene.management.active_connector())
    _create(scene, account, OWN)
    scene.management.run(lambda session: pause_account(session, account, "maintenance", actor=ACTOR))
    assert scene.route(account) == ("paused", "maintenance")
    assert _in_force(scene, account) is None


@pytest.mark.req(54, 63)
def test_a_connector_that_leaves_active_takes_its_accounts_to_their_fallbacks(scene: HealthScene) -> None:
    connector = scene.management.active_connector()
    account, alone = scene.account(connector), scene.account(connector, 2)
    _create(scene, account, OWN)
    scene.management.status(connector, ConnectorStatus.ERROR)
    assert (_target(scene, account), _in_force(scene, alone)) == (OWN, None)
    scene.management.status(connector, ConnectorStatus.ACTIVE)
    assert _in_force(scene, account) is None

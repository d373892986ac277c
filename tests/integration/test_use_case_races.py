"""Use cases of one tenant at the same time: none is lost, none waits for another in a circle."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest

from shared.domain.enums import ConnectorStatus, KeyPurpose
from shared.management.accounts import update_account
from shared.management.reference import FlowFacts, put_flow
from tests.database_fixtures import DatabaseUnderTest
from tests.integration.management import ACTOR, Management, management_of

_ROUNDS = 25


@pytest.fixture
def management(database: DatabaseUnderTest, tmp_path: Path) -> Iterator[Management]:
    with management_of(database.api_url, tmp_path / "keys") as made:
        yield made


def together(*jobs: Callable[[], object]) -> None:
    start = threading.Barrier(len(jobs))

    def one(job: Callable[[], object]) -> None:
        start.wait(10)
        job()

    with ThreadPoolExecutor(len(jobs)) as pool:
        for future in [pool.submit(one, job) for job in jobs]:
            future.result(60)


@pytest.mark.req(4, 16, 57, 68)
def test_changes_from_four_sides_all_count(management: Management) -> None:
    connector = management.active_connector()
    account = management.account(connector, intake_flow_id=management.flow)
    before = management.version(account)

    def rename(who: str) -> None:
        for number in range(_ROUNDS):
            changes = {"nome_exibicao": f"{who} {number}"}
            management.run(lambda session, changes=changes: update_account(session, account, changes, actor=who))  # type: ignore[misc]

    def republish() -> None:
        for number in range(_ROUNDS):
            facts = FlowFacts(name="Welcome", category="intake", published=number % 2 == 1)
            management.run(
                lambda session, facts=facts: put_flow(session, management.tenant, management.flow, facts, actor=ACTOR)  # type: ignore[misc]
            )

    def flap() -> None:
        for number in range(_ROUNDS):
            management.status(connector, ConnectorStatus.ACTIVE if number % 2 else ConnectorStatus.ERROR)

    together(lambda: rename("one"), lambda: rename("two"), republish, flap)
    assert management.version(account) == before + 4 * _ROUNDS
    assert len(management.notices(account)) == management.version(account)
    changed = [detail for topic, detail in management.notices(connector) if topic == "channel.connector.status_changed"]
    assert all(later["old_status"] == earlier["new_status"] for earlier, later in pairwise(changed))


def test_first_needs_at_once_make_one_data_key(management: Management) -> None:
    connectors = [management.connector(nome=nome) for nome in "abcd"]
    together(*((lambda connector=connector: management.token(connector)) for connector in connectors))
    assert len(management.keys(KeyPurpose.CREDENTIAL)) == 1

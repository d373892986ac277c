"""Rules 16 and 57: the written table of transitions, all sixteen of them, and what the accounts do."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path
from typing import Any

import psycopg
import pytest

from shared.domain.enums import AccountStatus, ConnectorStatus
from shared.domain.errors import Conflict
from shared.management.accounts import change_account_status
from shared.management.connectors import TRANSITIONS
from tests.integration.management import ACTOR, Management

_PAGE = Path(__file__).parents[3] / "docs" / "CONNECTOR_STATES.md"
_STATES = tuple(ConnectorStatus)
_EVENT = "channel.connector.status_changed"


def written_table() -> dict[tuple[ConnectorStatus, ConnectorStatus], str]:
    """(from, to) -> what docs/CONNECTOR_STATES.md says."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in _PAGE.read_text().splitlines() if "|" in line]
    head = next(cells for cells in lines if cells[0].startswith("from"))
    rows = [cells for cells in lines if re.fullmatch("|".join(_STATES), cells[0]) and len(cells) == len(head)]
    return {
        (ConnectorStatus(cells[0]), ConnectorStatus(to)): meaning
        for cells in rows
        for to, meaning in zip(head[1:], cells[1:], strict=True)
    }


def connector_in(management: Management, state: ConnectorStatus) -> str:
    connector = management.connector()
    management.token(connector)
    management.check(connector)
    if state is not ConnectorStatus.PENDING:
        management.status(connector, state)
    return connector


def status_of(management: Management, connector: str) -> str:
    ((status,),) = management.read("SELECT status FROM channel_connector WHERE id = :id", id=connector)
    return str(status)


@pytest.mark.req(16)
def test_rule_16_the_written_table_is_complete_and_is_the_codes() -> None:
    table = written_table()
    assert set(table) == set(product(_STATES, _STATES))
    assert {pair for pair, meaning in table.items() if meaning == "same"} == {(state, state) for state in _STATES}
    assert {pair for pair, meaning in table.items() if meaning == "legal"} == {
        (old, new) for old, allowed in TRANSITIONS.items() for new in allowed
    }
    assert set(table.values()) == {"same", "legal", "refused"}


@pytest.mark.req(16, 68)
@pytest.mark.parametrize("old", _STATES)
@pytest.mark.parametrize("new", _STATES)
def test_rule_16_every_move_by_the_use_case(management: Management, old: ConnectorStatus, new: ConnectorStatus) -> None:
    connector = connector_in(management, old)
    told, version = management.notices(connector), management.version(connector)
    audited = len(management.audit(connector))
    meaning = written_table()[old, new]
    if meaning == "refused":
        with pytest.raises(Conflict) as caught:
            management.status(connector, new)
        assert caught.value.reason == "illegal_transition"
    else:
        management.status(connector, new, cause="by the table")
    moved = meaning == "legal"
    assert status_of(management, connector) == (new if moved else old)
    later = management.notices(connector)[len(told) :]
    events = [detail for topic, detail in later if topic == _EVENT]
    assert [(event["old_status"], event["new_status"]) for event in events] == ([(old, new)] if moved else [])
    assert management.version(connector) == version + moved
    assert len(management.audit(connector)) == audited + moved


@pytest.mark.req(16)
@pytest.mark.parametrize("old", _STATES)
@pytest.mark.parametrize("new", _STATES)
def test_rule_16_every_move_by_raw_sql(
    management: Management, sql: psycopg.Connection[Any], old: ConnectorStatus, new: ConnectorStatus
) -> None:
    connector = connector_in(management, old)
    move = "UPDATE channel_connector SET status = %s WHERE id = %s"
    if written_table()[old, new] == "refused":
        with pytest.raises(psycopg.errors.CheckViolation) as caught:
            sql.execute(move, (new, connector))
        assert caught.value.diag.constraint_name == "illegal_transition"
        assert status_of(management, connector) == old
    else:
        sql.execute(move, (new, connector))
        assert status_of(management, connector) == new


@pytest.mark.req(57)
@pytest.mark.parametrize("away", [ConnectorStatus.PENDING, ConnectorStatus.ERROR])
def test_rule_57_accounts_follow_their_connector_and_return(management: Management, away: ConnectorStatus) -> None:
    connector = management.active_connector()
    accounts = {}
    for number, status in enumerate(
        (AccountStatus.ACTIVE, AccountStatus.INACTIVE, AccountStatus.PENDING, AccountStatus.ACTIVE), 1
    ):
        config = {"phone_number_id": f"10000000000000{number}"}
        account = management.account(connector, f"551190000000{number}", config=config)
        management.run(lambda s, a=account, to=status: change_account_status(s, a, to, actor=ACTOR))  # type: ignore[misc]
        accounts[account] = status
    *_, silenced = accounts
    versions = {account: management.version(account) for account in accounts}

    def now() -> list[str]:
        found = dict(management.read("SELECT id::text, status FROM channel_account"))
        return [str(found[account]) for account in accounts]

    def causes() -> set[str]:
        return {cause for (cause,) in management.read("SELECT cause FROM account_state WHERE cause IS NOT NULL")}

    management.status(connector, away)
    assert now() == ["pending", "inactive", "pending", "pending"]
    assert causes() == {f"connector_{away}"}
    other = ({ConnectorStatus.PENDING, ConnectorStatus.ERROR} - {away}).pop()
    management.status(connector, other)
    assert causes() == {f"connector_{other}"}
    management.run(lambda s: change_account_status(s, silenced, AccountStatus.INACTIVE, actor=ACTOR))
    management.status(connector, ConnectorStatus.ACTIVE)
    assert now() == ["active", "inactive", "pending", "inactive"]
    assert causes() == set()
    for account, before in versions.items():  # every move is told, so that no reader holds an old status
        assert management.version(account) == before + 3 + (account == silenced)


@pytest.mark.req(57)
def test_rule_57_archiving_takes_the_accounts_along_for_good(management: Management) -> None:
    connector = management.active_connector()
    account = management.account(connector)
    management.run(lambda s: change_account_status(s, account, AccountStatus.ACTIVE, actor=ACTOR))
    management.status(connector, ConnectorStatus.ARCHIVED)
    assert management.read("SELECT a.status, s.cause FROM channel_account a JOIN account_state s ON s.account_id = a.id") == [
        ("pending", "connector_archived")
    ]
    with pytest.raises(Conflict) as caught:
        management.run(lambda s: change_account_status(s, account, AccountStatus.ACTIVE, actor=ACTOR))
    assert caught.value.reason == "connector_not_active"

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.directory import Directory
from shared.domain.enums import AccountStatus, ConnectorStatus, ConnectorType
from shared.domain.snapshots import AccountSnapshot, ConnectorSnapshot

ACCOUNT = AccountSnapshot(
    version=1,
    account_id="a1",
    connector_id="c1",
    tenant_id="t1",
    identidade="5511900000001",
    status=AccountStatus.ACTIVE,
    account_refs=("r1",),
    org_unit_id="u1",
    intake_flow_id=None,
    intake_flow_usable=False,
)
CONNECTOR = ConnectorSnapshot(
    version=1,
    connector_id="c1",
    tenant_id="t1",
    tipo=ConnectorType.WHATSAPP_OFFICIAL,
    status=ConnectorStatus.ACTIVE,
    config="{}",
    webhooks=(),
    ingest_keys=(),
)


def test_references_follow_the_account() -> None:
    directory = Directory()
    assert directory.account_by_ref("c1", "r1") is None
    directory.put_account(ACCOUNT)
    assert directory.account_by_ref("c1", "r1") == ACCOUNT
    assert directory.account_by_ref("c2", "r1") is None
    changed = replace(ACCOUNT, version=2, account_refs=("r2", "r3"))
    directory.put_account(changed)
    assert directory.account_by_ref("c1", "r1") is None
    assert directory.account_by_ref("c1", "r2") == directory.account_by_ref("c1", "r3") == changed
    moved = replace(changed, version=3, connector_id="c2")
    directory.put_account(moved)
    assert directory.account_by_ref("c1", "r2") is None
    assert directory.account_by_ref("c2", "r2") == moved
    assert directory.delete_account("a1")
    assert directory.account_by_ref("c2", "r2") is None
    assert directory.account("a1") is None
    assert not directory.delete_account("a1")


def test_a_number_that_two_accounts_claim_belongs_to_the_older_one_whatever_came_first() -> None:
    older, younger = ACCOUNT, replace(ACCOUNT, account_id="a2")
    for order in ((older, younger), (younger, older)):
        directory = Directory()
        for snapshot in order:
            directory.put_account(snapshot)
        assert directory.account_by_ref("c1", "r1") == older
        directory.delete_account("a1")
        assert directory.account_by_ref("c1", "r1") == younger


def test_lower_versions_are_ignored_and_a_deletion_starts_anew() -> None:
    directory = Directory()
    assert directory.put_connector(replace(CONNECTOR, version=5))
    assert not directory.put_connector(replace(CONNECTOR, version=4))
    assert directory.put_connector(replace(CONNECTOR, version=5, config='{"a":1}'))
    assert directory.delete_connector("c1")
    assert not directory.delete_connector("c1")
    assert directory.connectors() == []
    assert directory.put_connector(replace(CONNECTOR, version=1))
    assert directory.connector("c1") == CONNECTOR
    assert directory.put_account(replace(ACCOUNT, version=5))
    assert not directory.put_account(replace(ACCOUNT, version=4, account_refs=("r9",)))
    assert directory.account_by_ref("c1", "r9") is None


_IDS = st.sampled_from(["a1", "a2", "a3"])
_PUT = st.tuples(
    _IDS,
    st.sampled_from(["c1", "c2"]),
    st.lists(st.sampled_from(["r1", "r2", "r3"]), unique=True).map(tuple),
    st.integers(min_value=1, max_value=4),
)


@given(st.lists(st.one_of(_IDS, _PUT), max_size=25))
def test_the_index_equals_one_built_from_scratch(steps: list[str | tuple[str, str, tuple[str, ...], int]]) -> None:
    directory = Directory()
    model: dict[str, AccountSnapshot] = {}
    for step in steps:
        if isinstance(step, str):
            directory.delete_account(step)
            model.pop(step, None)
            continue
        account_id, connector_id, refs, version = step
        snapshot = replace(ACCOUNT, account_id=account_id, connector_id=connector_id, account_refs=refs, version=version)
        taken = directory.put_account(snapshot)
        assert taken == (account_id not in model or model[account_id].version <= version)
        if taken:
            model[account_id] = snapshot
    assert directory.account_count == len(model)
    for connector_id in ("c1", "c2"):
        for ref in ("r1", "r2", "r3"):
            claims = [item for item in model.values() if item.connector_id == connector_id and ref in item.account_refs]
            expected = min(claims, key=lambda item: item.account_id, default=None)
            assert directory.account_by_ref(connector_id, ref) == expected

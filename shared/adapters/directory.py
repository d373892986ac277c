"""What is known from the snapshots: connectors, accounts, and which account a payload's name stands for.

One thread writes, any number read without a lock: every entry is an immutable value that is replaced by one dictionary
operation, so that a reader sees the old value or the new one, never a mixture.
"""

from __future__ import annotations

from dataclasses import replace
from sys import intern

from shared.domain.snapshots import AccountSnapshot, ConnectorSnapshot


class Directory:
    """Connectors and accounts by id, accounts by connector and reference.

    A snapshot of a lower version than the one in hand is ignored; an equal one replaces it. A deletion forgets the version, and
    what follows it counts as new: all snapshots of one object lie in one partition, written by one fenced relay, so what stands
    behind a deletion is younger than it. Remembering every deleted id for ever would only grow.
    """

    def __init__(self) -> None:
        self._connectors: dict[str, ConnectorSnapshot] = {}
        self._accounts: dict[str, AccountSnapshot] = {}
        # connector -> reference -> every account that claims it, oldest id first: the same winner in every process
        self._by_ref: dict[str, dict[str, tuple[AccountSnapshot, ...]]] = {}

    def connector(self, connector_id: str) -> ConnectorSnapshot | None:
        """The connector, or None if no snapshot names it (any more)."""
        return self._connectors.get(connector_id)

    def account(self, account_id: str) -> AccountSnapshot | None:
        """The account, or None."""
        return self._accounts.get(account_id)

    def account_by_ref(self, connector_id: str, ref: str) -> AccountSnapshot | None:
        """The account of this connector that payloads call `ref`. Claimed by several: the one with the lowest (oldest) id."""
        claims = self._by_ref.get(connector_id, {}).get(ref)
        return claims[0] if claims else None

    def connectors(self) -> list[ConnectorSnapshot]:
        """All connectors, at one instant."""
        return list(self._connectors.values())

    @property
    def account_count(self) -> int:
        """How many accounts are known."""
        return len(self._accounts)

    def put_connector(self, snapshot: ConnectorSnapshot) -> bool:
        """Take in a snapshot; False if it is older than the one in hand. Writer thread only, as all that follow."""
        known = self._connectors.get(snapshot.connector_id)
        if known is not None and known.version > snapshot.version:
            return False
        self._connectors[snapshot.connector_id] = snapshot
        return True

    def delete_connector(self, connector_id: str) -> bool:
        """Forget a connector; False if it is not known. Its accounts have deletions of their own."""
        return self._connectors.pop(connector_id, None) is not None

    def put_account(self, snapshot: AccountSnapshot) -> bool:
        """Take in a snapshot and its references; False if it is older than the one in hand."""
        known = self._accounts.get(snapshot.account_id)
        if known is not None and known.version > snapshot.version:
            return False
        snapshot = _shared_ids(snapshot)
        self._accounts[snapshot.account_id] = snapshot
        for ref in snapshot.account_refs:
            self._claim(snapshot.connector_id, ref, snapshot)
        if known is not None:
            moved = known.connector_id != snapshot.connector_id
            for ref in known.account_refs:
                if moved or ref not in snapshot.account_refs:
                    self._release(known.connector_id, ref, known.account_id)
        return True

    def delete_account(self, account_id: str) -> bool:
        """Forget an account and its references; False if it is not known."""
        known = self._accounts.pop(account_id, None)
        if known is None:
            return False
        for ref in known.account_refs:
            self._release(known.connector_id, ref, account_id)
        return True

    def _claim(self, connector_id: str, ref: str, account: AccountSnapshot) -> None:
        refs = self._by_ref.setdefault(connector_id, {})
        others = [claim for claim in refs.get(ref, ()) if claim.account_id != account.account_id]
        refs[ref] = tuple(sorted([*others, account], key=lambda claim: claim.account_id)) if others else (account,)

    def _release(self, connector_id: str, ref: str, account_id: str) -> None:
        refs = self._by_ref.get(connector_id, {})
        left = tuple(claim for claim in refs.get(ref, ()) if claim.account_id != account_id)
        if left:
            refs[ref] = left
            return
        refs.pop(ref, None)
        if not refs:
            self._by_ref.pop(connector_id, None)


def _shared_ids(snapshot: AccountSnapshot) -> AccountSnapshot:
    """The same snapshot, its repeated ids held in memory once for all accounts: a third less at 100 000 accounts."""
    return replace(
        snapshot,
        connector_id=intern(snapshot.connector_id),
        tenant_id=intern(snapshot.tenant_id),
        org_unit_id=None if snapshot.org_unit_id is None else intern(snapshot.org_unit_id),
        intake_flow_id=None if snapshot.intake_flow_id is None else intern(snapshot.intake_flow_id),
    )

"""First look at each item: whose is it, may it pass, under which key is it claimed. Pure given the snapshots."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Protocol

from services.router.facts import Candidate, Opened
from services.router.keys import claim_key
from services.router.lookups import change_of
from shared.domain.enums import AccountStatus, ItemOutcome, WebhookStatus
from shared.domain.holding import Position
from shared.domain.items import AnyItem, ConnectorEventItem, PoisonItem
from shared.domain.outcomes import Ending
from shared.domain.send_result import ACCOUNT_REF
from shared.domain.snapshots import AccountSnapshot, ConnectorSnapshot

UNKNOWN_ACCOUNT = "unknown_account"


class Accounts(Protocol):
    """What sorting needs of the snapshots."""

    def account(self, account_id: str) -> AccountSnapshot | None:
        """By our own id."""

    def account_by_ref(self, connector_id: str, ref: str) -> AccountSnapshot | None:
        """By the name the provider uses, inside one connector."""


def sort_out(records: Iterable[Opened], accounts: Accounts) -> list[Candidate]:
    """One candidate per item, in order of arrival; those that need no claim carry their ending already."""
    return [
        _sort_item(_standing_for(opened, item), index, item, accounts)
        for opened in records
        for index, item in enumerate(opened.items)
    ]


def _standing_for(opened: Opened, item: AnyItem) -> Opened:
    """A copy of a whole record is a copy of each of its items: each may take over the claim that its own original left."""
    record = opened.record
    if record is None or record.redelivery_of is None or record.redelivery_of.item or not item.path:
        return opened
    return replace(opened, record=replace(record, redelivery_of=replace(record.redelivery_of, item=item.path)))


def _sort_item(opened: Opened, index: int, item: AnyItem, accounts: Accounts) -> Candidate:
    candidate = Candidate(opened=opened, index=index, item=item)
    if isinstance(item, PoisonItem):
        candidate.ending = Ending(outcome=ItemOutcome.DEAD_LETTERED, reason=item.reason)
        return candidate
    return _judged(candidate, item, _account_of(opened.connector_id, item, accounts))


def keep_accounts(copies: Iterable[Candidate], held_for: Mapping[Position, str], accounts: Accounts) -> None:
    """A held item stays with the account for which it was held, though the provider's name for that account moved meanwhile:
    its claim, its message id and what a flow was asked are that account's. `held_for`: position of the held row -> account.

    Where the account is gone, whoever has the name now takes the item.
    """
    for candidate in copies:
        of = candidate.opened.held_copy_of
        if of is None or isinstance(candidate.item, PoisonItem):
            continue
        account_id = held_for.get((of.epoch, of.partition, of.offset, of.item))
        if account_id is None or (candidate.account is not None and candidate.account.account_id == account_id):
            continue
        account = accounts.account(account_id)
        if account is not None and account.connector_id == candidate.opened.connector_id:
            candidate.ending = candidate.claim_key = None
            _judged(candidate, candidate.item, account)


def _judged(candidate: Candidate, item: AnyItem, account: AccountSnapshot | None) -> Candidate:
    opened = candidate.opened
    candidate.account = account
    if isinstance(item, ConnectorEventItem) and not _changes_a_person(item, candidate.account):
        candidate.ending = Ending(outcome=ItemOutcome.IGNORED, reason="connector_event")
    elif opened.connector is not None and _disabled(opened.connector, item):
        candidate.ending = Ending(outcome=ItemOutcome.REJECTED, reason="webhook_disabled")
    elif candidate.account is None:
        candidate.ending = Ending(outcome=ItemOutcome.DEAD_LETTERED, reason=UNKNOWN_ACCOUNT)
    elif candidate.account.status is AccountStatus.INACTIVE:
        candidate.ending = Ending(outcome=ItemOutcome.REJECTED, reason="account_inactive")
    else:
        candidate.claim_key = claim_key(opened.connector_id, candidate.account.account_id, item)
    return candidate


def _changes_a_person(item: ConnectorEventItem, account: AccountSnapshot | None) -> bool:
    return account is not None and account.status is not AccountStatus.INACTIVE and change_of(item) is not None


def _account_of(connector_id: str, item: AnyItem, accounts: Accounts) -> AccountSnapshot | None:
    for ref in item.account_refs:
        kind, _, value = ref.partition(":")
        if kind == ACCOUNT_REF:
            account = accounts.account(value)
            if account is not None and account.connector_id != connector_id:
                account = None  # a connector speaks for its own accounts only
        else:
            account = accounts.account_by_ref(connector_id, ref)
        if account is not None:
            return account
    return None


def _disabled(connector: ConnectorSnapshot, item: AnyItem) -> bool:
    return any(webhook.evento is item.evento and webhook.status is WebhookStatus.DISABLED for webhook in connector.webhooks)


def collapse(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Settle repeats inside the batch: a redelivered copy beats a plain item, else the first to arrive wins.

    Returns the winners, in order of arrival; the others get the ending `duplicate`.
    """
    winners: dict[bytes, Candidate] = {}
    for candidate in candidates:
        if candidate.claim_key is None:
            continue
        present = winners.get(candidate.claim_key)
        if present is None:
            winners[candidate.claim_key] = candidate
            continue
        winner, loser = (candidate, present) if _beats(candidate, present) else (present, candidate)
        winners[candidate.claim_key] = winner
        loser.ending = Ending(outcome=ItemOutcome.DUPLICATE, reason="same_batch")
    return sorted(winners.values(), key=lambda candidate: candidate.order)


def _beats(candidate: Candidate, present: Candidate) -> bool:
    is_copy = candidate.opened.record is not None and candidate.opened.record.redelivery_of is not None
    was_copy = present.opened.record is not None and present.opened.record.redelivery_of is not None
    if is_copy != was_copy:
        return is_copy
    return candidate.order < present.order

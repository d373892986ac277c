"""Fetches, and where needed gives, the ids that a batch is about. The steps follow the store's lock order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from services.router.contacts import Contacts
from services.router.facts import Candidate, Facts, MessageRow, Owner, ReceiptRow
from services.router.lookups import (
    callback_id,
    conversation_of,
    message_of_receipt,
    messages_brought_by,
    participant_of,
    targets_of,
)
from services.router.wanted_rows import wanted_rows
from shared.adapters import held_rows
from shared.adapters import mapping_rows as mappings
from shared.adapters import router_store as store
from shared.domain.enums import DeliveryStatus
from shared.domain.holding import Position
from shared.domain.items import ReceiptItem, SendResultItem

NewId = Callable[[], str]
Ranges = Mapping[int, tuple[int, int]]


class Gathering:
    """One batch's way through the tables. `cursor` is the store's; `mine` are the candidates whose claim is ours."""

    def __init__(self, cursor: Any, epoch: str, new_id: NewId, on_collision: Callable[[str, int], None]) -> None:
        self._cursor = cursor
        self._epoch = epoch
        self._new_id = new_id
        self._contacts = Contacts(cursor, epoch, new_id, on_collision)

    def gather(self, mine: Sequence[Candidate], owners: Mapping[bytes, Position]) -> Facts:
        """Facts for the gate; rows that are missing are written on the way."""
        facts = Facts(owners=owners, contacts={}, conversations={}, messages={}, known_message_ids={}, receipts={})
        self._contacts.resolve(mine, facts)
        for candidate in mine:
            candidate.conversation_key = conversation_of(candidate)
        self._conversations(mine, facts)
        self._messages(mine, facts)
        return facts

    def held(self, candidates: Sequence[Candidate], mine: Sequence[Candidate], facts: Facts, ranges: Ranges) -> None:
        """What waits of the batch's records, conversations and messages. `ranges`: partition -> (first offset, end).

        Mostly nothing waits anywhere, and then this is one short question.
        """
        copies = any(candidate.opened.held_copy_of is not None for candidate in candidates)
        if not copies and not held_rows.anything_waits(self._cursor, self._epoch, ranges):
            return
        rows = held_rows.read_held(self._cursor, self._epoch, ranges, wanted_rows(candidates, mine, facts))
        facts.held = {row.position: row for row in rows}

    def _conversations(self, mine: Sequence[Candidate], facts: Facts) -> None:
        accounts: dict[tuple[str, str], str] = {}
        for candidate in mine:
            key = candidate.conversation_key
            if key is not None and candidate.account is not None:
                accounts[candidate.opened.connector_id, key] = candidate.account.account_id
        found = {key: row[0] for key, row in mappings.find_mappings(self._cursor, "conversation", accounts).items()}
        missing = [
            mappings.MappingInsert(connector, account, key, self._new_id())
            for (connector, key), account in accounts.items()
            if (connector, key) not in found
        ]
        standing = mappings.insert_mappings(self._cursor, "conversation", missing)
        facts.conversations = found | {key: row[0] for key, row in standing.items()}

    def _messages(self, mine: Sequence[Candidate], facts: Facts) -> None:
        rows: dict[tuple[str, str], mappings.MappingInsert] = {}
        orders: dict[tuple[str, str], tuple[int, int, int]] = {}
        targets: set[tuple[str, str]] = set()
        callbacks: set[tuple[str, str]] = set()
        for candidate in mine:
            connector = candidate.opened.connector_id
            for key, message_id in messages_brought_by(candidate):
                if (connector, key) not in rows:
                    rows[connector, key] = self._message_row(candidate, key, message_id or self._new_id(), facts)
                    orders[connector, key] = candidate.order
            targets.update((connector, key) for key in targets_of(candidate))
            callback = callback_id(candidate)
            if callback is not None:
                callbacks.add((connector, callback))
        standing = mappings.insert_mappings(self._cursor, "message", list(rows.values()))
        facts.brought = {key: order for key, order in orders.items() if standing[key][0] == rows[key].entity_id}
        standing |= mappings.find_mappings(self._cursor, "message", targets - standing.keys())
        facts.messages = {key: MessageRow(*row) for key, row in standing.items()}
        by_id = mappings.find_messages_by_id(self._cursor, callbacks)
        facts.known_message_ids = {key: MessageRow(*row) for key, row in by_id.items()}

    def _message_row(self, candidate: Candidate, key: str, message_id: str, facts: Facts) -> mappings.MappingInsert:
        connector = candidate.opened.connector_id
        conversation = facts.conversations.get((connector, candidate.conversation_key or ""))
        account = candidate.account.account_id if candidate.account is not None else None
        return mappings.MappingInsert(connector, account, key, message_id, conversation)

    def receipts(self, mine: Sequence[Candidate], facts: Facts) -> None:
        """Write down the receipts that the gate let pass, and read what is known of their messages."""
        inserts: dict[tuple[str, str, str], store.ReceiptInsert] = {}
        for candidate in mine:
            row = message_of_receipt(candidate, facts)
            if row is None or candidate.ending is not None or not isinstance(candidate.item, ReceiptItem | SendResultItem):
                continue
            participant = participant_of(candidate.item)
            key = (row.message_id, participant, candidate.item.status.value)
            opened = candidate.opened
            inserts.setdefault(
                key, store.ReceiptInsert(*key, partition=opened.partition, offset=opened.offset, item=candidate.item.path)
            )
        for row_found in store.record_receipts(self._cursor, self._epoch, inserts.values()):
            rows = facts.receipts.setdefault(row_found[:2], [])
            rows.append(ReceiptRow(DeliveryStatus(row_found[2]), Owner(*row_found[3:])))

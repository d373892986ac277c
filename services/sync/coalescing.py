"""Which jobs a run of requests is about, and how many requests each. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from shared.adapters.sync_rows import MAX_CAUSES, Subject
from shared.domain.enums import ConnectorType
from shared.domain.errors import CorruptData
from shared.domain.records import SyncRequired
from shared.domain.syncing import OBSERVED, REQUESTED, SyncRequest
from shared.domain.topics import Topic

_MAX_CAUSE_CHARACTERS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """One request that can be used."""

    tenant_id: str
    connector_id: str
    account_id: str | None
    cause: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Unusable:
    """A record that asks for nothing; the name of its fault, never its values."""

    reason: str


def read_request(topic: Topic, value: bytes | None, decode: Callable[[Topic, bytes], Any]) -> Asking | Unusable:
    """The request in one record. `decode` may raise CorruptData (refused here) and Unavailable (passes)."""
    if value is None:
        return Unusable("empty")
    try:
        event: SyncRequired = decode(topic, value)
    except CorruptData as error:
        return Unusable(error.code)
    ids = [_canonical(one) for one in (event.tenant_id, event.connector_id, event.account_id or event.connector_id)]
    if None in ids:
        return Unusable("id_invalid")
    cause = event.cause if event.cause.isascii() and event.cause.isprintable() else "unreadable"
    return Asking(
        tenant_id=event.tenant_id,
        connector_id=event.connector_id,
        account_id=event.account_id,
        cause=cause[:_MAX_CAUSE_CHARACTERS],
        detail=event.detail,
    )


@dataclass(slots=True)
class _Sum:
    causes: set[str] = field(default_factory=set)
    requests: int = 0


def coalesce(
    askings: Sequence[Asking], known: Sequence[Subject], spread: Collection[ConnectorType]
) -> tuple[list[SyncRequest], int]:
    """One SyncRequest for each job, and how many askings are about nothing that is there.

    Where accounts are registered one by one (`spread`), a request for the connector is one for each of its accounts that are
    turned on; elsewhere a request for an account is one for its connector.
    """
    types = {one.connector_id: one.tipo for one in known}
    accounts: dict[str, list[Subject]] = {one.connector_id: [] for one in known}
    for one in known:
        if one.account_id is not None:
            accounts[one.connector_id].append(one)
    sums: dict[tuple[str, str | None], _Sum] = {}
    lost = 0
    for asking in askings:
        ours = accounts.get(asking.connector_id, [])
        named = any(one.account_id == asking.account_id for one in ours)
        if asking.connector_id not in types or (asking.account_id is not None and not named):
            lost += 1
            continue
        subjects: list[str | None] = [None]
        if types[asking.connector_id] in spread:
            subjects = [one.account_id for one in ours if one.works and asking.account_id in (None, one.account_id)]
        for account_id in subjects:
            total = sums.setdefault((asking.connector_id, account_id), _Sum())
            total.causes.add(asking.cause)
            total.requests += 1
    return [_request(subject, total) for subject, total in sums.items()], lost


def _request(subject: tuple[str, str | None], total: _Sum) -> SyncRequest:
    causes = sorted(total.causes, key=lambda cause: (cause != REQUESTED, cause in OBSERVED, cause))
    return SyncRequest(
        connector_id=subject[0],
        account_id=subject[1],
        causes=tuple(causes[:MAX_CAUSES]),
        requests=total.requests,
    )


def _canonical(text: str) -> str | None:
    try:
        return text if text == str(UUID(text)) else None
    except ValueError:
        return None

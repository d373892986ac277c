"""The step that makes single calls which a connector waits for: fetch a certificate of SNS, confirm a subscription.

Each is named by the request that asked for it, and waits in `sync_errand` until it is done or has proven impossible; a fault that
passes leaves it there, and the job comes again. The token of a confirmation is read from the sealed raw record when it is needed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from services.sync.steps import StepDone, Work
from shared.adapters.certificate_source import CertificateSource
from shared.adapters.clock import Clock
from shared.adapters.database import unit_of_work
from shared.adapters.database_errors import translated
from shared.adapters.errand_rows import Errand, drop_errands, waiting_errands
from shared.adapters.tables import ChannelConnector
from shared.domain.enums import ConnectorType
from shared.domain.errors import ChannelsError, Conflict, CorruptData, InvalidInput, NotFound, SealBroken, Unavailable
from shared.domain.sync_causes import SUBSCRIPTION_PENDING, position_of
from shared.domain.syncing import SyncOutcome, SyncResult
from shared.management.certificates import allowed_topics, ask_certificate, store_certificate
from shared.management.changes import find
from shared.management.sns_records import SnsRecords
from shared.management.subscriptions import call_confirmation, note_confirmed, requested_confirmation
from shared.providers.contract import Provider

ACTOR = "sync"
_SPARE_MS = 5_000  # of the lease, to store the result in
_LONGEST_SECONDS = 10.0
# What a person has to do about an errand that cannot be done.
_ACTIONS = {
    "confirmation_refused": "request_confirmation",
    "record_gone": "request_confirmation",
    "egress_refused": "see_egress",
}

Write = Callable[[Session], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrandParts:
    """What it works with. `api`: the role of the use cases. `source` makes each call once: what is tried again is the job's."""

    api: Engine
    records: SnsRecords
    source: CertificateSource
    clock: Clock


class _Impossible(Exception):
    """Raised inside for an errand that no other attempt can do; `cause` is a short code."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class Errands:
    """A `ConnectorStep`; safe for threads."""

    name = "errands"

    def __init__(self, parts: ErrandParts) -> None:
        self._parts = parts
        self._log = structlog.get_logger()

    def fits(self, provider: Provider) -> bool:
        """Only mail connectors listen to SNS."""
        return provider.tipo is ConnectorType.EMAIL

    def run(self, work: Work) -> StepDone:
        """All that wait, each by itself: one that fails does not hold up the others."""
        with translated(), unit_of_work(self._parts.api, tenant_id=work.job.tenant_id) as session:
            waiting = waiting_errands(session, work.job.connector_id)
        ended: list[Errand] = []
        writes: list[Write] = []
        failure: SyncResult | None = None
        for errand in waiting:
            try:
                write = self._do(work, errand)
            except _Impossible as error:
                ended.append(errand)
                failure = failure or SyncResult(
                    outcome=SyncOutcome.REFUSED, cause=error.cause, action=_ACTIONS.get(error.cause, "fix_config")
                )
                self._tell(work, errand, error.cause)
            except Unavailable as error:
                failure = work.passing("errand_unavailable")
                self._tell(work, errand, error.code)
            else:
                ended.append(errand)
                writes += [] if write is None else [write]
                self._tell(work, errand, "done")
        if not ended:
            return StepDone(failure=failure)
        return StepDone(failure=failure, write=lambda session: _store(session, work.job.connector_id, ended, writes))

    def _do(self, work: Work, errand: Errand) -> Write | None:
        cause, detail = errand
        seconds = min((work.job.lease_until_ms - _SPARE_MS - self._parts.clock.now_ms()) / 1000, _LONGEST_SECONDS)
        if seconds <= 0:
            raise Unavailable("the job's time is over")
        source = replace(self._parts.source, seconds=seconds)
        try:
            if cause == SUBSCRIPTION_PENDING:
                return self._confirm(work, detail, source)
            return self._fetch(work, detail, source)
        except (InvalidInput, Conflict) as error:
            raise _Impossible(error.reason) from error
        except NotFound as error:
            raise _Impossible("record_gone") from error
        except (SealBroken, CorruptData) as error:
            raise _Impossible(error.code) from error
        except Unavailable:
            raise
        except ChannelsError as error:  # a key that the key service refuses now
            raise Unavailable(f"{error.code}") from error

    def _fetch(self, work: Work, url: str, source: CertificateSource) -> Write:
        with translated(), unit_of_work(self._parts.api, tenant_id=work.job.tenant_id) as session:
            topics = allowed_topics(find(session, ChannelConnector, work.job.connector_id))
        now = dt.datetime.fromtimestamp(self._parts.clock.now_ms() / 1000, dt.UTC)
        checked = ask_certificate(topics, url, source, now=now)
        connector_id = work.job.connector_id

        def write(session: Session) -> None:
            store_certificate(session, connector_id, checked, now=now, actor=ACTOR)

        return write

    def _confirm(self, work: Work, detail: str, source: CertificateSource) -> Write | None:
        position = position_of(detail)
        if position is None:
            raise _Impossible("record_gone")
        record_id, body = self._parts.records.at(position, work.facts)
        connector_id = work.job.connector_id
        with translated(), unit_of_work(self._parts.api, tenant_id=work.job.tenant_id) as session:
            found = requested_confirmation(session, connector_id, record_id, body)
        if found is None:
            return None
        call_confirmation(source, found)
        topic = found.topic

        def write(session: Session) -> None:
            note_confirmed(session, connector_id, record_id, topic, actor=ACTOR)

        return write

    def _tell(self, work: Work, errand: Errand, result: str) -> None:
        log = self._log.info if result == "done" else self._log.warning
        log("errand", connector_id=work.job.connector_id, cause=errand[0], detail=errand[1], result=result)


def _store(session: Session, connector_id: str, ended: list[Errand], writes: list[Write]) -> None:
    for write in writes:
        write(session)
    drop_errands(session, connector_id, ended)

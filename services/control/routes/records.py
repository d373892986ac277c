"""What is only read: checks, usage, mappings, the audit log."""

from __future__ import annotations

import datetime as dt
from typing import Annotated
from uuid import UUID

from fastapi import Query, Response
from pydantic import AwareDatetime

from services.control.bodies import Name
from services.control.call import Auditor, Call, Pages, Paging, Reader, paged
from services.control.route import looks, router_of
from services.control.views import AuditView, HealthCheckView, MappingView, PageView, UsageView
from shared.domain.enums import EntityType, HealthStatus, UsageType
from shared.management.lists import (
    AUDIT,
    CHECKS,
    MAPPINGS,
    USAGE,
    AuditFilter,
    CheckFilter,
    MappingFilter,
    UsageFilter,
    list_audit,
    list_checks,
    list_mappings,
    list_usage,
)

router = router_of("/v1")

Key = Annotated[Name | None, Query(description="The provider's key, such as `phone:5511900000001`.")]
First = Annotated[dt.date | None, Query(alias="from")]
Last = Annotated[dt.date | None, Query(alias="to")]


@router.get("/connectors/{connector_id}/health-checks", response_model=PageView[HealthCheckView], tags=["health"])
@looks
def checks_of_connector(
    call: Reader,
    pages: Pages,
    connector_id: UUID,
    account_id: UUID | None = None,
    status: HealthStatus | None = None,
    since: AwareDatetime | None = None,
) -> Response:
    """Checks of a connector, newest first."""
    wanted = CheckFilter(connector_id=str(connector_id), account_id=_text(account_id), status=status, since=since)
    return _checks(call, pages, wanted)


@router.get("/accounts/{account_id}/health-checks", response_model=PageView[HealthCheckView], tags=["health"])
@looks
def checks_of_account(
    call: Reader, pages: Pages, account_id: UUID, status: HealthStatus | None = None, since: AwareDatetime | None = None
) -> Response:
    """Checks of an account, newest first."""
    return _checks(call, pages, CheckFilter(account_id=str(account_id), status=status, since=since))


@router.get("/connectors/{connector_id}/usage", response_model=PageView[UsageView], tags=["usage"])
@looks
def usage_of_connector(
    call: Reader,
    pages: Pages,
    connector_id: UUID,
    tipo: UsageType | None = None,
    first_day: First = None,
    last_day: Last = None,
) -> Response:
    """Volumes per day and type, newest day first; those of its accounts, and its own with `account_id` null."""
    return _usage(call, pages, UsageFilter(connector_id=str(connector_id), tipo=tipo, first_day=first_day, last_day=last_day))


@router.get("/accounts/{account_id}/usage", response_model=PageView[UsageView], tags=["usage"])
@looks
def usage_of_account(
    call: Reader, pages: Pages, account_id: UUID, tipo: UsageType | None = None, first_day: First = None, last_day: Last = None
) -> Response:
    """Volumes per day and type, newest day first."""
    return _usage(call, pages, UsageFilter(account_id=str(account_id), tipo=tipo, first_day=first_day, last_day=last_day))


@router.get("/mappings", response_model=PageView[MappingView], tags=["mappings"])
@looks
def mappings(
    call: Reader,
    pages: Pages,
    chave_externa: Key = None,
    entidade_id: UUID | None = None,
    entidade_type: EntityType | None = None,
    connector_id: UUID | None = None,
    account_id: UUID | None = None,
) -> Response:
    """Look up by either side; one of `chave_externa`, `entidade_id`, `connector_id`, `account_id` must be given."""
    wanted = MappingFilter(
        chave_externa=chave_externa,
        entidade_id=_text(entidade_id),
        entidade_type=entidade_type,
        connector_id=_text(connector_id),
        account_id=_text(account_id),
    )
    return _mappings(call, pages, wanted)


@router.get("/connectors/{connector_id}/mappings", response_model=PageView[MappingView], tags=["mappings"])
@looks
def mappings_of_connector(
    call: Reader, pages: Pages, connector_id: UUID, chave_externa: Key = None, entidade_type: EntityType | None = None
) -> Response:
    """Mappings of a connector."""
    wanted = MappingFilter(connector_id=str(connector_id), chave_externa=chave_externa, entidade_type=entidade_type)
    return _mappings(call, pages, wanted)


@router.get("/accounts/{account_id}/mappings", response_model=PageView[MappingView], tags=["mappings"])
@looks
def mappings_of_account(
    call: Reader, pages: Pages, account_id: UUID, chave_externa: Key = None, entidade_type: EntityType | None = None
) -> Response:
    """Mappings of an account."""
    wanted = MappingFilter(account_id=str(account_id), chave_externa=chave_externa, entidade_type=entidade_type)
    return _mappings(call, pages, wanted)


@router.get("/audit-log", response_model=PageView[AuditView], tags=["audit"])
@looks
def audit(
    call: Auditor,
    pages: Pages,
    subject_id: UUID | None = None,
    actor: Annotated[Name | None, Query()] = None,
    action: Annotated[Name | None, Query()] = None,
    since: AwareDatetime | None = None,
    until: AwareDatetime | None = None,
) -> Response:
    """Who did what, newest first; secrets are masked."""
    wanted = AuditFilter(subject_id=_text(subject_id), actor=actor, action=action, since=since, until=until)
    with call.looking() as reader:
        return paged(AuditView, list_audit(reader, call.tenant, wanted, pages.slice(wanted, AUDIT)), wanted)


def _checks(call: Call, pages: Paging, wanted: CheckFilter) -> Response:
    with call.looking() as reader:
        return paged(HealthCheckView, list_checks(reader, call.tenant, wanted, pages.slice(wanted, CHECKS)), wanted)


def _usage(call: Call, pages: Paging, wanted: UsageFilter) -> Response:
    with call.looking() as reader:
        return paged(UsageView, list_usage(reader, call.tenant, wanted, pages.slice(wanted, USAGE)), wanted)


def _mappings(call: Call, pages: Paging, wanted: MappingFilter) -> Response:
    with call.looking() as reader:
        return paged(MappingView, list_mappings(reader, call.tenant, wanted, pages.slice(wanted, MAPPINGS)), wanted)


def _text(value: UUID | None) -> str | None:
    return str(value) if value else None

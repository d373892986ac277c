"""Finds what a person names: by id, or by the name that the tenant gave it. What does not exist is answered with what does."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import TypeVar
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.adapters.tables import AutomationFlow, ChannelAccount, ChannelConnector, OrgUnit, Tenant
from shared.domain.enums import ConnectorStatus
from shared.domain.errors import Conflict, InvalidInput, NotFound
from shared.management.acting import tenants_named
from shared.management.ownership import owned
from shared.providers import provider_of

_MOST_NAMES = 200  # that are read to suggest one
_SHOWN = 5

Row = TypeVar("Row", ChannelConnector, ChannelAccount, OrgUnit, AutomationFlow)
Target = TypeVar("Target", OrgUnit, AutomationFlow)


def is_id(text: str) -> str | None:
    """The canonical id, if the text is one."""
    try:
        return str(UUID(text))
    except ValueError:
        return None


def tenant_id_of(session: Session, given: str) -> str:
    """Id of the tenant that is meant; an id is believed (a session that acts for nobody cannot look).

    Raises NotFound, Conflict (`name_ambiguous`).
    """
    known = is_id(given)
    if known is not None:
        return known
    found = tenants_named(session, given)
    if len(found) > 1:
        raise Conflict(f"several tenants are named {given!r}: {', '.join(found)}; give the id", reason="name_ambiguous")
    if not found:
        raise NotFound(f"no tenant is named {given!r}; give its id or its exact name")
    return found[0]


def require_tenant(session: Session, tenant_id: str) -> None:
    """Raise NotFound for a tenant that does not exist; the session acts for it already."""
    if session.get(Tenant, tenant_id) is None:
        raise NotFound(f"there is no tenant {tenant_id}")


def connector_named(session: Session, tenant_id: str, given: str) -> ChannelConnector:
    """By id or `nome`; an archived one only where no other has the name. Raises NotFound, Conflict (`name_ambiguous`)."""
    known = is_id(given)
    if known is None:
        mine = select(ChannelConnector).where(ChannelConnector.tenant_id == tenant_id, ChannelConnector.nome == given)
        found = session.scalars(mine.order_by(ChannelConnector.id)).all()
        found = [row for row in found if row.status is not ConnectorStatus.ARCHIVED] or found
        if found:
            return _only(found, f"connectors are named {given!r}")
    else:
        try:
            return owned(session, ChannelConnector, known, tenant_id)
        except NotFound:
            pass
    names = session.scalars(
        select(ChannelConnector.nome)
        .where(ChannelConnector.tenant_id == tenant_id, ChannelConnector.status != ConnectorStatus.ARCHIVED)
        .order_by(ChannelConnector.id)
        .limit(_MOST_NAMES)
    ).all()
    raise NotFound(_unknown("connector", given, names))


def account_named(session: Session, tenant_id: str, given: str) -> ChannelAccount:
    """By id, or by `identidade` in any spelling that its provider knows. Raises as `connector_named`."""
    known = is_id(given)
    mine = (
        select(ChannelAccount)
        .join(ChannelConnector, ChannelConnector.id == ChannelAccount.connector_id)
        .where(ChannelConnector.tenant_id == tenant_id)
        .order_by(ChannelAccount.id)
    )
    if known is None:
        found = session.scalars(mine.where(ChannelAccount.identidade.in_(_spellings(session, tenant_id, given)))).all()
        if found:
            return _only(found, f"accounts are {given!r}, of different connectors")
    else:
        try:
            return owned(session, ChannelAccount, known, tenant_id)
        except NotFound:
            pass
    names = session.scalars(mine.with_only_columns(ChannelAccount.identidade).limit(_MOST_NAMES)).all()
    raise NotFound(_unknown("account", given, names))


def target_named(session: Session, tenant_id: str, table: type[Target], given: str) -> str:
    """Id of a unit or a flow, by id or name. Raises as `connector_named`."""
    what = "unit" if table is OrgUnit else "flow"
    mine = select(table).where(table.tenant_id == tenant_id, table.deleted_at.is_(None)).order_by(table.id)
    known = is_id(given)
    wanted = table.id == known if known is not None else table.name == given
    found = session.scalars(mine.where(wanted)).all()
    if found:
        return _only(found, f"{what}s are named {given!r}").id
    names = [row.name for row in session.scalars(mine.limit(_MOST_NAMES))]
    raise NotFound(_unknown(what, given, names))


def _spellings(session: Session, tenant_id: str, given: str) -> set[str]:
    spellings = {given}
    for tipo in session.scalars(select(ChannelConnector.tipo).where(ChannelConnector.tenant_id == tenant_id).distinct()):
        try:
            spellings.add(provider_of(tipo).normalise_identity(given))
        except InvalidInput:
            continue  # no account of this provider
    return spellings


def _only(found: Sequence[Row], told: str) -> Row:
    if len(found) > 1:
        raise Conflict(f"several {told}: {', '.join(row.id for row in found)}; give the id", reason="name_ambiguous")
    return found[0]


def _unknown(what: str, given: str, names: Sequence[str]) -> str:
    if not names:
        return f"no {what} {given[:64]!r}; the tenant has none"
    near = [] if is_id(given) else difflib.get_close_matches(given, names, n=1, cutoff=0.5)
    shown = ", ".join(repr(name) for name in names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
    there = f"there is {shown}" if len(names) == 1 else f"there are {shown}"
    return f"no {what} {given[:64]!r}; " + (f"did you mean {near[0]!r}? " if near else "") + there

"""The fallbacks of a manifest's accounts, once every account of the tenant is there that they may lead to."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sqlalchemy import select

from shared.adapters.tables import ChannelAccount, ChannelFallback, ConnectorDefaultFallback
from shared.domain.enums import FallbackType
from shared.management.fallbacks import NewFallback, create_fallback, set_default_fallback, update_fallback
from shared.management.manifest import FallbackPart
from shared.management.manifest_pass import Pass
from shared.management.manifest_text import Place


@dataclass(slots=True)
class _Wanted:
    place: Place
    account: ChannelAccount
    part: FallbackPart
    row: ChannelFallback | None


def put_fallbacks(current: Pass, accounts: list[tuple[Place, ChannelAccount, tuple[FallbackPart, ...]]]) -> None:
    """Bring all of a tenant at once to what the file says: first what is turned off, so that no way leads in a circle."""
    wanted: list[_Wanted] = []
    for place, account, parts in accounts:
        left = list(
            current.session.scalars(
                select(ChannelFallback).where(ChannelFallback.account_id == account.id).order_by(ChannelFallback.id)
            )
        )
        for index, part in enumerate(parts):
            row = next((row for row in left if _same(row, part)), None)
            if row is not None:
                left.remove(row)
            wanted.append(_Wanted((*place, "fallbacks", index), account, part, row))
    for one in sorted(wanted, key=lambda one: (one.part.ativo, one.row is None)):
        _put(current, one)
    for one in wanted:
        if one.part.default and one.row is not None:
            _make_default(current, one, one.row)


def _put(current: Pass, one: _Wanted) -> None:
    session, actor, part = current.session, current.applier.actor, one.part
    with current.at(one.place):
        if one.row is None:
            new = NewFallback(tipo=part.tipo, destino=part.destino, ativo=part.ativo)
            one.row = create_fallback(session, one.account.id, new, actor=actor)
        elif one.row.ativo != part.ativo:
            update_fallback(session, one.row.id, {"ativo": part.ativo}, actor=actor)
    if one.row is not None:
        current.saw(one.row)


def _make_default(current: Pass, one: _Wanted, row: ChannelFallback) -> None:
    session, connector_id = current.session, one.account.connector_id
    with current.at(one.place):
        link = session.get(ConnectorDefaultFallback, connector_id)
        if link is None or link.fallback_id != row.id:
            set_default_fallback(session, connector_id, row.id, actor=current.applier.actor)


def _same(row: ChannelFallback, part: FallbackPart) -> bool:
    if row.tipo is not part.tipo:
        return False
    if part.tipo is FallbackType.FALLBACK_NUMBER:
        return re.sub(r"\D", "", row.destino) == re.sub(r"\D", "", part.destino)
    return row.destino == part.destino.strip()

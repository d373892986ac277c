"""The connectors of a manifest: each with its tokens, webhooks, capabilities and accounts, then its status."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from shared.adapters.tables import ChannelAccount, ChannelConnector, ChannelHealthCheck
from shared.domain.enums import ConnectorStatus, HealthStatus
from shared.domain.errors import InvalidInput
from shared.management.capabilities import by_hand, capability_of, edited, set_capability
from shared.management.connectors import NewConnector, archive_connector, change_status, create_connector, update_connector
from shared.management.health_checks import record_check
from shared.management.manifest import ConnectorPart
from shared.management.manifest_accounts import Placed, put_account, settle_account
from shared.management.manifest_credentials import put_token, put_webhooks
from shared.management.manifest_pass import AppliedAccount, AppliedConnector, Pass, one_of
from shared.management.manifest_text import Place
from shared.management.webhooks import receiving_url

_FIRST_CHECK = (
    "Set-up check by `channels apply`: configuration accepted, credentials and secrets stored. The provider was not asked."
)


def apply_connector(current: Pass, place: Place, tenant_id: str, part: ConnectorPart) -> list[Placed]:
    """Bring one connector and all that belongs to it, but the fallbacks, to what the file says; returns its accounts."""
    connector = None
    if current.sound(("tenants", place[1], "connectors", place[3], "config")):
        with current.at(place):
            connector = _put_connector(current, tenant_id, part)
    if connector is None:
        return []
    current.saw(connector)
    for index, token in enumerate(part.tokens):
        put_token(current, (*place, "tokens", index), connector, token)
    put_webhooks(current, place, connector, part.webhooks)
    for index, capability in enumerate(part.capabilities):
        with current.at((*place, "capabilities", index)):
            known = capability_of(current.session, connector.id, capability.feature)
            given = capability.constraints if capability.constraints is not None else by_hand(connector, known)[1]
            enabled, limits = edited(connector, known, capability.enabled, given)
            row = set_capability(
                current.session,
                connector.id,
                capability.feature,
                enabled=enabled,
                constraints=limits,
                actor=current.applier.actor,
            )
            current.saw(row)
    accounts = [
        (where, each, put_account(current, where, connector, each))
        for where, each in (((*place, "accounts", index), each) for index, each in enumerate(part.accounts))
    ]
    _settle_connector(current, place, connector, part)
    placed = [Placed(where, each, account) for where, each, account in accounts if account is not None]
    for one in placed:
        current.saw(one.account)
        settle_account(current, one.place, connector, one.account, one.part)
    _report(current, connector, [one.account for one in placed])
    return placed


def _put_connector(current: Pass, tenant_id: str, part: ConnectorPart) -> ChannelConnector:
    session, applier = current.session, current.applier
    known = _known_connector(current, tenant_id, part)
    if known is None:
        new = NewConnector(
            tenant_id=tenant_id,
            tipo=part.tipo,
            nome=part.nome,
            config=part.config,
            projeto_referencia=part.projeto_referencia,
            id=part.id,
        )
        return create_connector(session, applier.vault, new, actor=applier.actor)
    if known.tenant_id != tenant_id:
        raise InvalidInput("this id belongs to another tenant", reason="id_taken", pointer="/id")
    if known.tipo is not part.tipo:
        raise InvalidInput("the tipo of a connector cannot change; archive it and add a new one", pointer="/tipo")
    changes: dict[str, Any] = {"nome": part.nome, "config": part.config}
    if part.projeto_referencia is not None:
        changes["projeto_referencia"] = part.projeto_referencia
    return update_connector(session, applier.vault, known.id, changes, actor=applier.actor)


def _known_connector(current: Pass, tenant_id: str, part: ConnectorPart) -> ChannelConnector | None:
    if part.id is not None:
        return current.session.get(ChannelConnector, part.id)
    same_name = select(ChannelConnector).where(ChannelConnector.tenant_id == tenant_id, ChannelConnector.nome == part.nome)
    if part.status != "archived":  # a connector that was archived makes room for a new one of its name
        same_name = same_name.where(ChannelConnector.status != ConnectorStatus.ARCHIVED)
    return one_of(current.session.scalars(same_name).all())


def _settle_connector(current: Pass, place: Place, connector: ChannelConnector, part: ConnectorPart) -> None:
    if not current.sound((*place, "tokens")) or not current.sound((*place, "webhooks")):
        return  # what is missing has been said
    session, actor = current.session, current.applier.actor
    with current.at(place):
        if part.status == "archived":
            archive_connector(session, connector.id, actor=actor)
        elif part.status == "pending":
            change_status(session, connector.id, ConnectorStatus.PENDING, cause="applied", actor=actor)
        elif connector.status is ConnectorStatus.ERROR:
            current.report.notes.append(f"connector {connector.nome!r} is in error; it returns when its checks pass")
        else:
            if connector.status is ConnectorStatus.PENDING and not _has_good_check(current, connector):
                record_check(session, connector.id, HealthStatus.PASSED, _FIRST_CHECK, actor=actor)
            change_status(session, connector.id, ConnectorStatus.ACTIVE, cause="applied", actor=actor)


def _has_good_check(current: Pass, connector: ChannelConnector) -> bool:
    good = select(ChannelHealthCheck.id).where(
        ChannelHealthCheck.connector_id == connector.id, ChannelHealthCheck.status != HealthStatus.FAILED
    )
    return current.session.scalar(good.limit(1)) is not None


def _report(current: Pass, connector: ChannelConnector, accounts: list[ChannelAccount]) -> None:
    current.report.connectors.append(
        AppliedConnector(
            id=connector.id,
            tenant_id=connector.tenant_id,
            nome=connector.nome,
            tipo=connector.tipo,
            status=connector.status,
            webhook_url=receiving_url(current.applier.public_url, connector.id),
            accounts=tuple(
                AppliedAccount(account.id, account.identidade, account.status, account.webhook_url) for account in accounts
            ),
        )
    )

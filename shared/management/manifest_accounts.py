"""The accounts of a manifest's connector: registered and routed first, then turned on or off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select

from shared.adapters.tables import AutomationFlow, ChannelAccount, ChannelConnector, OrgUnit
from shared.domain.enums import AccountStatus, ConnectorStatus
from shared.domain.errors import InvalidInput
from shared.management.accounts import NewAccount, change_account_status, create_account, update_account
from shared.management.manifest import AccountPart
from shared.management.manifest_pass import Pass, one_of
from shared.management.manifest_text import Place
from shared.management.webhooks import receiving_url
from shared.providers import provider_of


@dataclass(frozen=True, slots=True)
class Placed:
    """An account that is there now, and where the file speaks of it."""

    place: Place
    part: AccountPart
    account: ChannelAccount


def put_account(current: Pass, place: Place, connector: ChannelConnector, part: AccountPart) -> ChannelAccount | None:
    """Create or update one account; None where the file or a rule stands against it."""
    if not current.sound(place):
        return None
    session, applier = current.session, current.applier
    account = None
    with current.at(place):
        identidade = provider_of(connector.tipo).normalise_identity(part.identidade)
        unit = _reference(current, OrgUnit, connector.tenant_id, part.org_unit, "/org_unit")
        flow = _reference(current, AutomationFlow, connector.tenant_id, part.intake_flow, "/intake_flow")
        known = session.get(ChannelAccount, part.id) if part.id else _by_identity(current, connector, identidade)
        if known is None:
            new = NewAccount(
                identidade=identidade,
                org_unit_id=unit,
                intake_flow_id=flow,
                nome_exibicao=part.nome_exibicao,
                config=part.config,
                metadata=part.metadata,
                id=part.id,
            )
            account = create_account(session, connector.id, new, public_url=applier.public_url, actor=applier.actor)
            if part.webhook_url is not None:
                account = update_account(session, account.id, {"webhook_url": part.webhook_url}, actor=applier.actor)
        else:
            if known.connector_id != connector.id:
                raise InvalidInput("this id belongs to another connector", reason="id_taken", pointer="/id")
            if known.identidade != identidade:
                raise InvalidInput("the identidade of an account cannot change", pointer="/identidade")
            url = part.webhook_url or receiving_url(applier.public_url, connector.id, known.id)
            changes: dict[str, Any] = {"org_unit_id": unit, "intake_flow_id": flow, "config": part.config, "webhook_url": url}
            changes |= {"nome_exibicao": part.nome_exibicao} if part.nome_exibicao is not None else {}
            changes |= {"metadata": part.metadata} if part.metadata is not None else {}
            account = update_account(session, known.id, changes, actor=applier.actor)
    return account


def settle_account(current: Pass, place: Place, connector: ChannelConnector, account: ChannelAccount, part: AccountPart) -> None:
    """Bring one account to its status, once its connector has got its own."""
    current.session.refresh(account)  # the connector's own change may have turned it
    status = AccountStatus(part.status)
    if status is AccountStatus.ACTIVE and connector.status is not ConnectorStatus.ACTIVE:
        if current.sound(place[:4]):
            current.report.notes.append(f"account {account.identidade} stays {account.status}: its connector is not active")
        return
    if account.status is status:
        return  # its connector is locked: nobody else turns it meanwhile
    with current.at(place):
        change_account_status(current.session, account.id, status, actor=current.applier.actor)


def _by_identity(current: Pass, connector: ChannelConnector, identidade: str) -> ChannelAccount | None:
    return current.session.scalar(
        select(ChannelAccount).where(ChannelAccount.connector_id == connector.id, ChannelAccount.identidade == identidade)
    )


def _reference(
    current: Pass, table: type[OrgUnit] | type[AutomationFlow], tenant_id: str, given: str | None, pointer: str
) -> str | None:
    if given is None:
        return None
    known = current.references.get((table.__tablename__, tenant_id, given))
    if known is not None:
        return known
    try:
        wanted = table.id == str(UUID(given))
    except ValueError:
        wanted = table.name == given
    found = current.session.scalars(select(table.id).where(table.tenant_id == tenant_id, wanted)).all()
    if not found:
        raise InvalidInput("the tenant has none of this name or id", reason="reference_unknown", pointer=pointer)
    reference = one_of(found)
    if reference is not None:
        current.references[table.__tablename__, tenant_id, given] = reference
    return reference

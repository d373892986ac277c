"""What a person set by hand (`channel_override`): written by the use cases of people, read by those that follow the provider."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import bindparam, delete, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from shared.adapters.pipelined_work import send_later
from shared.adapters.tables import ChannelAccount, ChannelCapability, ChannelOverride, stored_in
from shared.domain.enums import Feature
from shared.management.rules import flush, rules_enforced

NAME = "nome_exibicao"
ENABLED, CONSTRAINTS = "enabled", "constraints."
_ACCOUNT = bindparam("account", type_=ChannelOverride.subject_id.type)
_HOLD_NAME = (
    insert(stored_in(ChannelOverride))
    .values(subject_id=_ACCOUNT, field=NAME, connector_id=bindparam("connector"), account_id=_ACCOUNT, actor=bindparam("who"))
    .on_conflict_do_nothing()
    .inline()
)


def hold_name(session: Session, account: ChannelAccount, *, actor: str) -> None:
    """The account's name is a person's from now on, if it was not."""
    flush(session)  # the account may be new
    with rules_enforced():
        send_later(session, _HOLD_NAME, {"account": account.id, "connector": account.connector_id, "who": actor})


def release_name(session: Session, account: ChannelAccount) -> None:
    """The account's name is the provider's again."""
    _release(session, account.id, NAME)


def is_name_held(session: Session, account_id: str) -> bool:
    """Whether a person set the account's name."""
    return session.get(ChannelOverride, (account_id, NAME), populate_existing=True) is not None


def members_of(row: ChannelCapability) -> dict[str, Any]:
    """The parts of a capability that are set one by one → their values; a limit that is not there is absent."""
    limits = {f"{CONSTRAINTS}{name}": value for name, value in (row.constraints or {}).items()}
    return {ENABLED: row.enabled, **limits}


def changed_members(before: Mapping[str, Any], after: Mapping[str, Any]) -> frozenset[str]:
    """Members that were set, changed or taken away."""
    missing = object()
    return frozenset(name for name in before.keys() | after.keys() if before.get(name, missing) != after.get(name, missing))


def hold_members(session: Session, connector_id: str, feature: Feature, members: Iterable[str], *, actor: str) -> frozenset[str]:
    """These members are a person's from now on, beside those that were; returns all of them."""
    known = held_members(session, connector_id, feature)
    wanted = known | frozenset(members)
    if wanted != known:
        key = {"subject_id": connector_id, "field": capability_field(feature), "connector_id": connector_id}
        values = {"members": sorted(wanted), "actor": actor, "since": func.now()}
        statement = insert(ChannelOverride).values(**key, **values)
        with rules_enforced():
            session.execute(statement.on_conflict_do_update(index_elements=["subject_id", "field"], set_=values))
    return wanted


def release_members(session: Session, connector_id: str, feature: Feature) -> None:
    """Every member of the feature is the provider's again."""
    _release(session, connector_id, capability_field(feature))


def held_members(session: Session, connector_id: str, feature: Feature) -> frozenset[str]:
    """What a person set of one feature."""
    row = session.get(ChannelOverride, (connector_id, capability_field(feature)), populate_existing=True)
    return frozenset(row.members) if row is not None else frozenset()


def held_names(session: Session, connector_ids: Any) -> frozenset[str]:
    """Accounts of these connectors (ids, or a query of them) whose names people set."""
    wanted = select(ChannelOverride.account_id).where(
        ChannelOverride.field == NAME, ChannelOverride.connector_id.in_(connector_ids)
    )
    return frozenset(account_id for account_id in session.scalars(wanted) if account_id is not None)


def capability_field(feature: Feature | str) -> str:
    """Under which field it stands what people set of a feature."""
    return f"capability:{feature}"


def _release(session: Session, subject_id: str, field: str) -> None:
    with rules_enforced():
        session.execute(delete(ChannelOverride).where(ChannelOverride.subject_id == subject_id, ChannelOverride.field == field))

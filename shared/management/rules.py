"""What a refusal of the database means to a caller: constraint -> error with a stable code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from shared.adapters.database import DatabaseFault, classify, constraint_of, is_foreign_row
from shared.domain.errors import ChannelsError, Conflict, InvalidInput, NotFound, Unavailable

# constraint -> (code, explanation); the present state forbids the change
_CONFLICTS = {
    "connector_not_active": ("connector_not_active", "an account is active only under an active connector"),
    "illegal_transition": ("illegal_transition", "an archived connector stays archived"),
    "token_missing": ("token_missing", "this provider needs a valid token; register one first"),
    "token_expired": ("token_expired", "every token of this connector has expired; register a new one"),
    "check_missing": ("check_missing", "the connector needs one health check that did not fail"),
    "uq_channel_account_connector_id_identidade": ("identity_taken", "the connector has an account of this identidade"),
    "uq_channel_capability_connector_id_feature": ("capability_exists", "the connector has a row for this feature"),
    "ck_channel_account_route_missing": ("route_missing", "an account needs org_unit_id or intake_flow_id"),
    "ck_channel_webhook_segredo_missing": ("segredo_missing", "an active webhook needs at least one secret"),
}
# constraint -> (code, pointer, explanation); what was handed in is wrong
_FAULTS = {
    "org_unit_unknown": ("org_unit_unknown", "/org_unit_id", "the tenant has no such org_unit"),
    "flow_unknown": ("flow_unknown", "/intake_flow_id", "the tenant has no such flow"),
    "flow_not_published": ("flow_not_published", "/intake_flow_id", "the flow is not published"),
    "flow_not_intake": ("flow_not_intake", "/intake_flow_id", "the flow is not of category intake"),
    "ck_channel_connector_nome_missing": ("nome_missing", "/nome", "nome cannot be blank"),
    "fallback_of_another_connector": ("fallback_unknown", "/fallback_id", "no account of this connector has such a fallback"),
    "fk_channel_connector_tenant_id_tenant": ("tenant_unknown", "/tenant_id", "there is no such tenant"),
} | {
    # Given by the caller and held by a row that the caller may not even see.
    f"pk_{table}": ("id_taken", "/id", "this id is taken")
    for table in ("tenant", "org_unit", "automation_flow", "channel_connector", "channel_account", "channel_token")
}


def flush(session: Session) -> None:
    """Send the pending changes; raises Conflict or InvalidInput with the rule that refused them, or Unavailable."""
    with rules_enforced():
        session.flush()


@contextmanager
def rules_enforced() -> Iterator[None]:
    """Translate the database's refusals inside the block; what is no rule and no outage passes unchanged."""
    try:
        yield
    except DBAPIError as error:
        meaning = _meaning(error)
        if meaning is None:
            raise
        raise meaning from error


def _meaning(error: DBAPIError) -> ChannelsError | None:
    rule = constraint_of(error) or ""
    if rule in _CONFLICTS:
        reason, explanation = _CONFLICTS[rule]
        return Conflict(explanation, reason=reason)
    if rule in _FAULTS:
        reason, pointer, explanation = _FAULTS[rule]
        return InvalidInput(explanation, reason=reason, pointer=pointer)
    if is_foreign_row(error):
        return NotFound("this refers to something that does not exist")
    if classify(error) is DatabaseFault.RETRY:
        return Unavailable(f"the database gave up; try again ({first_line(error)})")
    return None


def first_line(error: DBAPIError) -> str:
    """What the driver says, without the statement and its values."""
    return str(error.orig).strip().partition("\n")[0]

"""What a held row remembers of a decision, and how a batch that is tried again takes it from there. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.router.facts import Candidate
from shared.domain.enums import ItemOutcome
from shared.domain.outcomes import Ending
from shared.domain.records import Decision


def stored(decision: Decision) -> dict[str, Any]:
    """A decision as JSON."""
    return {
        "rule": decision.rule,
        "reason": decision.reason,
        "org_unit_id": decision.org_unit_id,
        "intake_flow_id": decision.intake_flow_id,
        "account_snapshot_version": decision.account_snapshot_version,
        "labels": list(decision.labels),
    }


def decision_of(said: Mapping[str, Any]) -> Decision:
    """The decision again."""
    return Decision(**(dict(said) | {"labels": tuple(said.get("labels", ()))}))


def outcome_of(candidate: Candidate) -> dict[str, Any]:
    """What a row keeps when its copy has ended it."""
    outcome = {
        "decision": None if candidate.decision is None else stored(candidate.decision),
        "ending": None if candidate.ending is None else [candidate.ending.outcome.value, candidate.ending.reason],
        "orphan_reason": candidate.orphan_reason,
    }
    return {"outcome": outcome}


def restore(candidate: Candidate, said: Mapping[str, Any]) -> None:
    """The same to the candidate of a batch that is tried again."""
    outcome = said.get("outcome", {})
    if outcome.get("decision") is not None:
        candidate.decision = decision_of(outcome["decision"])
    if outcome.get("ending") is not None:
        candidate.ending = Ending(outcome=ItemOutcome(outcome["ending"][0]), reason=outcome["ending"][1])
    candidate.orphan_reason = outcome.get("orphan_reason")

"""What a flow may answer, and whether an answer is one. Pure."""

from __future__ import annotations

import re
from typing import Any
from uuid import UUID

from shared.domain.enums import IntakeOutcome
from shared.domain.records import IntakeCompleted

MAX_EXTENSION_SECONDS = 86_400
MAX_LABELS = 20
_CODE = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")


def fault_of(answer: IntakeCompleted) -> str | None:
    """Why this is no answer (a short code), None if it is one.

    Codes are checked closely: they are kept in PostgreSQL, where nothing that people wrote may go.
    """
    outcome = answer.outcome
    faults = {
        "request_id_invalid": not is_id(answer.request_id),
        "labels_invalid": len(answer.labels) > MAX_LABELS or not all(_CODE.fullmatch(label) for label in answer.labels),
        "reason_invalid": answer.reason is not None and _CODE.fullmatch(answer.reason) is None,
        "unit_invalid": outcome is IntakeOutcome.ROUTE and not is_id(answer.org_unit_id or ""),
        "reason_missing": outcome is IntakeOutcome.DROP and answer.reason is None,
        "extension_invalid": outcome is IntakeOutcome.EXTEND and not 1 <= (answer.extend_seconds or 0) <= MAX_EXTENSION_SECONDS,
    }
    return next((code for code, applies in faults.items() if applies), None)


def remembered(answer: IntakeCompleted) -> dict[str, Any]:
    """What `held_record.decision` keeps of it: ids and short codes."""
    return {
        "outcome": answer.outcome.value,
        "org_unit_id": answer.org_unit_id if answer.outcome is IntakeOutcome.ROUTE else None,
        "reason": answer.reason,
        "labels": list(answer.labels),
    }


def is_id(text: str) -> bool:
    """Whether this is a UUID in its canonical spelling."""
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False

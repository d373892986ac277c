"""Opens the fragment that a dead letter carries: masked by default, always with a line in the audit log before it is opened.

Needs the ingest keys. What is shown masked has the form of the element and none of what people wrote: names of members,
short codes under names such as `type`, and the length of every other value.
"""

from __future__ import annotations

import json
import re
from typing import Any

from sqlalchemy.orm import Session

from shared.adapters.database import unit_of_work
from shared.adapters.raw_body import fragment_aad
from shared.adapters.vault import Vault
from shared.domain.enums import KeyPurpose
from shared.domain.errors import NotFound
from shared.management.data_keys import wrapped_keys
from shared.management.dead_letter_changes import note_audit
from shared.management.dead_letters import DeadLetters, Letter
from shared.management.masking import MASK
from shared.management.rules import rules_enforced

_CODES = frozenset({"type", "kind", "event", "field", "object", "status", "messaging_product", "mime_type", "mimetype"})
_CODE = re.compile(r"[A-Za-z][A-Za-z_./-]{0,39}")
_NAME = re.compile(r"[A-Za-z_@$][A-Za-z0-9_.@$-]{0,47}")
_REF = re.compile(r"([a-z_]{1,40}):(.+)")
_SHOWN_OF_REF = 4


def open_fragment(box: DeadLetters, vault: Vault, letter: Letter, *, actor: str, plain: bool) -> bytes:
    """The element in clear; the audit row is committed first. Raises NotFound, SealBroken, Unavailable."""
    event = letter.event
    if event.sealed_fragment is None or event.tenant_id is None:
        raise NotFound(f"dead letter {letter.id} carries no fragment: its element was too large, or could not be opened at all")
    with rules_enforced(), unit_of_work(box.engine) as session:
        facts = {"letter": letter.id, "record_id": event.record_id, "plain": plain}
        note_audit(session, "dead_letter.opened", event.tenant_id, event.connector_id, facts, actor)
        ring = vault.ring(KeyPurpose.INGEST, event.tenant_id, _keys(session, event.tenant_id))
        session.commit()
    return ring.open_bytes(event.sealed_fragment, fragment_aad(event.tenant_id, event.record_id))


def masked_fragment(fragment: bytes) -> Any:
    """The form of the element without its values, as JSON; what is no JSON is told by its size."""
    try:
        return _masked("", json.loads(fragment))
    except (ValueError, RecursionError):
        return f"{MASK} ({len(fragment)} bytes that are no JSON)"


def masked_detail(detail: str) -> str:
    """What went wrong, for lists: reasons as they are, of the names of accounts the last four characters."""
    return ",".join(_masked_part(part) for part in detail.split(",")) if detail else ""


def _keys(session: Session, tenant_id: str) -> Any:
    keys = wrapped_keys(session, tenant_id, KeyPurpose.INGEST)
    if not keys:
        raise NotFound(f"tenant {tenant_id} has no ingest keys (any more): nothing of it can be opened")
    return keys


def _masked_part(part: str) -> str:
    if _CODE.fullmatch(part):
        return part
    found = _REF.fullmatch(part)
    if found is None:
        return MASK
    shown = found[2][-_SHOWN_OF_REF:] if len(found[2]) > 2 * _SHOWN_OF_REF else ""
    return f"{found[1]}:{MASK}{shown}"


def _masked(name: str, value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, dict):
        return {key if _NAME.fullmatch(key) else MASK: _masked(key, member) for key, member in value.items()}
    if isinstance(value, list):
        return [_masked(name, member) for member in value]
    if isinstance(value, str):
        return value if name in _CODES and _CODE.fullmatch(value) else f"{MASK} ({len(value)} characters)"
    return MASK

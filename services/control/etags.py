"""Entity tags and `If-Match` (RFC 9110 section 13): nobody overwrites what he has not seen."""

from __future__ import annotations

import hashlib

import msgspec

from services.control.problems import Refusal
from services.control.views import Shown


def tag_of(shown: Shown) -> str:
    """A strong tag of what people can change; times that move with the traffic are left out of it."""
    seen = {name: value for name, value in shown.told.items() if name not in shown.view.VOLATILE}
    digest = hashlib.sha256(msgspec.json.encode([seen, shown.unseen], order="sorted")).hexdigest()
    return f'"{digest[:32]}"'


def require_match(if_match: str | None, current: Shown) -> None:
    """Raise Refusal: 428 without the header, 412 if it names another state. `*` stands for whatever there is."""
    if if_match is None:
        raise Refusal(428, "precondition_required", "give the ETag that you read in If-Match", parameter="If-Match")
    tags = {tag.strip() for tag in if_match.split(",")}
    if "*" not in tags and tag_of(current) not in tags:
        raise Refusal(412, "precondition_failed", "it was changed meanwhile; read it again", parameter="If-Match")


def require_match_or_first(if_match: str | None, if_none_match: str | None, current: Shown | None) -> None:
    """For what may not be there yet: `If-None-Match: *` sets the first one, `If-Match` replaces what was read. Raises Refusal."""
    if if_none_match is not None and (current is not None or if_none_match.strip() != "*"):
        raise Refusal(412, "precondition_failed", "there is one; read it first", parameter="If-None-Match")
    if current is not None:
        require_match(if_match, current)
    elif if_match is not None:
        raise Refusal(412, "precondition_failed", "there is none any more", parameter="If-Match")
    elif if_none_match is None:
        raise Refusal(428, "precondition_required", "give If-None-Match: * to set the first one", parameter="If-None-Match")

"""Whether a redirect is followed, and where to. Pure."""

from __future__ import annotations

from urllib.parse import urljoin

from shared.adapters.egress_target import Target, read_target
from shared.adapters.http_faults import EgressRefused, RedirectRefused
from shared.adapters.http_request import WireRequest

_STATUSES = frozenset({301, 302, 303, 307, 308})


def next_target(target: Target, request: WireRequest, status: int, location: str | None) -> Target | None:
    """Where the answer leads; None if it is no redirect of a GET or HEAD. Raises RedirectRefused.

    From https never to http. A request that carries more than harmless headers stays with scheme, host and port.
    """
    if status not in _STATUSES or location is None or request.method not in ("GET", "HEAD"):
        return None
    host = f"[{target.host}]" if ":" in target.host else target.host
    try:
        found = read_target(urljoin(f"{target.scheme}://{host}:{target.port}{target.tail}", location))
    except (EgressRefused, ValueError):
        raise RedirectRefused(f"{target.host} redirects to what is no URL", may_have_left=True) from None
    if target.scheme == "https" and found.scheme != "https":
        raise RedirectRefused(f"{target.host} redirects to plain http", may_have_left=True)
    if not request.bare and found.origin != target.origin:
        raise RedirectRefused(f"{target.host} redirects a call with credentials to another host", may_have_left=True)
    return found

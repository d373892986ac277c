"""The rules for a request's head (RFC 9112) where llhttp is more generous than we are. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from services.ingest.answers import Answer, malformed
from services.ingest.exchange import Exchange

ONLY_ONCE = frozenset({"host", "content-length", "transfer-encoding", "expect"})
"""Headers that a request may hold once at most; twice is how requests are smuggled."""

_NO_HOST_HOLDS = frozenset(b" \t,/\\@?#")
_VERSION = malformed("http_version", 505)
_UPGRADE = malformed("upgrade")
_HOST_MISSING = malformed("host_missing")
_HOST_INVALID = malformed("host_invalid")
_TWO_LENGTHS = malformed("two_body_lengths")
_CODING_IN_1_0 = malformed("transfer_encoding_in_http_1_0")
_CODING = malformed("transfer_encoding", 501)
_EXPECTATION = malformed("expectation", 417)
_REPEATED = malformed("repeated_header")
_TARGET = malformed("target")


def check_head(version: str, exchange: Exchange, *, upgrade: bool) -> Answer | None:
    """What is wrong with a head that llhttp let through, or None. `upgrade`: llhttp saw another protocol asked for."""
    headers, target = exchange.headers, exchange.target
    if version not in ("1.1", "1.0"):
        return _VERSION
    if exchange.repeated:
        return _REPEATED
    if upgrade:
        return _UPGRADE
    if b"#" in target:
        return _TARGET
    fault = _check_host(version, headers)
    if fault is None and "transfer-encoding" in headers:
        fault = _check_coding(version, headers)
    if fault is None and "expect" in headers and headers["expect"].strip().lower() != b"100-continue":
        fault = _EXPECTATION
    return fault


def _check_host(version: str, headers: Mapping[str, bytes]) -> Answer | None:
    host = headers.get("host")
    if host is None:
        return _HOST_MISSING if version == "1.1" else None
    return None if _NO_HOST_HOLDS.isdisjoint(host) else _HOST_INVALID


def _check_coding(version: str, headers: Mapping[str, bytes]) -> Answer | None:
    if "content-length" in headers:
        return _TWO_LENGTHS
    if version == "1.0":
        return _CODING_IN_1_0
    return None if headers["transfer-encoding"].strip().lower() == b"chunked" else _CODING


def body_length(headers: Mapping[str, bytes]) -> int | None:
    """Bytes of the body as announced (0 where nothing is), or None for a chunked one. For a head that passed."""
    if "transfer-encoding" in headers:
        return None
    return int(headers.get("content-length", b"0"))  # llhttp let digits through, and nothing else

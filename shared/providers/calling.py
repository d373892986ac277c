"""One call of ours to a provider and what came back, as values. Outbound, token and health services make the calls.

A credential is never part of a call: the call says where it goes (`Placement`), and `placed` puts the opened ones in at
the last moment. No repr here tells a body, a header's value or a credential.
"""

from __future__ import annotations

import email.utils
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal
from urllib.parse import quote, urlencode

from shared.domain.enums import ErrorClass
from shared.domain.errors import CorruptData, InvalidInput

MAX_RETRY_AFTER_SECONDS = 86_400.0

Credentials = Mapping[str, str]  # name → opened value; names: a TokenKind's value, or what the provider documents (`app_secret`)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallContext:
    """For whom a call is made. `settings` and `account_config` are the checked configs of connector and account.

    `project`: the connector's `projeto_referencia`, what the administrator says the credential belongs to.
    """

    connector_id: str
    account_id: str | None
    identidade: str | None
    settings: Mapping[str, Any]
    account_config: Mapping[str, Any]
    now_ms: int
    project: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where one credential goes.

    `header` sets the header `name`, `query` and `form` a parameter, `path` replaces `{name}` in the URL, `json` sets a
    field of a JSON body (by its name, or by a JSON Pointer through objects and lists that are there), `login` is the
    password beside the user `name` (SMTP, IMAP). `template` has one `{}`.
    `derive` makes the value from all opened credentials (a proof, a pair); else it is the one called `credential`.
    """

    credential: str
    place: Literal["header", "query", "form", "path", "json", "login"]
    name: str
    template: str = "{}"
    derive: Callable[[Credentials], str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of a multipart/form-data body."""

    name: str
    content: bytes = field(repr=False)
    filename: str | None = None
    mime_type: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mail:
    """An SMTP transaction: envelope and the finished message (RFC 5322 bytes)."""

    sender: str
    recipients: tuple[str, ...]
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Carry:
    """A value from an earlier answer of the same order: the text at `pointer` of step `step` replaces `marker` in the body."""

    step: str
    pointer: str
    marker: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderCall:
    """One call. `body` is bytes, form fields, multipart parts, or a mail (method `SMTP`, URL `smtp://host:port`).

    `step` names it within its order (`upload`, `send`, …). `idempotent`: repeating it does no harm, so that a lost answer
    may simply be asked for again.
    """

    step: str
    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | tuple[tuple[str, str], ...] | tuple[Part, ...] | Mail | None = field(default=None, repr=False)
    placements: tuple[Placement, ...] = ()
    carries: tuple[Carry, ...] = ()
    timeout_seconds: float = 20.0
    idempotent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderResponse:
    """What came back; header names in lower case. For SMTP the last reply's code and text."""

    status: int
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    received_at_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportFault:
    """No usable answer came. `may_have_left`: the request, or a part of it, may have reached the provider.

    `refused`: we do not call that address (the guard), or follow that redirect; `unreadable`: too large, or no HTTP.
    """

    kind: Literal["connect", "tls", "timeout", "lost", "refused", "unreadable"]
    may_have_left: bool
    detail: str = ""


ProviderAnswer = ProviderResponse | TransportFault


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Why the provider did not do it. `scope` tells what a pause must cover; `action` what a person has to do.

    `code` and `detail` are the provider's own; `action` is a short code (`renew_token`, `use_template`, …) or None.
    """

    error_class: ErrorClass
    code: str | None = None
    detail: str | None = None
    retry_after_seconds: float | None = None
    scope: Literal["message", "peer", "account", "connector"] = "message"
    action: str | None = None


@dataclass(frozen=True, slots=True)
class PlacedCall:
    """A call ready for the wire. Its repr tells method and step only."""

    call: ProviderCall
    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes | tuple[tuple[str, str], ...] | tuple[Part, ...] | Mail | None
    login: tuple[str, str] | None

    def __repr__(self) -> str:
        return f"PlacedCall({self.call.method} {self.call.step})"


def placed(call: ProviderCall, credentials: Credentials) -> PlacedCall:
    """The call with its credentials in place; raises InvalidInput (`credential_missing`) that names the missing one."""
    url, headers, body, login = call.url, list(call.headers), call.body, None
    query: list[tuple[str, str]] = []
    for placement in call.placements:
        value = placement.template.format(_value(placement, credentials))
        match placement.place:
            case "header":
                headers.append((placement.name, value))
            case "query":
                query.append((placement.name, value))
            case "path":
                url = url.replace(f"{{{placement.name}}}", quote(value, safe=":"))
            case "form":
                body = (*_fields(body), (placement.name, value))
            case "json":
                document = json.loads(body if isinstance(body, bytes) else b"{}")
                body = json_body(_with(document, placement.name, value))
            case "login":
                login = (placement.name, value)
    if query:
        url += ("&" if "?" in url else "?") + urlencode(query)
    return PlacedCall(call, url, tuple(headers), body, login)


def _with(document: dict[str, Any], name: str, value: str) -> dict[str, Any]:
    if not name.startswith("/"):
        return {**document, name: value}
    *parents, last = name.split("/")[1:]
    place: Any = document
    for part in parents:
        place = place[int(part)] if isinstance(place, list) else place[part]
    place[last] = value
    return document


def _fields(body: object) -> tuple[tuple[str, str], ...]:
    return body if isinstance(body, tuple) else ()


def _value(placement: Placement, credentials: Credentials) -> str:
    try:
        return credentials[placement.credential] if placement.derive is None else placement.derive(credentials)
    except KeyError as error:
        raise InvalidInput(f"no credential {error.args[0]!r}", reason="credential_missing") from None


def carried(call: ProviderCall, answers: Mapping[str, ProviderResponse]) -> ProviderCall:
    """The call with what it takes from earlier answers (step → answer); raises CorruptData if they do not have it."""
    if not call.carries or not isinstance(call.body, bytes):
        return call
    body = call.body
    for carry in call.carries:
        value = json_at(answers[carry.step].body, carry.pointer)
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise CorruptData(f"the answer of step {carry.step} lacks {carry.pointer}")
        body = body.replace(json.dumps(carry.marker).encode("ascii"), json.dumps(str(value)).encode("ascii"))
    return replace(call, body=body, carries=())


def json_body(document: Any) -> bytes:
    """JSON for the wire, in UTF-8 without needless space."""
    return json.dumps(document, ensure_ascii=True, separators=(",", ":")).encode("ascii")


def json_object(body: bytes) -> dict[str, Any]:
    """The JSON object of an answer; empty for anything else, because providers answer faults with HTML as well."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def json_at(body: bytes, pointer: str) -> Any:
    """The value at a simple JSON Pointer of an answer; None if it is not there."""
    value: Any = json_object(body)
    for part in pointer.split("/")[1:]:
        if isinstance(value, list):
            value = value[int(part)] if part.isdigit() and int(part) < len(value) else None
        else:
            value = value.get(part) if isinstance(value, dict) else None
    return value


def retry_after_seconds(response: ProviderResponse) -> float | None:
    """`Retry-After` in seconds, given as a number or a date (RFC 9110 §10.2.3), at most a day; None without a usable one."""
    given = response.headers.get("retry-after", "").strip()
    if given.isascii() and given.isdigit() and len(given) <= 9:
        return min(float(given), MAX_RETRY_AFTER_SECONDS)
    try:
        moment = email.utils.parsedate_to_datetime(given)
        seconds = moment.timestamp() - response.received_at_ms / 1000
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)

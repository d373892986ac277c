"""What a mailbox reader decides. Pure: rows, what the server said and the time come in, values go out.

Policy: UIDs only grow while UIDVALIDITY stays, so one number says how far a folder was read. When it does not stay (or the number
can no longer be true) everything that arrived since shortly before the last progress is read again: better twice than never, the
router knows a mail by its Message-ID.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from shared.adapters.imap import MAX_UIDS_ASKED, FolderState
from shared.adapters.mailbox_positions import Position
from shared.domain.configuration import AccountRow, ConfigurationRows, ConnectorRow
from shared.domain.enums import AccountStatus, ConnectorStatus, ConnectorType, TokenKind
from shared.domain.snapshots import WrappedDataKey
from shared.providers.email.mailbox import record_headers

DIALECT = "imap"
TLS_PORT, PLAIN_PORT = 993, 143
# Beside the headers that the e-mail provider reads (shared/providers/email/mailbox.py).
FOLDER_HEADER = "x-channels-folder-name"
UID_VALIDITY_HEADER = "x-channels-uidvalidity"
UID_HEADER = "x-channels-uid"
CUT_HEADER = "x-channels-cut-from-bytes"  # the mail was larger than we take; its true size as the server tells it

TlsMode = Literal["implicit", "starttls", "none"]
AuthMode = Literal["password", "xoauth2"]
_TLS_MODES: tuple[TlsMode, ...] = ("implicit", "starttls", "none")
_AUTH_MODES: tuple[AuthMode, ...] = ("password", "xoauth2")
_KINDS = {"password": (TokenKind.SECRET,), "xoauth2": (TokenKind.ACCESS_TOKEN,)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailbox:
    """One mailbox to read, from the rows of its account and connector. Equal: nothing that concerns the reader changed."""

    account_id: str
    connector_id: str
    tenant_id: str
    address: str
    host: str
    port: int
    tls: TlsMode
    username: str
    auth: AuthMode
    folder: str
    mark_seen: bool
    ingest_keys: tuple[WrappedDataKey, ...]

    @property
    def server(self) -> str:
        """What a position is true of."""
        return f"{self.username}@{self.host}:{self.port}/{self.folder}"

    @property
    def url(self) -> str:
        """What the egress guard judges."""
        scheme = "imaps" if self.tls == "implicit" else "imap"
        return f"{scheme}://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    @property
    def token_kinds(self) -> tuple[TokenKind, ...]:
        """The kinds of credential that it may log in with."""
        return _KINDS[self.auth]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A mailbox that cannot be read as it is configured; `reason` is a short code."""

    account_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Where to read on. `cause` None: just on; else why everything since `position.resync_since` is read (again)."""

    position: Position
    cause: Literal["first", "server_changed", "uidvalidity_changed", "uids_went_back"] | None


def mailboxes(rows: ConfigurationRows, *, plain_loopback: bool) -> tuple[dict[str, Mailbox], list[Unreadable]]:
    """The mailboxes to read, by account id: of every connector that is not archived, every account that is not inactive.

    As at the edge, a connector that is pending or in error is still received from.
    """
    found: dict[str, Mailbox] = {}
    faulty: list[Unreadable] = []
    for account in rows.accounts.values():
        connector = rows.connectors.get(account.connector_id)
        if connector is None or connector.tipo is not ConnectorType.EMAIL or connector.config.get("dialect") != DIALECT:
            continue
        if connector.status is ConnectorStatus.ARCHIVED or account.status is AccountStatus.INACTIVE:
            continue
        made = _mailbox(connector, account, plain_loopback)
        if isinstance(made, Mailbox):
            found[account.account_id] = made
        else:
            faulty.append(Unreadable(account_id=account.account_id, reason=made))
    return found, faulty


def start(
    position: Position, state: FolderState, *, server: str, top_uid: int, today: dt.date, first_days: int, resync_days: int
) -> Start:
    """Compare what is written down with what the server says about its folder."""
    cause: Literal["first", "server_changed", "uidvalidity_changed", "uids_went_back"] | None = None
    if position.uid_validity is None:
        cause = "first"
    elif position.server != server:
        cause = "server_changed"
    elif position.uid_validity != state.uid_validity:
        cause = "uidvalidity_changed"
    elif state.uid_next is not None and state.uid_next <= position.last_uid:
        cause = "uids_went_back"  # such as a folder restored from a backup under its old UIDVALIDITY
    if cause is None:
        return Start(position=position, cause=None)
    days = first_days if cause == "first" else resync_days
    progressed = position.moved_at.date() if position.moved_at is not None else today
    since = (today if cause == "first" else min(progressed, today)) - dt.timedelta(days=days)
    if position.resync_since is not None and cause != "first":
        since = min(since, position.resync_since)  # the last one had not come to its end
    # The server's dates are of its own time zone: one day more.
    fresh = Position(
        server=server,
        uid_validity=state.uid_validity,
        last_uid=0,
        resync_since=since - dt.timedelta(days=1),
        resync_until_uid=top_uid,
    )
    return Start(position=settled(fresh), cause=cause)


def windows(position: Position, top_uid: int) -> Iterator[tuple[int, int, dt.date | None]]:
    """(first, last, since) for each search from the position up to the highest UID there is."""
    first = position.last_uid + 1
    while first <= top_uid:
        last = min(top_uid, first + MAX_UIDS_ASKED - 1)
        since = None
        if position.resync_until_uid is not None and first <= position.resync_until_uid:
            last, since = min(last, position.resync_until_uid), position.resync_since
        yield first, last, since
        first = last + 1


def moved(position: Position, uid: int) -> Position:
    """The position after all mails up to `uid` are safe."""
    return settled(replace(position, last_uid=max(position.last_uid, uid)))


def settled(position: Position) -> Position:
    """Without the bound by date once it has served its time: a mail moved into the folder later may be of any age."""
    if position.resync_until_uid is not None and position.last_uid >= position.resync_until_uid:
        return replace(position, resync_since=None, resync_until_uid=None)
    return position


def headers(
    mailbox: Mailbox, uid_validity: int, uid: int, received_at: dt.datetime | None, cut_from: int | None
) -> dict[str, str]:
    """Headers of the raw record. Mailbox, folder, UIDVALIDITY and UID name the mail: every copy of it has the same ones."""
    found = record_headers(mailbox.address, None if received_at is None else int(received_at.timestamp() * 1000))
    found |= {FOLDER_HEADER: mailbox.folder, UID_VALIDITY_HEADER: str(uid_validity), UID_HEADER: str(uid)}
    if cut_from is not None:
        found[CUT_HEADER] = str(cut_from)
    return found


def pause_seconds(failures: int, *, first: float, longest: float) -> float:
    """How long to wait after so many failures in a row: doubled each time, spread so that mailboxes do not come together."""
    return min(longest, first * 2.0 ** min(failures - 1, 20)) * random.uniform(0.75, 1.0)  # noqa: S311  no secret


def _mailbox(connector: ConnectorRow, account: AccountRow, plain_loopback: bool) -> Mailbox | str:
    config: Mapping[str, Any] = {
        "imap_tls": "implicit",
        "auth": "password",
        "username": account.identidade,
        "folder": "INBOX",
        **_imap_part(connector.config),
        **_imap_part(account.config),
    }
    tls = config["imap_tls"]
    config = {"imap_port": PLAIN_PORT if tls == "starttls" else TLS_PORT, **config}
    fault = _fault(config, plain_loopback) or (None if connector.ingest_keys else "data_key_missing")
    if fault is not None:
        return fault
    return Mailbox(
        account_id=account.account_id,
        connector_id=connector.connector_id,
        tenant_id=connector.tenant_id,
        address=account.identidade,
        host=config["imap_host"],
        port=config["imap_port"],
        tls=tls,
        username=config["username"],
        auth=config["auth"],
        folder=config["folder"],
        mark_seen=config.get("mark_seen") is True,
        ingest_keys=connector.ingest_keys,
    )


def _fault(config: Mapping[str, Any], plain_loopback: bool) -> str | None:
    """The first thing that cannot work, as a short code. The use cases check it all; rows may be older than they are."""
    host, port, tls = config.get("imap_host"), config["imap_port"], config["imap_tls"]
    checks = {
        "imap_host_missing": _printable(host),
        "imap_port_wrong": isinstance(port, int) and 0 < port < 65536,
        "imap_tls_unknown": tls in _TLS_MODES,
        "auth_unknown": config["auth"] in _AUTH_MODES,
        "control_characters": _printable(config["username"]) and _printable(config["folder"]),
        "plain_not_allowed": tls != "none" or (plain_loopback and _is_loopback(str(host))),
    }
    return next((code for code, passed in checks.items() if not passed), None)


def _imap_part(config: Mapping[str, Any]) -> dict[str, Any]:
    names = ("imap_host", "imap_port", "imap_tls", "username", "auth", "folder", "mark_seen")
    return {name: config[name] for name in names if config.get(name) is not None}


def _printable(value: object) -> bool:
    """A line break in a name would be a command of its own."""
    return isinstance(value, str) and value.isprintable() and 0 < len(value) <= 500


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest

from services.mailbox import decide
from services.mailbox.decide import Mailbox, Start, Unreadable, mailboxes, moved, pause_seconds, start, windows
from shared.adapters.imap import MAX_UIDS_ASKED, FolderState
from shared.adapters.mailbox_positions import Position
from shared.domain.configuration import AccountRow, ConfigurationRows, ConnectorRow
from shared.domain.enums import AccountStatus, ConnectorStatus, ConnectorType, TokenKind
from shared.domain.snapshots import WrappedDataKey
from shared.providers.email.mailbox import record_headers

TODAY = dt.date(2026, 3, 10)
SERVER = "ana@imap.example.com:993/INBOX"
KEY = WrappedDataKey(key_id="01900000-0000-7000-8000-000000000001", wrapped="1|x|y|z")


def rows(
    config: dict[str, Any] | None = None,
    *,
    connector_config: dict[str, Any] | None = None,
    connector: dict[str, Any] | None = None,
    account: dict[str, Any] | None = None,
) -> ConfigurationRows:
    made = ConnectorRow(
        version=1,
        connector_id="c",
        tenant_id="t",
        tipo=ConnectorType.EMAIL,
        status=ConnectorStatus.PENDING,
        config={"dialect": "imap", **(connector_config or {})},
        webhooks=(),
        ingest_keys=(KEY,),
    )
    box = AccountRow(
        version=1,
        account_id="a",
        connector_id="c",
        tenant_id="t",
        tipo=ConnectorType.EMAIL,
        identidade="ana@example.com",
        status=AccountStatus.PENDING,
        config={"imap_host": "imap.example.com"} if config is None else config,
        org_unit_id=None,
        intake_flow_id=None,
        flow_category=None,
        flow_published=None,
    )
    return ConfigurationRows(
        connectors={"c": replace(made, **(connector or {}))}, accounts={"a": replace(box, **(account or {}))}
    )


def only(given: ConfigurationRows, *, plain_loopback: bool = False) -> Mailbox:
    found, faulty = mailboxes(given, plain_loopback=plain_loopback)
    assert faulty == []
    return found["a"]


def started(position: Position, *, validity: int = 7, uid_next: int | None = 101, server: str = SERVER, top: int = 100) -> Start:
    state = FolderState(uid_validity=validity, uid_next=uid_next, mails=50)
    return start(position, state, server=server, top_uid=top, today=TODAY, first_days=1, resync_days=3)


def known(**more: Any) -> Position:
    moved_at = dt.datetime(2026, 3, 9, 12, tzinfo=dt.UTC)
    return replace(Position(server=SERVER, uid_validity=7, last_uid=90, moved_at=moved_at), **more)


def test_a_mailbox_has_sensible_defaults() -> None:
    box = only(rows())
    assert (box.port, box.tls, box.auth, box.username, box.folder, box.mark_seen) == (
        993,
        "implicit",
        "password",
        "ana@example.com",
        "INBOX",
        False,
    )
    assert box.server == SERVER.replace("ana@", "ana@example.com@")
    assert box.token_kinds == (TokenKind.SECRET,)


def test_the_account_says_more_than_its_connector() -> None:
    box = only(
        rows({"folder": "Vendas"}, connector_config={"imap_host": "mail.example.org", "imap_tls": "starttls", "folder": "X"})
    )
    assert (box.host, box.port, box.folder) == ("mail.example.org", 143, "Vendas")
    oauth = only(rows({"imap_host": "imap.example.com", "auth": "xoauth2", "imap_port": 1993}))
    assert (oauth.port, oauth.token_kinds) == (1993, (TokenKind.ACCESS_TOKEN,))


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({}, "imap_host_missing"),
        ({"imap_host": "x", "imap_port": 0}, "imap_port_wrong"),
        ({"imap_host": "x", "imap_port": "993"}, "imap_port_wrong"),
        ({"imap_host": "x", "imap_tls": "maybe"}, "imap_tls_unknown"),
        ({"imap_host": "x", "auth": "cram"}, "auth_unknown"),
        ({"imap_host": "x", "username": "a\r\nb"}, "control_characters"),
        ({"imap_host": "127.0.0.1", "imap_tls": "none"}, "plain_not_allowed"),
    ],
)
def test_what_cannot_work_is_named(config: dict[str, Any], reason: str) -> None:
    assert mailboxes(rows(config), plain_loopback=False) == ({}, [Unreadable(account_id="a", reason=reason)])


@pytest.mark.parametrize(("host", "allowed"), [("127.0.0.1", True), ("::1", True), ("192.0.2.1", False), ("localhost", False)])
def test_plain_goes_to_the_loopback_alone_and_only_where_allowed(host: str, allowed: bool) -> None:
    found, faulty = mailboxes(rows({"imap_host": host, "imap_tls": "none"}), plain_loopback=True)
    assert (len(found), len(faulty)) == ((1, 0) if allowed else (0, 1))


@pytest.mark.parametrize(
    "given",
    [
        rows(connector={"status": ConnectorStatus.ARCHIVED}),
        rows(account={"status": AccountStatus.INACTIVE}),
        rows(connector_config={"dialect": "mailgun"}),
        rows(connector={"tipo": ConnectorType.TELEGRAM}),
        rows(account={"connector_id": "gone"}),
    ],
)
def test_what_is_not_a_mailbox_to_read_is_left_alone(given: ConfigurationRows) -> None:
    assert mailboxes(given, plain_loopback=False) == ({}, [])


def test_a_connector_in_error_is_still_read() -> None:
    assert only(rows(connector={"status": ConnectorStatus.ERROR})).account_id == "a"


def test_a_known_folder_goes_on_where_it_was() -> None:
    assert started(known()) == Start(position=known(), cause=None)
    assert started(known(), uid_next=None).cause is None
    assert started(known(), uid_next=91, top=12).cause is None  # the newest were deleted: UIDNEXT stays


def test_a_new_folder_is_read_from_yesterday_on() -> None:
    begun = started(Position())
    assert begun.cause == "first"
    assert (begun.position.last_uid, begun.position.resync_until_uid) == (0, 100)
    assert begun.position.resync_since == TODAY - dt.timedelta(days=2)  # and a day for the server's time zone
    assert started(Position(), top=0).position.resync_until_uid is None  # empty: nothing to bound


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"validity": 8}, "uidvalidity_changed"),
        ({"server": "other"}, "server_changed"),
        ({"uid_next": 90}, "uids_went_back"),
        ({"uid_next": 1}, "uids_went_back"),
    ],
)
def test_when_uids_start_anew_everything_since_the_last_progress_is_read_again(change: dict[str, Any], cause: str) -> None:
    begun = started(known(), **change)
    assert begun.cause == cause
    assert begun.position.last_uid == 0
    assert begun.position.resync_since == dt.date(2026, 3, 9) - dt.timedelta(days=4)
    assert begun.position.resync_until_uid == 100


def test_a_second_change_before_the_first_was_caught_up_keeps_the_older_date() -> None:
    older = dt.date(2026, 1, 1)
    begun = started(known(resync_since=older, resync_until_uid=95), validity=9)
    assert begun.position.resync_since == older - dt.timedelta(days=1)


def test_windows_cover_every_uid_once_and_end_with_the_bound() -> None:
    assert list(windows(known(), 90)) == []
    assert list(windows(known(), 100)) == [(91, 100, None)]
    bounded = known(last_uid=0, resync_since=TODAY, resync_until_uid=40)
    assert list(windows(bounded, 100)) == [(1, 40, TODAY), (41, 100, None)]
    wide = list(windows(known(last_uid=0), 2 * MAX_UIDS_ASKED + 5))
    assert [first for first, _, _ in wide] == [1, MAX_UIDS_ASKED + 1, 2 * MAX_UIDS_ASKED + 1]
    assert wide[-1][1] == 2 * MAX_UIDS_ASKED + 5


def test_progress_never_goes_back_and_the_bound_ends_with_it() -> None:
    assert moved(known(), 50) == known()
    bounded = known(last_uid=0, resync_since=TODAY, resync_until_uid=40)
    assert moved(bounded, 39) == replace(bounded, last_uid=39)
    assert moved(bounded, 40) == known(last_uid=40)


def test_headers_name_the_mail_and_only_its_copies_share_them() -> None:
    box = only(rows())
    at = dt.datetime(2026, 3, 10, 9, tzinfo=dt.timezone(dt.timedelta(hours=-3)))
    headers = decide.headers(box, 7, 12, at, None)
    assert headers == record_headers("ana@example.com", 1_773_144_000_000) | {
        "x-channels-folder-name": "INBOX",
        "x-channels-uidvalidity": "7",
        "x-channels-uid": "12",
    }
    assert decide.headers(box, 7, 13, at, None) != headers
    assert decide.headers(box, 7, 12, None, 99)["x-channels-cut-from-bytes"] == "99"


def test_pauses_grow_to_a_limit_and_differ() -> None:
    assert 0.75 <= pause_seconds(1, first=1, longest=60) <= 1
    assert 45 <= pause_seconds(1_000, first=1, longest=60) <= 60
    assert len({pause_seconds(3, first=1, longest=60) for _ in range(20)}) > 1

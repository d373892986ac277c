"""The mailbox service against a real IMAP server (Dovecot)."""

from __future__ import annotations

import datetime as dt
import socket

import pytest

from shared.domain.enums import RecordSource
from shared.domain.items import MessageItem
from shared.providers.email.mailbox import mailbox_items
from tests.integration.rows import connect
from tests.integration.services.mailbox.conftest import MakeServer, over_tls
from tests.integration.services.mailbox.scene import MailboxScene, mail
from tests.mail.dovecot import HOST, MailServer
from tests.waiting import allowed, eventually

pytestmark = pytest.mark.req(88)


def test_a_mail_becomes_a_raw_record_with_its_bytes_and_names(scene: MailboxScene, server: MailServer, address: str) -> None:
    scene.token()
    account = scene.mailbox(address, **over_tls(server))
    arrived = dt.datetime.now(dt.UTC).replace(microsecond=0)
    server.append(address, mail(1), at=arrived)
    scene.start(ca_file=server.ca_file)
    scene.wait_for(1)
    (stored,) = scene.stored()
    record = stored.record
    assert stored.body == mail(1)
    assert (record.source, record.connector_id, record.url_account_id) == (RecordSource.MAILBOX, scene.edge.connector_id, account)
    assert stored.key == scene.edge.connector_id
    assert stored.headers["ce_source"] == "/channels/mailbox"
    assert record.headers == {
        "content-type": "message/rfc822",
        "x-channels-mailbox": address,
        "x-channels-received-at": str(int(arrived.timestamp() * 1000)),
        "x-channels-folder-name": "INBOX",
        "x-channels-uidvalidity": record.headers["x-channels-uidvalidity"],
        "x-channels-uid": "1",
    }
    (item,) = mailbox_items(stored.body, record.headers)  # as the router will read it
    assert isinstance(item, MessageItem)
    assert (item.provider_message_id, item.provider_time_ms) == ("1@example.org", int(arrived.timestamp() * 1000))
    assert f"address:{address}" in item.account_refs
    eventually(lambda: scene.last_uid(account) == 1)
    assert scene.position(account)["uid_validity"] == int(record.headers["x-channels-uidvalidity"])
    assert server.flags(address) == [
        b"1 (FLAGS (\\Recent))"
    ]  # not flagged, not deleted, not even seen by a session that may write


def test_idle_brings_a_mail_within_two_seconds(scene: MailboxScene, server: MailServer, address: str) -> None:
    scene.token()
    account = scene.mailbox(address, **over_tls(server))
    server.append(address, mail("first"))
    process = scene.start(ca_file=server.ca_file, idle_seconds=600)
    scene.wait_for(1)
    eventually(lambda: process.metric('channels_mailbox_mailboxes{state="reading"}') == 1)
    for number in range(3):
        server.append(address, mail(number))
        assert eventually(lambda wanted=number + 2: scene.edge.end_offset() == wanted) < allowed(2)  # type: ignore[misc]
    eventually(lambda: scene.last_uid(account) == 4)
    assert process.metric('channels_mailbox_logins_total{result="accepted"}') == 1


def test_polling_where_the_server_cannot_idle(scene: MailboxScene, make_server: MakeServer) -> None:
    server = make_server("ana@example.com", capability="IMAP4rev1 SASL-IR LITERAL+")
    scene.token()
    scene.mailbox("ana@example.com", **over_tls(server))
    scene.start(ca_file=server.ca_file)
    for number in range(3):
        server.append("ana@example.com", mail(number))
        scene.wait_for(number + 1)
    assert scene.received() == {"0": 1, "1": 1, "2": 1}


@pytest.mark.parametrize("way", ["starttls", "xoauth2", "folder"])
def test_the_other_ways_in(scene: MailboxScene, server: MailServer, address: str, way: str) -> None:
    folder = "INBOX"
    if way == "starttls":
        scene.token()
        config = {"imap_host": HOST, "imap_port": server.plain_port, "imap_tls": "starttls"}
    elif way == "xoauth2":
        server.tokens["an access token of the tests"] = address
        scene.token("an access token of the tests", kind="access_token", account=address)
        scene.token("another mailbox's", kind="access_token", account="bob@example.com")
        config = over_tls(server, auth="xoauth2")
    else:
        scene.token()
        folder = "Suporte é"
        with server.client(address) as client:
            client.create('"Suporte &AOk-"')
        config = over_tls(server, folder=folder)
    scene.mailbox(address, **config)
    server.append(address, mail(1), folder='"Suporte &AOk-"' if way == "folder" else "INBOX")
    scene.start(ca_file=server.ca_file)
    scene.wait_for(1)
    (stored,) = scene.stored()
    assert (stored.body, stored.record.headers["x-channels-folder-name"]) == (mail(1), folder)
    with connect(scene.database.owner_url) as rows:
        opened = rows.execute("SELECT actor FROM audit_log WHERE action = 'token.opened'").fetchall()
    assert opened == [("mailbox",)]


def test_mails_are_marked_as_read_only_when_that_is_set(scene: MailboxScene, server: MailServer, address: str) -> None:
    scene.token()
    scene.mailbox(address, **over_tls(server, mark_seen=True))
    server.append(address, mail(1))
    scene.start(ca_file=server.ca_file)
    eventually(lambda: server.flags(address) == [b"1 (FLAGS (\\Seen))"], 20)
    assert scene.received() == {"1": 1}


def test_a_new_uidvalidity_reads_again_what_may_have_been_missed_and_says_so(
    scene: MailboxScene, make_server: MakeServer
) -> None:
    server, address = make_server("ana@example.com"), "ana@example.com"
    scene.token()
    account = scene.mailbox(address, **over_tls(server))
    long_ago = dt.datetime.now(dt.UTC) - dt.timedelta(days=30)
    server.append(address, mail("old"), at=long_ago)
    server.append(address, mail(1))
    first = scene.start(ca_file=server.ca_file)
    scene.wait_for(1)
    eventually(lambda: scene.last_uid(account) == 2)
    before = scene.position(account)["uid_validity"]
    first.terminate()
    assert first.wait() == 0
    server.append(address, mail("while away"))
    server.renew_uid_validity(address)
    scene.start(ca_file=server.ca_file)
    eventually(lambda: "while away" in scene.received())
    eventually(lambda: scene.last_uid(account) == 3)
    row = scene.position(account)
    assert row["uid_validity"] != before
    assert (row["resync_since"], row["resync_until_uid"]) == (None, None)  # the bound has served its time
    assert scene.received() == {"1": 2, "while away": 1}  # read again, and known again by its Message-ID; nothing from long ago
    (told,) = scene.sync_required()
    assert (told.cause, told.account_id) == ("uidvalidity_changed", account)
    server.append(address, mail("moved here"), at=long_ago)  # an old mail moved into the folder later is news
    eventually(lambda: "moved here" in scene.received())


def test_a_refused_login_is_told_once_and_leaves_the_neighbour_alone(
    scene: MailboxScene, server: MailServer, address: str
) -> None:
    scene.token()
    scene.token("wrong", account="box0@example.com")
    refused = scene.mailbox("box0@example.com", **over_tls(server))
    scene.mailbox(address, **over_tls(server))
    process = scene.start(ca_file=server.ca_file)
    server.append(address, mail(1))
    scene.wait_for(1)
    eventually(lambda: len(scene.sync_required()) == 1)
    (told,) = scene.sync_required()
    assert (told.cause, told.account_id) == ("login_refused", refused)
    assert "wrong" not in process.log.read_text()
    eventually(lambda: process.metric('channels_mailbox_mailboxes{state="trouble"}') == 1)
    scene.token(account="box0@example.com")  # a new credential is tried without waiting for the end of the pause
    eventually(lambda: process.metric('channels_mailbox_mailboxes{state="reading"}') == 2, 20)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"imap_tls": "none"}, "plain_not_allowed"),
        ({"imap_tls": "none", "imap_host": "192.0.2.1"}, "plain_not_allowed"),
        ({"imap_host": None}, "imap_host_missing"),
        ({"folder": "INBOX\r\nA1 DELETE INBOX"}, "control_characters"),
    ],
)
def test_a_configuration_that_cannot_work_is_named(
    scene: MailboxScene, server: MailServer, address: str, config: dict[str, object], reason: str
) -> None:
    scene.token()
    account = scene.mailbox(address, **(over_tls(server) | config))
    process = scene.start(ca_file=server.ca_file)
    eventually(lambda: process.metric('channels_mailbox_mailboxes{state="unreadable"}') == 1)
    (line,) = [line for line in process.lines() if line["event"] == "mailbox_unreadable"]
    assert (line["account_id"], line["reason"]) == (account, reason)


def test_a_certificate_that_nobody_vouches_for_is_refused(scene: MailboxScene, server: MailServer, address: str) -> None:
    scene.token()
    scene.mailbox(address, **over_tls(server))
    server.append(address, mail(1))
    process = scene.start()  # without the tests' authority
    eventually(lambda: process.metric('channels_mailbox_faults_total{code="mail_server_away"}') >= 1)
    assert scene.stored() == []
    assert any("CERTIFICATE_VERIFY_FAILED" in line.get("error", "") for line in process.lines())


def test_a_server_that_the_guard_refuses_is_not_called_and_told_once(
    scene: MailboxScene, server: MailServer, address: str
) -> None:
    scene.token()
    scene.mailbox(address, **over_tls(server))
    with socket.create_server((HOST, 0)) as inside:  # not listed: a service of our own network
        refused = scene.mailbox("box0@example.com", **over_tls(server, imap_port=inside.getsockname()[1]))
        process = scene.start(ca_file=server.ca_file, http_allow=f"imaps://{HOST}:{server.tls_port}")
        server.append(address, mail(1))
        scene.wait_for(1)  # the neighbour is read
        eventually(lambda: len(scene.sync_required()) == 1)
        (told,) = scene.sync_required()
        assert (told.cause, told.account_id) == ("egress_refused", refused)
        assert process.metric('channels_mailbox_faults_total{code="egress_refused"}') >= 1
        (line,) = [one for one in process.lines() if one["event"] == "mailbox_trouble"]
        assert (line["code"], line["reason"], line["account_id"]) == ("egress_refused", "port", refused)
        inside.settimeout(0)
        with pytest.raises(BlockingIOError):  # nobody came
            inside.accept()
    with connect(scene.database.owner_url) as rows:
        opened = rows.execute("SELECT count(*) FROM audit_log WHERE action = 'token.opened'").fetchone()
    assert opened == (1,)  # the neighbour's; where nobody is called no credential is opened
    scene.configure(refused, **over_tls(server))  # corrected: tried at once, not when the pause is over
    eventually(lambda: process.metric('channels_mailbox_mailboxes{state="reading"}') == 2, 20)

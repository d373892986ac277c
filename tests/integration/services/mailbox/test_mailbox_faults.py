"""Killed, frozen and replaced mailbox processes against a real IMAP server: nothing lost, nothing moved back."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from sqlalchemy import make_url

from tests.chaos.proxy import Proxy
from tests.edge import EdgeProcess
from tests.integration.services.mailbox.conftest import MakeServer, over_tls
from tests.integration.services.mailbox.scene import MailboxScene, mail
from tests.mail.dovecot import MailServer
from tests.waiting import allowed, eventually

_KILLS = 12
_MAILS = 240


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    made = Proxy()
    yield made
    made.stop()


def test_killed_at_any_point_nothing_is_lost_and_repeats_have_equal_names(
    scene: MailboxScene, server: MailServer, address: str
) -> None:
    scene.token()
    account = scene.mailbox(address, **over_tls(server))
    chance = random.Random(5)
    sizes = [chance.choice((0, 0, 0, 3_000, 200_000, 600_000)) for _ in range(_MAILS)]
    sender = threading.Thread(target=_send, args=(server, address, sizes))
    sender.start()
    working = [scene.launch(ca_file=server.ca_file) for _ in range(2)]
    for _ in range(_KILLS):
        time.sleep(chance.uniform(0.3, 2.0))  # the kill is to come at any point, not at one we chose
        victim = working.pop(_holder(scene, account, working) if chance.random() < 0.7 else chance.randrange(2))
        victim.process.kill()
        victim.process.wait(10)
        working.append(scene.launch(ca_file=server.ca_file))
    sender.join(60)
    eventually(lambda: scene.last_uid(account) == _MAILS, 60)
    received, names = scene.received(), scene.keys_of_mails()
    assert set(received) == {str(number) for number in range(_MAILS)}
    assert {number: len(keys) for number, keys in names.items()} == dict.fromkeys(received, 1)
    assert {one.body for one in scene.stored()} == {mail(number, size) for number, size in enumerate(sizes)}
    print(f"{_KILLS} kills, {_MAILS} mails, {sum(received.values()) - _MAILS} read again")


def test_a_killed_process_is_replaced_within_seconds(scene: MailboxScene, server: MailServer, address: str) -> None:
    scene.token()
    scene.mailbox(address, **over_tls(server))
    settings = {"ca_file": server.ca_file, "lease_seconds": 6}  # as in production
    first = scene.start(**settings)
    eventually(lambda: _reads(first))
    second = scene.start(**settings)
    first.process.kill()
    server.append(address, mail(1))
    taken_over = eventually(lambda: scene.edge.end_offset() == 1, 15)
    assert taken_over < allowed(9)
    eventually(lambda: _reads(second))
    second.terminate()  # a stop gives the lease back: nobody waits for its end
    third = scene.start(**settings)
    server.append(address, mail(2))
    assert eventually(lambda: scene.edge.end_offset() == 2, 15) < allowed(5)
    assert second.wait() == 0
    assert scene.received() == {"1": 1, "2": 1}
    print(f"taken over after {taken_over:.1f} s")
    assert third.process.poll() is None


def test_a_frozen_holder_cannot_move_progress_back(scene: MailboxScene, server: MailServer, address: str) -> None:
    scene.token()
    account = scene.mailbox(address, **over_tls(server))
    server.append(address, mail(0))
    old = scene.start(ca_file=server.ca_file)
    eventually(lambda: scene.last_uid(account) == 1)
    new = scene.start(ca_file=server.ca_file)
    old.process.send_signal(signal.SIGSTOP)
    try:
        for number in range(1, 6):
            server.append(address, mail(number))
        eventually(lambda: scene.last_uid(account) == 6, 20)
        epoch = scene.position(account)["lease_epoch"]
    finally:
        old.process.send_signal(signal.SIGCONT)
    eventually(lambda: old.metric("channels_mailbox_leases_lost_total") == 1)
    seen = [scene.position(account) for _ in range(20)]
    assert {(row["last_uid"], row["lease_epoch"]) for row in seen} == {(6, epoch)}
    assert set(scene.received()) == {str(number) for number in range(6)}
    assert all(len(keys) == 1 for keys in scene.keys_of_mails().values())
    eventually(lambda: _reads(new))


def test_a_mail_of_50_mb_takes_little_memory(scene: MailboxScene, server: MailServer, address: str) -> None:
    scene.token()
    account = scene.mailbox(address, **over_tls(server))
    server.append(address, mail("small", 200_000))
    process = scene.start(ca_file=server.ca_file)
    eventually(lambda: scene.last_uid(account) == 1)
    before = _peak_bytes(process)
    large = mail("large", 50_000_000)
    server.append(address, large)
    seconds = eventually(lambda: scene.last_uid(account) == 2, 60)
    grown = _peak_bytes(process) - before
    bodies = {len(one.body): one.record for one in scene.stored()}
    record = bodies[len(large)]
    assert record.body_reference is not None
    assert (record.sealed_body, record.body_size_bytes) == (None, len(large))
    assert any(one.body == large for one in scene.stored())
    print(f"{len(large) / 1e6:.0f} MB in {seconds:.1f} s, memory grew by {grown / 1e6:.1f} MB at most")
    assert grown < 40_000_000


def test_a_mail_above_the_limit_is_cut_and_said_so(scene: MailboxScene, server: MailServer, address: str) -> None:
    scene.token()
    account = scene.mailbox(address, **over_tls(server))
    huge = mail("huge", 3_000_000)
    server.append(address, huge)
    process = scene.start(ca_file=server.ca_file, mail_bytes=1_000_000)
    eventually(lambda: scene.last_uid(account) == 1)
    (stored,) = scene.stored()
    assert stored.body == huge[:1_000_000]
    assert stored.record.headers["x-channels-cut-from-bytes"] == str(len(huge))
    assert process.metric('channels_mailbox_mails_total{result="cut"}') == 1


def test_the_mail_server_and_the_database_may_go_away_and_come_back(
    scene: MailboxScene, make_server: MakeServer, proxy: Proxy
) -> None:
    server, address = make_server("ana@example.com"), "ana@example.com"
    scene.token()
    account = scene.mailbox(address, **over_tls(server))
    worker = make_url(scene.database.worker_url)
    proxy.start(Path(str(worker.query["host"])) / f".s.PGSQL.{worker.port or 5432}")
    through = worker.set(host="127.0.0.1", port=proxy.port, query={}).render_as_string(hide_password=False)
    process = scene.start(ca_file=server.ca_file, database_worker_url=through)
    server.append(address, mail(0))
    scene.wait_for(1)
    server.disconnect_all()
    server.append(address, mail(1))
    eventually(lambda: scene.last_uid(account) == 2, 20)
    with proxy.frozen():
        server.append(address, mail(2))
        scene.wait_for(3)  # Kafka has it, and progress cannot be written down
        assert scene.last_uid(account) == 2
    proxy.cut()
    server.append(address, mail(3))
    eventually(lambda: scene.last_uid(account) == 4, 30)
    assert set(scene.received()) == {"0", "1", "2", "3"}
    assert all(len(keys) == 1 for keys in scene.keys_of_mails().values())
    assert process.process.poll() is None


def _send(server: MailServer, address: str, sizes: list[int]) -> None:
    for number, size in enumerate(sizes):
        server.append(address, mail(number, size))


def _holder(scene: MailboxScene, account: str, working: list[EdgeProcess]) -> int:
    """Which of the processes reads the mailbox now; the first where none does."""
    holder = str(scene.position(account).get("lease_holder"))
    return next((number for number, one in enumerate(working) if f"/{one.process.pid}/" in holder), 0)


def _reads(process: EdgeProcess) -> bool:
    return process.metric('channels_mailbox_mailboxes{state="reading"}') == 1


def _peak_bytes(process: EdgeProcess) -> int:
    """Highest resident memory so far (Linux: VmHWM)."""
    status = Path(f"/proc/{process.process.pid}/status")
    if not status.exists():
        return int(psutil.Process(process.process.pid).memory_info().rss)
    (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024

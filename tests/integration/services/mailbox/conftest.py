"""Fixtures of the mailbox tests: a real Dovecot once per run, a scene for each test."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests.database_fixtures import DatabaseUnderTest
from tests.integration.services.mailbox.scene import MailboxScene
from tests.mail.dovecot import HOST, MailServer
from tests.mail.packages import Dovecot, NoDovecot, find_dovecot

MakeServer = Callable[..., MailServer]


@pytest.fixture(scope="session")
def dovecot() -> Dovecot:
    """The server's programs; without them the test is skipped, with the reason."""
    try:
        return find_dovecot()
    except NoDovecot as error:
        pytest.skip(f"NO REAL IMAP SERVER, the mailbox service is not tested against one: {error}")


@pytest.fixture(scope="session")
def make_server(dovecot: Dovecot) -> Iterator[MakeServer]:
    """Starts servers; all are stopped at the end."""
    made: list[MailServer] = []
    # Not below pytest's own directory: that one is closed to the user whom the server runs as.
    folder = Path(tempfile.mkdtemp(prefix="channels-mail-", dir="/tmp"))
    folder.chmod(0o755)

    def make(*addresses: str, **options: object) -> MailServer:
        run = folder / uuid4().hex[:8]
        run.mkdir(mode=0o755)
        server = MailServer(dovecot, run, addresses, **options)  # type: ignore[arg-type]
        made.append(server)
        server.start()
        return server

    yield make
    for server in made:
        server.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def server(make_server: MakeServer) -> MailServer:
    """One server for the tests that do not restart it; each test has an address of its own (`address`)."""
    return make_server(*(f"box{number}@example.com" for number in range(60)), tokens={})


@pytest.fixture(scope="session")
def _addresses() -> Iterator[str]:
    return (f"box{number}@example.com" for number in range(60))


@pytest.fixture
def address(_addresses: Iterator[str]) -> str:
    """An empty mailbox that no other test uses."""
    return next(_addresses)


@pytest.fixture
def scene(kafka_bootstrap: str, topic_prefix: str, database: DatabaseUnderTest, tmp_path: Path) -> Iterator[MailboxScene]:
    """An installation without mailboxes."""
    made = MailboxScene.create(kafka_bootstrap, topic_prefix, database, tmp_path)
    yield made
    made.edge.stop()


def over_tls(server: MailServer, **more: object) -> dict[str, object]:
    """An account's config for that server."""
    return {"imap_host": HOST, "imap_port": server.tls_port, **more}

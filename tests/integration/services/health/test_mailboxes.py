"""Whole checks of mailboxes against a real Dovecot, IMAP and submission: logged in, graded, written."""

from __future__ import annotations

import shutil
import signal
import ssl
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog

from services.health.activity import Activity
from services.health.calls import ByMethod, HttpCaller
from services.health.checks import CheckParts, Checks
from services.health.credentials import Credentials
from services.health.decide import Policy
from services.health.policies import Policies
from services.health.writing import CheckWriter
from shared.adapters.database import create_engine_for
from shared.adapters.egress import Egress, read_allow_list
from shared.adapters.http_client import HttpClient
from shared.adapters.mail_logins import MailLogins
from shared.domain.enums import AccountStatus, ConnectorStatus, ConnectorType, TokenKind
from shared.management.accounts import change_account_status
from tests.http_peer import parts_of
from tests.integration.management import ACTOR
from tests.integration.services.health.scene import HealthScene
from tests.mail.dovecot import HOST, PASSWORD, MailServer
from tests.mail.packages import NoDovecot, find_dovecot
from tests.mail.scripted import RELAY_GREETING, relay, scripted
from tests.on_loop import on_loop

ADDRESS = "ana@example.com"
TOKEN = "an-invented-access-token"
MakeServer = Callable[[], MailServer]


@pytest.fixture(scope="module")
def make_server() -> Iterator[MakeServer]:
    """Starts servers with one mailbox; all are stopped at the end."""
    try:
        dovecot = find_dovecot()
    except NoDovecot as error:
        pytest.skip(f"NO REAL MAIL SERVER, checks of mailboxes are not tested against one: {error}")
    made: list[MailServer] = []
    # Not below pytest's own directory: that one is closed to the user whom the server runs as.
    folder = Path(tempfile.mkdtemp(prefix="channels-mail-", dir="/tmp"))
    folder.chmod(0o755)
    with scripted(relay, RELAY_GREETING) as behind:

        def make() -> MailServer:
            run = folder / str(len(made))
            run.mkdir(mode=0o755)
            made.append(MailServer(dovecot, run, (ADDRESS,), tokens={TOKEN: ADDRESS}, relay_port=behind.port))
            made[-1].start()
            return made[-1]

        yield make
        for server in made:
            server.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def server(make_server: MakeServer) -> MailServer:
    return make_server()


class Site:
    """A mailbox that is registered and active, and health that asks its servers."""

    def __init__(self, scene: HealthScene, server: MailServer, *, trusted: bool = True) -> None:
        self.scene, self.server = scene, server
        origins = [
            *(f"imaps://{HOST}:{server.tls_port}", f"imap://{HOST}:{server.plain_port}"),
            *(f"smtps://{HOST}:{server.submissions_port}", f"smtp://{HOST}:{server.submission_port}"),
        ]
        tls = ssl.create_default_context(cafile=str(server.ca_file) if trusted else None)
        self.mail = MailLogins(Egress(allow=read_allow_list(origins, "tests")), tls, at_once=8)
        self.credential = create_engine_for(scene.database.credential_url)
        self.checks = Checks(
            CheckParts(
                credentials=Credentials(self.credential, scene.management.vault, keep_ms=0),
                activity=Activity(scene.worker),
                policies=Policies(Policy(threshold=3, unreachable_after=3), {}),
                caller=ByMethod(HttpCaller(HttpClient(parts_of(f"http://{HOST}:1"))), self.mail),
                clock=self,
            )
        )
        self.writer = CheckWriter(scene.worker, scene.management.engine)

    def now_ms(self) -> int:
        return self.scene.now_ms

    def settings(self, *servers: str, starttls: bool = False) -> dict[str, Any]:
        imap, smtp = (
            (self.server.plain_port, self.server.submission_port)
            if starttls
            else (self.server.tls_port, self.server.submissions_port)
        )
        mode = "starttls" if starttls else "implicit"
        found: dict[str, Any] = {"dialect": "imap"}
        if "imap" in servers:
            found |= {"imap_host": HOST, "imap_port": imap, "imap_tls": mode}
        if "smtp" in servers:
            found |= {"smtp_host": HOST, "smtp_port": smtp, "smtp_tls": mode}
        return found

    def mailbox(self, settings: dict[str, Any], kind: TokenKind = TokenKind.SECRET, value: str = PASSWORD) -> str:
        """An active account of an active connector; returns its id."""
        management = self.scene.management
        connector = management.connector(tipo=ConnectorType.EMAIL, nome="Mail", config=settings)
        self.token = management.token(connector, kind=kind, value=value)
        self.connector = connector
        management.check(connector)
        management.status(connector, ConnectorStatus.ACTIVE)
        account = management.account(connector, ADDRESS, config={})
        management.run(lambda session: change_account_status(session, account, AccountStatus.ACTIVE, actor=ACTOR))
        return account

    async def round(self) -> None:
        taken = list(self.scene.take().values())
        outcomes = [await self.checks.run(ready) for ready in self.checks.prepare(taken)]
        self.writer.write(outcomes)

    def last(self, subject: str) -> tuple[str, str]:
        return self.scene.checks(subject)[-1]

    def opened(self) -> int:
        return [action for action, *_ in self.scene.management.audit(self.token)].count("token.opened")


@contextmanager
def site_on(scene: HealthScene, server: MailServer, **more: Any) -> Iterator[Site]:
    site = Site(scene, server, **more)
    yield site
    site.mail.close()
    site.credential.dispose()


@pytest.mark.req(41, 88)
@pytest.mark.parametrize("starttls", [False, True], ids=["implicit", "starttls"])
@pytest.mark.parametrize("auth", ["password", "xoauth2"])
@on_loop
async def test_password_and_xoauth2_pass_at_both_servers(
    scene: HealthScene, server: MailServer, auth: str, starttls: bool
) -> None:
    before = len(server.log())
    with site_on(scene, server) as site:
        kind, value = (TokenKind.ACCESS_TOKEN, TOKEN) if auth == "xoauth2" else (TokenKind.SECRET, PASSWORD)
        account = site.mailbox({**site.settings("imap", "smtp", starttls=starttls), "auth": auth}, kind, value)
        await site.round()
        assert site.last(account) == ("passed", "imap: all is well.")
        assert site.opened() == 1
    told = server.log()[before:]
    method = "XOAUTH2" if auth == "xoauth2" else "PLAIN"
    for service in ("imap", "submission"):
        assert f"{service}-login: Info: Login: user=<{ADDRESS}>, method={method}" in told
    rows = scene.management.read("SELECT duracao_ms FROM channel_health_check WHERE account_id = :id", id=account)
    assert 0 < rows[-1][0] < 30_000


@pytest.mark.req(41, 88)
@pytest.mark.parametrize("auth", ["password", "xoauth2"])
@pytest.mark.parametrize("step", ["imap", "smtp"])
@on_loop
async def test_a_wrong_login_fails_with_cause_and_action_and_no_secret(
    scene: HealthScene, server: MailServer, step: str, auth: str
) -> None:
    wrong = "wrong-canary-of-the-tests"
    with site_on(scene, server) as site, structlog.testing.capture_logs() as lines:
        kind = TokenKind.ACCESS_TOKEN if auth == "xoauth2" else TokenKind.SECRET
        account = site.mailbox({**site.settings(step), "auth": auth}, kind, wrong)
        await site.round()
        grade, message = site.last(account)
        assert grade == "failed"
        assert message.startswith(f"{step}: the provider refuses our credential [")
        assert "Make a new token at the provider and add it to the connector." in message
        assert wrong not in message + repr(lines)
        assert [line for line in lines if line["event"] == "mail_login"]
        await site.round()
        await site.round()
        assert scene.route(account) == ("paused", "health_auth")
        site.token = scene.management.token(
            site.connector, kind=kind, value=TOKEN if auth == "xoauth2" else PASSWORD
        )  # what the message asks for
        await site.round()
        assert site.last(account)[0] == "passed"


@pytest.mark.req(41)
@on_loop
async def test_a_server_that_is_away_keeps_the_grade_twice_and_then_fails(scene: HealthScene, make_server: MakeServer) -> None:
    server = make_server()
    with site_on(scene, server) as site:
        account = site.mailbox(site.settings("imap", "smtp"))
        await site.round()
        assert site.last(account)[0] == "passed"
        assert server.process is not None
        server.process.send_signal(signal.SIGTERM)
        server.process.wait(10)
        for kept in (1, 2):
            await site.round()
            assert site.last(account) == (
                "passed",
                f"imap: the provider cannot be reached or does not answer [connect]. The grade stays passed ({kept} of 3).",
            )
        await site.round()
        assert site.last(account)[0] == "failed"
        assert site.last(account)[1].endswith("Check the way to the provider.")
        server.disconnect_all()
        await site.round()
        assert site.last(account)[0] == "passed"


@pytest.mark.req(41)
@pytest.mark.parametrize("step", ["imap", "smtp"])
@pytest.mark.parametrize("starttls", [False, True], ids=["implicit", "starttls"])
@on_loop
async def test_a_certificate_of_nobody_whom_we_trust_gets_no_password(
    scene: HealthScene, server: MailServer, step: str, starttls: bool
) -> None:
    before = len(server.log())
    with site_on(scene, server, trusted=False) as site:
        account = site.mailbox(site.settings(step, starttls=starttls))
        await site.round()
        assert site.last(account) == (
            "failed",
            f"{step}: the server's certificate cannot be trusted [certificate_refused]. Repair the server's certificate.",
        )
    assert "Login: user" not in server.log()[before:]


@pytest.mark.req(41)
@on_loop
async def test_a_host_that_the_guard_refuses_fails_and_says_what_to_do(scene: HealthScene, server: MailServer) -> None:
    with site_on(scene, server) as site:
        account = site.mailbox({**site.settings("imap"), "imap_host": "10.20.30.40", "imap_port": 993})
        for _ in range(4):
            await site.round()
        grade, message = site.last(account)
        assert grade == "failed"
        assert message.startswith("imap: we do not call the server's address [")
        assert "CHANNELS_HTTP_ALLOW" in message
        assert scene.route(account) == ("paused", "health_address_refused")


@pytest.mark.req(41)
@on_loop
async def test_a_mailbox_without_its_credential_fails(scene: HealthScene, server: MailServer) -> None:
    with site_on(scene, server) as site:
        account = site.mailbox({**site.settings("imap"), "auth": "xoauth2"}, TokenKind.SECRET)
        await site.round()
        assert site.last(account) == (
            "failed",
            "credential: a credential is missing [access_token]. Add the credential to the connector.",
        )

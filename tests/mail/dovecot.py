"""A real IMAP server on this machine: Dovecot as an ordinary user, with a directory, ports and certificates of its own."""

from __future__ import annotations

import datetime as dt
import imaplib
import ipaddress
import os
import shutil
import signal
import ssl
import subprocess
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from deploy.local.unprivileged import unprivileged_user
from tests.edge import free_port
from tests.mail.packages import Dovecot
from tests.waiting import eventually

PASSWORD = 'a pass\\word "of" the tests ä'
HOST = "127.0.0.1"

_CONFIGURATION = """
base_dir = {run}/base
state_dir = {run}/state
libexec_dir = {libexec}
mail_plugin_dir = {libexec}/modules
import_environment = TZ LD_LIBRARY_PATH
log_path = {run}/dovecot.log
protocols = {protocols}
listen = 127.0.0.1
default_internal_user = {user}
default_internal_group = {group}
default_login_user = {user}
default_process_limit = 200
default_vsz_limit = 2G
first_valid_uid = 1
ssl = yes
ssl_cert = <{run}/server.pem
ssl_key = <{run}/server.key
disable_plaintext_auth = no
auth_mechanisms = plain login xoauth2
auth_failure_delay = 0
mail_location = maildir:{run}/mail/%u
mail_max_userip_connections = 100
imap_capability = {capability}
maildir_stat_dirs = yes
passdb {{
  driver = oauth2
  mechanisms = xoauth2
  args = {run}/oauth2.conf
}}
passdb {{
  driver = passwd-file
  mechanisms = plain login
  args = scheme=PLAIN username_format=%u {run}/users
}}
userdb {{
  driver = static
  args = uid={user} gid={group} home={run}/home/%u
}}
service anvil {{
  chroot =
  # Else each refused login makes the next answer to this address later, up to 15 s.
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service imap-login {{
  chroot =
  service_count = 0
  inet_listener imap {{
    port = {plain_port}
  }}
  inet_listener imaps {{
    port = {tls_port}
    ssl = yes
  }}
}}
service stats {{
  client_limit = 1000
}}
"""
# Logins are Dovecot's own; what comes after them it passes on to a relay, and so it wants one.
_SUBMISSION = """
hostname = localhost
submission_relay_host = 127.0.0.1
submission_relay_port = {relay_port}
service submission-login {{
  chroot =
  service_count = 0
  inet_listener submission {{
    port = {submission_port}
  }}
  inet_listener submissions {{
    port = {submissions_port}
    ssl = yes
  }}
}}
"""
_OAUTH2 = """
tokeninfo_url = http://127.0.0.1:{port}/tokeninfo?access_token=
introspection_mode = auth
introspection_url = http://127.0.0.1:{port}/introspect
username_attribute = email
active_attribute = active
active_value = yes
timeout_msecs = 5000
"""


@dataclass
class MailServer:
    """One server; `addresses` can log in with PASSWORD, or by XOAUTH2 with a token of `tokens` (token → address)."""

    dovecot: Dovecot
    run: Path
    addresses: tuple[str, ...]
    capability: str = ""  # empty: the server's own list
    tokens: dict[str, str] = field(default_factory=dict)
    plain_port: int = field(default_factory=free_port)
    tls_port: int = field(default_factory=free_port)
    relay_port: int = 0  # set: mails can be handed in as well
    submission_port: int = field(default_factory=free_port)  # with STARTTLS
    submissions_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Write the configuration, start it and wait until it answers."""
        account = unprivileged_user()
        uid, gid = account or (os.geteuid(), os.getegid())
        for name in ("base", "state", "mail", "home"):
            (self.run / name).mkdir(parents=True, exist_ok=True)
        self._write_certificates()
        self._serve_tokens()
        (self.run / "users").write_text("".join(f"{address}:{{PLAIN}}{PASSWORD}\n" for address in self.addresses))
        (self.run / "oauth2.conf").write_text(_OAUTH2.format(port=self._introspection.server_address[1]))
        configuration = self.run / "dovecot.conf"
        configuration.write_text(
            _CONFIGURATION.format(
                run=self.run,
                libexec=self.dovecot.libexec,
                user=_name_of("passwd", uid),
                group=_name_of("group", gid),
                plain_port=self.plain_port,
                tls_port=self.tls_port,
                capability=self.capability,
                protocols="imap submission" if self.relay_port else "imap",
            )
            + (_SUBMISSION.format(**vars(self)) if self.relay_port else "")
        )
        for path in (self.run, *self.run.rglob("*")):
            os.chown(path, uid, gid)
        self._launch(configuration, account)
        eventually(self._answers, 20)

    def stop(self) -> None:
        """Stop it, and all that it started."""
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
            self.process = None
            self._introspection.shutdown()
            self._introspection.server_close()

    @property
    def ca_file(self) -> Path:
        """The authority that signed its certificate."""
        return self.run / "ca.pem"

    def append(self, address: str, mail: bytes, folder: str = "INBOX", at: dt.datetime | None = None) -> None:
        """Put a mail into a folder, as a delivery would; `at`: its time of arrival."""
        with self.client(address) as client:
            stamp = imaplib.Time2Internaldate(at) if at is not None else None
            answer = client.append(folder, None, stamp, mail)  # type: ignore[arg-type]  # None: no flags, now
            assert answer[0] == "OK", answer

    def client(self, address: str) -> imaplib.IMAP4:
        """A logged-in client of the standard library."""
        context = ssl.create_default_context(cafile=str(self.ca_file))
        client = imaplib.IMAP4_SSL(HOST, self.tls_port, ssl_context=context)
        client.authenticate("PLAIN", lambda _: f"\0{address}\0{PASSWORD}".encode())
        return client

    def flags(self, address: str, folder: str = "INBOX") -> list[bytes]:
        """One line of flags per mail."""
        with self.client(address) as client:
            client.select(folder, readonly=True)
            return [line for line in client.fetch("1:*", "(FLAGS)")[1] if isinstance(line, bytes)]

    def renew_uid_validity(self, address: str) -> None:
        """Make the server forget its UIDs, as after a move to another machine: the next opening counts anew."""
        for path in (self.run / "mail" / address).glob("dovecot*"):
            path.unlink()
        time.sleep(1.1)  # Dovecot's UIDVALIDITY is a time in seconds

    def disconnect_all(self) -> None:
        """Stop and start: every session ends, the mails stay."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)
        self._launch(self.run / "dovecot.conf", unprivileged_user())
        eventually(self._answers, 20)

    def log(self) -> str:
        """What it logged."""
        path = self.run / "dovecot.log"
        return path.read_text() if path.exists() else "(no log)"

    def _launch(self, configuration: Path, account: tuple[int, int] | None) -> None:
        command = [self.dovecot.program, "-F", "-c", configuration]
        who = {} if account is None else {"user": account[0], "group": account[1], "extra_groups": []}
        with (self.run / "stderr.log").open("wb") as errors:
            self.process = subprocess.Popen(
                # As `dovecot` would call it, but for the place: that one is fixed when Dovecot is built.
                [self.dovecot.reader, "-f", "service=master", "-c", configuration, "-m", "master", "-e", *command],
                env={"PATH": os.environ["PATH"], "LD_LIBRARY_PATH": ":".join(map(str, self.dovecot.libraries))},
                stdout=subprocess.DEVNULL,
                stderr=errors,
                cwd="/",
                **who,  # type: ignore[call-overload]
            )

    def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.run / "stderr.log").read_text() + self.log()
        try:
            with imaplib.IMAP4(HOST, self.plain_port, timeout=5):
                return True
        except (OSError, imaplib.IMAP4.error):
            return False

    def _serve_tokens(self) -> None:
        tokens = self.tokens

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked = parse_qs(urlsplit(self.path).query).get("access_token", [""])[0]
                self._tell(tokens.get(asked or self.headers.get("Authorization", "").removeprefix("Bearer ")))

            def do_POST(self) -> None:
                self.do_GET()

            def _tell(self, address: str | None) -> None:
                body = b'{"active":"no"}' if address is None else f'{{"active":"yes","email":"{address}"}}'.encode()
                self.send_response(401 if address is None else 200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._introspection = ThreadingHTTPServer((HOST, 0), Handler)
        self._introspection.daemon_threads = True
        threading.Thread(target=self._introspection.serve_forever, args=(0.1,), daemon=True).start()

    def _write_certificates(self) -> None:
        authority_key, authority = certificate("Tests CA", None, None)
        key, leaf = certificate("localhost", authority_key, authority)
        (self.run / "ca.pem").write_bytes(authority.public_bytes(serialization.Encoding.PEM))
        (self.run / "server.pem").write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
        (self.run / "server.key").write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )


def certificate(
    name: str, signer_key: ec.EllipticCurvePrivateKey | None, signer: x509.Certificate | None
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    """A certificate for 127.0.0.1 and localhost; without a signer, an authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if signer is None else signer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=signer is None, path_length=None), critical=True)
    )
    if signer is not None:
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(HOST))]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return key, builder.sign(signer_key or key, hashes.SHA256())


def _name_of(database: str, number: int) -> str:
    found = (
        subprocess.run(["getent", database, str(number)], capture_output=True, text=True, check=False)
        if shutil.which("getent")
        else None
    )
    return found.stdout.partition(":")[0] if found is not None and found.stdout else str(number)

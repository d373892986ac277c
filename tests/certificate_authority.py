"""An authority of the tests' own, a certificate of SNS's kind, and an HTTPS server that gives it out."""

from __future__ import annotations

import base64
import http.server
import json
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from shared.adapters.blocking_http import BlockingHttpClient
from shared.adapters.certificate_source import CertificateSource
from shared.adapters.egress import Egress, read_allow_list
from shared.adapters.egress_target import read_target
from shared.adapters.http_client import HttpParts
from shared.adapters.http_retries import ONCE, Effort
from shared.runtime.http import FIXED_HOSTS

HOST = "sns.sa-east-1.amazonaws.com"
TOPIC = "arn:aws:sns:sa-east-1:000000000001:mail-in"
URL = f"https://{HOST}/SimpleNotificationService-00000000000000000000000000000001.pem"


@dataclass
class Authority:
    """Issues certificates that nobody but its own context trusts."""

    key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048))
    certificate: x509.Certificate = field(init=False)

    def __post_init__(self) -> None:
        self.certificate = self.issued("Test Authority", self.key, ca=True)

    def issued(
        self, name: str, key: rsa.RSAPrivateKey, *, ca: bool = False, days: tuple[int, int] = (-1, 30)
    ) -> x509.Certificate:
        """A certificate of that name, valid from and to so many days from now."""
        now = datetime.now(UTC)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = subject if ca else self.certificate.subject
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=days[0]))
            .not_valid_after(now + timedelta(days=days[1]))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        )
        if ca:
            usage = dict.fromkeys(
                ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"), False
            )
            builder = builder.add_extension(
                x509.KeyUsage(**usage, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False), critical=True
            )
        else:
            authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
            builder = builder.add_extension(authority, critical=False)
        identity = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        return builder.add_extension(identity, critical=False).sign(self.key, SHA256())

    @property
    def trust(self) -> ssl.SSLContext:
        """A client's context that trusts this authority alone."""
        return ssl.create_default_context(cadata=pem_of(self.certificate))


def pem_of(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(Encoding.PEM).decode()


@dataclass
class SnsSigner:
    """SNS as far as signatures go, written from Amazon's page and from nothing of ours."""

    authority: Authority
    key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048))

    def pem(self, name: str = "sns.amazonaws.com", **about: Any) -> str:
        """Its certificate."""
        return pem_of(self.authority.issued(name, self.key, **about))

    def notification(self, message: dict[str, Any], message_id: str, version: str = "2") -> bytes:
        """A signed notification, as posted."""
        told = {
            "Type": "Notification",
            "MessageId": message_id,
            "TopicArn": TOPIC,
            "Message": json.dumps(message),
            "Timestamp": "2026-09-21T13:13:20.500Z",
        }
        text = "".join(f"{name}\n{told[name]}\n" for name in ("Message", "MessageId", "Timestamp", "TopicArn", "Type"))
        signature = self.key.sign(text.encode(), padding.PKCS1v15(), SHA256() if version == "2" else SHA1())
        told |= {"SignatureVersion": version, "Signature": base64.b64encode(signature).decode(), "SigningCertURL": URL}
        return json.dumps(told).encode()


@contextmanager
def sns_source(trust: ssl.SSLContext, port: int, *, effort: Effort = ONCE, host: str = HOST) -> Iterator[CertificateSource]:
    """The source as services have it, whose look-ups find SNS's host on this machine, at that port; TLS sees the host's name."""
    place = read_target(f"https://{host}:{port}")
    fixed = Egress(only_hosts=FIXED_HOSTS, allow=read_allow_list(["127.0.0.1", f"https://{host}:{port}"], "tests"))
    parts = HttpParts(fixed=fixed, tenant=Egress(only_hosts=frozenset()), tls=trust, lookup=_here, stand_ins={host: place})
    with BlockingHttpClient(parts) as client:
        yield CertificateSource(client=client, tls=trust, effort=effort)


async def _here(name: str) -> Sequence[str]:
    return ["127.0.0.1"]


@contextmanager
def https_server(authority: Authority, directory: Path, answers: dict[str, tuple[int, bytes]], name: str = HOST) -> Iterator[int]:
    """Serves these paths under a certificate for `name`; gives its port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers.get(self.path, (404, b""))
            self.send_response(status)
            if status in (301, 302):
                self.send_header("Location", body.decode())
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    chain, private = directory / f"{name}.pem", directory / f"{name}.key"
    chain.write_text(pem_of(authority.issued(name, key)))
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, private)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda request, client_address: None  # type: ignore[method-assign]  # a client that trusts nobody
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)

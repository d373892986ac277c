"""Certificates of a connector's signatures: fetched here, because the edge makes no call, and carried by the snapshot.

Amazon SNS names the certificate in each message. Only addresses on the SNS host of a topic that the connector allows are
fetched. What is kept must be a valid RSA certificate with the service's name; certificates above it, if any came along, must
lead to an authority that this machine trusts (SNS as a rule gives the lowest one alone: then the TLS of its own host vouches).
Source: https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html
"""

from __future__ import annotations

import itertools
import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509.oid import NameOID
from sqlalchemy import select
from sqlalchemy.orm import Session

from shared.adapters.certificate_source import CertificateSource
from shared.adapters.clock import new_uuid7
from shared.adapters.tables import ChannelConnector, ConnectorCertificate
from shared.domain.enums import ConnectorType
from shared.domain.errors import Conflict, InvalidInput
from shared.management.changes import announce_connector, audit_new, audited, find, lock_connector
from shared.providers.email.sns import is_certificate_url

MAX_CERTIFICATES = 16  # of one connector; the oldest fetched goes
_MIN_KEY_BITS = 2_048
_MAX_CHAIN = 5
# `sns.amazonaws.com`, and the regional forms that newer regions use (`sns.<region>…`, `sns-signing.<region>…`)
_NAME = re.compile(r"(?:\*\.)?sns(?:-[a-z0-9-]{1,60})?(?:\.[a-z0-9-]{1,60})?\.amazonaws\.com(?:\.cn)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A certificate that stands in the connector's row now. `changed` is False if it was the same already."""

    url: str
    not_after: datetime
    changed: bool
    chain_verified: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A certificate as it was fetched, found good."""

    url: str
    pem: str
    not_after: datetime
    chain_verified: bool


def fetch_certificate(
    session: Session, connector_id: str, url: str, source: CertificateSource, *, now: datetime, actor: str
) -> Fetched:
    """Fetch, check and store one certificate; announces the connector anew. Blocks on the network.

    Raises NotFound, InvalidInput (`certificate_url`, `certificate_invalid`), Conflict, Unavailable. The connector is locked only
    after the answer came.
    """
    checked = ask_certificate(allowed_topics(find(session, ChannelConnector, connector_id)), url, source, now=now)
    return store_certificate(session, connector_id, checked, now=now, actor=actor)


def ask_certificate(topic_arns: Sequence[str], url: str, source: CertificateSource, *, now: datetime) -> Checked:
    """Fetch and check one certificate, for a connector that allows these topics. Blocks; raises as `fetch_certificate`."""
    checked_address(topic_arns, url)
    pem = source.get(url)
    leaf, verified = checked_certificate(pem, now, source.context)
    return Checked(url=url, pem=pem.decode("ascii", "replace"), not_after=leaf.not_valid_after_utc, chain_verified=verified)


def store_certificate(session: Session, connector_id: str, checked: Checked, *, now: datetime, actor: str) -> Fetched:
    """Store it, if the connector still allows its topic; announces the connector anew where it is another one."""
    connector = lock_connector(session, connector_id)
    checked_address(allowed_topics(connector), checked.url)
    stored = select(ConnectorCertificate).where(
        ConnectorCertificate.connector_id == connector.id, ConnectorCertificate.url == checked.url
    )
    row = session.scalar(stored)
    same = row is not None and row.pem == checked.pem
    fetched = Fetched(url=checked.url, not_after=checked.not_after, changed=not same, chain_verified=checked.chain_verified)
    if same:
        return fetched
    if row is not None:
        with audited(session, row, "certificate.replaced", tenant_id=connector.tenant_id, actor=actor):
            row.pem, row.not_after, row.fetched_at = checked.pem, checked.not_after, now
    else:
        _make_room(session, connector.id)
        values = {"pem": checked.pem, "not_after": checked.not_after, "fetched_at": now}
        new = ConnectorCertificate(id=new_uuid7(), connector_id=connector.id, url=checked.url, **values)
        audit_new(session, new, "certificate.fetched", tenant_id=connector.tenant_id, actor=actor)
    announce_connector(session, connector.id)
    return fetched


def certificates_of(session: Session, connector_id: str) -> Sequence[ConnectorCertificate]:
    """The connector's certificates, the one fetched last first."""
    statement = select(ConnectorCertificate).where(ConnectorCertificate.connector_id == connector_id)
    return session.scalars(statement.order_by(ConnectorCertificate.fetched_at.desc())).all()


def allowed_topics(connector: ChannelConnector) -> Sequence[str]:
    """The SNS topics that the connector takes messages of; raises Conflict (`dialect`) where there can be none."""
    if connector.tipo is not ConnectorType.EMAIL or connector.config.get("dialect") != "ses":
        raise Conflict("only e-mail connectors of dialect ses listen to SNS topics", reason="dialect")
    topics = connector.config.get("topic_arns")
    return [topic for topic in topics if isinstance(topic, str)] if isinstance(topics, list) else []


def checked_address(topic_arns: Sequence[str], url: str) -> None:
    """Raise InvalidInput (`certificate_url`) unless the address is on the SNS host of one of these topics."""
    if not any(is_certificate_url(url, topic) for topic in topic_arns):
        raise InvalidInput(
            "url must be a .pem on the SNS host of a topic that the connector allows", reason="certificate_url", pointer="/url"
        )


def checked_certificate(pem: bytes, now: datetime, trust: ssl.SSLContext) -> tuple[x509.Certificate, bool]:
    """The lowest certificate, and whether it leads to a trusted authority. Raises InvalidInput (`certificate_invalid`)."""
    try:
        chain = x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise _invalid("is no PEM certificate") from None
    if len(chain) > _MAX_CHAIN:
        raise _invalid("has too many certificates")
    leaf = chain[0]
    for certificate in chain:
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            raise _invalid("is not valid now")
    try:
        key: object = leaf.public_key()
    except (ValueError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, RSAPublicKey) or key.key_size < _MIN_KEY_BITS:
        raise _invalid("has no RSA key of 2048 bits")
    if not any(_NAME.fullmatch(name) for name in _names(leaf)):
        raise _invalid("is not of the SNS service")
    for lower, upper in itertools.pairwise(chain):
        if not _issued_by(lower, upper):
            raise _invalid("is not issued by what stands above it")
    trusted = any(_issued_by(chain[-1], root) for root in _authorities(trust))
    if len(chain) > 1 and not trusted:
        raise _invalid("does not lead to a trusted authority")
    return leaf, trusted


def _names(certificate: x509.Certificate) -> list[str]:
    common = [str(name.value) for name in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    try:
        other = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, ValueError):
        return common
    return [*common, *other.get_values_for_type(x509.DNSName)]


def _issued_by(lower: x509.Certificate, upper: x509.Certificate) -> bool:
    try:
        lower.verify_directly_issued_by(upper)
        constraints = upper.extensions.get_extension_for_class(x509.BasicConstraints).value
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, x509.ExtensionNotFound, x509.DuplicateExtension):
        return False
    return constraints.ca


def _authorities(trust: ssl.SSLContext) -> list[x509.Certificate]:
    found = []
    for der in trust.get_ca_certs(binary_form=True):
        try:
            found.append(x509.load_der_x509_certificate(der))
        except ValueError:  # an old root that the library does not read says nothing about this one
            continue
    return found


def _make_room(session: Session, connector_id: str) -> None:
    for row in certificates_of(session, connector_id)[MAX_CERTIFICATES - 1 :]:
        session.delete(row)


def _invalid(what: str) -> InvalidInput:
    return InvalidInput(f"the certificate {what}", reason="certificate_invalid", pointer="/url")


def utc_now() -> datetime:
    """The wall clock, for those that have no other."""
    return datetime.now(UTC)

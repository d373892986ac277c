"""Amazon SNS: prove a message by the certificate that it names, without making a call.

SNS signs a text made of some fields of its JSON; so the JSON is read before it is proven: at most 1 MiB, into a record of texts
alone. In order: message type, allow-listed topic, a certificate address on the SNS host of the topic's own region, then the
signature. Certificates come with the snapshot; one that is not there yet makes the request Undecided.
Sources: https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html and
https://docs.aws.amazon.com/sns/latest/dg/sns-message-and-json-formats.html. For UnsubscribeConfirmation the pages and Amazon's
own validators differ in which fields are signed; both lists are tried.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.x509 import Certificate, load_pem_x509_certificate

from shared.providers.contract import ReceivingSecret, Refused, Request, Undecided, Verdict, Verified
from shared.providers.email.signatures import canonical_base64, verify_basic

CERTIFICATE_MISSING = "certificate_missing"
CERTIFICATE_EXPIRED = "certificate_expired"
MAX_BYTES = 1_048_576
_MAX_SIGNATURE = 1_024
TOPIC_ARN = re.compile(r"arn:(aws|aws-cn|aws-us-gov):sns:([a-z0-9-]{3,40}):[0-9]{12}:[A-Za-z0-9_-]{1,256}(?:\.fifo)?")
_CERTIFICATE_URL = re.compile(r"https://sns\.([a-z0-9-]{3,40})\.amazonaws\.com(\.cn)?/[A-Za-z0-9_.-]{1,128}\.pem")
_NOTIFICATION = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
_CONFIRMATION = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
_SIGNED: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "Notification": (_NOTIFICATION,),
    "SubscriptionConfirmation": (_CONFIRMATION,),
    "UnsubscribeConfirmation": (_CONFIRMATION, _NOTIFICATION),
}
_HASHES: Mapping[str, SHA1 | SHA256] = {"1": SHA1(), "2": SHA256()}  # noqa: S303 - what topics without a setting still sign with


class SnsMessage(msgspec.Struct):
    """The fields that verification looks at. Its repr tells no token and no signature."""

    Type: str = ""
    MessageId: str = ""
    TopicArn: str = ""
    Message: str | None = None
    Subject: str | None = None
    Timestamp: str | None = None
    Token: str | None = None
    SubscribeURL: str | None = None
    SignatureVersion: str = ""
    Signature: str = ""
    SigningCertURL: str = ""

    def __repr__(self) -> str:
        return f"SnsMessage(Type={self.Type!r}, MessageId={self.MessageId!r})"


def is_certificate_url(url: str, topic_arn: str) -> bool:
    """True for a PEM file on the SNS host of the topic's own region, and nothing else that a URL could say."""
    topic, place = TOPIC_ARN.fullmatch(topic_arn), _CERTIFICATE_URL.fullmatch(url)
    if topic is None or place is None:
        return False
    return place[1] == topic[2] and (place[2] is not None) == (topic[1] == "aws-cn")


def verify_sns(request: Request, secrets: Sequence[ReceivingSecret]) -> Verdict:  # noqa: PLR0911 - one for each check
    """The connector's own checks first (credential, topic), then the signature; Undecided without the certificate."""
    secret_id: str | None = None
    if request.settings.get("webhook_auth") != "signature":
        credential = verify_basic(request, secrets)
        if isinstance(credential, Refused):
            return credential
        secret_id = credential.secret_id
    message = _read(request)
    if isinstance(message, Refused):
        return message
    signature = canonical_base64(message.Signature.encode("utf-8"), _MAX_SIGNATURE)
    if signature is None or message.SignatureVersion not in _HASHES:
        return Refused(reason="signature_malformed")
    if not is_certificate_url(message.SigningCertURL, message.TopicArn):
        return Refused(reason="certificate_url")
    pem = request.certificates.get(message.SigningCertURL)
    if pem is None:
        return Undecided(reason=CERTIFICATE_MISSING, cause=CERTIFICATE_MISSING, detail=message.SigningCertURL)
    certificate = _certificate(pem)
    if certificate is None:
        return Refused(reason="certificate_malformed")
    now = datetime.fromtimestamp(request.received_at_ms / 1000, UTC)
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        return Undecided(reason=CERTIFICATE_EXPIRED, cause=CERTIFICATE_EXPIRED, detail=message.SigningCertURL)
    if not _is_signed(message, signature, certificate):
        return Refused(reason="signature_wrong")
    return Verified(secret_id=secret_id)


def _read(request: Request) -> SnsMessage | Refused:
    if len(request.body) > MAX_BYTES:
        return Refused(reason="body_malformed")
    try:
        message = msgspec.json.decode(request.body, type=SnsMessage)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return Refused(reason="body_malformed")
    if message.Type not in _SIGNED:
        return Refused(reason="type_unknown")
    if request.headers.get("x-amz-sns-message-type") != message.Type.encode("utf-8"):
        return Refused(reason="header_differs")
    allowed: Any = request.settings.get("topic_arns", ())
    if message.TopicArn not in allowed or TOPIC_ARN.fullmatch(message.TopicArn) is None:
        return Refused(reason="topic_unknown")
    return message


def _is_signed(message: SnsMessage, signature: bytes, certificate: Certificate) -> bool:
    key = certificate.public_key()
    if not isinstance(key, RSAPublicKey):
        return False
    for names in _SIGNED[message.Type]:
        try:
            key.verify(signature, signed_text(message, names), PKCS1v15(), _HASHES[message.SignatureVersion])
        except InvalidSignature:
            continue
        return True
    return False


def signed_text(message: SnsMessage, names: Sequence[str]) -> bytes:
    """`name\\nvalue\\n` of each field that is there."""
    values = ((name, getattr(message, name)) for name in names)
    return "".join(f"{name}\n{value}\n" for name, value in values if value is not None).encode("utf-8")


@lru_cache(maxsize=256)
def _certificate(pem: bytes) -> Certificate | None:
    try:
        return load_pem_x509_certificate(pem)
    except ValueError:
        return None

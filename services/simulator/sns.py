"""Amazon SES over SNS: notifications signed with a certificate that is fetched by URL, and subscriptions to confirm.

Source: https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html and
https://docs.aws.amazon.com/ses/latest/dg/receiving-email-notifications-contents.html
"""

from __future__ import annotations

import base64
import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from services.simulator.mail import Letter
from services.simulator.mail_stand_in import MailStandIn
from services.simulator.people import Person
from services.simulator.stand_in import Account, Element, World
from services.simulator.utterances import Receipt
from services.simulator.wire import ApiCall, ApiReply, Post, reply

CERTIFICATE_URL = "https://sns.sa-east-1.amazonaws.com/SimpleNotificationService-simulated.pem"
_HOST = "https://sns.sa-east-1.amazonaws.com"
_NOTIFICATION = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
_CONFIRMATION = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
_NAMES = {"sent": "Send", "delivered": "Delivery", "failed": "Bounce", "read": "Open"}


class Sns(MailStandIn):
    """`about`: `topic_arn`, `version` of the signature (`1` SHA-1, `2` SHA-256), `basic` (`user:password` of the URL),
    `key` (above 0: a forger's, which no certificate has).

    The key pair and the certificate are new in each process: RSA keys cannot be made out of a seed.
    """

    name = "sns"
    hosts = ("sns.sa-east-1.amazonaws.com",)

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._first_seen: dict[str, int] = {}

    def create(self, **about: Any) -> Account:
        """An inbox whose rule publishes to a topic; the subscription waits for its confirmation."""
        topic = f"arn:aws:sns:sa-east-1:000000000000:mail-{len(self.accounts) + 1}"
        account = super().create(**{"topic_arn": topic, "version": "2", "basic": "", "confirmed": True, **about})
        account.about["token"] = f"token{len(self.accounts):060d}"
        return account

    def confirm(self, account: str) -> None:
        """Ask the endpoint to confirm; nothing else comes until somebody opens the SubscribeURL."""
        about = self.accounts[account].about
        about["confirmed"] = False
        url = f"{_HOST}/?Action=ConfirmSubscription&TopicArn={about['topic_arn']}&Token={about['token']}"
        text = f"You have chosen to subscribe to the topic {about['topic_arn']}."
        self.queue(
            account,
            {"Type": "SubscriptionConfirmation", "Message": text, "Token": about["token"], "SubscribeURL": url},
            "confirm",
        )

    def say(self, account: str, who: Person, what: Any) -> str:
        """A mail; it is dropped while the subscription is not confirmed, as SNS does."""
        if not self.accounts[account].about["confirmed"]:
            return ""
        return super().say(account, who, what)

    def tell(self, account: str, who: Person, what: Receipt) -> None:
        """A sending event of SES (event publishing)."""
        name = _NAMES[what.status]
        sent = {"messageId": what.message_id, "destination": [who.mail], "source": account, "timestamp": self._iso()}
        inner: dict[str, Any] = {"eventType": name, "mail": sent, name.lower(): {"timestamp": self._iso()}}
        if what.status == "failed":
            person = {"emailAddress": who.mail, "action": "failed", "status": "5.1.1", "diagnosticCode": "smtp; 550 5.1.1"}
            inner["bounce"] |= {"bounceType": "Permanent", "bounceSubType": "General", "bouncedRecipients": [person]}
        if what.status == "delivered":
            inner["delivery"] |= {"recipients": [who.mail], "smtpResponse": "250 ok"}
        self.queue(account, {"Type": "Notification", "Message": json.dumps(inner)}, f"event {what.status}")

    def post_of(self, elements: Sequence[Element], now_ms: int) -> Post:
        """One signed SNS message; a repeat is the same, byte for byte."""
        account, payload = self.accounts[elements[0].account], elements[0].payload
        told = self._mail(payload) if isinstance(payload, Letter) else dict(payload)
        label = payload.message_id if isinstance(payload, Letter) else json.dumps(payload, sort_keys=True)
        document = {**told, "MessageId": _uuid(label), "TopicArn": account.about["topic_arn"], "Timestamp": self._iso(label)}
        document |= {"SignatureVersion": account.about["version"], "SigningCertURL": CERTIFICATE_URL}
        document["Signature"] = self.sign(document, account.about["version"], account.about.get("key", 0))
        if document["Type"] == "Notification":
            document["UnsubscribeURL"] = f"{_HOST}/?Action=Unsubscribe&SubscriptionArn={account.about['topic_arn']}:1"
        headers = [
            ("Content-Type", "text/plain; charset=UTF-8"),
            ("User-Agent", "Amazon Simple Notification Service Agent"),
            ("x-amz-sns-message-type", document["Type"]),
            ("x-amz-sns-message-id", document["MessageId"]),
            ("x-amz-sns-topic-arn", document["TopicArn"]),
        ]
        if account.about["basic"]:
            headers.append(("Authorization", "Basic " + base64.b64encode(account.about["basic"].encode()).decode()))
        return Post(url=account.callback_url, headers=tuple(headers), body=json.dumps(document).encode())

    def _mail(self, letter: Letter) -> dict[str, Any]:
        passed = {"status": "PASS"}
        names = ("spamVerdict", "virusVerdict", "spfVerdict", "dkimVerdict", "dmarcVerdict")
        inner = {
            "notificationType": "Received",
            "mail": {
                "timestamp": letter.date.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
                "source": letter.sender.mail,
                "messageId": f"ses{letter.message_id[:9]}",
                "destination": [letter.to],
                "headersTruncated": False,
                "headers": [{"name": name, "value": value} for name, value in letter.headers],
                "commonHeaders": {"from": [letter.sender.mail], "to": [letter.to], "messageId": f"<{letter.message_id}>"},
            },
            "receipt": {
                "timestamp": letter.date.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
                "processingTimeMillis": 42,
                "recipients": [letter.to],
                **dict.fromkeys(names, passed),
                "action": {"type": "SNS", "topicArn": self.accounts[letter.to].about["topic_arn"], "encoding": "BASE64"},
            },
            "content": base64.b64encode(letter.mime()).decode(),
        }
        return {"Type": "Notification", "Subject": "Amazon SES Email Receipt Notification", "Message": json.dumps(inner)}

    def sign(self, document: Mapping[str, str], version: str, key: int = 0) -> str:
        """Base64 signature over the canonical text of the message; only key 0 is the certificate's."""
        names = _NOTIFICATION if document["Type"] == "Notification" else _CONFIRMATION
        text = "".join(f"{name}\n{document[name]}\n" for name in names if name in document)
        algorithm = hashes.SHA256() if version == "2" else hashes.SHA1()  # noqa: S303 - version 1 of the signature is defined by it
        return base64.b64encode(_key(key).sign(text.encode(), padding.PKCS1v15(), algorithm)).decode()

    def certificate(self) -> bytes:
        """PEM that CERTIFICATE_URL serves."""
        key, name = _key(0), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
        begin = datetime.fromtimestamp(self.world.clock.now_ms / 1000, UTC) - timedelta(days=1)
        made = x509.CertificateBuilder(name, name, key.public_key(), 1, begin, begin + timedelta(days=365))
        return made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def _iso(self, label: str | None = None) -> str:
        now_ms = self.world.clock.now_ms
        moment_ms = now_ms if label is None else self._first_seen.setdefault(label, now_ms)
        return datetime.fromtimestamp(moment_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")

    def operation_of(self, call: ApiCall) -> str:
        """`certificate`, `ConfirmSubscription`, `Unsubscribe`, else a SES call."""
        return "certificate" if call.path.endswith(".pem") else call.query.get("Action", "send")

    def serve(self, operation: str, call: ApiCall) -> ApiReply:
        """Certificate and subscriptions."""
        if operation == "certificate":
            return ApiReply(status=200, body=self.certificate(), headers=(("Content-Type", "application/x-pem-file"),))
        if operation == "ConfirmSubscription":
            account = next((one for one in self.accounts.values() if one.about["token"] == call.query.get("Token")), None)
            if account is None:
                return reply(400, {"Error": {"Code": "InvalidParameter"}})
            account.about["confirmed"] = True
            text = b"<ConfirmSubscriptionResponse/>"
            return ApiReply(status=200, body=text, headers=(("Content-Type", "text/xml"),))
        return super().serve(operation, call)


@cache
def _key(_: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65_537, key_size=2_048)  # a tenth of a second: once per process


def _uuid(label: str) -> str:
    return str(uuid.UUID(bytes=hashlib.sha256(label.encode()).digest()[:16], version=4))

"""Calls of ours: sending over SMTP, renewing tokens, health; and what an administrator may set."""

from __future__ import annotations

import email
import email.policy
import json
from dataclasses import replace
from typing import Any

import pytest

from shared.domain.content import MailAddress
from shared.domain.enums import AliasKind, ErrorClass, Feature, HealthStatus, TokenKind
from shared.domain.errors import InvalidInput
from shared.domain.items import Alias, MessageItem, ReceiptItem
from shared.providers.calling import CallContext, Mail, ProviderCall, ProviderResponse, TransportFault, placed
from shared.providers.checking import overall
from shared.providers.email.mailbox import mailbox_items, record_headers
from shared.providers.email.provider import PROVIDER
from shared.providers.renewing import NotRenewed, Renewed
from shared.providers.sending import (
    Accepted,
    MailOrder,
    OutboundContent,
    OutboundKind,
    OutboundMedia,
    Rejected,
    SendOrder,
    UnknownOutcome,
)

CONTEXT = CallContext(
    connector_id="c",
    account_id="a",
    identidade="loja@nos.example",
    settings={"dialect": "imap", "smtp_host": "smtp.nos.example", "imap_host": "imap.nos.example"},
    account_config={},
    now_ms=1_790_000_000_000,
)
ORDER = SendOrder(
    message_id="00000000-0000-7000-8000-000000000001",
    kind=OutboundKind.EMAIL,
    recipient=(Alias(kind=AliasKind.MAIL, value="lia@cliente.example"),),
    content=OutboundContent(
        text="Olá, temos vaga.\n.\nFim",
        attachments=(OutboundMedia(data=b"%PDF-1.4", mime_type="application/pdf", filename="../ficha ção.pdf"),),
        mail=MailOrder(
            subject="Re: Vaga de amanhã",
            message_id="out-9@nos.example",
            html="<p>Olá</p>",
            sender_name="Loja, S.A.",
            cc=(MailAddress(address="caio@cliente.example", name="Caio"),),
            bcc=(MailAddress(address="eva@nos.example"),),
            in_reply_to="abc@cliente.example",
            references=("x@cliente.example",),
        ),
    ),
)
SENDING, RENEWING, CHECKING = PROVIDER.sending, PROVIDER.renewing, PROVIDER.checking
assert SENDING is not None
assert RENEWING is not None
assert CHECKING is not None


def with_settings(**settings: Any) -> CallContext:
    return replace(CONTEXT, settings={**CONTEXT.settings, **settings})


def with_mail(**changes: Any) -> SendOrder:
    mail = ORDER.content.mail
    assert mail is not None
    return replace(ORDER, content=replace(ORDER.content, mail=replace(mail, **changes)))


def sent(order: SendOrder = ORDER, context: CallContext = CONTEXT) -> tuple[ProviderCall, Mail, Any]:
    assert SENDING is not None
    (call,) = SENDING.build(order, context)
    assert isinstance(call.body, Mail)
    return call, call.body, email.message_from_bytes(call.body.data, policy=email.policy.default)


def reply(status: int, text: str = "") -> ProviderResponse:
    return ProviderResponse(status=status, body=text.encode())


class TestSending:
    def test_a_mail_says_what_was_ordered(self) -> None:
        call, mail, message = sent()
        assert (call.method, call.url, call.headers) == ("SMTP", "smtp://smtp.nos.example:587", (("auth", "password"),))
        assert placed(call, {"secret": "x"}).login == ("loja@nos.example", "x")
        assert mail.sender == "loja@nos.example"
        assert mail.recipients == ("lia@cliente.example", "caio@cliente.example", "eva@nos.example")
        assert message["From"] == '"Loja, S.A." <loja@nos.example>'
        assert message["To"] == "lia@cliente.example"
        assert message["Cc"] == "Caio <caio@cliente.example>"
        assert message["Bcc"] is None
        assert b"eva@nos.example" not in mail.data
        assert message["Subject"] == "Re: Vaga de amanhã"
        assert message["Message-ID"] == "<out-9@nos.example>"
        assert message["In-Reply-To"] == "<abc@cliente.example>"
        assert message["References"] == "<x@cliente.example> <abc@cliente.example>"
        assert message["Date"].datetime.timestamp() == 1_790_000_000
        assert message["X-Channels-Message-Id"] == f"<{ORDER.message_id}>"
        plain, html = message.get_body(("plain",)), message.get_body(("html",))
        assert plain.get_content().replace("\r\n", "\n") == "Olá, temos vaga.\n.\nFim\n"
        assert html.get_content().strip() == "<p>Olá</p>"
        (file,) = message.iter_attachments()
        assert (file.get_filename(), file.get_content(), file.get_content_type()) == (
            "ficha ção.pdf",
            b"%PDF-1.4",
            "application/pdf",
        )
        assert b"\r\n" in mail.data
        assert b"\n" not in mail.data.replace(b"\r\n", b"")
        assert max(map(len, mail.data.split(b"\r\n"))) <= 998

    def test_our_own_reader_reads_it_back(self) -> None:
        _, mail, _ = sent()
        (item,) = mailbox_items(mail.data, record_headers("loja@nos.example", None, sent=True))
        assert isinstance(item, MessageItem)
        assert (item.provider_message_id, item.content.text) == ("out-9@nos.example", "Olá, temos vaga.\n.\nFim")

    def test_a_bounce_of_it_leads_back_to_our_message(self) -> None:
        _, mail, _ = sent()
        bounce = (
            b"From: MAILER-DAEMON@mx.example\r\nTo: loja@nos.example\r\nMessage-ID: <b@mx.example>\r\n"
            b"Content-Type: multipart/report; report-type=delivery-status; boundary=r\r\n\r\n--r\r\n"
            b"Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example\r\n\r\n"
            b"Final-Recipient: rfc822; lia@cliente.example\r\nAction: failed\r\nStatus: 5.2.2\r\n\r\n--r\r\n"
            b"Content-Type: message/rfc822\r\n\r\n" + mail.data + b"\r\n--r--\r\n"
        )
        (item,) = mailbox_items(bounce, record_headers("loja@nos.example", None))
        assert isinstance(item, ReceiptItem)
        assert (item.provider_message_id, item.callback_data) == ("out-9@nos.example", ORDER.message_id)
        assert (item.error_class, item.error_code) == (ErrorClass.RETRYABLE, "5.2.2")

    @pytest.mark.parametrize(
        ("dialect", "header", "parts"),
        [
            ("mailgun", "X-Mailgun-Variables", (ORDER.message_id, "loja@nos.example")),
            ("sendgrid", "X-SMTPAPI", ("unique_args", ORDER.message_id)),
            ("postmark", "X-PM-Metadata-channels-message-id", (ORDER.message_id,)),
            ("ses", "X-SES-MESSAGE-TAGS", (f"channels-message-id={ORDER.message_id}", "channels-account=loja@nos.example")),
        ],
    )
    def test_each_service_is_told_our_id(self, dialect: str, header: str, parts: tuple[str, ...]) -> None:
        _, _, message = sent(context=with_settings(dialect=dialect))
        assert all(part in message[header] for part in parts)
        if header in ("X-Mailgun-Variables", "X-SMTPAPI"):
            json.loads(message[header])

    @pytest.mark.parametrize(
        ("order", "pointer"),
        [
            (with_mail(subject="a\r\nBcc: eva@nos.example"), "/content/mail"),
            (with_mail(message_id="x\r\ny@nos.example"), "/content/mail/message_id"),
            (with_mail(message_id="no-domain"), "/content/mail/message_id"),
            (with_mail(sender_name="a\r\nBcc: x"), "/content/mail"),
            (with_mail(in_reply_to="a>\r\nBcc: x"), "/content/mail"),
            (with_mail(cc=(MailAddress(address="no address"),)), "/recipient"),
            (replace(ORDER, recipient=()), "/recipient"),
            (replace(ORDER, kind=OutboundKind.TEXT), "/content/mail"),
            (replace(ORDER, content=replace(ORDER.content, mail=None)), "/content/mail"),
            (
                replace(ORDER, content=replace(ORDER.content, attachments=(OutboundMedia(link="https://x.test/a"),))),
                "/content/attachments/0",
            ),
            (
                replace(ORDER, content=replace(ORDER.content, attachments=(OutboundMedia(data=bytes(18_000_001)),))),
                "/content/attachments",
            ),
        ],
    )
    def test_what_cannot_be_sent_is_refused_with_its_place(self, order: SendOrder, pointer: str) -> None:
        with pytest.raises(InvalidInput) as refused:
            sent(order)
        assert (refused.value.reason, refused.value.pointer) == ("cannot_send", pointer)

    def test_without_a_server_there_is_no_call(self) -> None:
        with pytest.raises(InvalidInput) as refused:
            sent(context=replace(CONTEXT, settings={"dialect": "imap"}))
        assert refused.value.reason == "setting_missing"

    def test_tokens_and_tls_follow_the_settings(self) -> None:
        call, _, _ = sent(context=with_settings(smtp_tls="implicit", auth="xoauth2", username="user"))
        assert (call.url, call.headers) == ("smtps://smtp.nos.example:465", (("auth", "xoauth2"),))
        assert placed(call, {"access_token": "t"}).login == ("user", "t")

    def test_accepted_with_our_id_and_theirs(self) -> None:
        call, _, _ = sent()
        assert SENDING is not None
        assert SENDING.read(call, reply(250, "2.0.0 queued")) == Accepted(provider_message_ids=("out-9@nos.example",))
        ses = SENDING.read(call, reply(250, "Ok 0100018f00000000-0000abcd-0000-4000-8000-000000000000-000000"))
        assert isinstance(ses, Accepted)
        assert ses.provider_message_ids[1:] == ("0100018f00000000-0000abcd-0000-4000-8000-000000000000-000000",)

    @pytest.mark.parametrize(
        ("status", "text", "expected", "scope"),
        [
            (421, "4.7.0 try again later", ErrorClass.RATE_LIMITED, "account"),
            (450, "4.2.1 mailbox busy", ErrorClass.RETRYABLE, "message"),
            (535, "5.7.8 not accepted", ErrorClass.AUTH, "account"),
            (530, "5.7.0 authentication required", ErrorClass.AUTH, "account"),
            (550, "5.1.1 no such user", ErrorClass.RECIPIENT_PERMANENT, "peer"),
            (552, "5.3.4 too large", ErrorClass.CONTENT_PERMANENT, "message"),
            (550, "5.4.5 Daily user sending quota exceeded", ErrorClass.RATE_LIMITED, "account"),
            (554, "5.2.0 STOREDRV; SendAsDenied", ErrorClass.ACCOUNT_BLOCKED, "account"),
            (554, "5.7.1 spam", ErrorClass.CONTENT_PERMANENT, "message"),
        ],
    )
    def test_refusals_have_their_class(self, status: int, text: str, expected: ErrorClass, scope: str) -> None:
        call, _, _ = sent()
        assert SENDING is not None
        outcome = SENDING.read(call, reply(status, text))
        assert isinstance(outcome, Rejected)
        assert (outcome.fault.error_class, outcome.fault.scope) == (expected, scope)

    def test_a_lost_answer_is_unknown_and_a_lost_connection_is_not(self) -> None:
        call, _, _ = sent()
        assert SENDING is not None
        assert isinstance(SENDING.read(call, TransportFault(kind="lost", may_have_left=True)), UnknownOutcome)
        outcome = SENDING.read(call, TransportFault(kind="connect", may_have_left=False))
        assert isinstance(outcome, Rejected)
        assert outcome.fault.error_class is ErrorClass.RETRYABLE


class TestRenewing:
    CREDENTIALS = {"refresh_token": "r", "client_secret": "s"}  # noqa: RUF012

    @pytest.mark.parametrize(
        ("provider", "url", "idempotent"),
        [
            ("google", "https://oauth2.googleapis.com/token", True),
            ("microsoft", "https://login.microsoftonline.com/tenant-1/oauth2/v2.0/token", False),
        ],
    )
    def test_the_call(self, provider: str, url: str, idempotent: bool) -> None:
        assert RENEWING is not None
        settings = {"oauth_provider": provider, "oauth_client_id": "client", "oauth_tenant": "tenant-1"}
        call = RENEWING.build(with_settings(**settings))
        assert (call.url, call.method, call.idempotent) == (url, "POST", idempotent)
        ready = placed(call, self.CREDENTIALS)
        assert isinstance(ready.body, tuple)
        form = dict(ready.body)  # type: ignore[arg-type]
        assert form["grant_type"] == "refresh_token"
        assert (form["client_id"], form["client_secret"], form["refresh_token"]) == ("client", "s", "r")
        assert ("offline_access" in form.get("scope", "")) is (provider == "microsoft")
        assert "r'" not in repr(call)

    def test_without_settings_there_is_none(self) -> None:
        assert RENEWING is not None
        with pytest.raises(InvalidInput):
            RENEWING.build(CONTEXT)

    def test_google_keeps_the_refresh_token_and_microsoft_gives_a_new_one(self) -> None:
        assert RENEWING is not None
        google = RENEWING.read(
            reply(200, json.dumps({"access_token": "a", "expires_in": 3599, "scope": "https://mail.google.com/"}))
        )
        assert isinstance(google, Renewed)
        assert [(token.kind, token.value, token.expires_in_seconds) for token in google.tokens] == [
            (TokenKind.ACCESS_TOKEN, "a", 3599)
        ]
        both = {"access_token": "a", "expires_in": "3600", "refresh_token": "r2", "token_type": "Bearer"}
        microsoft = RENEWING.read(reply(200, json.dumps(both)))
        assert isinstance(microsoft, Renewed)
        assert [(token.kind, token.value) for token in microsoft.tokens] == [
            (TokenKind.ACCESS_TOKEN, "a"),
            (TokenKind.REFRESH_TOKEN, "r2"),
        ]
        assert "r2" not in repr(microsoft)

    @pytest.mark.parametrize(
        ("status", "body", "expected", "action"),
        [
            (400, {"error": "invalid_grant", "error_description": "AADSTS700082"}, ErrorClass.AUTH, "consent_again"),
            (400, {"error": "interaction_required"}, ErrorClass.AUTH, "consent_again"),
            (401, {"error": "invalid_client"}, ErrorClass.AUTH, "fix_client"),
            (429, {}, ErrorClass.RATE_LIMITED, None),
            (503, {"error": "temporarily_unavailable"}, ErrorClass.RETRYABLE, None),
            (200, {"no": "token"}, ErrorClass.RETRYABLE, None),
            (200, {"access_token": ""}, ErrorClass.RETRYABLE, None),
        ],
    )
    def test_why_there_is_none(self, status: int, body: dict[str, str], expected: ErrorClass, action: str | None) -> None:
        assert RENEWING is not None
        outcome = RENEWING.read(reply(status, json.dumps(body)))
        assert isinstance(outcome, NotRenewed)
        assert (outcome.fault.error_class, outcome.fault.action) == (expected, action)

    def test_a_lost_answer_may_have_used_the_token_up(self) -> None:
        assert RENEWING is not None
        outcome = RENEWING.read(TransportFault(kind="timeout", may_have_left=True))
        assert isinstance(outcome, NotRenewed)
        assert outcome.fault.error_class is ErrorClass.UNKNOWN_OUTCOME


class TestHealth:
    def test_both_servers_are_asked_as_set(self) -> None:
        assert CHECKING is not None
        calls = CHECKING.build(CONTEXT)
        assert [(call.step, call.method, call.url, call.idempotent) for call in calls] == [
            ("imap", "IMAP", "imaps://imap.nos.example:993", True),
            ("smtp", "SMTP", "smtp://smtp.nos.example:587", True),
        ]
        assert CHECKING.build(replace(CONTEXT, settings={"dialect": "mailgun"})) == ()

    @pytest.mark.parametrize(
        ("imap", "expected", "cause"),
        [
            (reply(250, "ok"), HealthStatus.PASSED, "ok"),
            (
                ProviderResponse(status=250, body=b"", headers={"capabilities": "IMAP4rev1 UIDPLUS"}),
                HealthStatus.WARNING,
                "no_idle",
            ),
            (ProviderResponse(status=250, body=b"", headers={"capabilities": "IMAP4rev1 IDLE"}), HealthStatus.PASSED, "ok"),
            (reply(535, "5.7.8 refused"), HealthStatus.FAILED, "auth"),
            (reply(421, "too many"), None, "unreachable"),
            (TransportFault(kind="timeout", may_have_left=True), None, "unreachable"),
            (TransportFault(kind="tls", may_have_left=False), HealthStatus.FAILED, "tls"),
            (TransportFault(kind="refused", may_have_left=False, detail="private"), HealthStatus.FAILED, "address_refused"),
        ],
    )
    def test_grades(self, imap: Any, expected: HealthStatus | None, cause: str) -> None:
        assert CHECKING is not None
        results = CHECKING.grade({"imap": imap, "smtp": reply(250)}, CONTEXT)
        assert (results[0].status, results[0].cause) == (expected, cause)
        assert overall(results) is (expected or HealthStatus.PASSED)


class TestSettings:
    def test_each_dialect_with_what_it_offers(self) -> None:
        for config in (
            {"dialect": "mailgun"},
            {"dialect": "sendgrid", "webhook_auth": "url"},
            {"dialect": "postmark", "webhook_auth": "header"},
            {"dialect": "ses", "topic_arns": ["arn:aws:sns:sa-east-1:000000000001:t"]},
            {"dialect": "imap", "imap_host": "imap.nos.example", "auth": "xoauth2", "oauth_provider": "microsoft"},
        ):
            assert PROVIDER.check_config(config) == config

    @pytest.mark.parametrize(
        "config",
        [
            {},
            {"dialect": "other"},
            {"dialect": "mailgun", "webhook_auth": "url"},
            {"dialect": "ses"},
            {"dialect": "ses", "topic_arns": ["*"]},
            {"dialect": "imap", "imap_host": "a b"},
            {"dialect": "imap", "imap_host": "a\r\nb"},
            {"dialect": "imap", "folder": "a\r\nb"},
            {"dialect": "imap", "imap_port": 0},
            {"dialect": "imap", "more": 1},
            {"dialect": "imap", "password": "x"},
        ],
    )
    def test_other_settings_are_refused(self, config: dict[str, Any]) -> None:
        with pytest.raises(InvalidInput):
            PROVIDER.check_config(config)

    def test_names_of_an_account(self) -> None:
        assert PROVIDER.normalise_identity(["Loja ", "Loja@Nos.example>"][1].strip(">")) == "loja@nos.example"
        assert PROVIDER.account_refs("Loja@nos.example", {}) == ("address:loja@nos.example",)
        assert PROVIDER.account_refs("loja@nos.example", {"whole_domain": True, "takes_rest": True}) == (
            "address:loja@nos.example",
            "domain:nos.example",
            "any",
        )
        assert PROVIDER.account_refs("nobody", {}) == ()
        with pytest.raises(InvalidInput):
            PROVIDER.normalise_identity("nobody")

    def test_files_go_up_to_18_mb(self) -> None:
        (media,) = [preset for preset in PROVIDER.capabilities if preset.feature is Feature.MEDIA_UPLOAD]
        assert media.constraints["max_total_bytes"] == 18_000_000

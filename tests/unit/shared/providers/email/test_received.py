"""One mail to its items: which parts are the letter, what names it, for whom it is, and whether a machine wrote it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.enums import Direction
from shared.domain.items import AnyItem, ConnectorEventItem, MessageItem, ReceiptItem
from shared.providers.email.mailbox import mailbox_items, record_headers
from shared.providers.email.normalise import normalise
from shared.providers.email.quotation import _ANY_SIGN, _begin_of_quotation, split_quotation

HEADERS = record_headers("loja@nos.example", 1_790_000_000_000)
FORM = {"content-type": "application/x-www-form-urlencoded"}


def mail(head: str = "", body: str = "Oi", message_id: str = "<1@cliente.example>") -> bytes:
    named = f"Message-ID: {message_id}\r\n" if message_id else ""
    return f"From: lia@cliente.example\r\nTo: loja@nos.example\r\n{named}{head}\r\n{body}".encode()


def message(items: Sequence[AnyItem]) -> MessageItem:
    (item,) = items
    assert isinstance(item, MessageItem)
    return item


def parts(kind: str, *inside: str, boundary: str = "b") -> str:
    body = "".join(f"--{boundary}\r\n{part}\r\n" for part in inside)
    return f"Content-Type: multipart/{kind}; boundary={boundary}\r\n\r\n{body}--{boundary}--\r\n"


def plain(text: str) -> str:
    return f"Content-Type: text/plain\r\n\r\n{text}"


def html(text: str) -> str:
    return f"Content-Type: text/html\r\n\r\n<p>{text}</p>"


PICTURE = "Content-Type: image/png\r\nContent-Disposition: inline\r\n\r\nx"


@pytest.mark.req(66)
@pytest.mark.parametrize(
    ("structure", "expected"),
    [
        (parts("mixed", html("letter"), plain("footer of a list")), "letter\nfooter of a list"),
        (parts("mixed", plain("hello"), html("letter")), "hello\nletter"),
        (parts("mixed", html("first"), PICTURE, html("second")), "first\nsecond"),
        (parts("alternative", plain("one"), html("two")), "one"),
        (parts("alternative", html("two"), plain("one")), "one"),
        (parts("alternative", plain(" \r\n"), html("two")), "two"),
        (
            parts("mixed", *(parts("alternative", plain(word), html("no"), boundary=word) for word in ("one", "two"))),
            "one\ntwo",
        ),
        (parts("alternative", parts("related", html("two"), PICTURE, boundary="r"), plain("one")), "one"),
        (parts("alternative", parts("mixed", html("letter"), plain("footer"), boundary="r")), "letter\nfooter"),
        (parts("mixed", *(plain(f"{number}") for number in range(40))), "\n".join(str(number) for number in range(40))),
    ],
)
def test_every_part_of_a_letter_is_read_once(structure: str, expected: str) -> None:
    head, _, body = structure.partition("\r\n\r\n")
    item = message(mailbox_items(mail(f"{head}\r\n", body), HEADERS))
    assert item.content.text == expected


@pytest.mark.req(66)
def test_further_parts_of_html_stay_within_reach() -> None:
    head, _, body = parts("mixed", html("first"), PICTURE, html("second")).partition("\r\n\r\n")
    content = message(mailbox_items(mail(f"{head}\r\n", body), HEADERS)).content
    assert content.email is not None
    assert content.email.html_part == "1"
    assert [(media.raw_part, media.mime_type, media.inline) for media in content.attachments] == [
        ("2", "image/png", True),
        ("3", "text/html", True),
    ]


def test_alternatives_within_alternatives_are_read_once_each() -> None:
    structure = plain(" ")
    for depth in range(10):
        structure = parts("alternative", structure, structure, boundary=f"b{depth}x") if depth < 7 else structure
    head, _, body = structure.partition("\r\n\r\n")
    assert message(mailbox_items(mail(f"{head}\r\n", body), HEADERS)).content.text is None


@pytest.mark.req(66)
def test_mails_without_an_id_are_told_apart_by_what_differs() -> None:
    file = 'Content-Type: application/pdf; name="scan.pdf"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
    date = "Date: Mon, 21 Sep 2026 14:13:20 +0000\r\n"

    def key(head: str, body: str = "Oi", received_at_ms: int = 1_790_000_000_000) -> tuple[str, str]:
        headers = record_headers("loja@nos.example", received_at_ms)
        item = message(mailbox_items(mail(head, body, message_id=""), headers))
        return item.dedup_key, item.provider_message_id

    assert key(f"{date}{file}".removesuffix("\r\n"), "QUJD") != key(f"{date}{file}".removesuffix("\r\n"), "QUJDREVG")
    assert key(date, "Oi\r\n\r\n> one") != key(date, "Oi\r\n\r\n> two")
    assert key("") != key("", received_at_ms=1_790_000_060_000)
    assert key(date) == key(date, received_at_ms=1_790_000_060_000)


@pytest.mark.req(66)
def test_a_providers_id_names_a_mail_that_has_none() -> None:
    def keys(number: str) -> tuple[str, str]:
        document = {"MessageID": number, "From": "lia@cliente.example", "To": "loja@nos.example", "TextBody": "Oi", "Headers": []}
        item = message(normalise(json.dumps(document).encode(), {}, {"dialect": "postmark"}))
        return item.dedup_key, item.provider_message_id

    assert keys("one") == keys("one")
    assert all(first != second for first, second in zip(keys("one"), keys("two"), strict=True))


def sns(recipients: list[str]) -> tuple[bytes, dict[str, str], dict[str, str]]:
    inner = {
        "notificationType": "Received",
        "mail": {"messageId": "ses-1", "source": "lia@cliente.example"},
        "receipt": {"recipients": recipients, "action": {"type": "SNS"}},
        "content": mail().decode(),
    }
    return json.dumps({"Type": "Notification", "MessageId": "m", "Message": json.dumps(inner)}).encode(), {}, {"dialect": "ses"}


def form(dialect: str, **fields: str) -> tuple[bytes, dict[str, str], dict[str, str]]:
    return urlencode(fields).encode(), FORM, {"dialect": dialect}


@pytest.mark.req(66)
@pytest.mark.parametrize(
    "posted",
    [
        sns(["loja@nos.example", "not an address", "Vendas@nos.example", "loja@nos.example"]),
        form(
            "sendgrid",
            email=mail().decode(),
            envelope=json.dumps({"to": ["loja@nos.example", "vendas@nos.example"], "from": "lia@cliente.example"}),
        ),
        form("mailgun", **{"body-mime": mail().decode(), "recipient": "loja@nos.example, vendas@nos.example", "token": "t" * 50}),
    ],
)
def test_a_mail_for_several_addresses_of_ours_reaches_each(posted: Any) -> None:
    first, second = normalise(*posted)
    assert isinstance(first, MessageItem)
    assert isinstance(second, MessageItem)
    assert first.account_refs[0] == "address:loja@nos.example"
    assert second.account_refs == ("address:vendas@nos.example", "domain:nos.example")
    assert (first.dedup_key, first.provider_message_id) == (second.dedup_key, second.provider_message_id)
    assert first.path != second.path
    assert second.content.email is not None
    assert second.content.email.envelope_recipient == "vendas@nos.example"


def auto(items: Sequence[AnyItem]) -> str | None:
    email = message(items).content.email
    assert email is not None
    return email.auto_submitted


@pytest.mark.req(66)
@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("Auto-Submitted: no\r\n", None),
        ("Auto-Submitted: no (a person)\r\n", None),
        ("Auto-Submitted: No; x=y\r\n", None),
        ("Auto-Submitted: auto-replied (vacation)\r\n", "auto-replied"),
        ("Auto-Submitted: no\r\nAuto-Submitted: auto-replied\r\n", "auto-replied"),
        ("Auto-Submitted: !\r\n", "auto-generated"),
        ("Auto-Submitted:\r\n", None),
    ],
)
def test_only_a_plain_no_says_that_a_person_wrote(head: str, expected: str | None) -> None:
    assert auto(mailbox_items(mail(head), HEADERS)) == expected


@pytest.mark.req(66)
@pytest.mark.parametrize("sender", ["", "<>"])
def test_an_empty_envelope_sender_is_seen_without_a_return_path(sender: str) -> None:
    sendgrid = form("sendgrid", email=mail().decode(), envelope=json.dumps({"to": ["loja@nos.example"], "from": sender}))
    mailgun = form("mailgun", **{"body-mime": mail().decode(), "recipient": "loja@nos.example", "sender": sender})
    assert [auto(normalise(*posted)) for posted in (sendgrid, mailgun)] == ["null_sender", "null_sender"]


@pytest.mark.req(66)
def test_a_letter_does_not_vanish_because_of_a_bounces_header() -> None:
    head = "X-Failed-Recipients: ana@cliente.example\r\nReferences: <out@nos.example>\r\n"
    assert message(mailbox_items(mail(head), HEADERS)).content.text == "Oi"
    (item,) = mailbox_items(mail(f"{head}Auto-Submitted: auto-replied\r\n"), HEADERS)
    assert isinstance(item, ReceiptItem)


@pytest.mark.req(66)
def test_a_confirmation_that_we_sent_is_no_receipt() -> None:
    told = "Original-Message-ID: <x@cliente.example>\r\nDisposition: a/b; displayed"
    report = f"Content-Type: message/disposition-notification\r\n\r\n{told}"
    head, _, body = parts("report", plain("read"), report).partition("\r\n\r\n")
    raw = mail(f"{head}; report-type=disposition-notification\r\n", body)
    item = message(mailbox_items(raw, record_headers("loja@nos.example", None, sent=True)))
    assert item.direction is Direction.ECHO
    (received,) = mailbox_items(raw, HEADERS)
    assert isinstance(received, ReceiptItem)


@pytest.mark.req(66)
def test_a_complaint_tells_whose_it_is() -> None:
    report = "Content-Type: message/feedback-report\r\n\r\nFeedback-Type: abuse\r\nOriginal-Rcpt-To: Ana@cliente.example"
    returned = "Content-Type: text/rfc822-headers\r\n\r\nMessage-ID: <out@nos.example>"
    head, _, body = parts("report", plain("abuse"), report, returned).partition("\r\n\r\n")
    (item,) = mailbox_items(mail(f"{head}; report-type=feedback-report\r\n", body), HEADERS)
    assert isinstance(item, ConnectorEventItem)
    assert item.values["recipient"] == "ana@cliente.example"
    assert item.values["message_id"] == "out@nos.example"


@pytest.mark.req(66)
@pytest.mark.parametrize("size", [10**30, 2**63, -1, True, 1.5])
def test_an_absurd_size_of_a_file_costs_no_mail(size: Any) -> None:
    document = {
        "MessageID": "u",
        "From": "lia@cliente.example",
        "To": "loja@nos.example",
        "Attachments": [{"Name": "a.pdf", "ContentType": "application/pdf", "Content": "QUJD", "ContentLength": size}],
    }
    stored = json.dumps([{"name": "a.pdf", "size": size}])
    fields = {"message-headers": json.dumps([["From", "lia@cliente.example"]]), "attachments": stored}
    (mailgun,) = message(normalise(*form("mailgun", **fields))).content.attachments
    assert mailgun.size_bytes is None
    items = normalise(json.dumps(document).encode(), {}, {"dialect": "postmark"})
    if isinstance(items[0], MessageItem):
        assert items[0].content.attachments[0].size_bytes is None


@pytest.mark.req(66)
@pytest.mark.parametrize(
    "text",
    [
        "Quero uma cotação:\nDe: São Paulo\nPara: Rio de Janeiro\nData: 10/12\nObrigada",
        "Viaje\nDe: Madrid\nPara: Lima\nFecha: 3/4\nGracias",
        "I cannot find the\noriginal message\nwith the price, please send it again",
    ],
)
def test_a_letter_that_looks_like_a_head_stays_whole(text: str) -> None:
    assert split_quotation(text).text == text


@pytest.mark.req(66)
@pytest.mark.parametrize(
    "quoted",
    [
        "From: Ana <ana@nos.example>\nSent: Monday\nTo: Lia\nSubject: Hello\n\nold",
        "De: Ana\nEnviada em: segunda-feira\nPara: Lia\nAssunto:\n\nold".replace("Assunto:", "Assunto: x"),
        "De: ana@nos.example\nPara: Lia\nData: 10/12\n\nold",
        "-----Original Message-----\nold",
        "Mensagem original\n\n> old",
        "Mensagem original\nDe: Ana\nPara: Lia\nAssunto: x\nold",
        "##- responda acima desta linha -##\nold",
    ],
)
def test_a_quotation_is_still_cut(quoted: str) -> None:
    split = split_quotation(f"new\n\n{quoted}")
    assert split.text == "new"
    assert split.quoted == quoted


_SIGNS = (
    "From: a@b.c|De: x| *von: x|de :|to: y|Assunto: z|Date: 1|>|> x|On x wrote:|Ana escreveu:|-----Original Message-----"
    "|message d'origine|Ursprüngliche Nachricht|reply above this line|Responda acima desta linha|Messaggio originale"
    "|ORIGINAL APPOINTMENT|________________|x|| |\u2028|\x0b|\r|\n|\u0130"
)
_PIECES = st.sampled_from(_SIGNS.split("|"))


@settings(max_examples=500, deadline=None)
@given(st.lists(_PIECES, max_size=12).map("\n".join) | st.lists(_PIECES, max_size=12).map("".join))
def test_the_quick_look_for_a_quotation_misses_none(text: str) -> None:
    assert _ANY_SIGN.search(text) is not None or _begin_of_quotation(text.split("\n")) is None


@pytest.mark.req(66)
@pytest.mark.parametrize("dialect", ["mailgun", "sendgrid"])
def test_the_name_of_a_file_in_a_form_keeps_its_letters(dialect: str) -> None:
    head = {
        "mailgun": ("message-headers", '[["From", "lia@cliente.example"]]'),
        "sendgrid": ("headers", "From: lia@cliente.example"),
    }
    body = f'--b\r\nContent-Disposition: form-data; name="{head[dialect][0]}"\r\n\r\n{head[dialect][1]}\r\n'
    for number, name in enumerate(("orçamento €.pdf", "=?utf-8?Q?or=C3=A7amento.pdf?="), 1):
        body += f'--b\r\nContent-Disposition: form-data; name="attachment-{number}"; filename="{name}"\r\n\r\nx\r\n'
    headers = {"content-type": "multipart/form-data; boundary=b"}
    content = message(normalise(f"{body}--b--\r\n".encode(), headers, {"dialect": dialect})).content
    assert [media.filename for media in content.attachments] == ["orçamento €.pdf", "orçamento.pdf"]


@pytest.mark.req(66)
def test_who_wrote_stands_between_the_brackets() -> None:
    raw = mail().replace(b"From: lia@cliente.example", b"From: boss@nos.example <lia@cliente.example>")
    peer = message(mailbox_items(raw, HEADERS)).peer
    assert (peer.aliases[0].value, peer.name) == ("lia@cliente.example", "boss@nos.example")


@pytest.mark.req(66)
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("<out@nos.example>", "out@nos.example"),
        ("out@nos.example", "out@nos.example"),
        ("Your letter of Monday to ana@nos.example", None),
    ],
)
def test_what_is_answered_is_found_without_brackets_too(value: str, expected: str | None) -> None:
    assert message(mailbox_items(mail(f"In-Reply-To: {value}\r\n"), HEADERS)).reply_to_provider_message_id == expected

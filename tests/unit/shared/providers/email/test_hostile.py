"""Mails made to cost much or to raise: all of them end soon, with an item."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from shared.domain.items import MessageItem
from shared.providers.email.decoding import addresses
from shared.providers.email.html_text import text_of_html
from shared.providers.email.mailbox import mailbox_items, record_headers
from shared.providers.email.mime import read_head
from shared.providers.email.parameters import parameter
from shared.providers.email.quotation import split_quotation

HEADERS = record_headers("loja@nos.example", 1_790_000_000_000)
HEAD = "From: lia@cliente.example\r\nMessage-ID: <1@cliente.example>\r\n"
QUOTES = 'Content-Type: text/plain; charset="' + ";" * 8_100 + "\r\n"

COSTLY: dict[str, Callable[[], object]] = {
    "a thousand heads that never close": lambda: text_of_html("<head>" * 30_000),
    "an attribution full of @": lambda: split_quotation(("on wrote <" + "@" * 380 + "\n") * 1_500),
    "blank lines": lambda: split_quotation("\n" * 250_000),
    "blanks": lambda: split_quotation(" " * 250_000 + "x"),
    "lines that begin a sender": lambda: split_quotation(("de" + "\n" * 50) * 5_000),
    "one word as a broken list of addresses": lambda: addresses(["(" * 900 + "a" * 60_000]),
    "a comment that never closes": lambda: addresses(["(" + "a" * 60_000]),
    "a header of 200 000 lines": lambda: [read_head(b"a: b\n" + b" a\n" * 87_000) for _ in range(10)],
    "semicolons behind a quote": lambda: mailbox_items(
        (HEAD + "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + f"--b\r\n{QUOTES}\r\nx\r\n" * 60).encode(),
        HEADERS,
    ),
}


@pytest.mark.req(66)
@pytest.mark.parametrize("what", COSTLY)
def test_what_is_made_to_cost_much_ends_soon(what: str) -> None:
    begun = time.process_time()
    COSTLY[what]()
    assert time.process_time() - begun < 1.0


@pytest.mark.req(66)
@pytest.mark.parametrize("number", ["9" * 5_000, "99999999", "1114112", "0" * 5_000 + "65"])
def test_a_letter_by_an_absurd_number_costs_no_mail(number: str) -> None:
    mail = f"{HEAD}Content-Type: text/html\r\n\r\n<p>Oi &#{number}; tudo bem?</p>"
    (item,) = mailbox_items(mail.encode(), HEADERS)
    assert isinstance(item, MessageItem)
    assert item.content.text == "Oi \ufffd tudo bem?"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("text/plain; charset=utf-8", "utf-8"),
        ('text/plain; CHARSET="utf-8" ; x=y', "utf-8"),
        ('text/plain; x="a; charset=no"; charset=yes', "yes"),
        (r'x; charset="a \"b\" \\ c"', r'a "b" \ c'),
        ("x; charset=a b.pdf ; y", "a b.pdf"),
        ("x; charset=", ""),
        ("x; mycharset=a", None),
        ("x; charset", None),
        ("x; charset*=iso-8859-1'pt'ol%E1", "olá"),
        ("x; charset=plain; charset*=utf-8''ol%C3%A1", "olá"),
        ("x; charset*0=a; charset*1=b; charset*3=d", "ab"),
        ("x; charset*1*=%C3%A1; charset*0*=utf-8''ol", "olá"),
        ("x; charset*0*=utf-8''%E2%82; charset*1*=%AC; charset*2=%41", "€%41"),
        ("x; charset*0*='; charset*1=b", "'b"),
        ("x; charset*1=b", None),
        ("x; charset*99999=b", None),
        ("x; charset*=nocharset''caf\udce9", "café"),
        ("x; charset*=utf-8''é%C3%A9", "éé"),
    ],
)
def test_a_parameter_is_read_as_rfc_2231_has_it(value: str, expected: str | None) -> None:
    assert parameter(value, "charset") == expected

"""Heads, names, texts, quotations, machines and bounces: how single things of a mail are read."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.content import MailAddress
from shared.domain.enums import ErrorClass
from shared.providers.email.automatic import auto_submitted
from shared.providers.email.bounces import enhanced_status, error_class
from shared.providers.email.decoding import (
    addresses,
    codec_name,
    date_ms,
    message_id,
    message_ids,
    normal_address,
    text_of,
    unstructured,
)
from shared.providers.email.filenames import MAX_FILENAME_CHARACTERS, harmless_filename
from shared.providers.email.html_text import text_of_html
from shared.providers.email.mime import Head
from shared.providers.email.quotation import split_quotation


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain", "plain"),
        ("=?utf-8?Q?Ol=C3=A1_mundo?=", "Olá mundo"),
        ("=?UTF-8?B?T2zDoQ==?= =?UTF-8?B?IG11bmRv?=", "Olá mundo"),
        ("=?utf-8?B?4pyT4g==?=\r\n =?utf-8?B?nJM=?=", "✓✓"),  # one character cut in two
        ("=?iso-8859-1?q?caf=E9?= com =?gb2312?B?xOO6ww==?=", "café com 你好"),
        ("=?utf-8*pt?Q?ol=C3=A1?=", "olá"),
        ("=?unknown-8bit?Q?caf=E9?=", "café"),
        ("=?utf-8?Q?caf=E9?=", "café"),  # labelled wrongly
        ("=?utf-8?B?!!!?=", ""),
        ("=?utf-8?B?YQ?= b", "a b"),
        ("=?utf-8?X?a?=", "=?utf-8?X?a?="),
        ("=?punycode?Q?a-?=", "a-"),
        ("caf\udce9", "café"),
        ("caf\udcc3\udca9", "café"),
        ("a\x00b\r\n\tc", "a\ufffdb c"),
    ],
)
def test_a_header_is_read_as_it_was_meant(value: str, expected: str) -> None:
    assert unstructured(value) == expected


@pytest.mark.parametrize(
    ("data", "label", "expected"),
    [
        (b"caf\xe9", "us-ascii", "café"),
        ("café".encode(), "us-ascii", "café"),
        (b"\x93oi\x94", "iso-8859-1", "“oi”"),
        (b"\xb4\xd9", "euc-kr", "다"),
        ("ação".encode("utf-16"), "utf-16", "ação"),
        (b"caf\xe9", "x-no-such", "café"),
        (b"abc", "base64", "abc"),
        (b"abc", "idna", "abc"),
        (b"\xff\xfe\xfd", None, "ÿþý"),
    ],
)
def test_charsets_as_labelled_and_as_they_are(data: bytes, label: str | None, expected: str) -> None:
    assert text_of(data, label) == expected


def test_codecs_that_are_no_charsets_are_none() -> None:
    for name in (
        "rot13",
        "hex",
        "zlib",
        "base64",
        "idna",
        "punycode",
        "unicode_escape",
        "undefined",
        "no\x00",
        "\ud800",
        "x" * 5_000,
    ):
        assert codec_name(name) is None
    assert codec_name('"UTF-8"') == "utf-8"
    assert codec_name("latin1") == "cp1252"


@settings(max_examples=300, deadline=None)
@given(st.text(), st.binary(max_size=60), st.text(max_size=20))
def test_nothing_of_it_raises(text: str, data: bytes, label: str) -> None:
    dirty = data.decode("ascii", "surrogateescape")
    for value in (text, dirty, f"=?{label}?Q?{dirty}?="):
        unstructured(value)
        addresses([value])
        message_id(value)
        message_ids(value)
        date_ms(value)
        harmless_filename(value)
        text_of_html(value)
        split_quotation(value)
        Head([("content-type", f"text/plain; name={value}")]).parameter("content-type", "name")
    text_of(data, label)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Lia <Lia@Cliente.Example>", [("lia@cliente.example", "Lia")]),
        ('"Prado, Lia" <lia@cliente.example>, b@x.test', [("lia@cliente.example", "Prado, Lia"), ("b@x.test", None)]),
        ("=?utf-8?Q?L=C3=ADa?= <lia@cliente.example>", [("lia@cliente.example", "Lía")]),
        ("lia@cliente.example (Lia)", [("lia@cliente.example", "Lia")]),
        ("undisclosed-recipients:;", []),
        ("no address", []),
        ("a@b.test\r\n", [("a@b.test", None)]),
        ("<<<lia@cliente.example", [("lia@cliente.example", None)]),
        ("a@b.test, A@B.test", [("a@b.test", None)]),
        ("x" * 400 + "@b.test", []),
    ],
)
def test_addresses(value: str, expected: list[tuple[str, str | None]]) -> None:
    assert addresses([value]) == tuple(MailAddress(address=address, name=name) for address, name in expected)


def test_one_address_has_one_spelling() -> None:
    assert normal_address(" <Lia+T1@Cliente.Example> ") == "lia+t1@cliente.example"
    for bad in (None, "", "a", "a@", "@b", "a b@c", "a@b\x00", "a@b@c", "a@b;c"):
        assert normal_address(bad) is None


def test_ids_and_dates() -> None:
    assert message_ids("<a@x> junk <b@x>\r\n <a@x>") == ("a@x", "b@x")
    assert message_id("a@x") == message_id(" <a@x> ") == "a@x"
    assert message_id("<" + "x" * 600 + ">") is None
    assert message_id("") is None
    assert date_ms("Mon, 21 Sep 2026 10:13:20 -0300") == 1_789_996_400_000
    assert date_ms("Mon, 21 Sep 2026 13:13:20") == date_ms("Mon, 21 Sep 2026 13:13:20 GMT")
    for bad in (None, "", "yesterday", "Mon, 21 Sep 1926 10:13:20 -0300", "Mon, 99 Sep 2026 10:13:20 -9999"):
        assert date_ms(bad) is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ficha.pdf", "ficha.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Windows\\system32\\a.exe", "a.exe"),
        ("a\u2215b.txt", "b.txt"),
        ("foto\u202egpj.exe", "fotogpj.exe"),
        ("a\x00b\r\n.txt", "ab.txt"),
        ("CON", "_CON"),
        ("nul.tar.gz", "_nul.tar.gz"),
        ("COM1.txt", "_COM1.txt"),
        ("a:b|c?.txt", "a_b_c_.txt"),
        (" . ", None),
        ("...", None),
        ("", None),
        (None, None),
        ("café.pdf", "café.pdf"),
        (".htaccess", "htaccess"),
        ("a.txt.", "a.txt"),
        ("\ud800.txt", "txt"),
    ],
)
def test_names_of_attachments_are_harmless(name: str | None, expected: str | None) -> None:
    assert harmless_filename(name) == expected


def test_a_long_name_keeps_its_extension() -> None:
    name = harmless_filename("x" * 9_000 + ".pdf")
    assert name is not None
    assert len(name) <= MAX_FILENAME_CHARACTERS
    kept = harmless_filename("é" * 300 + ".pdf")
    assert kept is not None
    assert kept.endswith(".pdf")


QUOTE = "> Como posso ajudar?\n> Abraço"


@pytest.mark.parametrize(
    "line",
    [
        "On Mon, Sep 21, 2026 at 10:00 AM Loja <loja@nos.example> wrote:",
        "On Mon, Sep 21, 2026 at 10:00 AM Loja\n<loja@nos.example> wrote:",
        "Em seg., 21 de set. de 2026 às 10:00, Loja <loja@nos.example> escreveu:",
        "Em seg., 21 de set. de 2026 às 10:00, Loja <\nloja@nos.example> escreveu:",
        "El lun, 21 sept 2026 a las 10:00, Loja (<loja@nos.example>) escribió:",
        "Le lun. 21 sept. 2026 à 10:00, Loja <loja@nos.example> a écrit :",
        "Am 21.09.2026 um 10:00 schrieb Loja <loja@nos.example>:",
        "2026-09-21 10:00 GMT-03:00 Loja <loja@nos.example>:\nwrote:",
    ],
)
def test_what_a_program_quotes_below_is_left_out(line: str) -> None:
    found = split_quotation(f"Tem vaga?\n\n{line}\n{QUOTE}\n")
    assert found.text == "Tem vaga?"
    assert found.quoted == f"{line}\n{QUOTE}"


@pytest.mark.parametrize(
    "block",
    [
        "-----Original Message-----\nFrom: Loja\nSent: Monday\nTo: Lia\nSubject: Vaga\n\nComo posso ajudar?",
        "-----Mensagem original-----\nDe: Loja\nEnviada em: segunda\nPara: Lia\nAssunto: Vaga\n\nComo?",
        "________________________________\nDe: Loja <loja@nos.example>\nEnviado: segunda\nPara: Lia\nAssunto: Vaga\n\nComo?",
        "De: Loja <loja@nos.example>\nEnviado el: lunes\nPara: Lia\nAsunto: Vaga\n\n¿Cómo?",
        "From: Loja <loja@nos.example>\nSent: Monday\nTo: Lia\nSubject: Vaga\n\nHow?",
    ],
)
def test_what_outlook_puts_below_is_left_out(block: str) -> None:
    found = split_quotation(f"Tem vaga?\n\n{block}")
    assert (found.text, found.quoted) == ("Tem vaga?", block)


@pytest.mark.parametrize(
    "text",
    [
        "Só texto, sem nada.",
        "> tudo\n> citado",
        "> pergunta um\nresposta um\n> pergunta dois\nresposta dois",
        "Oi\n> citado\ne continuo aqui",
        "Veja:\n---------- Forwarded message ---------\nFrom: x\n\nconteúdo\n> citado",
        "On the other hand, he wrote:\nnothing quoted here",
        "De: São Paulo\nPara: Rio\nquero ir",
        "From: this day on I will pay",
    ],
)
def test_what_may_be_meant_is_kept(text: str) -> None:
    found = split_quotation(text)
    assert (found.text, found.quoted) == (text, None)


def test_an_answer_below_the_quotation() -> None:
    found = split_quotation("On Mon, 21 Sep 2026 Loja wrote:\n> Como?\n> Sim\n\nAssim.")
    assert found.text == "Assim."
    assert found.quoted == "On Mon, 21 Sep 2026 Loja wrote:\n> Como?\n> Sim"


def test_html() -> None:
    source = (
        "<html><head><style>p{}</style><title>t</title></head><body><p>Oi &amp; ol&aacute;<br>linha</p><script>x()</script>"
        "<!-- c --><table><tr><td>a</td><td>b</td></tr></table><blockquote>q1<blockquote>q2</blockquote></blockquote>3 < 4"
    )
    assert text_of_html(source).replace("\n\n", "\n") == "Oi & olá\nlinha\na b\n> q1\n> > q2\n3 < 4"


def test_long_texts_take_linear_time() -> None:
    started = time.process_time()
    for text in ("<" * 1_000_000, "On " * 300_000, "> \n" * 300_000, "&#" * 400_000, "\n" * 1_000_000, "a" * 1_000_000):
        text_of_html(text)
        split_quotation(text)
    assert time.process_time() - started < 6


@pytest.mark.parametrize(
    ("head", "sender", "subject", "expected"),
    [
        ([], "lia@x.test", "oi", None),
        ([("Auto-Submitted", "no")], "lia@x.test", "oi", None),
        ([("Auto-Submitted", "auto-replied (vacation)")], "lia@x.test", "oi", "auto-replied"),
        ([("Auto-Submitted", "AUTO-GENERATED; x=y")], "lia@x.test", "oi", "auto-generated"),
        ([("Auto-Submitted", "\x00")], "lia@x.test", "oi", "auto-generated"),
        ([("X-Autoreply", "yes")], "lia@x.test", "oi", "auto-replied"),
        ([], "lia@x.test", "Resposta automática: oi", "auto-replied"),
        ([], "lia@x.test", "Fuera de la oficina: oi", "auto-replied"),
        ([("Precedence", "bulk")], "lia@x.test", "oi", "bulk"),
        ([("Precedence", "auto_reply")], "lia@x.test", "oi", "auto-replied"),
        ([("List-Id", "<x>")], "lia@x.test", "oi", "list"),
        ([("List-Unsubscribe", "<x>")], "lia@x.test", "oi", "bulk"),
        ([("Return-Path", "<>")], "lia@x.test", "oi", "null_sender"),
        ([], "mailer-daemon@x.test", "oi", "auto-generated"),
        ([], "no-reply@x.test", "oi", "no_reply"),
        ([], "nao.responda@x.test", "oi", "no_reply"),
        ([("X-Auto-Response-Suppress", "All")], "lia@x.test", "oi", None),
    ],
)
def test_machines_are_known(head: list[tuple[str, str]], sender: str, subject: str, expected: str | None) -> None:
    assert auto_submitted(Head(head), sender, subject) == expected


@pytest.mark.parametrize(
    ("status", "diagnostic", "expected"),
    [
        ("5.1.1", None, ErrorClass.RECIPIENT_PERMANENT),
        ("5.2.1", None, ErrorClass.RECIPIENT_PERMANENT),
        ("5.2.2", None, ErrorClass.RETRYABLE),
        ("4.2.2", None, ErrorClass.RETRYABLE),
        ("5.2.3", None, ErrorClass.CONTENT_PERMANENT),
        ("5.3.4", None, ErrorClass.CONTENT_PERMANENT),
        ("5.4.7", None, ErrorClass.RETRYABLE),
        ("4.4.1", None, ErrorClass.RETRYABLE),
        ("5.7.1", None, ErrorClass.CONTENT_PERMANENT),
        ("5.7.8", None, ErrorClass.AUTH),
        ("5.0.0", "smtp; 451 later", ErrorClass.RETRYABLE),
        ("5.0.0", "smtp; 554 refused", ErrorClass.CONTENT_PERMANENT),
        ("5.0.0", None, ErrorClass.RECIPIENT_PERMANENT),
        (None, "550 no such user", ErrorClass.RECIPIENT_PERMANENT),
        (None, None, ErrorClass.RECIPIENT_PERMANENT),
    ],
)
def test_what_a_failure_means(status: str | None, diagnostic: str | None, expected: ErrorClass) -> None:
    assert error_class(status, diagnostic) is expected


def test_the_better_status_is_taken() -> None:
    assert enhanced_status("5.0.0", "smtp; 550 5.1.1 gone") == "5.1.1"
    assert enhanced_status("5.0.0", "no code") == "5.0.0"
    assert enhanced_status(None, "version 15.1.2.3 of 1.5.1.1") is None

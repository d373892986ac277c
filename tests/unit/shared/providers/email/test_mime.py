"""Raw mails: the same parts as the standard library finds, whatever strangers write, and in bounded memory."""

from __future__ import annotations

import base64
import email
import email.message
import os
import subprocess
import sys
import time
from email.policy import SMTP
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.errors import NotFound
from shared.domain.items import MessageItem
from shared.providers.contract import UnparseableBody
from shared.providers.email.bodies import decoded_size, pieces
from shared.providers.email.mailbox import mailbox_items, record_headers
from shared.providers.email.mime import MAX_PARTS, scan
from shared.providers.email.parts import part_pieces

HEADERS = record_headers("loja@nos.example", 1_790_000_000_000)
TREE = st.recursive(
    st.sampled_from(["text/plain", "text/html", "application/pdf", "image/png"]),
    lambda inner: st.lists(inner, min_size=1, max_size=3),
    max_leaves=8,
)


def built(tree: object) -> email.message.EmailMessage:
    message = email.message.EmailMessage(policy=SMTP)
    if isinstance(tree, list):
        message["Content-Type"] = "multipart/mixed"
        for part in tree:
            message.attach(built(part))
        return message
    kind, _, subtype = str(tree).partition("/")
    if kind == "text":
        message.set_content("olá, ção\r\n-- \r\n--x\r\n" * 3, subtype=subtype, cte="quoted-printable")
    else:
        message.set_content(os.urandom(100), kind, subtype, filename="a.bin")
    return message


def library_leaves(message: email.message.Message, number: str = "") -> list[tuple[str, str, bytes]]:
    if not message.is_multipart():
        return [(number or "1", message.get_content_type(), message.get_payload(decode=True) or b"")]  # type: ignore[list-item]
    found = []
    for index, part in enumerate(message.get_payload(), 1):
        found += library_leaves(part, f"{number}.{index}" if number else str(index))  # type: ignore[arg-type]
    return found


@settings(max_examples=150, deadline=None)
@given(TREE)
def test_parts_numbers_and_bytes_are_those_of_the_standard_library(tree: object) -> None:
    message = built(tree)
    message["From"], message["Message-ID"] = "a@cliente.example", "<m@cliente.example>"
    body = message.as_bytes()
    ours = [(leaf.number, leaf.content_type, b"".join(pieces(body, leaf))) for leaf in scan(body).leaves()]
    expected = library_leaves(email.message_from_bytes(body))
    assert [(number, kind) for number, kind, _ in ours] == [(number, kind) for number, kind, _ in expected]
    for (_, kind, data), (_, _, known) in zip(ours, expected, strict=True):
        assert data == known or kind.startswith("text/")
        assert data.replace(b"\r\n", b"\n").strip() == known.replace(b"\r\n", b"\n").strip()
    for leaf in scan(body).leaves():
        assert decoded_size(body, leaf) == len(b"".join(pieces(body, leaf)))


@settings(max_examples=400, deadline=None)
@given(st.binary(max_size=400), st.integers(0, 2**32))
def test_no_bytes_raise_anything_but_unparseable(noise: bytes, seed: int) -> None:
    base = (
        b"From: a@cliente.example\r\nTo: b@nos.example\r\nSubject: =?utf-8?B?w6E=?=\r\n"
        b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\nhi\r\n--x--\r\n"
    )
    at = seed % len(base)
    for body in (noise, base[:at] + noise + base[at:], base[:at] + noise):
        try:
            items = mailbox_items(body, HEADERS)
        except UnparseableBody:
            continue
        assert len(items) >= 1


@pytest.mark.parametrize(
    "body",
    [
        b"From: a@cliente.example\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n" + b"--x\r\n\r\n" * 50_000,
        b"From: a@cliente.example\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n" + b"--xy\n" * 400_000,
        b"From: a@cliente.example\r\n" + b"X: y\r\n" * 100_000 + b"\r\nhi",
        b"From: " + b"<a@cliente.example>," * 20_000 + b"\r\n\r\nhi",
        b"From: a@cliente.example\r\nReferences: " + b"<a@b> " * 60_000 + b"\r\n\r\nhi",
        b"From: a@cliente.example\r\nSubject: " + b"=?utf-8?Q?a?= " * 40_000 + b"\r\n\r\nhi",
        b"From: a@cliente.example\r\nContent-Type: text/html\r\n\r\n" + b"<!--<" * 150_000,
        b"From: a@cliente.example\r\nContent-Type: text/html\r\n\r\n" + b"<p" * 300_000,
        b"From: a@cliente.example\r\nContent-Type: text/html\r\n\r\n" + b"<style>" * 100_000,
        b"From: a@cliente.example\r\nContent-Type: text/html\r\n\r\n" + b"&" * 700_000,
        b"From: a@cliente.example\r\nContent-Type: text/plain\r\n\r\n" + b"On a\n" * 150_000,
        b"From: a@cliente.example\r\nContent-Type: text/plain\r\n\r\n" + b">\n\n" * 200_000 + b"x",
        b"From: a@cliente.example\r\nContent-Disposition: attachment; " + b'filename="' * 20_000 + b"\r\n\r\nhi",
        b"From: a@cliente.example\r\n"
        + b"".join(b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(3_000)),
    ],
    ids=[
        *("many_parts", "near_boundaries", "many_headers", "many_senders", "many_references", "many_words", "comments"),
        *("open_tags", "open_styles", "ampersands", "attributions", "quotes", "quotes_in_parameters", "deep"),
    ],
)
def test_what_is_made_to_be_slow_is_quick(body: bytes) -> None:
    started = time.process_time()
    items = mailbox_items(body, HEADERS)
    assert time.process_time() - started < 3.0
    assert len(items) == 1
    assert len(list(scan(body).leaves())) <= MAX_PARTS


_MEASURED = """
import mmap, resource, sys
from shared.providers.email.mailbox import mailbox_items, record_headers
from shared.providers.email.parts import part_pieces
with open(sys.argv[1], "rb") as file:
    body = file.read()
mailbox_items(b"From: a@cliente.example\\r\\n\\r\\nhi", record_headers("b@nos.example", 1))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
(item,) = mailbox_items(body, record_headers("b@nos.example", 1))
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
media = item.content.attachments[0]
assert sum(map(len, part_pieces(body, {}, media.raw_part))) == media.size_bytes
print(len(body), media.size_bytes, after - before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_mail_of_50_mb_needs_little_memory_beside_itself(tmp_path: Path, record_property: pytest.RecordProperty) -> None:
    """Measured on the first run: 3 MB at most beside the body, to split it as well as to fetch its file in pieces."""
    line = base64.b64encode(os.urandom(57)) + b"\r\n"
    head = b"From: a@cliente.example\r\nMessage-ID: <m@cliente.example>\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n"
    parts = b"--x\r\n\r\nhi\r\n--x\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    with (tmp_path / "mail").open("wb") as file:
        file.write(head + parts)
        for _ in range(50_000_000 // (1_000 * len(line))):
            file.write(line * 1_000)
        file.write(b"\r\n--x--\r\n")
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, str(tmp_path / "mail")], capture_output=True, text=True, check=True, timeout=60
    )
    size, decoded, split_kib, fetched_kib = map(int, done.stdout.split())
    record_property("split_kib", split_kib)
    assert size > 49_000_000
    assert decoded > 36_000_000
    assert split_kib < 10_240
    assert fetched_kib < 16_384


def test_a_part_that_is_not_there_is_named() -> None:
    with pytest.raises(NotFound, match="3"):
        list(part_pieces(b"From: a@cliente.example\r\n\r\nhi", {}, "3"))


def test_a_cut_off_mail_keeps_what_came() -> None:
    body = (
        b"From: a@cliente.example\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n"
        b"--x\r\n\r\nhi\r\n--x\r\nContent-Type: image/png\r\n\r\nabc"
    )
    (item,) = mailbox_items(body, HEADERS)
    assert isinstance(item, MessageItem)
    assert item.content.text == "hi"
    assert [(media.mime_type, media.size_bytes, media.raw_part) for media in item.content.attachments] == [("image/png", 3, "2")]


def test_an_enclosed_mail_is_one_file() -> None:
    body = (
        b"From: a@cliente.example\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\nveja\r\n--x\r\n"
        b"Content-Type: message/rfc822\r\n\r\nFrom: c@cliente.example\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n"
        b"--y\r\n\r\ninside\r\n--y--\r\n--x--\r\n"
    )
    (item,) = mailbox_items(body, HEADERS)
    assert isinstance(item, MessageItem)
    assert item.content.text == "veja"
    assert [media.filename for media in item.content.attachments] == ["message.eml"]

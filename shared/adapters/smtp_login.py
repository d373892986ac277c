"""A session with a submission server up to the login: greeting, TLS, AUTH, NOOP, QUIT; no mail is sent.

RFC 5321 (SMTP), 3207 (STARTTLS), 4954 (AUTH). The standard library speaks the protocol; what it leaves open is closed here: the
number of bytes of a session, and passwords beyond ASCII. Blocks.
"""

from __future__ import annotations

import base64
import smtplib
import socket
import ssl
from contextlib import suppress
from typing import Any

from shared.adapters.egress_target import Target
from shared.adapters.mail_line import MailLine
from shared.domain.errors import ChannelsError

_SESSION_BYTES = 65_536
_READY, _ACCEPTED, _CHALLENGE = 220, 235, 334
_NO_MECHANISM = 504, b"no mechanism that we know is offered"


class TlsNotOffered(ChannelsError):
    """Raised when the server does not go on in TLS; nothing is told to it in the clear."""

    code = "starttls_missing"


class AnswerTooLong(ChannelsError):
    """Raised when a server says more than any login needs."""

    code = "mail_answer_too_long"


def smtp_login(
    line: MailLine, target: Target, tls: ssl.SSLContext, login: tuple[str, str], *, xoauth2: bool
) -> tuple[int, bytes]:
    """The last reply, code and text: 250 where all worked. `login`: user name, and password or access token.

    Raises TlsNotOffered, AnswerTooLong, OSError (also SMTPException, ssl.SSLError, TimeoutError).
    """
    client = _Client(line, target, tls)
    try:
        code, told = client.connect(target.host, target.port)
        if code != _READY:
            return code, told
        if target.scheme != "smtps":
            _start_tls(client, tls)
        code, told = client.ehlo()
        if code != 250:
            return code, told
        code, told = _authenticate(client, login, xoauth2)
        return client.noop() if code == _ACCEPTED else (code, told)
    finally:
        with suppress(Exception):  # whatever it answers, we are gone
            client.quit()
        client.close()


def _start_tls(client: _Client, tls: ssl.SSLContext) -> None:
    try:
        client.starttls(context=tls)
    except (smtplib.SMTPNotSupportedError, smtplib.SMTPResponseException) as error:
        raise TlsNotOffered("the server does not offer STARTTLS") from error


def _authenticate(client: _Client, login: tuple[str, str], xoauth2: bool) -> tuple[int, bytes]:
    username, secret = login
    offered = client.esmtp_features.get("auth", "").upper().split()
    if xoauth2:
        code, told = client.docmd("AUTH", f"XOAUTH2 {_base64(f'user={username}{chr(1)}auth=Bearer {secret}{chr(1)}{chr(1)}')}")
        # A refusal comes as a challenge that is to be answered with an empty line (developers.google.com/workspace/gmail/imap/
        # xoauth2-protocol).
        return client.docmd("") if code == _CHALLENGE else (code, told)
    if "PLAIN" in offered:
        return client.docmd("AUTH", f"PLAIN {_base64(f'{chr(0)}{username}{chr(0)}{secret}')}")
    if "LOGIN" not in offered:
        return _NO_MECHANISM
    code, told = client.docmd("AUTH", "LOGIN")
    for answer in (username, secret):
        if code == _CHALLENGE:
            code, told = client.docmd(_base64(answer))
    return code, told


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode("ascii")


class _Client(smtplib.SMTP):
    """The library's client over a line of ours, with a bound on what it reads."""

    def __init__(self, line: MailLine, target: Target, tls: ssl.SSLContext) -> None:
        self._line = line
        self._tls = tls if target.scheme == "smtps" else None
        self._bytes_left = _SESSION_BYTES
        # An address literal in place of a name: the library would look up our own.
        super().__init__(local_hostname="[127.0.0.1]", timeout=line.seconds_left())
        self._host = target.host  # whose certificate STARTTLS expects

    def _get_socket(self, host: str, port: int, timeout: Any) -> socket.socket:
        plain = self._line.dial((host, port), timeout)
        if self._tls is None:
            return plain
        try:
            return self._tls.wrap_socket(plain, server_hostname=host)
        except BaseException:
            plain.close()
            raise

    def getreply(self) -> tuple[int, bytes]:
        """One reply, within the session's bytes."""
        if self.file is None and self.sock is not None:
            self.file = _BoundedFile(self, self.sock.makefile("rb"))
        return super().getreply()

    def spent(self, size: int) -> None:
        """Count what was read."""
        self._bytes_left -= size
        if self._bytes_left < 0:
            raise AnswerTooLong("a reply longer than any login needs")


class _BoundedFile:
    """What the library reads replies from."""

    def __init__(self, client: _Client, file: Any) -> None:
        self._client = client
        self._file = file

    def readline(self, size: int) -> bytes:
        """One line, or the beginning of it."""
        found: bytes = self._file.readline(size)
        self._client.spent(len(found))
        return found

    def close(self) -> None:
        """Close the file."""
        self._file.close()

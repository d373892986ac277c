"""One connection to one mailbox over IMAP4rev1 (RFC 3501), read only unless asked otherwise.

Says what a mailbox reader needs and no more: log in, open a folder, which UIDs there are, one mail in parts, wait for
news. Every call blocks, has a deadline and a limit of bytes, and raises one of the typed errors below; after any of them
but Refused close the connection. What a server sends is never trusted: garbage is ServerFaulty.
"""

from __future__ import annotations

import datetime as dt
import imaplib
import json
import re
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from shared.adapters.imap_wire import BoundedClient, Endpoint, ServerFaulty
from shared.domain.errors import ChannelsError, Unavailable

__all__ = [
    "CertificateUntrusted",
    "Endpoint",
    "FolderMissing",
    "FolderState",
    "ImapConnection",
    "LoginRefused",
    "MailPart",
    "PasswordLogin",
    "Refused",
    "ServerAway",
    "ServerFaulty",
    "StartTlsMissing",
    "TokenLogin",
]

MAX_UIDS_ASKED = 262_144  # of one search: the answer has 11 bytes for each at most
_LIST_BYTES = 4_000_000
_FRAMES_BYTES = 262_144  # what a server may add to a literal: notices of flags, alerts
_IDLE_BYTES = 500_000  # of notices in one wait; each is a line of some 20 bytes
_IDLE_LOOK_SECONDS = 0.5
_NEWS = re.compile(rb"\* \d+ (?:EXISTS|RECENT)\b", re.IGNORECASE)
_BYE = re.compile(rb"\* BYE\b", re.IGNORECASE)
# https://www.rfc-editor.org/rfc/rfc5530 section 3: a refusal for now, not of the credential. The last one is Microsoft's.
_PASSING = re.compile(r"\[(?:UNAVAILABLE|INUSE|SERVERBUG|LIMIT|CONTACTADMIN)\]|authenticated but not connected", re.IGNORECASE)
# What the libraries raise on answers that make no sense. RecursionError: a million opening parentheses.
_NONSENSE = (ValueError, TypeError, LookupError, AttributeError, AssertionError, RecursionError)


class ServerAway(Unavailable):
    """Raised when a mail server cannot be reached, presents a wrong certificate, stalls, or ends the connection."""

    code = "mail_server_away"


class CertificateUntrusted(ServerAway):
    """Raised when the server's certificate is expired, of another host, or of nobody whom we trust."""


class StartTlsMissing(ServerAway):
    """Raised when the server does not go on in TLS where the configuration asks for it."""


class LoginRefused(ChannelsError):
    """Raised when the server refuses the credential; trying the same one again will not help."""

    code = "login_refused"


class FolderMissing(ChannelsError):
    """Raised when the folder does not exist or may not be opened."""

    code = "folder_missing"


class Refused(ChannelsError):
    """Raised when the server answers NO or BAD to one command; the connection goes on."""

    code = "mail_command_refused"
    retryable = True


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordLogin:
    """A name and its password (or app password)."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLogin:
    """XOAUTH2: the mailbox and an access token. For a shared mailbox `username` is its address, the token the user's."""

    username: str
    access_token: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderState:
    """What the server says when a folder is opened. `uid_next` None where it does not tell."""

    uid_validity: int
    uid_next: int | None
    mails: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MailPart:
    """Bytes of a mail, and what was asked along with the first ones (else None). Shorter than asked: the mail ends here."""

    data: bytes
    size_bytes: int | None = None  # as the server counts; some only guess
    received_at: dt.datetime | None = None  # INTERNALDATE


class ImapConnection:
    """Connects at once. `command_seconds`: for each command, and for each part of a mail. Not for several threads."""

    def __init__(self, endpoint: Endpoint, *, connect_seconds: float = 15, command_seconds: float = 60) -> None:
        self._seconds = command_seconds
        with _translated():
            self._client = BoundedClient(endpoint, connect_seconds)
        self._wire = self._client.wire
        if endpoint.starttls:
            try:
                with self._command():
                    self._client.starttls(endpoint.tls)
            except ChannelsError as error:
                self.close()
                if isinstance(error, CertificateUntrusted):
                    raise
                raise (StartTlsMissing if isinstance(error, Refused) else ServerAway)(f"STARTTLS: {error}") from error

    def login(self, login: PasswordLogin | TokenLogin) -> None:
        """Log in. Raises LoginRefused, or ServerAway where the refusal is for now."""
        with self._command():
            try:
                if isinstance(login, TokenLogin):
                    self._client.sasl_login("XOAUTH2", _xoauth2(login))
                elif self._client.has_capability("AUTH=PLAIN"):  # takes every character, in UTF-8
                    self._client.plain_login(login.username, login.password)
                else:
                    self._client.login(login.username, login.password)
            except imaplib.IMAP4.abort:
                raise
            except imaplib.IMAP4.error as error:
                told = _told(error)
                raise (ServerAway if _PASSING.search(told) else LoginRefused)(told) from None
            self._client._cached_capabilities = None  # they differ before and after

    @property
    def can_idle(self) -> bool:
        """Whether the server tells of new mails by itself."""
        with self._command():
            return bool(self._client.has_capability("IDLE"))

    def noop(self) -> None:
        """Ask for nothing, to see that the session lives. Raises Refused."""
        with self._command():
            self._checked(self._wire.noop())

    def open_folder(self, folder: str, *, to_write: bool = False) -> FolderState:
        """EXAMINE (or SELECT, to write). Raises FolderMissing."""
        try:
            with self._command(size_bytes=1_000_000):
                told = self._client.select_folder(folder, readonly=not to_write)
                validity, following, mails = told[b"UIDVALIDITY"], told.get(b"UIDNEXT"), told[b"EXISTS"]
                if not (0 < int(validity) < 2**32 and 0 <= int(mails) < 2**32):
                    raise ServerFaulty("UIDVALIDITY or the number of mails is out of its range")
                return FolderState(uid_validity=validity, uid_next=following, mails=mails)
        except Refused as error:
            raise FolderMissing(f"folder {folder!r}: {error}") from error

    def highest_uid(self) -> int:
        """Of the mails that are in the folder now; 0 in an empty one."""
        with self._command():
            self._checked(self._wire.noop())  # else some servers search what they told last
        with self._command(size_bytes=_LIST_BYTES):
            return max(self._client.search(["UID", "*"]), default=0)

    def uids(self, first: int, last: int, since: dt.date | None = None) -> list[int]:
        """UIDs in [first, last], ascending; with `since` only mails that arrived on that day (the server's) or later."""
        criteria: list[object] = ["UID", f"{first}:{last}"]
        if since is not None:
            criteria += ["SINCE", since]
        with self._command(size_bytes=_LIST_BYTES):
            found = self._client.search(criteria)
        return sorted({uid for uid in found if first <= uid <= last})

    def part(self, uid: int, offset: int, size_bytes: int) -> MailPart | None:
        """Bytes [offset, offset + size) of a mail, without marking it as read. None if the mail is gone. Raises Refused."""
        wanted = [f"BODY.PEEK[]<{offset}.{size_bytes}>", *(["RFC822.SIZE", "INTERNALDATE"] if offset == 0 else [])]
        with self._command(size_bytes=size_bytes + _FRAMES_BYTES, literal_bytes=size_bytes):
            found = self._client.fetch(str(uid), wanted).get(uid)
            if found is None:
                return None
            data = found.get(f"BODY[]<{offset}>".encode(), b"" if offset else None)
            if data is None:
                data = b""
            if not isinstance(data, bytes):
                data = str(data).encode()  # a body of digits that came without quotes
            if len(data) > size_bytes:
                raise ServerFaulty(f"a part of {len(data)} bytes where {size_bytes} were asked for")
            size, at = found.get(b"RFC822.SIZE"), found.get(b"INTERNALDATE")
            return MailPart(
                data=data,
                size_bytes=size if isinstance(size, int) else None,
                received_at=at if isinstance(at, dt.datetime) else None,
            )

    def mark_seen(self, uids: list[int]) -> None:
        """Set the flag \\Seen; the folder must have been opened to write."""
        with self._command(size_bytes=1_000_000):
            self._client.add_flags(uids, [b"\\Seen"], silent=True)

    def idle(self, seconds: float, interrupted: Callable[[], bool]) -> bool:
        """Wait at most `seconds` for news, or until interrupted; True if there are any. Keep it below 29 minutes (RFC 2177)."""
        with self._command(size_bytes=_IDLE_BYTES):
            tag = self._wire.begin_idle()
            news = "EXISTS" in self._wire.untagged_responses
            self._wire.allow(seconds + self._seconds, _IDLE_BYTES)
            until = time.monotonic() + seconds
            while not news and not interrupted() and (left := until - time.monotonic()) > 0:
                line = self._wire.line_within(min(left, _IDLE_LOOK_SECONDS))
                if line is not None and _BYE.match(line):
                    raise ServerAway("the server said BYE")
                news = line is not None and _NEWS.match(line) is not None
            self._wire.allow(self._seconds, _IDLE_BYTES)
            self._wire.end_idle(tag)
            return news or "EXISTS" in self._wire.untagged_responses

    def close(self) -> None:
        """Say goodbye if the server listens (at most two seconds), and close."""
        with suppress(Exception):  # whatever it answers, we are gone
            self._wire.allow(2, 65_536)
            self._client.logout()
        with suppress(OSError):
            self._wire.shutdown()

    @contextmanager
    def _command(self, *, size_bytes: int = 65_536, literal_bytes: int = 65_536) -> Iterator[None]:
        self._wire.allow(self._seconds, size_bytes, literal_bytes)
        with _translated():
            yield
        self._wire.untagged_responses.clear()  # the library keeps every notice for ever

    def _checked(self, answer: tuple[str, object]) -> None:
        if answer[0] != "OK":
            raise imaplib.IMAP4.error(f"{answer[0]}")


def _xoauth2(login: TokenLogin) -> Callable[[bytes], bytes]:
    """https://developers.google.com/workspace/gmail/imap/xoauth2-protocol: a refusal comes as a second challenge that is to be
    answered with an empty line."""
    answers = [f"user={login.username}\x01auth=Bearer {login.access_token}\x01\x01".encode()]
    refused: list[str] = []

    def answer(challenge: bytes) -> bytes:
        if answers:
            return answers.pop()
        with suppress(ValueError):
            refused.append(str(json.loads(challenge).get("status")))
        return b""

    return answer


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except ChannelsError:
        raise
    except imaplib.IMAP4.abort as error:
        raise ServerAway(_told(error)) from None
    except imaplib.IMAP4.error as error:
        raise Refused(_told(error)) from None
    except ssl.SSLCertVerificationError as error:
        raise CertificateUntrusted(f"TLS: {error.reason or error}") from None
    except ssl.SSLError as error:
        raise ServerAway(f"TLS: {error.reason or error}") from None
    except TimeoutError as error:
        raise ServerAway("the server took too long") from error
    except OSError as error:
        raise ServerAway(f"{type(error).__name__}: {error.strerror or error}") from None
    except _NONSENSE as error:
        raise ServerFaulty(f"an answer that makes no sense ({type(error).__name__})") from None


def _told(error: Exception) -> str:
    """The server's own words, shortened, on one line. Never a cause: its frames hold the credential."""
    return re.sub(r"[^\x20-\x7e]+", " ", str(error))[:300]

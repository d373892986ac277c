"""Reads a URL that we are asked to call, strictly: what two parsers could read in two ways is refused.

The connection is later made from the parts found here, so no other parser ever sees the text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import AddressValueError, IPv4Address, IPv6Address

import idna

from shared.adapters.addresses import Address
from shared.adapters.http_faults import EgressRefused

MAX_URL_CHARACTERS = 8_192
_DEFAULT_PORTS = {"http": 80, "https": 443}
# Mail servers; without the `s` TLS begins by STARTTLS.
MAIL_PORTS = {"imap": 143, "imaps": 993, "smtp": 587, "smtps": 465}
_PRINTABLE = re.compile(r"[!-~]*")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
# A host whose last label is a number is an IPv4 address in some spelling (https://url.spec.whatwg.org/#ends-in-a-number-checker).
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_OTHER_DOTS = re.compile("[\u3002\uff0e\uff61\u2024\ufe52]")


@dataclass(frozen=True, slots=True)
class Target:
    """Where a call goes. `host` is in ASCII and lower case, without brackets; `address` is set if it is a literal one.

    `tail` is path and query; it may hold a credential and is in no repr.
    """

    scheme: str
    host: str
    port: int
    tail: str = field(repr=False)
    address: Address | None = None

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port: what a redirect with credentials may not leave."""
        return self.scheme, self.host, self.port


def read_target(url: str, ports: Mapping[str, int] = _DEFAULT_PORTS) -> Target:
    """The parts of an absolute URL; raises EgressRefused. A fragment is left out. `ports`: scheme → its usual port."""
    if len(url) > MAX_URL_CHARACTERS:
        raise _refused("url_too_long", "the URL is too long")
    if any(character <= " " or character == "\x7f" or character.isspace() for character in url):
        raise _refused("control_character", "the URL holds blanks or control characters")
    if "\\" in url:
        raise _refused("backslash", "the URL holds a backslash")
    scheme, separator, rest = url.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in ports:
        raise _refused("scheme", f"the URL must begin with {'https' if 'https' in ports else 'imaps or smtps'}://")
    end = next((place for place, character in enumerate(rest) if character in "/?#"), len(rest))
    authority, tail = rest[:end], rest[end:].partition("#")[0]
    if _PRINTABLE.fullmatch(tail) is None:
        raise _refused("not_ascii", "path and query must be percent-encoded")
    host, port = _host_and_port(authority, ports[scheme])
    name, address = _read_host(host)
    return Target(scheme, name, port, tail if tail.startswith("/") else f"/{tail}", address)


def _host_and_port(authority: str, default: int) -> tuple[str, int]:
    if "@" in authority:
        raise _refused("userinfo", "the URL holds a user name")
    if "%" in authority:
        raise _refused("percent_in_host", "the host is percent-encoded or has a zone")
    host, separator, port = authority.rpartition(":") if not authority.endswith("]") else (authority, "", "")
    if not separator:
        host, port = authority, str(default)
    # isdigit alone takes digits of other scripts as well
    if not (port.isascii() and port.isdigit()) or port[0] == "0" or int(port[:6]) > 65_535:
        raise _refused("port", "the port is no number from 1 to 65535")
    return host, int(port)


def _read_host(host: str) -> tuple[str, Address | None]:
    if host.startswith("[") and host.endswith("]"):
        try:
            address = IPv6Address(host[1:-1])
        except AddressValueError:
            raise _refused("address_form", "no IPv6 address between the brackets") from None
        return str(address), address
    name = (host if host.isascii() else _ascii(host)).lower()
    if not name or len(name) > 253:
        raise _refused("host_form", "the URL names no host")
    if name.endswith("."):
        raise _refused("trailing_dot", "the host ends with a dot")
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        try:
            ipv4 = IPv4Address(name)  # four decimal numbers without leading zeros, and nothing else
        except AddressValueError:
            raise _refused("address_form", "the host is a number that is no plain IPv4 address") from None
        return name, ipv4
    if not all(map(_LABEL.fullmatch, labels)):
        raise _refused("host_form", "the host is no name")
    return name, None


def _ascii(host: str) -> str:
    """The name in ASCII (IDNA 2008, without any mapping: it would turn other scripts' digits into an address)."""
    if _OTHER_DOTS.search(host):
        raise _refused("host_form", "the host holds a dot of another script")
    try:
        return idna.encode(host.lower()).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        raise _refused("host_form", "the host is no international name") from None


def _refused(reason: str, message: str) -> EgressRefused:
    return EgressRefused(message, reason=reason)

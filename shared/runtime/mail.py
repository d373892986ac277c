"""Mail servers as the settings have them: whom we trust, and where logins of checks may go."""

from __future__ import annotations

import ssl
from dataclasses import replace

from shared.adapters.egress import Egress
from shared.adapters.mail_logins import MailLogins
from shared.domain.errors import ConfigError
from shared.runtime.settings import MailServerSettings

_PORTS = frozenset({25, 143, 465, 587, 993, 2525})


def mail_tls(settings: MailServerSettings) -> ssl.SSLContext:
    """Checks certificate and host name, TLS 1.2 at least; there is no way to turn that off. Raises ConfigError."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    ca_file = settings.mailbox_ca_file
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"CHANNELS_MAILBOX_CA_FILE {ca_file} cannot be used: {error}") from error
    return context


def mail_egress(tenant: Egress) -> Egress:
    """The rules of URLs that tenants set, with the ports of mail servers beside its own."""
    return replace(tenant, ports=tenant.ports | _PORTS)


def mail_logins(settings: MailServerSettings, tenant: Egress, *, at_once: int) -> MailLogins:
    """Logins of checks under `mail_egress`. Raises ConfigError."""
    return MailLogins(
        mail_egress(tenant),
        mail_tls(settings),
        plain_loopback=settings.mailbox_plain_loopback,
        at_once=at_once,
    )

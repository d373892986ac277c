"""`channels sample-mail`: an inbound mail as a mail service would post it, as one curl command. It only prints."""

from __future__ import annotations

import secrets
import shlex
import string

import click

from services.cli.groups import Command
from services.cli.samples import secret_of
from shared.adapters.clock import SystemClock, new_uuid7
from shared.providers.email import samples

_EXAMPLES = (
    "channels sample-mail --dialect postmark --secret-env PAIR --connector ID | sh",
    "channels sample-mail --dialect mailgun --secret-env KEY --connector ID --text 'Oi!' --to loja@nos.example | sh",
)
_SECRETS = """
The secret is what the dialect proves a webhook by (docs/EMAIL.md): mailgun and imap a key, postmark and sendgrid
`user:password` (webhook_auth basic). SES is signed by Amazon alone: `channels simulate` has a stand-in.
"""
_TOKEN_LETTERS = string.ascii_letters + string.digits


@click.command(cls=Command, examples=_EXAMPLES, epilog=_SECRETS)
@click.option("--dialect", type=click.Choice(["mailgun", "sendgrid", "postmark", "imap"]), required=True, help="Whose webhook.")
@click.option("--secret-env", required=True, metavar="VAR", help="Name of the environment variable that holds the secret.")
@click.option("--connector", required=True, help="Id of the connector.")
@click.option("--url", default="http://127.0.0.1:8080", show_default=True, help="Address of the edge.")
@click.option("--from", "sender", default=samples.SENDER, show_default=True, help="Who writes.")
@click.option("--to", "recipient", default=samples.INBOX, show_default=True, help="The account's address.")
@click.option("--text", default="Hello, I have a question about my order.", help="What the person writes.")
@click.option("--id", "message_id", default=None, help="Message-ID without brackets; a new one unless given.")
def sample_mail(
    dialect: str, secret_env: str, connector: str, url: str, sender: str, recipient: str, text: str, message_id: str | None
) -> None:
    """Print a curl command that posts a signed sample mail, unique at each call."""
    secret, now = secret_of(None, secret_env, None), SystemClock().now_ms() // 1000
    message_id = message_id or f"{new_uuid7()}@{sender.rpartition('@')[2]}"
    mail = samples.raw_mail(message_id=message_id, text=text, sender=sender, to=recipient)
    if dialect == "mailgun":
        token = "".join(secrets.choice(_TOKEN_LETTERS) for _ in range(50))
        sample = samples.mailgun(mail, key=secret, token=token, to=recipient, timestamp=now)
    elif dialect == "imap":
        sample = samples.pushed(mail, key=secret, timestamp=now)
    elif dialect == "sendgrid":
        sample = samples.with_basic(samples.sendgrid(mail, to=recipient, sender=sender), secret)
    else:
        plain = samples.postmark(message_id=message_id, text=text, sender=sender, to=recipient)
        sample = samples.with_basic(plain, secret)
    headers = " ".join(f"-H {shlex.quote(f'{name}: {value}')}" for name, value in sample.headers.items())
    address = shlex.quote(f"{url.rstrip('/')}/webhooks/{connector}")
    click.echo(f"printf %s {shlex.quote(sample.body.decode())} | curl -sS -i {address} {headers} --data-binary @-")

"""`channels sample` and `channels sign`: a webhook as the provider would post it, for plain curl. Both only print."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import click

from services.cli.groups import Command
from shared.adapters.clock import SystemClock, new_uuid7
from shared.domain.enums import ConnectorType
from shared.domain.errors import InvalidInput
from shared.providers.whatsapp_official import samples

_STATUSES = ("sent", "delivered", "read", "played", "failed")
_SAMPLE_EXAMPLES = (
    "channels sample",
    "channels sample --text 'Oi!' --from 5511900000007 > body.json",
    "channels sample --kind location --phone-number-id 100000000000002",
    "channels sample --kind delivered --id wamid.ABC=",
)
_SIGN_EXAMPLES = (
    "channels sign --secret-file app-secret.txt -f body.json",
    "channels sample | channels sign --secret-env APP_SECRET --connector ID --curl",
    "channels sign --secret s3cret -f body.json --connector ID --curl | sh",
)

_provider = click.option(
    "--provider",
    type=click.Choice([ConnectorType.WHATSAPP_OFFICIAL.value]),
    default=ConnectorType.WHATSAPP_OFFICIAL.value,
    show_default=True,
    expose_value=False,  # there is one to choose from so far
    help="Whose webhook.",
)


@click.command(cls=Command, examples=_SAMPLE_EXAMPLES)
@_provider
@click.option(
    "--kind",
    type=click.Choice([*samples.KINDS, *_STATUSES]),
    default="text",
    show_default=True,
    help="What it says; something_new is a kind unknown to us.",
)
@click.option("--phone-number-id", default=samples.PHONE_NUMBER_ID, show_default=True, help="Meta's id of the number it is for.")
@click.option("--from", "sender", default=samples.SENDER, show_default=True, help="Phone of the person, digits.")
@click.option("--text", default="Hello, I have a question about my order.", help="What the person writes.")
@click.option("--id", "message_id", default=None, help="Message id; a new one unless given.")
@click.option("--reacts-to", default="wamid.UNKNOWN", help="For a reaction: id of the message it is on.")
def sample(kind: str, phone_number_id: str, sender: str, text: str, message_id: str | None, reacts_to: str) -> None:
    """Print a sample webhook body with a message (or the status of one), unique at each call."""
    message_id = message_id or samples.wamid(new_uuid7().encode("ascii"))
    timestamp = SystemClock().now_ms() // 1000
    if kind in _STATUSES:
        body = samples.status(
            message_id=message_id,
            status=kind,
            recipient=sender,
            phone_number_id=phone_number_id,
            timestamp=timestamp,
            error_code=131026 if kind == "failed" else None,
        )
    else:
        content = samples.content(kind, text, reacts_to)
        body = samples.message(
            content, message_id=message_id, sender=sender, phone_number_id=phone_number_id, timestamp=timestamp
        )
    click.echo(samples.encode(body))


@click.command(
    cls=Command,
    examples=_SIGN_EXAMPLES,
    epilog="A secret given by --secret stays in the history of your shell: prefer the other two.",
)
@_provider
@click.option("--secret", default=None, help="The app secret itself.")
@click.option("--secret-env", default=None, metavar="VAR", help="Name of the environment variable that holds it.")
@click.option("--secret-file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="File that holds it.")
@click.option("-f", "--file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The body; else standard input.")
@click.option("--curl", is_flag=True, help="Print a whole curl command that posts exactly these bytes.")
@click.option("--connector", default=None, help="With --curl: id of the connector, unless --url holds it.")
@click.option(
    "--url",
    default="http://127.0.0.1:8080",
    show_default=True,
    help="With --curl: address of the edge, or the whole webhook URL.",
)
def sign(
    secret: str | None,
    secret_env: str | None,
    secret_file: Path | None,
    file: Path | None,
    curl: bool,
    connector: str | None,
    url: str,
) -> None:
    """Sign a body as the provider would; print the signature header, or a curl command."""
    key = secret_of(secret, secret_env, secret_file)
    if curl and not connector and "/webhooks/" not in url:
        raise click.UsageError("--curl needs --connector, or the whole webhook URL (`channels apply` prints it) as --url")
    body = file.read_bytes() if file is not None else sys.stdin.buffer.read()
    header = f"X-Hub-Signature-256: {samples.sign(body, key)}"
    address = f"{url.rstrip('/')}/webhooks/{connector}" if connector else url
    click.echo(_curl(address, header, body, file) if curl else header)


def secret_of(secret: str | None, variable: str | None, file: Path | None) -> bytes:
    """The secret that one of the three names; raises UsageError and InvalidInput."""
    if sum(given is not None for given in (secret, variable, file)) != 1:
        raise click.UsageError("give the secret by one of --secret, --secret-env and --secret-file")
    if file is not None:
        value = file.read_bytes().rstrip(b"\r\n")
    elif variable is not None:
        value = os.environb.get(os.fsencode(variable), b"")  # the caller names the variable: this is an argument, no setting
    else:
        value = os.fsencode(secret or "")
    if not value:
        raise InvalidInput("the secret is empty; nothing can be signed with it", reason="secret_empty")
    return value


def _curl(address: str, header: str, body: bytes, file: Path | None) -> str:
    command = f"curl -sS -i {shlex.quote(address)} -H 'Content-Type: application/json' -H {shlex.quote(header)} --data-binary"
    if file is not None:
        return f"{command} {shlex.quote(f'@{file}')}"
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput("this body is not text; save it and give it by -f", reason="body_binary") from error
    if "\0" in text:
        raise InvalidInput("a command line cannot carry a NUL; save the body and give it by -f", reason="body_binary")
    return f"printf %s {shlex.quote(text)} | {command} @-"

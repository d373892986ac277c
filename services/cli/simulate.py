"""`channels simulate`: the providers' stand-ins on this machine, and orders to them from the command line."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

import click

from services.cli.groups import Group
from shared.adapters.clock import SystemClock
from shared.domain.errors import InvalidInput

_ADDRESS = "http://127.0.0.1:8099"
_EXAMPLES = (
    "channels simulate serve --speed 60",
    'channels simulate order meta create \'{"callback_url": "http://127.0.0.1:8080/webhooks/ID", "secret": "s3cret"}\'',
    'channels simulate order meta say \'{"account": "100000000000001", "utterance": {"kind": "text", "text": "Oi!"}}\'',
    'channels simulate order telegram fault \'{"operation": "sendMessage", "code": "rate", "retry_after_seconds": 7}\'',
    "channels simulate advance 3600",
    "channels simulate ledger",
)
_address = click.option("--address", default=_ADDRESS, show_default=True, help="Where the simulator listens.")


@click.group(cls=Group, examples=_EXAMPLES)
def simulate() -> None:
    """Stand-ins for the providers: they post webhooks, repeat them as documented, and answer our calls."""


@simulate.command(examples=_EXAMPLES[:1])
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8099, show_default=True)
@click.option("--seed", default=1, show_default=True, help="The same seed and orders give the same requests.")
@click.option("--speed", default=1.0, show_default=True, help="Virtual seconds in a real one; 0: only `advance`.")
def serve(host: str, port: int, seed: int, speed: float) -> None:
    """Run the simulator until it is interrupted."""
    from aiohttp import web  # late: `channels --help` needs none of it

    from services.simulator.app import Server
    from services.simulator.simulator import Simulator

    click.echo(f"simulator on http://{host}:{port}, seed {seed}, speed {speed}")
    web.run_app(
        Server(Simulator(seed, SystemClock().now_ms()), speed).application(), host=host, port=port, print=None, access_log=None
    )


@simulate.command(examples=_EXAMPLES[1:4])
@click.argument("stand_in")
@click.argument("name")
@click.argument("order", default="{}")
@_address
def order(stand_in: str, name: str, order: str, address: str) -> None:
    """Give one order (create, say, tell, event, fault, disturb, change, …) to one stand-in; ORDER is JSON."""
    click.echo(json.dumps(_ask(f"{address}/_control/{stand_in}/{name}", order.encode()), indent=2, ensure_ascii=False))


@simulate.command(examples=_EXAMPLES[4:5])
@click.argument("seconds", type=float)
@_address
def advance(seconds: float, address: str) -> None:
    """Let virtual time pass: whatever falls due is posted."""
    click.echo(json.dumps(_ask(f"{address}/_control/advance", json.dumps({"seconds": seconds}).encode()), indent=2))


@simulate.command(examples=_EXAMPLES[5:])
@click.option("--since", default=0, help="Skip so many attempts.")
@_address
def ledger(since: int, address: str) -> None:
    """Print every attempt: what was posted, what came back, what happens next."""
    for line in _ask(f"{address}/_control/ledger?since={since}", None)["lines"]:
        following = "" if line["next_in_seconds"] is None else f", again in {line['next_in_seconds']:.0f} s"
        answered = line["status"] or "no answer"
        click.echo(
            f"{line['at_ms']} {line['stand_in']} {line['label']} #{line['attempt']}: {answered}, {line['outcome']}{following}"
        )


def _ask(url: str, body: bytes | None) -> dict[str, Any]:
    request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"})  # noqa: S310 - given by the caller
    try:
        with urllib.request.urlopen(request, timeout=300) as response:  # noqa: S310 - as above
            found: dict[str, Any] = json.load(response)
            return found
    except urllib.error.HTTPError as error:
        raise InvalidInput(f"simulator: {error.read().decode('utf-8', 'replace')}", reason="order_refused") from error
    except (urllib.error.URLError, OSError) as error:
        raise InvalidInput(f"no simulator at {url}: start one with `channels simulate serve`", reason="no_simulator") from error

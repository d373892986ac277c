"""`channels demo`: the whole path on a real stack of its own, told with figures, every line checked."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import time
from importlib.resources import files
from pathlib import Path

import click

from deploy.demo.play import Cast, Play
from deploy.demo.story import ClaimFailed, Story
from deploy.demo.world import World
from deploy.local.fleet import Fleet
from deploy.local.stack import LocalStack
from services.cli.groups import Command
from shared.domain.errors import ChannelsError
from shared.runtime.settings import StackSettings, load

CONNECTOR_ID = "01900000-0000-7000-8000-000000000031"
NEXT = """
Next:
  make up                                     start a stack of your own
  . .venv/bin/activate                        then `channels --help`
  channels apply -f docs/examples/channels.yaml
  channels tail message.received -f           and post a webhook: see README.md, "Try it by hand"
  make test                                   the whole test suite
"""


@click.command(cls=Command, examples=("channels demo", "channels demo --keep"))
@click.option("--keep", is_flag=True, help="Leave the demo's stack running and its data in place.")
def demo(keep: bool) -> None:
    """Tell the whole story on a real Kafka and PostgreSQL; exit 1 at the first line that does not hold."""
    home = load(StackSettings).home.expanduser().absolute() / "demo"
    _tear_down(home)
    began = time.monotonic()
    story = Story(click.echo)
    try:
        _play(story, home)
    except (ClaimFailed, ChannelsError) as error:
        click.echo(f"\nFAILED\n{error}\nlogs:     {home / 'logs'}", err=True)
        Fleet(home).stop_all()
        LocalStack(home).stop()
        raise SystemExit(1) from error
    click.echo(f"\nAll {story.claims} claims hold, {time.monotonic() - began:.0f} s from start to end.")
    if keep:
        click.echo(f"The stack goes on: CHANNELS_HOME={home} channels status")
    else:
        _tear_down(home)
    click.echo(NEXT)


def _play(story: Story, home: Path) -> None:
    made_up = {name: secrets.token_hex(16) for name in ("APP_SECRET", "VERIFY_TOKEN", "ACCESS_TOKEN")}
    environment = {f"CHANNELS_DEMO_{name}": value for name, value in made_up.items()} | {"CHANNELS_HOME": str(home)}
    story.step("1. A real Kafka, a real PostgreSQL, the fleet, and one simulated Meta connector with two numbers")
    began = time.monotonic()
    story.claim("channels up", 0, _channels(environment, "up", "--ingest", "1", "--routers", "1"))
    stack, fleet = LocalStack(home), Fleet(home)
    megabytes = (stack.memory_bytes() / 1e6, fleet.memory_bytes() / 1e6)
    story.tell(f"up in {time.monotonic() - began:.1f} s; stack {megabytes[0]:.0f} MB, fleet {megabytes[1]:.0f} MB")
    story.claim(
        "channels apply -f channels.yaml", 0, _channels(environment, "apply", "-f", str(files("deploy.demo") / "channels.yaml"))
    )
    cast = Cast(
        connector_id=CONNECTOR_ID,
        unit_number_id="100000000000001",
        flow_number_id="100000000000002",
        org_unit_id="01900000-0000-7000-8000-000000000011",
        intake_flow_id="01900000-0000-7000-8000-000000000021",
        app_secret=made_up["APP_SECRET"],
        verify_token=made_up["VERIFY_TOKEN"],
    )
    world = World(home)
    try:
        Play(story, world, fleet, cast).run()
    finally:
        world.close()


def _channels(environment: dict[str, str], *arguments: str) -> int:
    """Run a command of the CLI as a user would, with its output shown."""
    command = [sys.executable, "-m", "services.cli", *arguments]
    return subprocess.run(command, env={**os.environ, **environment}, check=False).returncode  # noqa: S603  our own CLI


def _tear_down(home: Path) -> None:
    """Stop what an earlier demo left, and begin with an empty home."""
    if home.exists():
        Fleet(home).stop_all()
        LocalStack(home).stop()
        shutil.rmtree(home)

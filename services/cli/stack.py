"""`channels up`, `down`, `status` and `logs`: the stack and the fleet of this machine."""

from __future__ import annotations

import time
from pathlib import Path

import click

from deploy.local.fleet import Fleet
from deploy.local.fleet_plan import plan_fleet
from deploy.local.home_lock import HomeLock
from deploy.local.installation import install
from deploy.local.log_follow import follow, last_lines
from deploy.local.settings_file import kept_settings
from deploy.local.stack import LocalStack
from services.cli.groups import Command
from shared.domain.errors import ConfigError, NotFound
from shared.runtime.settings import KafkaSettings, StackKind, StackSettings, load

_SEVERAL = click.IntRange(0, 16)


@click.command(cls=Command, examples=("channels up", "channels up --routers 2 --mailboxes 1", "channels up --stack-only"))
@click.option("--stack-only", is_flag=True, help="Kafka and PostgreSQL, set up, without the fleet.")
@click.option("--ingest", "ingests", default=1, show_default=True, type=_SEVERAL, help="Edge processes, all on one port.")
@click.option("--routers", default=1, show_default=True, type=_SEVERAL, help="Router processes.")
@click.option("--mailboxes", default=0, show_default=True, type=_SEVERAL, help="Processes that read mailboxes over IMAP.")
def up(stack_only: bool, ingests: int, routers: int, mailboxes: int) -> None:
    """Start Kafka, PostgreSQL and the fleet on this machine; what already runs is left alone.

    Data live in CHANNELS_HOME (.channels) and survive. With CHANNELS_STACK=external only the fleet is started, on the
    addresses in CHANNELS_KAFKA_BOOTSTRAP and CHANNELS_DATABASE_*_URL.
    """
    began = time.monotonic()
    home = _home()
    lock = HomeLock(home)
    with lock.held("up"):
        _start_stack(load(StackSettings).stack, home, lock)
        if not stack_only:
            _start_fleet(home, lock, ingests, routers, mailboxes)
    click.echo(f"up in {time.monotonic() - began:.1f} s; next: `channels status`, `channels logs NAME -f`, `channels down`")


def _start_stack(kind: StackKind, home: Path, lock: HomeLock) -> None:
    match kind:
        case StackKind.EMBEDDED:
            stack = LocalStack(home, say=_say, lock=lock)
            addresses = stack.start()
            _say(f"kafka      {addresses.kafka_bootstrap}")
            _say(f"postgres   {stack.postgres.socket_folder}")
            install(addresses, home, say=_say, topic_prefix=load(KafkaSettings).topic_prefix)
        case StackKind.EXTERNAL:
            _say(f"kafka      {load(KafkaSettings).kafka_bootstrap} (external: nothing is started there)")
        case StackKind.CONTAINERS:
            raise ConfigError(
                "`channels up` starts no containers: start them, give their addresses and set CHANNELS_STACK=external,"
                " or set CHANNELS_STACK=embedded"
            )


def _start_fleet(home: Path, lock: HomeLock, ingests: int, routers: int, mailboxes: int) -> None:
    fleet = Fleet(home, lock)
    services = plan_fleet(home, fleet, ingests=ingests, routers=routers, mailboxes=mailboxes)
    for service in services:
        fleet.start(service)
    for service in services:
        fleet.wait_ready(service.name)
        _say(f"{service.name:<10} ready (process {fleet.pid(service.name)}, operations port {service.operations_port})")
    _say(f"management http://127.0.0.1:{kept_settings(home)['control_port']}/v1 (a token: `channels token mint`)")
    if ingests:
        _say(f"webhooks   http://127.0.0.1:{kept_settings(home)['ingest_port']}/webhooks/{{connector_id}}")


@click.command(cls=Command, examples=("channels down",))
def down() -> None:
    """Stop everything that `up` started here, also what a killed `up` left behind. The data stay."""
    home = _home()
    if not home.exists():
        click.echo(f"nothing was ever started in {home}")
        return
    lock = HomeLock(home)
    with lock.held("down"):
        stopped = Fleet(home, lock).stop_all() + LocalStack(home, lock=lock).stop()
    click.echo(f"stopped {', '.join(stopped)}" if stopped else "nothing was running")


@click.command(cls=Command, examples=("channels status",))
def status() -> None:
    """Show each part: process, memory, state, address; and the memory of all. Exit code 1 when a part is not ready."""
    home = _home()
    parts = list(Fleet(home).status())
    if load(StackSettings).stack is StackKind.EMBEDDED:
        parts = [*LocalStack(home).status(), *parts]
    click.echo(f"{'part':<12}{'process':>9}  {'memory':>8}  {'address':<36}  state")
    for part in parts:
        memory = _megabytes(part.memory_bytes)
        click.echo(f"{part.name:<12}{part.pid or '-':>9}  {memory:>8}  {part.address:<36}  {part.state}")
    click.echo(f"{'total':<12}{'':>9}  {_megabytes(sum(part.memory_bytes for part in parts)):>8}")
    if not all(part.ready for part in parts):
        raise SystemExit(1)


@click.command(cls=Command, examples=("channels logs", "channels logs router-0 -f"))
@click.argument("name", required=False)
@click.option("-f", "--follow", "keep_reading", is_flag=True, help="Go on with what is added, until Ctrl-C.")
@click.option("-n", "--lines", default=50, show_default=True, type=click.IntRange(min=0), help="How many lines to begin with.")
def logs(name: str | None, keep_reading: bool, lines: int) -> None:
    """Show the log of one part: kafka, postgres, ingest-0, router-0, relay, mailbox-0. Without a name: which there are."""
    folder = _home() / "logs"
    names = sorted(path.stem for path in folder.glob("*.log"))
    if name is None:
        click.echo("\n".join(names) or f"no logs in {folder} yet; start with `channels up`")
        return
    if name not in names:
        raise NotFound(f"no log of `{name}`; there are: {', '.join(names) or 'none yet, start with `channels up`'}")
    path = folder / f"{name}.log"
    position = path.stat().st_size
    for line in last_lines(path, lines):
        click.echo(line)
    for line in follow(path, position) if keep_reading else ():
        click.echo(line)


def _home() -> Path:
    return load(StackSettings).home.expanduser().absolute()


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.0f} MB"


def _say(line: str) -> None:
    click.echo(f"  {line}")

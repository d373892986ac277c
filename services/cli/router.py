"""`channels router`: how the routers stand; where they go on after a restore."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime

import click

from services.cli.groups import Group
from services.cli.managing import JSON
from services.cli.printing import print_fields, print_json, print_table
from shared.adapters.avro import Codec
from shared.management.router_positions import Found
from shared.management.router_progress import RouterProgress, Standing, refuse_unagreed
from shared.management.router_status import RouterStatus, router_status
from shared.runtime.settings import DatabaseSettings, KafkaSettings, StackSettings, load, require

_ADOPT = "channels router adopt"


@click.group(cls=Group, examples=("channels router status", f"{_ADOPT} --dry-run"))
def router() -> None:
    """Look after the routers."""


@router.command(examples=("channels router status", "channels router status --metrics http://10.0.0.7:9081/metrics --json"))
@click.option("--metrics", "urls", multiple=True, metavar="URL", help="A router's /metrics; repeated.  [default: this machine's]")
@JSON
def status(urls: tuple[str, ...], as_json: bool) -> None:
    """Lag, age of what waits, members, held items, transactions, breaches. Exit code 1 when something is wrong or silent.

    Each part stands for itself: what does not answer is named, the others are shown.
    """
    kafka, database = load(KafkaSettings), load(DatabaseSettings)
    worker_url = require(database.database_worker_url, "CHANNELS_DATABASE_WORKER_URL")
    found = router_status(kafka.kafka_bootstrap, kafka.topic_prefix, worker_url, urls or _own_routers(), time.time())
    if as_json:
        print_json(asdict(found))
    else:
        _tell(found)
    if found.troubles:
        raise SystemExit(1)


@router.command(examples=(f"{_ADOPT} --dry-run", f"{_ADOPT} --to-emitted --yes", f"{_ADOPT} --forget --yes"))
@click.option("--dry-run", is_flag=True, help="Only tell what would be done.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--to-emitted", is_flag=True, help="First set Kafka's offsets to where the events end that came out.")
@click.option("--repeat", is_flag=True, help="Agree that what came out comes out again.")
@click.option("--skip", is_flag=True, help="Agree that records are never looked at.")
@click.option("--forget", is_flag=True, help="Agree that the database does not know what came out.")
def adopt(dry_run: bool, yes: bool, to_emitted: bool, repeat: bool, skip: bool, forget: bool) -> None:
    """Go on after a restore, a re-created topic or moved offsets. It tells which records are repeated, skipped or forgotten.

    Stop the routers first. Held items whose raw records are gone end as dead letters (`raw_topic_recreated`). Nothing is done
    without the flags for what it means, nor where everything is in order.
    """
    kafka, database = load(KafkaSettings), load(DatabaseSettings)
    url = require(database.database_worker_url, "CHANNELS_DATABASE_WORKER_URL")
    agreed = {found for found, given in ((Found.REPEAT, repeat), (Found.SKIP, skip), (Found.FORGET, forget)) if given}
    with RouterProgress(kafka.kafka_bootstrap, kafka.topic_prefix, url, Codec(kafka.schema_registry_url)) as progress:
        standing = progress.standing(to_emitted=to_emitted)
        _tell_standing(standing)
        if dry_run:
            return
        refuse_unagreed(standing.findings, agreed)
        if not yes:
            click.confirm("Adopt?", abort=True)
        progress.adopt(standing, agreed, now_ms=time.time_ns() // 1_000_000)
    click.echo(f"adopted; {len(standing.lost)} held items ended; start the routers again")


def _tell_standing(standing: Standing) -> None:
    for each in standing.positions:
        book = f"{each.book.first}..{each.book.end}" if each.book else "nothing"
        emitted = "nothing" if each.emitted is None else f"up to {each.emitted}"
        click.echo(
            f"partition {each.partition}: goes on at {each.committed}; came out {emitted}; the database knows {book};"
            f" in the topic {each.log_first}..{each.log_end}"
        )
    for partition, old in standing.moved.items():
        click.echo(f"moved     partition {partition}: Kafka's committed offset was {old}")
    for finding in standing.findings:
        count = finding.end - finding.first
        click.echo(
            f"{finding.found.value:<9} partition {finding.partition}, offsets {finding.first}..{finding.end} ({count}):"
            f" {finding.meaning}"
        )
    if any(finding.found is Found.FORGET for finding in standing.findings) and standing.held:
        click.echo(f"held      {standing.held} items as of then: any that came out since comes out again when it is due")
    counts = Counter((one.connector_id, one.reason) for one in standing.lost)
    for (connector, reason), count in sorted(counts.items()):
        click.echo(f"lost      {count} held items ({reason}) of connector {connector}: their raw records are gone")
    if not standing.findings and not standing.lost and not standing.moved:
        click.echo("everything is in order")


def _own_routers() -> tuple[str, ...]:
    from deploy.local.fleet import Fleet

    fleet = Fleet(load(StackSettings).home.expanduser().absolute())
    names = [name for name in fleet.names() if name.startswith("router-")]
    return tuple(f"http://127.0.0.1:{fleet.service(name).operations_port}/metrics" for name in names)


def _tell(found: RouterStatus) -> None:
    columns = ("partition", "lag", "oldest_seconds", "committed", "end", "book", "member", "host")
    if found.partitions is not None:
        print_table([asdict(each) for each in found.partitions], columns)
    if found.held is not None:
        held = [{**asdict(each), "oldest_at": _utc(each.oldest_at)} for each in found.held]
        if held:
            click.echo()
            print_table(held, ("reason", "state", "count", "oldest_at"))
        else:
            click.echo("nothing is held")
    click.echo()
    for each in found.processes:
        print_fields({"router": each.url, **each.counts})
    for line in found.troubles:
        click.echo(f"! {line}")


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")

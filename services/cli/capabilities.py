"""`channels capabilities`: what a connector can do, from its provider's preset and tier, changed by hand."""

from __future__ import annotations

from pathlib import Path

import click

from services.cli.groups import Group
from services.cli.managing import CONNECTOR, acting, actor, done, every, listing, show, showing
from services.cli.values import document_of, members_of
from shared.adapters.tables import ChannelCapability
from shared.domain.enums import Feature
from shared.management.capabilities import capability_of, set_capability
from shared.management.descriptions import follow_capability
from shared.management.lists import list_parts

_EXAMPLES = (
    "channels capabilities set --connector Meta templates --off",
    "channels capabilities set --connector Meta messages --constraint rate_per_second:=20",
)


@click.group(cls=Group, examples=("channels capabilities list --connector Meta", *_EXAMPLES))
def capabilities() -> None:
    """What connectors can do, and their limits."""


@capabilities.command("list", examples=("channels capabilities list --connector Meta --json",))
@CONNECTOR
@listing
def list_(tenant: str, connector: str, limit: int | None, as_json: bool) -> None:
    """Six rows, one per feature; `manual`: what a person set, so that it no longer follows the provider."""
    with acting(tenant) as work:
        row = work.connector(connector)
        rows = every(lambda asked: list_parts(work.session, work.tenant, ChannelCapability, row.id, asked), limit)
    show(rows, ("feature", "enabled", "manual", "constraints"), as_json=as_json)


@capabilities.command("set", examples=_EXAMPLES)
@CONNECTOR
@click.argument("feature", type=click.Choice([feature.value for feature in Feature]))
@click.option("--on/--off", "enabled", default=None, help="Left out: as it is.")
@click.option("--constraint", "single", multiple=True, metavar="NAME:=JSON", help="One limit; repeated.")
@click.option(
    "--constraints-file",
    "whole",
    type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True),
    help="All limits, as YAML or JSON; `-`: standard input.",
)
@showing
def set_(
    tenant: str,
    connector: str,
    feature: str,
    enabled: bool | None,
    single: tuple[str, ...],
    whole: Path | None,
    as_json: bool,
) -> None:
    """Turn a feature on or off, or change its limits. What you change no longer follows the provider."""
    if enabled is None and not single and whole is None:
        raise click.UsageError("nothing to change is given")
    with acting(tenant, change=True) as work:
        found = work.connector(connector, change=True)
        known = capability_of(work.session, found.id, Feature(feature))
        limits = None
        if single or whole is not None:
            limits = {**(known.constraints or {} if whole is None else document_of(whole)), **members_of(single, "--constraint")}
        wanted = known.enabled if enabled is None else enabled
        row = set_capability(work.session, found.id, known.feature, enabled=wanted, constraints=limits, actor=actor())
    done(row, f"{row.feature} of {found.nome} is {'on' if row.enabled else 'off'}", as_json=as_json)


@capabilities.command(examples=("channels capabilities follow --connector Meta messages",))
@CONNECTOR
@click.argument("feature", type=click.Choice([feature.value for feature in Feature]))
@showing
def follow(tenant: str, connector: str, feature: str, as_json: bool) -> None:
    """Give up what people set: the provider's preset again, with what its tier allows."""
    with acting(tenant, change=True) as work:
        found = work.connector(connector, change=True)
        row = follow_capability(work.session, found.id, Feature(feature), actor=actor())
    done(row, f"{row.feature} of {found.nome} follows the provider", as_json=as_json)

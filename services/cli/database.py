"""`channels database`: make a database ready, or bring its schema up to date."""

from __future__ import annotations

import click

from services.cli.groups import Group
from shared.management.installation import migrate as run_migrations
from shared.management.installation import prepare_database
from shared.runtime.settings import DatabaseSettings, load, require


@click.group(cls=Group, examples=("channels database migrate",))
def database() -> None:
    """Create roles and migrate the database."""


@database.command(examples=("channels database prepare --superuser-url postgresql://postgres@db.example.org/postgres",))
@click.option(
    "--superuser-url",
    envvar="CHANNELS_DATABASE_SUPERUSER_URL",
    required=True,
    help="A role that may create roles and databases, such as postgresql://postgres@host/postgres.",
)
@click.option("--name", default="channels", show_default=True, help="Name of the database.")
def prepare(superuser_url: str, name: str) -> None:
    """Create what is missing of roles and database, migrate, and print the settings for the services."""
    settings = prepare_database(superuser_url, name)
    click.echo("The database is ready. New roles have no password yet (ALTER ROLE … PASSWORD …). Settings:")
    for setting, url in settings.items():
        click.echo(f"CHANNELS_{setting.upper()}={url}")


@database.command(examples=("channels database migrate",))
def migrate() -> None:
    """Run the missing migrations as the owner (CHANNELS_DATABASE_OWNER_URL)."""
    before, after = run_migrations(require(load(DatabaseSettings).database_owner_url, "CHANNELS_DATABASE_OWNER_URL"))
    click.echo(f"schema is at {after}" + ("; nothing to do" if before == after else f" (was {before or 'empty'})"))

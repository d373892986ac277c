"""The command `channels`. Each group lives in its own module, named here, and is imported only when it is called."""

from __future__ import annotations

import importlib
import sys

import click

from services.cli.groups import Group
from services.cli.running import run

# command name -> (module, attribute, one-line help for the list)
COMMANDS: dict[str, tuple[str, str, str]] = {
    "up": ("services.cli.stack", "up", "Start Kafka, PostgreSQL and the fleet on this machine."),
    "down": ("services.cli.stack", "down", "Stop everything that `up` started."),
    "status": ("services.cli.stack", "status", "Show what runs, where, and how much memory it takes."),
    "logs": ("services.cli.stack", "logs", "Show the log of one part of the stack or the fleet."),
    "topics": ("services.cli.topics", "topics", "Create and verify topics; check schemas."),
    "tail": ("services.cli.tail", "tail", "Print decoded records of one topic."),
    "database": ("services.cli.database", "database", "Create roles and migrate the database."),
    "keys": ("services.cli.keys", "keys", "Create, rotate, reseal and erase keys."),
    "token": ("services.cli.token", "token", "Mint a bearer token for the API of this machine."),
    "apply": ("services.cli.apply", "apply", "Bring connectors, accounts and webhooks to what a file says."),
    "export": ("services.cli.export", "export", "Write the configuration as a file that `apply` takes back."),
    "connectors": ("services.cli.syncs", "connectors", "Create, change, move and list connectors."),
    "accounts": ("services.cli.syncs", "accounts", "Create, route, turn on and off, and list accounts."),
    "capabilities": ("services.cli.capabilities", "capabilities", "What connectors can do, and their limits."),
    "tokens": ("services.cli.tokens", "tokens", "List, add and revoke credentials of connectors."),
    "webhooks": ("services.cli.webhooks", "webhooks", "Addresses, event classes and secrets of webhooks."),
    "fallbacks": ("services.cli.fallbacks", "fallbacks", "Where traffic goes when checks keep failing."),
    "mappings": ("services.cli.mappings", "mappings", "Which id stands for which key of a provider."),
    "audit": ("services.cli.audit", "audit", "Who changed what."),
    "certificates": ("services.cli.certificates", "certificates", "Fetch the certificates of webhook signatures."),
    "subscriptions": ("services.cli.subscriptions", "subscriptions", "Confirm subscriptions of Amazon SNS topics."),
    "provider": ("services.cli.provider", "provider", "Begin a new provider."),
    "sample": ("services.cli.samples", "sample", "Print a sample webhook body of a provider."),
    "sample-mail": ("services.cli.mail_samples", "sample_mail", "Print a sample mail of a mail service, as curl."),
    "sign": ("services.cli.samples", "sign", "Sign a body as the provider would, for curl."),
    "simulate": ("services.cli.simulate", "simulate", "Stand-ins for the providers, and orders to them."),
    "snapshots": ("services.cli.snapshots", "snapshots", "Publish the configuration anew; accounts without a target."),
    "dlq": ("services.cli.dlq", "dlq", "Dead letters: list, show, redrive, drop."),
    "router": ("services.cli.router", "router", "Look after the router."),
    "demo": ("services.cli.demo", "demo", "Tell the whole story on a real stack, with figures."),
}


class _Lazy(Group):
    """Imports a command only when it is used, so that `channels --help` is quick and needs nothing."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order above, not alphabetical: first things first."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command object, or None for an unknown name."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, from the table: nothing is imported for it."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in COMMANDS.items()])


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Channels: how an omnichannel platform talks to the world."""


def main() -> None:
    """Entry point."""
    raise SystemExit(run(cli, sys.argv[1:]))


if __name__ == "__main__":
    main()

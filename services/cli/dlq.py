"""`channels dlq`: what could not be processed; try it again, or say that it is done."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from typing import Any, TypeVar

import click

from services.cli.groups import Group
from services.cli.letter_views import COLUMNS, GROUP_COLUMNS, GROUPS, grouped, line_of, tell_answers, whole
from services.cli.managing import JSON, acting, actor
from services.cli.printing import print_fields, print_json, print_table, printable
from services.cli.values import Moment
from shared.adapters.avro import Codec
from shared.adapters.database import create_engine_for
from shared.adapters.vault import Vault
from shared.domain.enums import KeyPurpose
from shared.management.dead_letter_changes import ALREADY_REDRIVEN, Answer, done_before, drop, foreseen, redrive
from shared.management.dead_letter_fragments import masked_fragment, open_fragment
from shared.management.dead_letters import DeadLetters, Letter, LetterFilter
from shared.management.naming import is_id
from shared.runtime.keys import key_provider
from shared.runtime.settings import DatabaseSettings, KafkaSettings, VaultSettings, load, require

Command = TypeVar("Command", bound=Callable[..., Any])

_MOST_AT_ONCE = 1_000
_ID = "0/1234"


def _filtered(command: Command) -> Command:
    """The options that choose letters."""
    for option in (
        click.option("--until", type=Moment(), help="Dead-lettered before then."),
        click.option("--since", type=Moment(), help="Dead-lettered from then on; without a zone UTC."),
        click.option("--reason", "reasons", multiple=True, help="Only with this reason; repeated."),
        click.option("--account", help="Only of this account: id, or `identidade` with --tenant."),
        click.option("--connector", help="Only of this connector: id, or `nome` with --tenant."),
        click.option("--tenant", envvar="CHANNELS_TENANT", help="Only of this tenant: name or id; or in CHANNELS_TENANT."),
    ):
        command = option(command)
    return command


@click.group(cls=Group, examples=("channels dlq list --by reason", "channels dlq redrive --reason unknown_account --dry-run"))
def dlq() -> None:
    """Dead letters: what the router could not process, item by item.

    A letter's id is its place in the topic, such as 0/1234. Elements stay sealed; only `--reveal` opens one.
    """


@dlq.command(
    "list", examples=("channels dlq list", "channels dlq list --by reason", "channels dlq list --since 2030-01-31 --json")
)
@_filtered
@click.option("--all", "done_too", is_flag=True, help="Redriven and dropped ones too.")
@click.option("--by", type=click.Choice(GROUPS), help="Counts instead, with an example of each.")
@click.option("--examples", is_flag=True, help="With --by: open each example and show its form, values masked; audited.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True)
@JSON
def list_(by: str | None, examples: bool, limit: int, as_json: bool, **chosen: Any) -> None:
    """Open letters, newest first. `raw`: whether the raw record can be read again (there, gone, recreated)."""
    wanted = _wanted(**chosen)
    with _opened() as box:
        if by is None:
            letters = box.last(wanted, limit + 1)
            _tell_lines([line_of(letter, datetime.now(UTC)) for letter in letters[:limit]], COLUMNS, as_json)
            if len(letters) > limit:
                click.echo("there are older ones: --until, or a higher --limit", err=True)
        else:
            rows, newest = grouped(box.scan(wanted), by)
            opened = [_form(box, newest[row["example"]]) for row in rows[:limit]] if examples else []
            if as_json and examples:
                rows = [{**row, "form": form} for row, form in zip(rows, opened, strict=False)]
            _tell_lines(rows[:limit], (by, *GROUP_COLUMNS), as_json)
            for row, form in zip(rows, opened, strict=False) if not as_json else ():
                click.echo(f"{row['example']}  {printable(json.dumps(form, ensure_ascii=False))}")
        _tell_unreadable(box)


@dlq.command("show", examples=(f"channels dlq show {_ID}", f"channels dlq show {_ID} --reveal --plain"))
@click.argument("letter_id", metavar="ID")
@click.option("--reveal", is_flag=True, help="Open the element: its form, values masked. Needs the ingest keys; audited.")
@click.option("--plain", is_flag=True, help="With --reveal: what was written, in clear.")
@JSON
def show_(letter_id: str, reveal: bool, plain: bool, as_json: bool) -> None:
    """One letter: where it came from, why, what became of it. The element stays sealed without --reveal."""
    if plain and not reveal:
        raise click.UsageError("--plain goes with --reveal")
    with _opened() as box:
        (letter,) = box.named([letter_id])
        view = whole(letter, datetime.now(UTC))
        if reveal:
            fragment = open_fragment(box, _vault(), letter, actor=actor(), plain=plain)
            view["fragment"] = _in_clear(fragment) if plain else masked_fragment(fragment)
    if as_json:
        print_json(view)
    else:
        print_fields({name: value for name, value in view.items() if name != "age_seconds"})


@dlq.command(
    "redrive",
    examples=(
        "channels dlq redrive --reason unknown_account --dry-run",
        "channels dlq redrive --reason own_exception --since 2030-01-31 --yes",
        f"channels dlq redrive {_ID}",
    ),
)
@click.argument("ids", nargs=-1, metavar="[ID]...")
@_filtered
@click.option("--everything", is_flag=True, help="Without a filter: every open letter.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=_MOST_AT_ONCE, show_default=True, help="The oldest so many.")
@click.option("--dry-run", is_flag=True, help="Only tell what would be done.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@JSON
def redrive_(ids: tuple[str, ...], everything: bool, limit: int, dry_run: bool, yes: bool, as_json: bool, **chosen: Any) -> None:
    """Let the router try again: a copy of each raw record goes to the end of its partition.

    Whatever is redriven twice has one effect. What fails again is a new letter with a higher `attempt`; none is tried by itself.
    Letters named by id are redriven even if somebody dropped them. Exit 1 if a letter could not be redriven.
    """
    with _opened() as box:
        letters = _chosen(box, ids, everything, limit, chosen)
        if dry_run:
            answers = foreseen(letters, dropped_too=bool(ids))
        else:
            _confirm("Redrive", letters, yes or bool(ids))
            answers = redrive(box, letters, actor=actor(), dropped_too=bool(ids))
        told = _told(answers, "redriven", dry_run=dry_run, as_json=as_json)
        _tell_unreadable(box)
    if any(one.refused not in (None, ALREADY_REDRIVEN) for one in told):
        raise SystemExit(1)


@dlq.command(
    "drop",
    examples=(
        f'channels dlq drop {_ID} --note "a test of the provider"',
        'channels dlq drop --reason unparseable_body --until 2030-01-31 --note "before the mend" --dry-run',
    ),
)
@click.argument("ids", nargs=-1, metavar="[ID]...")
@_filtered
@click.option("--everything", is_flag=True, help="Without a filter: every open letter.")
@click.option("--note", required=True, help="Why; kept with the letter and in the audit log.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=_MOST_AT_ONCE, show_default=True, help="The oldest so many.")
@click.option("--dry-run", is_flag=True, help="Only tell what would be done.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@JSON
def drop_(
    ids: tuple[str, ...], everything: bool, note: str, limit: int, dry_run: bool, yes: bool, as_json: bool, **chosen: Any
) -> None:
    """Say that letters are done without another try. `list --all` still shows them until retention takes them (30 days)."""
    with _opened() as box:
        letters = _chosen(box, ids, everything, limit, chosen)
        if dry_run:
            answers: Iterable[Answer] = [Answer(letter=letter, refused=done_before(letter.mark)) for letter in letters]
        else:
            _confirm("Drop", letters, yes or bool(ids))
            answers = drop(box, letters, note, actor=actor())
        _told(answers, "dropped", dry_run=dry_run, as_json=as_json)
        _tell_unreadable(box)


@contextmanager
def _opened() -> Iterator[DeadLetters]:
    kafka = load(KafkaSettings)
    url = require(load(DatabaseSettings).database_worker_url, "CHANNELS_DATABASE_WORKER_URL")
    engine = create_engine_for(url, pool_size=1, application_name="channels-dlq")
    try:
        with DeadLetters(kafka.kafka_bootstrap, kafka.topic_prefix, Codec(kafka.schema_registry_url), engine) as box:
            yield box
    finally:
        engine.dispose()


def _wanted(
    *,
    tenant: str | None,
    connector: str | None,
    account: str | None,
    reasons: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
    done_too: bool = False,
) -> LetterFilter:
    """Names become ids; an id is believed, because what it named may be deleted by now."""
    ids = {"tenant": is_id(tenant or ""), "connector": is_id(connector or ""), "account": is_id(account or "")}
    if any(given and not ids[name] for name, given in (("tenant", tenant), ("connector", connector), ("account", account))):
        if tenant is None:
            raise click.UsageError("a name needs --tenant; an id does not")
        with acting(tenant) as work:
            ids["tenant"] = work.tenant
            ids["connector"] = ids["connector"] or (work.connector(connector).id if connector else None)
            ids["account"] = ids["account"] or (work.account(account).id if account else None)
    return LetterFilter(
        tenant_id=ids["tenant"],
        connector_id=ids["connector"],
        account_id=ids["account"],
        reasons=frozenset(reasons),
        since=since,
        until=until,
        done_too=done_too,
    )


def _chosen(box: DeadLetters, ids: Sequence[str], everything: bool, limit: int, chosen: dict[str, Any]) -> list[Letter]:
    """By id, or the oldest open ones that the filter takes."""
    given = {name: value for name, value in chosen.items() if value and name != "tenant"}
    if ids:
        if given or everything:
            raise click.UsageError("give ids, or a filter, not both")
        return box.named(ids)
    wanted = _wanted(**chosen)
    if not wanted.narrows and not everything:
        raise click.UsageError("name letters by id, narrow them with a filter, or give --everything")
    letters = list(islice(box.scan(wanted), limit + 1))
    if len(letters) > limit:
        click.echo(f"there are more: these are the oldest {limit}; run it again, or give a higher --limit", err=True)
    return letters[:limit]


def _confirm(what: str, letters: Sequence[Letter], yes: bool) -> None:
    if letters and not yes:
        click.confirm(f"{what} {len(letters)} dead letters?", abort=True, err=True)


def _told(answers: Iterable[Answer], done: str, *, dry_run: bool, as_json: bool) -> list[Answer]:
    """Work through them and tell what became of each, also when something breaks off in the middle: what was done is done."""
    ended: list[Answer] = []
    try:
        ended.extend(answers)
    finally:
        tell_answers(ended, done, dry_run=dry_run, as_json=as_json)
    return ended


def _tell_lines(rows: Sequence[dict[str, Any]], columns: Sequence[str], as_json: bool) -> None:
    if as_json:
        print_json([{name: value for name, value in row.items() if name != "age"} for row in rows])
    elif rows:
        print_table(rows, columns)
    else:
        click.echo("none")


def _tell_unreadable(box: DeadLetters) -> None:
    if box.unreadable:
        click.echo(f"{box.unreadable} records of the topic cannot be decoded by this release and are left out", err=True)


def _form(box: DeadLetters, letter: Letter) -> Any:
    """Its element, masked; None if it carries none."""
    if letter.event.sealed_fragment is None:
        return None
    return masked_fragment(open_fragment(box, _vault(), letter, actor=actor(), plain=False))


def _in_clear(fragment: bytes) -> Any:
    try:
        return json.loads(fragment)
    except ValueError:
        return fragment.decode("utf-8", "backslashreplace")


def _vault() -> Vault:
    return Vault(key_provider(load(VaultSettings), (KeyPurpose.INGEST,)))

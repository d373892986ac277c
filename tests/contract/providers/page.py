"""docs/PROVIDERS.md: what each provider is proven to do, written from what the examples and the simulator give right now.

`make providers` writes it; a test fails when the committed page says something else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from services.simulator.people import person
from services.simulator.utterances import Receipt, Utterance
from shared.domain.enums import ConnectorEventName, DeliveryStatus, MessageKind
from shared.domain.items import MessageItem, ReceiptItem
from shared.providers import PROVIDERS
from shared.providers.contract import CONSEQUENCE_STATUSES, SITUATIONS, Provider, Verified
from tests.contract.providers.examples import dialect_folders, examples_in, folder_of, outcome_of
from tests.contract.providers.forging import SHORT_COUNT
from tests.contract.providers.meaning import meant, understood
from tests.contract.providers.schemes import CASES, FORGERIES_OF_BODIES, FORGERY_NAMES, SCHEMES, Scheme, scheme_of
from tests.contract.providers.voices import VOICES, Speaker

PAGE = Path(__file__).parents[3] / "docs" / "PROVIDERS.md"
FULL_COUNT = 100_000
_SHOWN_EXAMPLES = 6

_HEAD = """# Providers

Written by `make providers` from the tests' own results; do not edit. A test fails when it is stale.

An example counts only while the provider's code gives what its `.expected.json` says. The simulator counts where an utterance
that it put into the provider's form, and signed, was proven genuine and understood as it was meant.
"""

_PUSH = """## A mail server of one's own

Dialect `imap` of `email` reads a mailbox, and also takes raw mails by POST (`message/rfc822`), signed in a scheme of ours:
`X-Channels-Timestamp` holds the seconds since the epoch, `X-Channels-Signature` is `sha256=` and the lower-case hex HMAC-SHA256
of `<timestamp>.<raw body>` under the connector's secret. Every attempt is signed anew; whatever is not answered 200 should be
posted again.
"""


def page() -> str:
    """The whole page."""
    proofs = {voice: _proven(provider, dialect, folder) for voice, provider, dialect, folder in _places()}
    spoken = _spoken()
    parts = [_HEAD, _summary(proofs, spoken), _schemes(), _answers(), _PUSH]
    parts += [_details(voice, proofs[voice], spoken.get(voice, {})) for voice in proofs]
    return "\n".join(parts)


def _places() -> list[tuple[str, Provider, str | None, Path]]:
    found = []
    for provider in PROVIDERS:
        for dialect, folder in dialect_folders(folder_of(provider)):
            found.append((f"{provider.tipo} / {dialect}" if dialect else str(provider.tipo), provider, dialect, folder))
    return found


def _proven(provider: Provider, dialect: str | None, folder: Path) -> dict[str, list[str]]:
    """What items say → the examples that prove it."""
    found: dict[str, list[str]] = defaultdict(list)
    for example in examples_in(folder, dialect):
        outcome = outcome_of(provider, example)
        if outcome != example.expected:
            continue
        for item in outcome.get("items", []):
            for said in _said(item):
                if example.name not in found[said]:
                    found[said].append(example.name)
    return found


def _said(item: Mapping[str, Any]) -> Iterable[str]:
    match item["item"]:
        case "MessageItem":
            yield f"message {item['kind']}"
            if item["direction"] == "echo":
                yield "echo of our own phone"
        case "ReceiptItem":
            yield f"receipt {item['status']}"
        case "ConnectorEventItem":
            yield f"event {item['name']}"
        case "PoisonItem":
            yield "poison (kept aside, its neighbours go on)"


def _spoken() -> dict[str, dict[str, int]]:
    """What the simulator said and our code understood, by provider and dialect."""
    found: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for voice in VOICES:
        place = f"{voice.tipo} / {voice.dialect}" if voice.dialect else str(voice.tipo)
        for kind in sorted(voice.says):
            what = Utterance(kind=kind, text="oi", target="91")  # type: ignore[arg-type]
            speaker = Speaker(voice)
            _, post = speaker.says(person(3), what)
            (item,) = speaker.items(post)
            if isinstance(item, MessageItem) and understood(item) == meant(what, voice):
                found[place][f"message {item.kind.value}"] += 1
        for status in voice.receipts:
            speaker = Speaker(voice)
            speaker.stand_in.tell(speaker.account.id, person(3), Receipt(status=status, message_id="3EB0OUT@x"))  # type: ignore[arg-type]
            (told,) = (item for post in speaker.simulator.posts() for item in speaker.items(post))
            if isinstance(told, ReceiptItem) and told.status == status:
                found[place][f"receipt {status}"] += 1
    return found


def _summary(proofs: Mapping[str, Mapping[str, Sequence[str]]], spoken: Mapping[str, Mapping[str, int]]) -> str:
    """Counts of proving examples; `+s` where the simulator proves it, too."""
    lines = ["## What is proven, by how many examples", "", "`+s`: the simulator says it, too, and is understood.", ""]
    for title, prefix, words in (
        ("Messages", "message", [kind.value for kind in MessageKind]),
        ("Receipts", "receipt", [status.value for status in DeliveryStatus]),
        ("Connector events", "event", [name.value for name in ConnectorEventName]),
    ):
        rows = [[title, *proofs]]
        for word in words:
            said = f"{prefix} {word}"
            cells = [_cell(len(proofs[place].get(said, ())), spoken.get(place, {}).get(said, 0)) for place in proofs]
            if any(cells):
                rows.append([word, *cells])
        lines += [*_table(rows), ""]
    return "\n".join(lines)


def _cell(examples: int, said: int) -> str:
    return " ".join(part for part in (str(examples) if examples else "", "+s" if said else "") if part)


def _schemes() -> str:
    lines = [
        "## Schemes of proof",
        "",
        f"Forgeries of each scheme: {SHORT_COUNT} in every `make test`, {FULL_COUNT} in `make hostile`.",
        "None may be accepted, none may raise. The other columns are the required cases through the edge's own decision: `yes`",
        "accepted, `no` refused. Where a touched body or an old request is accepted, the scheme covers no body, or no time.",
        "",
    ]
    rows = [["scheme", "kinds of forgery", *CASES]]
    for name in SCHEMES:
        scheme = scheme_of(name)
        rows.append([name, str(_kinds(scheme)), *_results(scheme)])
    return "\n".join([*lines, *_table(rows), ""])


def _kinds(scheme: Scheme) -> int:
    return len(FORGERY_NAMES) - (0 if scheme.traits.covered is not None else len(FORGERIES_OF_BODIES))


def _results(scheme: Scheme) -> list[str]:
    verdicts = [scheme.judge(case.request, case.secrets, case.now_ms) for case in scheme.cases()]
    return ["yes" if isinstance(verdict, Verified) else "no" for verdict in verdicts]


def _answers() -> str:
    lines = ["## What an answer makes the provider do", ""]
    for provider in PROVIDERS:
        receiving = provider.receiving
        for dialect, answers in [*receiving.dialects.items()] if receiving.dialects else [(None, receiving.answers)]:
            rows = [["status", "when we give it", "what the provider then does"]]
            for status in sorted({*CONSEQUENCE_STATUSES, *answers.statuses.values()}):
                when = ", ".join(situation for situation in SITUATIONS if answers.statuses[situation] == status)
                rows.append([str(status), when or "never", answers.consequences[status]])
            name = f"{provider.tipo} / {dialect}" if dialect else str(provider.tipo)
            lines += [f"### {name}", "", f"Source: {answers.source}", "", *_table(rows), ""]
        if receiving.dialects and receiving.answers not in receiving.dialects.values():
            lines += _default_answers(provider)
    return "\n".join(lines)


def _default_answers(provider: Provider) -> list[str]:
    answers = provider.receiving.answers
    rows = [["status", "when we give it", "what the provider then does"]]
    for status in sorted({*CONSEQUENCE_STATUSES, *answers.statuses.values()}):
        when = ", ".join(situation for situation in SITUATIONS if answers.statuses[situation] == status)
        rows.append([str(status), when or "never", answers.consequences[status]])
    return [f"### {provider.tipo}, any other dialect", "", f"Source: {answers.source}", "", *_table(rows), ""]


def _details(place: str, proofs: Mapping[str, Sequence[str]], spoken: Mapping[str, int]) -> str:
    rows = [["what", "proven by"]]
    for said in sorted({*proofs, *spoken}):
        names = list(proofs.get(said, ()))
        shown = [f"`{name}`" for name in names[:_SHOWN_EXAMPLES]]
        if len(names) > _SHOWN_EXAMPLES:
            shown.append(f"and {len(names) - _SHOWN_EXAMPLES} more")
        if spoken.get(said):
            shown.append("the simulator")
        rows.append([said, ", ".join(shown)])
    return "\n".join([f"## {place}: proven by which example", "", *_table(rows), ""])


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    head, *rest = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return [_row(head), _row(["---"] * len(head)), *(_row(row) for row in rest)]


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Write the page."""
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(PAGE.parents[1])}")


if __name__ == "__main__":
    main()

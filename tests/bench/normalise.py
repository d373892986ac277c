"""Part 5: what one message costs on one core: `normalise` of a typical webhook, and `encode` of the event that it becomes.

Every provider and dialect with examples is measured by its own text message, so a new one appears by itself. Time is CPU
time of this process, so that other work on the machine counts little; no stack is needed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass

from shared.adapters.avro import Codec
from shared.domain.items import MessageItem
from shared.domain.records import Decision, Message, MessageReceived, RawPosition
from shared.domain.topics import Topic
from shared.providers import PROVIDERS
from shared.providers.contract import Provider
from tests.bench.measurement import Part, Series, Values, interleave
from tests.contract.providers.examples import Example, dialect_folders, examples_in, folder_of, items_of

NORMALISE, ENCODE, BOTH = "normalise", "encode", "normalise + encode"
BUDGET, BUDGET_MICROSECONDS = "the budget", 40.0
_TYPICAL = ("text", "typical", "signature_good")  # the first that there is, with a message in it
_ID = "0190a000-0000-7000-8000-000000000001"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Rounds, and calls in each round; the best of several blocks counts."""

    rounds: int = 5
    calls: int = 2_000

    @classmethod
    def quick(cls) -> Sizes:
        """Only enough to see that all of it works."""
        return cls(rounds=1, calls=20)


def run(sizes: Sizes, say: Callable[[str], None]) -> Part:
    """Measure every provider that has a typical message."""
    codec = Codec()
    candidates = {name: _candidate(provider, example, codec, sizes) for name, (provider, example) in typical().items()}
    units = {NORMALISE: "µs", ENCODE: "µs", BOTH: "µs"}
    part = Part(
        name="normalise",
        title="One message on one core",
        settings={"rounds": sizes.rounds, "calls of a round": sizes.calls},
        series=interleave(candidates, sizes.rounds, units, say),
    )
    budget = Series(candidate=BUDGET, measure=BOTH, unit="µs", values=[BUDGET_MICROSECONDS])
    part.series.append(budget)
    for name in candidates:
        part.compare(BOTH, name, BUDGET, target=1.0, at_most=True)
    part.notes.append("CPU time of one process; each value is the best of five blocks, because other work can only slow a block.")
    return part


def typical() -> dict[str, tuple[Provider, Example]]:
    """Name of provider and dialect → its example of one plain message."""
    found = {}
    for provider in PROVIDERS:
        for dialect, folder in dialect_folders(folder_of(provider)):
            examples = {example.name: example for example in examples_in(folder, dialect)}
            for name in _TYPICAL:
                example = examples.get(name)
                if example is not None and any(item["item"] == "MessageItem" for item in example.expected.get("items", [])):
                    found[f"{provider.tipo.value} {dialect}" if dialect else provider.tipo.value] = (provider, example)
                    break
    return found


def _candidate(provider: Provider, example: Example, codec: Codec, sizes: Sizes) -> Callable[[], Values]:
    body, settings = _as_posted(example.body), example.settings
    headers = {
        name: value for name, value in example.request.get("headers", {}).items() if name in provider.receiving.kept_headers
    }
    item = next(item for item in items_of(provider, example) if isinstance(item, MessageItem))
    event = _event(provider, item)

    def measure() -> Values:
        normalise = _best(lambda: provider.normalise(body, headers, settings), sizes.calls)
        encode = _best(lambda: codec.encode(Topic.MESSAGE_RECEIVED, event), sizes.calls)
        return {NORMALISE: normalise, ENCODE: encode, BOTH: normalise + encode}

    return measure


def _as_posted(body: bytes) -> bytes:
    """Examples are laid out for people; a provider posts JSON on one line."""
    try:
        return json.dumps(json.loads(body), separators=(",", ":")).encode()
    except ValueError:
        return body


def _best(call: Callable[[], object], calls: int) -> float:
    """Microseconds of one call, in the best of five blocks."""
    best = float("inf")
    for _ in range(5):
        began = time.process_time()
        for _ in range(calls // 5 or 1):
            call()
        best = min(best, (time.process_time() - began) / (calls // 5 or 1))
    return max(best, 1e-9) * 1e6


def _event(provider: Provider, item: MessageItem) -> MessageReceived:
    """As the router makes it."""
    message = Message(
        message_id=_ID,
        tenant_id=_ID,
        connector_id=_ID,
        account_id=_ID,
        conversation_id=_ID,
        contact_id=_ID,
        tipo=provider.tipo,
        direction=item.direction,
        kind=item.kind,
        provider_message_id=item.provider_message_id,
        peer_aliases=item.peer.aliases,
        peer_name=item.peer.name,
        group_id=item.group_id,
        reply_to_provider_message_id=item.reply_to_provider_message_id,
        reply_to_message_id=None,
        forwarded=item.forwarded,
        provider_time_ms=item.provider_time_ms,
        received_at_ms=1_790_000_000_000,
        content=item.content,
        raw=RawPosition(epoch="vH3sWm9wQk2b1nXo7Zt4Lg", partition=1, offset=1_000, item=item.path),
    )
    decision = Decision(
        rule="org_unit", reason="account_default", org_unit_id=_ID, intake_flow_id=None, account_snapshot_version=1
    )
    return MessageReceived(message=message, decision=decision)

"""Part 3: from the POST until a `read_committed` consumer sees `message.received`, at several rates of arrival."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.bench.chain import Chain
from tests.bench.measurement import Part, Values, interleave
from tests.bench.site import Site

SEEN_P50, SEEN_P99, ANSWER_P50, ANSWER_P99 = "seen p50", "seen p99", "answered p50", "answered p99"
UNITS = dict.fromkeys((SEEN_P50, SEEN_P99, ANSWER_P50, ANSWER_P99), "ms")
SHARES = {"a tenth of the maximum": 0.1, "half of the maximum": 0.5, "nine tenths of the maximum": 0.9}
HALF, CONTROL = "half of the maximum", "half again (control)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """Length of a run, and rounds. `maximum`: per second; None looks for it."""

    seconds: float = 8
    rounds: int = 3
    maximum: float | None = None

    @classmethod
    def quick(cls) -> Sizes:
        """Only enough to see that all of it works."""
        return cls(seconds=1, rounds=1, maximum=300)


def run(site: Site, sizes: Sizes, say: Callable[[str], None]) -> Part:
    """The whole part. Blocks for about two and a half minutes (quick: ten seconds)."""
    with Chain(site) as chain:
        maximum = sizes.maximum or chain.maximum(say)

        def at(share: float) -> Callable[[], Values]:
            def measure() -> Values:
                passage = chain.pass_through(maximum * share, sizes.seconds)
                return {
                    SEEN_P50: passage.p50_ms,
                    SEEN_P99: passage.p99_ms,
                    ANSWER_P50: passage.answer_p50_ms,
                    ANSWER_P99: passage.answer_p99_ms,
                }

            return measure

        candidates = {f"{name} ({maximum * share:.0f}/s)": at(share) for name, share in SHARES.items()}
        half, control = f"{HALF} ({maximum / 2:.0f}/s)", CONTROL
        part = Part(
            name="e2e",
            title="End to end",
            settings={"maximum": f"{maximum:.0f} messages/s", "seconds per run": sizes.seconds, "rounds": sizes.rounds},
            series=interleave({**candidates, control: at(0.5)}, sizes.rounds, UNITS, say),
        )
    part.compare(SEEN_P50, control, half)
    part.compare(SEEN_P99, control, half)
    part.notes = [
        "One ingest and one router process. The load is an open model: each post has its time, whatever became of those before;"
        " all latencies count from that time, so a pause of the system is not hidden by a client that waits for it.",
        "Seen: by an independent `read_committed` consumer. Answered: the 200 to the post.",
        "The maximum is the highest rate found (to within a tenth) at which 99 % of the messages are seen within a second.",
    ]
    return part

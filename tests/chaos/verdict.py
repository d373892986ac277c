"""What a run is found guilty of, by kind."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

EXAMPLES = 5


@dataclass
class Verdict:
    """What is wrong, by kind; each list holds a few examples, `counts` all of them.

    `first`: the number of the earliest element (of all that were posted) that shows the fault, where one does.
    """

    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)
    first: dict[str, int] = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        """True if nothing is wrong."""
        return not self.counts

    def add(self, kind: str, example: str, count: int = 1, *, number: int | None = None) -> None:
        """Note one fault."""
        self.counts[kind] = self.counts.get(kind, 0) + count
        examples = self.examples.setdefault(kind, [])
        if len(examples) < EXAMPLES:
            examples.append(example)
        if number is not None:
            self.first[kind] = min(number, self.first.get(kind, number))

    def merge(self, other: Verdict) -> None:
        """Take over what another verdict holds."""
        for kind, count in other.counts.items():
            self.counts[kind] = self.counts.get(kind, 0) + count
        for kind, examples in other.examples.items():
            self.examples.setdefault(kind, []).extend(examples)
        for kind, number in other.first.items():
            self.first[kind] = min(number, self.first.get(kind, number))

    def without(self, kinds: frozenset[str]) -> Verdict:
        """The same but for these kinds, for runs in which they may happen."""
        left = Verdict()
        for kind, count in self.counts.items():
            if kind not in kinds:
                left.counts[kind], left.examples[kind] = count, self.examples.get(kind, [])
                if kind in self.first:
                    left.first[kind] = self.first[kind]
        return left

    def __str__(self) -> str:
        return "clean" if self.clean else json.dumps(asdict(self), indent=1)

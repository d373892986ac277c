"""Requests that break HTTP/1.1, or bend it, each with its one right answer. Data only; `CONNECTOR` is put in by who sends them.

Where other servers answer differently, `rivals` says why we do not do as they do: the run fails on a difference without a word.
"""

from typing import Final

from tests.hostile.cases.bodies import FRAMING, LIES
from tests.hostile.cases.heads import HEADERS, PLAIN, TARGETS
from tests.hostile.cases.parts import Case

CASES: Final[tuple[Case, ...]] = PLAIN + TARGETS + HEADERS + FRAMING + LIES

"""How values are declared of which every item that passes makes several."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(field,))
def value(kind: type[T]) -> type[T]:
    """A dataclass with slots and keywords that nobody may change, as mypy sees to it.

    Python's own frozen ones set every field through a call: 1.4 µs for 14 fields, against 0.5. An item makes some 120.
    """
    return dataclass(slots=True, kw_only=True, unsafe_hash=True)(kind)

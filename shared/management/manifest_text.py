"""Reads YAML such that every value knows its line, so that a fault can be shown where it stands. No value is ever printed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import yaml

from shared.domain.errors import InvalidInput

Place = tuple[str | int, ...]

_MAX_NODES = 200_000  # aliases may not blow a small file up …
_MAX_DEPTH = 40  # … nor contain themselves


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """What is wrong, and where: line (from 1) and place, such as `tenants[0].connectors[1].nome`."""

    line: int
    place: str
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.place}: {self.message}" if self.place else f"line {self.line}: {self.message}"


class ManifestFaults(InvalidInput):
    """Raised with every fault of a manifest at once."""

    code = "manifest_invalid"

    def __init__(self, name: str, faults: list[Fault]) -> None:
        self.faults = tuple(sorted(set(faults)))
        lines = "".join(f"\n  {fault}" for fault in self.faults)
        super().__init__(f"{name} was not applied, nothing was changed; {len(self.faults)} fault(s):{lines}")


@dataclass(frozen=True, slots=True)
class ManifestText:
    """Plain data and the line of each place in it."""

    data: Any
    lines: dict[Place, int]

    def fault(self, place: Place, message: str) -> Fault:
        """A fault at a place; the nearest enclosing place that has a line gives the line."""
        known = place
        while known and known not in self.lines:
            known = known[:-1]
        return Fault(self.lines.get(known, 1), spelled(place), message)


def read_text(text: str, name: str) -> ManifestText:
    """Parse one YAML document; raises ManifestFaults for broken YAML, repeated keys and keys that are no text."""
    with _told(name):
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    if node is None:
        raise ManifestFaults(name, [Fault(1, "", "the file is empty")])
    lines: dict[Place, int] = {}
    faults: list[Fault] = []
    most = max(_MAX_NODES, len(text))  # what really stands there takes a character or more; what aliases multiply takes none
    for count, (place, each) in enumerate(_walk(node, ())):
        if count > most or len(place) > _MAX_DEPTH:
            raise ManifestFaults(name, [Fault(1, "", "the file is too large or too deep, or its aliases multiply")])
        lines.setdefault(place, each.start_mark.line + 1)
        if isinstance(each, yaml.MappingNode):
            faults += _key_faults(place, each)
    if faults:
        raise ManifestFaults(name, faults)
    with _told(name):
        data = yaml.SafeLoader("").construct_document(node)  # of what was read already: reading is the slow part
    return ManifestText(data, lines)


@contextmanager
def _told(name: str) -> Iterator[None]:
    # Without their causes: YAML's own errors quote the lines around the fault.
    try:
        yield
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ManifestFaults(name, [Fault(mark.line + 1 if mark else 1, "", f"not YAML: {error.problem}")]) from None
    except yaml.YAMLError:
        raise ManifestFaults(name, [Fault(1, "", "not YAML: it holds characters that YAML does not allow")]) from None
    except ValueError:
        raise ManifestFaults(name, [Fault(1, "", "not YAML: one of its values is no date that exists")]) from None


def spelled(place: Place) -> str:
    """`tenants[0].connectors[1].nome`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place).removeprefix(".")


def _walk(node: yaml.Node, place: Place) -> Iterator[tuple[Place, yaml.Node]]:
    yield place, node
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _walk(value, (*place, str(key.value)))
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _walk(value, (*place, index))


def _key_faults(place: Place, node: yaml.MappingNode) -> list[Fault]:
    seen: set[str] = set()
    faults = []
    for key, _ in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode) or key.tag != "tag:yaml.org,2002:str":
            faults.append(Fault(line, spelled(place), "a name must be text"))
        elif key.value in seen:
            faults.append(Fault(line, spelled((*place, key.value)), "given twice"))
        else:
            seen.add(key.value)
    return faults

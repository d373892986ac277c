"""Prints each requirement with the tests that carry `@pytest.mark.req(row)`, and the rows that no test covers.

A mark says that the test checks a part of its row; a row may ask for more (services that are still to come) than its tests do.

Reads the tests' source and runs nothing, so it also works where a test could not be imported.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]


def titles(source: Path = ROOT / "docs" / "requirements.yaml") -> dict[str, dict[int, str]]:
    """Section -> row number -> title."""
    sections: dict[str, dict[int, str]] = yaml.safe_load(source.read_text(encoding="utf-8"))
    return sections


def covering(tests: Path = ROOT / "tests") -> dict[int, list[str]]:
    """Row number -> the tests that name it, as `path::name`."""
    found: dict[int, list[str]] = defaultdict(list)
    for path in sorted(tests.rglob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for rows, name in marked(tree):
            for row in rows:
                found[row].append(f"{path.relative_to(tests.parent)}{name}")
    return found


def marked(tree: ast.Module) -> Iterator[tuple[set[int], str]]:
    """(rows, `::name`) of each marked test; a mark on a class or module counts for it as a whole."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(one, ast.Name) and one.id == "pytestmark" for one in node.targets):
            yield _rows([node.value]), ""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            rows = _rows(node.decorator_list)
            if rows:
                yield rows, f"::{node.name}"


def _rows(nodes: Iterable[ast.AST]) -> set[int]:
    calls = (call for node in nodes for call in ast.walk(node) if isinstance(call, ast.Call))
    return {
        argument.value
        for call in calls
        if isinstance(call.func, ast.Attribute) and call.func.attr == "req"
        for argument in call.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, int)
    }


def main() -> None:
    """Print the report."""
    tests, sections = covering(), titles()
    known = {row for rows in sections.values() for row in rows}
    for section, rows in sections.items():
        print(f"\n{section}")
        for row, title in rows.items():
            print(f"  {row:>3}  {title}{'' if row in tests else '   — uncovered'}")
            for name in tests.get(row, ()):
                print(f"         {name}")
    covered = known & tests.keys()
    print(f"\n{len(covered)} of {len(known)} rows are covered by a test, wholly or in part, {len(known - covered)} are not yet")
    for row in sorted(tests.keys() - known):
        print(f"unknown row {row}: {', '.join(tests[row])}")


if __name__ == "__main__":
    main()

"""A planted fault replaces something that is there: what was renamed since would be a fault that nobody plants."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PLANTED = Path(__file__).resolve().parents[2] / "chaos" / "planted"
MODULES = sorted(path for path in PLANTED.glob("*.py") if path.stem != "__main__")


def _imported(tree: ast.Module) -> dict[str, Any]:
    """Local name -> what it stands for, of everything imported by `from`."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            module = importlib.import_module(node.module)
            for alias in node.names:
                thing = getattr(module, alias.name, None)
                thing = importlib.import_module(f"{node.module}.{alias.name}") if thing is None else thing
                found[alias.asname or alias.name] = thing
    return found


def _stands_for(node: ast.expr, imported: dict[str, Any]) -> Any:
    if isinstance(node, ast.Name):
        return imported.get(node.id)
    if isinstance(node, ast.Attribute):
        return getattr(_stands_for(node.value, imported), node.attr, None)
    return None


def stale_names(source: str) -> Iterator[str]:
    """Attributes of imported modules and classes that the source sets though they are not there."""
    tree = ast.parse(source)
    imported = _imported(tree)
    for node in ast.walk(tree):
        for target in node.targets if isinstance(node, ast.Assign) else ():
            if isinstance(target, ast.Attribute):
                owner = _stands_for(target.value, imported)
                if owner is not None and not hasattr(owner, target.attr):
                    yield ast.unparse(target)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_planted_fault_replaces_what_is_there(path: Path) -> None:
    assert list(stale_names(path.read_text())) == []


def test_a_name_that_is_gone_is_found() -> None:
    source = "from services.router import app\n\n\ndef plant():\n    app.Router._of_old = app.collapse = None\n"
    assert list(stale_names(source)) == ["app.Router._of_old"]

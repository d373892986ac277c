"""One place opens tokens, and it writes to the audit log: nobody else touches the sealed column."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]


def readers(source: str) -> bool:
    """Whether the source reads the attribute of a row, or asks for the column by its name in a statement."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr == "valor_encrypted" and isinstance(node.ctx, ast.Load):
            return True
        text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
        if "valor_encrypted" in text and "select" in text.lower():
            return True
    return False


@pytest.mark.req(74)
def test_only_the_audited_use_case_reads_the_sealed_column() -> None:
    found = {
        str(path.relative_to(ROOT))
        for folder in ("services", "shared", "deploy")
        for path in (ROOT / folder).rglob("*.py")
        if readers(path.read_text())
    }
    # resealing.py names the column to load it, and hands the row to opened_tokens.py.
    assert found == {"shared/management/opened_tokens.py", "shared/management/resealing.py"}


def test_a_reader_would_be_found() -> None:
    assert readers("value = token.valor_encrypted")
    assert readers('text("SELECT valor_encrypted FROM channel_token")')
    assert not readers("ChannelToken(valor_encrypted=sealed)")

"""Tables align in any script, and no name moves the cursor."""

from __future__ import annotations

import pytest

from services.cli.printing import cell, print_fields, print_table, printable, width


@pytest.mark.parametrize(("text", "columns"), [("abc", 3), ("日本", 4), ("ação", 4), ("ac\u0327a\u0303o", 4), ("🎉", 2), ("", 0)])
def test_width_is_what_a_terminal_shows(text: str, columns: int) -> None:
    assert width(text) == columns


def test_columns_begin_at_the_same_place(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([{"nome": "日本 支店", "status": "active"}, {"nome": "Meta", "status": None}], ("nome", "status"))
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["nome       status", "日本 支店  active", "Meta       -"]
    assert {width(line[: line.rindex(last)]) for line, last in zip(lines, ("status", "active", "-"), strict=True)} == {11}


def test_long_cells_are_cut_by_their_width(capsys: pytest.CaptureFixture[str]) -> None:
    print_table([{"nome": "日" * 50, "status": "x"}], ("nome", "status"))
    row = capsys.readouterr().out.splitlines()[1]
    shown = row.split()[0]
    assert shown.endswith("…")
    assert 58 <= width(shown) <= 60
    print_table([{"status": "x", "nome": "日" * 50}], ("status", "nome"))
    assert "日" * 50 in capsys.readouterr().out  # nothing stands behind it
    print_table([{"status": "x", "limits": {"a": "b" * 90}}], ("status", "limits"))
    assert width(capsys.readouterr().out.splitlines()[1]) <= 68
    print_fields({"nome": "日" * 50})
    assert "日" * 50 in capsys.readouterr().out


@pytest.mark.parametrize("text", ["\x1b[31mred", "a\rb", "a\nb", "\u202ereversed", "\u200bhidden", "\x07"])
def test_what_a_terminal_would_obey_is_spelled_out(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert "\\" in shown


def test_cells() -> None:
    assert [cell(None), cell("x"), cell(True), cell({"a": "ação"}), cell(3)] == ["-", "x", "true", '{"a": "ação"}', "3"]

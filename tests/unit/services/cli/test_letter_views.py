from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from services.cli.letter_views import grouped, line_of, tell_answers, whole
from shared.management.dead_letter_changes import GONE, Answer
from shared.management.dead_letters import Letter, Raw
from tests.unit.shared.management.letters import LETTER, letter

NOW = datetime.fromtimestamp(1_700_000_000 + 3 * 86_400, UTC)


def test_a_line_tells_its_age_and_masks_names():
    named = replace(LETTER, detail="phone_number_id:100000000000009")
    line = line_of(letter(named), NOW)
    assert (line["id"], line["age"], line["age_seconds"]) == ("0/7", "3 d", 259_200)
    assert (line["dead_lettered_at"], line["raw"], line["state"]) == ("2023-11-14T22:13:20+00:00", "there", "open")
    assert line["detail"] == "phone_number_id:***0009"
    assert whole(letter(named), NOW)["detail"] == "phone_number_id:100000000000009"


@pytest.mark.parametrize(("seconds", "age"), [(0, "0 s"), (59, "59 s"), (60, "1 min"), (7_300, "2 h"), (-5, "0 s")])
def test_ages(seconds: int, age: str):
    assert line_of(letter(), datetime.fromtimestamp(1_700_000_000 + seconds, UTC))["age"] == age


def test_groups_count_what_can_be_redriven_and_show_the_newest():
    def one(offset: int, reason: str, raw: Raw = Raw.THERE, mark: str | None = None) -> Letter:
        event = replace(LETTER, reason=reason, dead_lettered_at_ms=LETTER.dead_lettered_at_ms + offset * 1000)
        return replace(letter(event, raw, mark), offset=offset)

    letters = [one(1, "a"), one(2, "b"), one(3, "a", Raw.GONE), one(4, "a", mark="dropped")]
    rows, examples = grouped(letters, "reason")
    assert [(row["reason"], row["count"], row["redrivable"], row["example"]) for row in rows] == [
        ("a", 3, 1, "0/4"),
        ("b", 1, 1, "0/2"),
    ]
    assert rows[0]["oldest"] < rows[0]["newest"]
    assert set(examples) == {"0/4", "0/2"}
    assert grouped(letters, "tenant")[0][0]["tenant"] == "t"


def test_answers_are_told_by_their_kind(capsys: pytest.CaptureFixture[str]):
    answers = [Answer(letter=letter(), copy=(2, 30)), *[Answer(letter=letter(), refused=GONE)] * 7]
    tell_answers(answers, "redriven", dry_run=False, as_json=False)
    told = capsys.readouterr()
    assert told.out == "redriven: 1 (1 unknown_account)\n"
    assert told.err == ("not redriven: 7: the raw record is gone: retention has taken it (0/7, 0/7, 0/7, 0/7, 0/7, …)\n")
    tell_answers(answers[:2], "redriven", dry_run=True, as_json=True)
    assert json.loads(capsys.readouterr().out) == {
        "dry_run": True,
        "redriven": [{"id": "0/7", "copy": "2/30"}],
        "refused": [{"id": "0/7", "reason": "raw_record_gone", "told": "the raw record is gone: retention has taken it"}],
    }

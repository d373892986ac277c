"""Each stand-in repeats as its provider's documentation says, and as nothing else."""

from __future__ import annotations

import itertools

import pytest

from services.simulator.people import person
from services.simulator.simulator import Simulator
from services.simulator.utterances import Utterance
from services.simulator.wire import Answer, Post

WEEK = 7 * 86_400
WHO = person(1)


def history(stand_in: str, status: int | None, seconds: float = WEEK, **headers: str) -> tuple[list[int], str]:
    """Seconds since the first attempt of every attempt, and how it ended, when the receiver always says the same."""
    simulator = Simulator(seed=3)
    one = simulator[stand_in]
    account = one.create(callback_url="https://edge.test/hook")
    one.say(account.id, WHO, Utterance(kind="text", text="oi"))
    simulator.advance(seconds, lambda post: Answer(status=status, headers=headers))
    first = simulator.ledger[0].at_ms
    return [(line.at_ms - first) // 1000 for line in simulator.ledger], simulator.ledger[-1].outcome


@pytest.mark.parametrize(
    ("stand_in", "status"),
    [("meta", 200), ("telegram", 204), ("evolution", 201), ("waha", 202), ("zapi", 200), ("mailgun", 200), ("sendgrid", 200)],
)
def test_a_good_answer_ends_it(stand_in: str, status: int) -> None:
    assert history(stand_in, status) == ([0], "delivered")


@pytest.mark.parametrize(
    ("stand_in", "status"),
    [
        *(("evolution", status) for status in (400, 401, 403, 404, 422)),
        *(("sendgrid", status) for status in (400, 401, 404, 413, 429)),
        *(("sns", status) for status in (401, 404, 413)),
        ("mailgun", 406),
        ("postmark", 403),
        ("zapi", 503),
    ],
)
def test_after_this_answer_the_message_is_lost(stand_in: str, status: int) -> None:
    assert history(stand_in, status) == ([0], "dropped")


@pytest.mark.parametrize("status", [201, 204, 302, 401, 404, 503, None])
def test_meta_repeats_whatever_is_not_200_for_a_week(status: int | None) -> None:
    moments, outcome = history("meta", status, 30 * 86_400)
    assert moments[:3] == [0, 0, 10]
    assert 5 * 86_400 < moments[-1] <= WEEK
    assert [b - a for a, b in itertools.pairwise(moments)] == sorted(b - a for a, b in itertools.pairwise(moments))
    assert outcome == "dropped"


def test_telegram_doubles_from_a_second_and_gives_up_after_a_day() -> None:
    moments, outcome = history("telegram", 500, 2 * 86_400)
    assert moments[:7] == [0, 1, 3, 7, 15, 31, 63]
    assert all(59 <= b - a <= 121 for a, b in itertools.pairwise(moments[7:]))
    assert 86_000 < moments[-1] <= 86_400
    assert outcome == "dropped"


def test_telegram_honours_retry_after_up_to_an_hour() -> None:
    moments, _ = history("telegram", 429, 8_000, **{"retry-after": "7"})
    assert moments[:4] == [0, 7, 14, 21]
    moments, _ = history("telegram", 429, 8_000, **{"retry-after": "99999"})
    assert moments == [0, 3_600, 7_200]


def test_telegram_gives_a_button_150_seconds() -> None:
    simulator = Simulator()
    bot = simulator["telegram"].create(callback_url="https://edge.test/hook")
    simulator["telegram"].say(bot.id, WHO, Utterance(kind="button"))
    simulator.advance(3_600, lambda post: Answer(status=503))
    assert simulator.ledger[-1].outcome == "dropped"
    assert simulator.ledger[-1].at_ms - simulator.ledger[0].at_ms <= 150_000


def test_telegram_closes_a_webhook_that_is_gone_for_23_hours() -> None:
    moments, outcome = history("telegram", 410, 2 * 86_400)
    assert outcome == "disabled"
    assert 23 * 3_600 < moments[-1] < 24 * 3_600


def test_evolution_tries_ten_times_within_about_half_an_hour() -> None:
    moments, outcome = history("evolution", 503)
    assert len(moments) == 10
    assert 4 <= moments[1] <= 6
    assert 1_000 < moments[-1] < 2_200
    assert outcome == "dropped"


@pytest.mark.parametrize(
    ("stand_in", "status", "expected"),
    [
        ("waha", 503, [2 * number for number in range(15)]),
        ("mailgun", 503, [0, 300, 900, 1_800, 5_400, 12_600, 27_000]),
        ("sns", 503, [0, 20, 40, 60]),
        ("sns", 429, [0, 20, 40, 60]),
        ("postmark", 500, [0, 60, 360, 960, 1_560, 2_160, 3_060, 4_860, 8_460, 15_660, 37_260]),
        ("webchat_server", 503, [0, 5, 305, 2_105, 9_305, 27_305, 63_305, 113_705, 185_705, 272_105]),
    ],
)
def test_repeats_at_the_documented_moments(stand_in: str, status: int, expected: list[int]) -> None:
    assert history(stand_in, status) == (expected, "dropped")


def test_sendgrid_repeats_5xx_for_three_days() -> None:
    moments, outcome = history("sendgrid", 503)
    assert 2 * 86_400 < moments[-1] <= 3 * 86_400
    assert outcome == "dropped"


def test_a_browser_asks_for_a_new_token_once() -> None:
    assert history("webchat", 401) == ([0, 0], "dropped")
    assert history("webchat", 404) == ([0], "dropped")


def test_an_answer_that_comes_too_late_is_none() -> None:
    simulator = Simulator()
    account = simulator["sns"].create(callback_url="https://edge.test/hook")
    simulator["sns"].say(account.id, WHO, Utterance(kind="text", text="oi"))
    simulator.advance(100, lambda post: Answer(status=200, seconds=16))
    assert [line.late for line in simulator.ledger] == [True] * 4
    assert simulator.ledger[-1].outcome == "dropped"


def test_sns_shows_its_credential_when_it_is_asked_for_it_and_at_once() -> None:
    simulator = Simulator()
    account = simulator["sns"].create(callback_url="https://edge.test/hook", basic="sns:password")
    simulator["sns"].say(account.id, WHO, Utterance(kind="text", text="oi"))

    def post(post: Post) -> Answer:
        shown = "Authorization" in dict(post.headers)
        return Answer(status=200) if shown else Answer(status=401, headers={"www-authenticate": "Basic"})

    simulator.advance(1, post)
    assert [(line.status, line.next_in_seconds) for line in simulator.ledger] == [(401, 0.0), (200, None)]


def test_telegram_carries_out_a_method_in_our_answer() -> None:
    simulator = Simulator()
    bot = simulator["telegram"].create(callback_url="https://edge.test/hook")
    simulator["telegram"].say(bot.id, WHO, Utterance(kind="text", text="oi"))
    simulator.advance(1, lambda post: Answer(status=200, body=b'{"method":"sendMessage","text":"echo"}'))
    assert simulator.ledger[0].executed == "sendMessage"

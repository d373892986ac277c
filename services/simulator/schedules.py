"""When each provider posts again, how long it waits for an answer, and what it makes of one.

A schedule is a pure function of the answer, the number of attempts and the time. Figures that a provider does not publish
are marked `assumed`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from services.simulator.wire import Answer

_HOUR = 3_600.0
_DAY = 24 * _HOUR


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """Post once more after so many seconds."""

    after_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Over:
    """No further post: it arrived, was given up, or the receiver is taken off the list."""

    outcome: Literal["delivered", "dropped", "disabled"]


Step = Again | Over


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What is known after an attempt: how many there were, since when, how long the receiver says 410 already."""

    attempts: int
    age_seconds: float
    expires_in_seconds: float | None
    gone_for_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """`timeout_seconds`: an answer after that is none. `next_step` decides after each attempt.

    `waits_for_challenge`: a credential of the URL is shown only after a 401 with `WWW-Authenticate`, at once.
    """

    timeout_seconds: float
    next_step: Callable[[Answer, Tried, random.Random], Step]
    waits_for_challenge: bool = False


def _after(delays: tuple[float, ...], tried: Tried) -> Step:
    if tried.attempts > len(delays):
        return Over(outcome="dropped")
    return Again(after_seconds=delays[tried.attempts - 1])


def _good(answer: Answer) -> bool:
    return answer.status is not None and 200 <= answer.status < 300


# "Immediately, then a few more times with decreasing frequency over the next 7 days"; the single delays are assumed.
# https://developers.facebook.com/docs/graph-api/webhooks/getting-started
_META_DELAYS = (0.0, 10.0, 30.0, 60.0, 300.0, 900.0, _HOUR, 3 * _HOUR, 6 * _HOUR, 12 * _HOUR, *[_DAY] * 5)


def _meta(answer: Answer, tried: Tried, chance: random.Random) -> Step:
    return Over(outcome="delivered") if answer.status == 200 else _after(_META_DELAYS, tried)


# Bot API server, class WebhookActor: doubling from 1 s to a random 60-120 s, Retry-After honoured up to an hour, 410 for
# 23 hours closes the webhook. https://github.com/tdlib/telegram-bot-api
_TELEGRAM_CLOSES_AFTER = 23 * _HOUR


def _telegram(answer: Answer, tried: Tried, chance: random.Random) -> Step:
    if _good(answer):
        return Over(outcome="delivered")
    if answer.status == 410 and tried.gone_for_seconds > _TELEGRAM_CLOSES_AFTER:
        return Over(outcome="disabled")
    given = answer.headers.get("retry-after", "")
    wait = min(2.0 ** min(tried.attempts - 1, 20), chance.uniform(60.0, 120.0))
    if given.isdigit():
        wait = min(float(given), _HOUR)
    if tried.expires_in_seconds is not None and wait > tried.expires_in_seconds:
        return Over(outcome="dropped")
    return Again(after_seconds=wait)


# Evolution API 2.3.6, webhook.controller.ts: WEBHOOK_RETRY_* defaults.
_EVOLUTION_NEVER_AGAIN = frozenset({400, 401, 403, 404, 422})


def _evolution(answer: Answer, tried: Tried, chance: random.Random) -> Step:
    if _good(answer):
        return Over(outcome="delivered")
    if answer.status in _EVOLUTION_NEVER_AGAIN or tried.attempts >= 10:
        return Over(outcome="dropped")
    return Again(after_seconds=min(5.0 * 2 ** (tried.attempts - 1), 300.0) * chance.uniform(0.8, 1.2))


def _waha(answer: Answer, tried: Tried, chance: random.Random) -> Step:
    # https://waha.devlike.pro/docs/how-to/events/: policy constant, 15 attempts, 2 s
    if _good(answer):
        return Over(outcome="delivered")
    return Over(outcome="dropped") if tried.attempts >= 15 else Again(after_seconds=2.0)


def _never(answer: Answer, tried: Tried, chance: random.Random) -> Step:
    # Z-API documents no repetition: the worst case is assumed.
    return Over(outcome="delivered") if _good(answer) else Over(outcome="dropped")


# https://documentation.mailgun.com/docs/mailgun/user-manual/receive-forward-store/
_MAILGUN_DELAYS = (300.0, 600.0, 900.0, _HOUR, 2 * _HOUR, 4 * _HOUR)


def _mailgun(answer: Answer, tried: Tried, chance: random.Random) -> Step:
    if answer.status == 200:
        return Over(outcome="delivered")
    return Over(outcome="dropped") if answer.status == 406 else _after(_MAILGUN_DELAYS, tried)


def _sendgrid(answer: Answer, tried: Tried, chance: random.Random) -> Step:
    # "5XX is retried, up to 3 days"; the delays are assumed. https://www.twilio.com/docs/sendgrid/for-developers/parsing-email
    if _good(answer):
        return Over(outcome="delivered")
    if answer.status is not None and answer.status < 500:
        return Over(outcome="dropped")
    wait = min(60.0 * 2 ** (tried.attempts - 1), 4 * _HOUR)
    return Over(outcome="dropped") if tried.age_seconds + wait > 3 * _DAY else Again(after_seconds=wait)


# https://postmarkapp.com/developer/webhooks/webhooks-overview
_POSTMARK_DELAYS = (60.0, 300.0, 600.0, 600.0, 600.0, 900.0, 1_800.0, _HOUR, 2 * _HOUR, 6 * _HOUR)


def _postmark(answer: Answer, tried: Tried, chance: random.Random) -> Step:
    if answer.status == 200:
        return Over(outcome="delivered")
    return Over(outcome="dropped") if answer.status == 403 else _after(_POSTMARK_DELAYS, tried)


def _sns(answer: Answer, tried: Tried, chance: random.Random) -> Step:
    # Default policy: three repeats, 20 s apart; a client-side error (4xx but 429) is final.
    # https://docs.aws.amazon.com/sns/latest/dg/sns-message-delivery-retries.html
    if _good(answer):
        return Over(outcome="delivered")
    if answer.status is not None and 400 <= answer.status < 500 and answer.status != 429:
        return Over(outcome="dropped")
    return _after((20.0, 20.0, 20.0), tried)


def _browser(answer: Answer, tried: Tried, chance: random.Random) -> Step:
    # docs/WEBCHAT.md: after 401 a fresh token and one more try; 429, 5xx and a lost answer again while the page is open.
    if _good(answer):
        return Over(outcome="delivered")
    if answer.status == 401 and tried.attempts == 1:
        return Again(after_seconds=0.0)
    if answer.status is not None and answer.status < 500 and answer.status != 429:
        return Over(outcome="dropped")
    given = answer.headers.get("retry-after", "")
    wait = max(min(2.0 ** min(tried.attempts - 1, 20), 60.0), float(given) if given.isdigit() else 0.0)
    return Over(outcome="dropped") if tried.age_seconds + wait > _PAGE_IS_OPEN else Again(after_seconds=wait)


_PAGE_IS_OPEN = 600.0  # assumed: how long a visitor stays

# Standard Webhooks, "Deliverability and reliability": the recommended schedule; 410 ends the endpoint.
_STANDARD_DELAYS = (5.0, 300.0, 1_800.0, 2 * _HOUR, 5 * _HOUR, 10 * _HOUR, 14 * _HOUR, 20 * _HOUR, _DAY)


def _standard(answer: Answer, tried: Tried, chance: random.Random) -> Step:
    if _good(answer):
        return Over(outcome="delivered")
    return Over(outcome="disabled") if answer.status == 410 else _after(_STANDARD_DELAYS, tried)


SCHEDULES: dict[str, Schedule] = {
    "meta": Schedule(timeout_seconds=20.0, next_step=_meta),  # assumed: no hard time-out is published
    "telegram": Schedule(timeout_seconds=60.0, next_step=_telegram),
    "evolution": Schedule(timeout_seconds=30.0, next_step=_evolution),
    "waha": Schedule(timeout_seconds=30.0, next_step=_waha),  # assumed
    "zapi": Schedule(timeout_seconds=30.0, next_step=_never),  # assumed
    "mailgun": Schedule(timeout_seconds=30.0, next_step=_mailgun),  # assumed
    "sendgrid": Schedule(timeout_seconds=30.0, next_step=_sendgrid),  # assumed
    "postmark": Schedule(timeout_seconds=30.0, next_step=_postmark),  # assumed
    "sns": Schedule(timeout_seconds=15.0, next_step=_sns, waits_for_challenge=True),
    "mail_push": Schedule(timeout_seconds=30.0, next_step=_postmark),  # a server of one's own: as patient as Postmark
    "webchat_server": Schedule(timeout_seconds=20.0, next_step=_standard),
    "webchat": Schedule(timeout_seconds=20.0, next_step=_browser),
}

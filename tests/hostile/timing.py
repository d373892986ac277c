"""Does the time of a refusal tell how much of a forged signature is right? A measurement to look at, not a test."""

from __future__ import annotations

import random
import statistics
import time
from dataclasses import dataclass

from services.ingest import decide
from tests.edge import APP_SECRET
from tests.hostile.forgery import NOW_MS, Forgery, caller, request_of, secrets, sign

_BODY = b'{"object":"whatsapp_business_account","entry":[]}'
_PER_SAMPLE = 50


@dataclass(frozen=True, slots=True)
class Timing:
    """Nanoseconds per refusal by how many leading digits of the signature were right; `noise`: the same class against itself."""

    median_ns: dict[int, float]
    difference_ns: float
    noise_ns: float


def measure(samples: int) -> Timing:
    """Interleaved in random order, so that drift meets all classes alike."""
    right = sign(APP_SECRET, _BODY)
    classes = {digits: _wrong_after(right, digits) for digits in (0, 8, 32, 63)}
    plan = [digits for digits in (*classes, 0) for _ in range(samples)]  # class 0 twice, for the noise
    random.Random(1).shuffle(plan)
    who, known = caller(), secrets()
    taken: dict[int, list[float]] = {digits: [] for digits in classes}
    for digits in plan:
        request = request_of(Forgery("", _BODY, classes[digits]))
        began = time.perf_counter_ns()
        for _ in range(_PER_SAMPLE):
            decide.judge(who, request, known, NOW_MS)
        taken[digits].append((time.perf_counter_ns() - began) / _PER_SAMPLE)
    medians = {digits: statistics.median(values) for digits, values in taken.items()}
    none = taken[0]
    noise = abs(statistics.median(none[0::2]) - statistics.median(none[1::2]))
    return Timing(medians, max(medians.values()) - min(medians.values()), noise)


def _wrong_after(signature: bytes, digits: int) -> bytes:
    at = 7 + digits
    return signature[:at] + (b"0" if signature[at : at + 1] != b"0" else b"1") + signature[at + 1 :]

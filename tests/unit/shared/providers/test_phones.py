"""One person, two spellings: Brazil, Argentina, Mexico. All numbers are invented."""

from __future__ import annotations

import pytest

from shared.domain.enums import AliasKind
from shared.providers.phones import canonical_phone, phone_aliases, phone_variants

PAIRS = [
    ("551190000001", "5511990000001"),  # São Paulo, account from before the ninth digit
    ("552180000001", "5521980000001"),
    ("541150000001", "5491150000001"),  # Buenos Aires
    ("5215550000001", "525550000001"),  # Mexico City
]


@pytest.mark.req(48)
@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_both_spellings_are_one_person(old: str, new: str) -> None:
    assert canonical_phone(old) == canonical_phone(new) == new
    assert phone_variants(old) == phone_variants(new) == (new, old)


@pytest.mark.parametrize("number", ["551130000001", "552125000001"])
def test_a_brazilian_landline_stays_what_it_is(number: str) -> None:
    assert canonical_phone(number) == number
    assert phone_variants(number) == (number,)


@pytest.mark.parametrize(
    "number", ["14155550100", "351910000001", "5", "55", "5511", "5411", "52155", "540000000000", "55009000000"]
)
def test_all_other_numbers_have_one_spelling(number: str) -> None:
    assert canonical_phone(number) == number
    assert phone_variants(number) == (number,)


def test_aliases_begin_with_the_spelling_that_was_given() -> None:
    assert [alias.value for alias in phone_aliases("+55 11 9000-0001")] == ["551190000001", "5511990000001"]
    assert [alias.value for alias in phone_aliases("5511990000001")] == ["5511990000001"]
    assert {alias.kind for alias in phone_aliases("551190000001")} == {AliasKind.PHONE}
    assert phone_aliases("nobody") == phone_aliases(None) == phone_aliases("") == ()

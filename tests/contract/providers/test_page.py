"""docs/PROVIDERS.md says what the tests find, and nothing else."""

from __future__ import annotations

from shared.providers import PROVIDERS
from tests.contract.providers.page import FULL_COUNT, PAGE, page
from tests.hostile.__main__ import FULL


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `make providers`"


def test_the_page_names_every_provider_and_the_campaign_s_count() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert all(f"{provider.tipo}" in text for provider in PROVIDERS)
    assert FULL["schemes"] == FULL_COUNT

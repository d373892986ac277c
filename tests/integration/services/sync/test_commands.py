"""`channels connectors|accounts sync`, `syncs` and `webhooks secrets rotate`, as a person runs them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest

from tests.integration.services.sync.site import NEW, OLD, Site


def channels(site: Site, *arguments: str) -> tuple[int, str]:
    """Exit code, and what is printed."""
    given = {
        "STACK": "external",
        "DATABASE_API_URL": site.database.api_url,
        "KEYS_DIR": str(site.home / "keys"),
        "TENANT": site.management.tenant,
    }
    environment = os.environ | {f"CHANNELS_{name}": value for name, value in given.items()}
    command = [sys.executable, "-m", "services.cli", *arguments]
    ended = subprocess.run(command, check=False, env=environment, capture_output=True, timeout=90)
    return ended.returncode, (ended.stdout + ended.stderr).decode()


@pytest.mark.req(70)
def test_a_person_asks_waits_and_sees(shared_site: Site) -> None:
    site, one = shared_site, shared_site.evolution()
    site.until_at(one.account, "idle", "synced")
    one.played.callback_url = "https://elsewhere.example.com"
    code, told = channels(site, "accounts", "sync", one.account, "--wait")
    assert (code, one.played.callback_url) == (0, f"{site.edge_url(one.connector)}/{one.account}"), told
    assert "synced" in told
    code, told = channels(site, "connectors", "sync", one.connector)
    assert (code, told) == (0, "asked for; `channels connectors syncs` shows how it goes\n")
    code, told = channels(site, "connectors", "syncs", one.connector, "--json")
    [shown] = json.loads(told)
    assert (code, shown["account_id"], shown["registered_url"]) == (0, one.account, one.played.callback_url)
    assert OLD not in told
    code, told = channels(site, "accounts", "report", one.account)
    assert "synced" in told
    one.played.about["token"] = "another"
    code, told = channels(site, "connectors", "sync", one.connector, "--wait")
    assert (code, "refused" in told) == (1, True), told
    code, told = channels(site, "accounts", "report", one.account)
    assert re.search(r"^registered +stopped since 20\S+, last: refused auth \(\w+\)$", told, re.MULTILINE), told


def test_a_secret_is_rotated_by_a_command(shared_site: Site) -> None:
    site, one = shared_site, shared_site.telegram()
    site.until_at(one.subject, "idle", "synced")
    (site.home / "value").write_text(NEW)
    arguments = ("webhooks", "secrets", "rotate", "--connector", one.connector, "--overlap-seconds", "600")
    code, told = channels(site, *arguments, "--value-file", str(site.home / "value"))
    assert (code, told.startswith("added ")) == (0, True), told
    site.until(lambda: one.played.secret == NEW, "registered")
    site.until(lambda: site.secrets(one.connector)["0"][1] is not None, "the old one has an end")
    assert site.secrets(one.connector)["0"][0] == "live"
    code, told = channels(site, *arguments)
    site.until(lambda: one.played.secret not in (OLD, NEW), "one that nobody was told")
    assert one.played.secret not in told


def test_without_sync_the_wait_ends_with_a_word(site: Site) -> None:
    one = site.telegram()
    code, told = channels(site, "connectors", "sync", one.connector, "--wait", "--seconds", "1")
    assert (code, "do sync and relay run?" in told) == (4, True), told

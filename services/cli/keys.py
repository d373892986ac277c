"""`channels keys`: the local key files."""

from __future__ import annotations

from pathlib import Path

import click

from shared.adapters.local_keys import LocalKeyFiles, file_name
from shared.domain.enums import KeyPurpose
from shared.runtime.settings import VaultSettings, load


@click.group()
def keys() -> None:
    """Create the local key files."""


@keys.command()
@click.option("--dir", "directory", type=click.Path(path_type=Path, file_okay=False), help="Default: CHANNELS_KEYS_DIR.")
def create(directory: Path | None) -> None:
    """Create ingest.key and credential.key (mode 0600) where they do not exist. Existing files are never touched.

    Whoever loses them loses every secret and body sealed with them: keep a copy in a safe place.
    """
    directory = directory or load(VaultSettings).keys_dir
    created = LocalKeyFiles.create(directory)
    for purpose in KeyPurpose:
        path = directory / file_name(purpose)
        click.echo(f"{'created' if path in created else 'kept   '} {path}")

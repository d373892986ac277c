"""Every provider, in the order of `names.FOLDERS`. A test compares that tuple with the folders."""

from __future__ import annotations

from importlib import import_module

from shared.providers.contract import Provider
from shared.providers.names import FOLDERS

PROVIDERS: tuple[Provider, ...] = tuple(import_module(f"shared.providers.{folder}.provider").PROVIDER for folder in FOLDERS)

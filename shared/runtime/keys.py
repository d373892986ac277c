"""The key provider that the settings ask for, watched, and the vault over it."""

from __future__ import annotations

from collections.abc import Collection

from prometheus_client import CollectorRegistry

from shared.adapters.vault import KeyProvider, LocalKeyFiles, Vault
from shared.adapters.watched_keys import WatchedKeys
from shared.domain.enums import KeyPurpose
from shared.domain.errors import ConfigError
from shared.runtime.metrics import VaultMetrics
from shared.runtime.settings import StackSettings, VaultSettings, load


def open_vault(settings: VaultSettings, purposes: Collection[KeyPurpose], registry: CollectorRegistry) -> Vault:
    """A vault that can open keys of `purposes`; call it once per process and registry. Raises ConfigError."""
    return Vault(WatchedKeys(key_provider(settings, purposes), VaultMetrics(registry)))


def key_provider(settings: VaultSettings, purposes: Collection[KeyPurpose]) -> KeyProvider:
    """Key files or AWS KMS; a production start refuses key files. Raises ConfigError."""
    if settings.key_provider == "local":
        if load(StackSettings).environment == "production":
            raise ConfigError("key files are for development; in production set CHANNELS_KEY_PROVIDER=aws_kms")
        return LocalKeyFiles(settings.keys_dir, frozenset(purposes))
    from shared.adapters.aws_kms import AwsKms, KmsLimits  # boto3 takes 20 MB and a quarter of a second: only where it is used

    given = {KeyPurpose.INGEST: settings.aws_kms_ingest_keys, KeyPurpose.CREDENTIAL: settings.aws_kms_credential_keys}
    return AwsKms(
        {purpose: [arn.strip() for arn in given[purpose].split(",") if arn.strip()] for purpose in purposes},
        limits=KmsLimits(seconds=settings.aws_kms_seconds),
        endpoint_url=settings.aws_kms_endpoint_url,
    )

"""Key-encryption keys in AWS KMS: data keys are wrapped and unwrapped there, the key itself never leaves it.

A wrapped data key reads `1|<ARN of the KMS key>|<ciphertext>`. Purpose, tenant and id of the data key go with every call as the
encryption context, which KMS authenticates and writes into CloudTrail
(https://docs.aws.amazon.com/kms/latest/developerguide/encrypt_context.html). Credentials are found as AWS' own
tools find them.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from shared.adapters.sealing import DATA_KEY_BYTES, FORMAT_VERSION, decode64, encode64
from shared.domain.enums import KeyPurpose
from shared.domain.errors import ChannelsError, ConfigError, KeyRefused, SealBroken, Unavailable

# No alias: it can be pointed at another key behind our back, and what it wrapped before would no longer open.
_ARN = re.compile(r"arn:aws[a-z-]*:kms:(?P<region>[a-z0-9-]+):\d{12}:key/[A-Za-z0-9-]{1,64}")
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
# https://docs.aws.amazon.com/kms/latest/APIReference/API_Decrypt.html#API_Decrypt_Errors and CommonErrors
_REFUSALS = {
    "DisabledException": "disabled",
    "KMSInvalidStateException": "deleted",  # such as pending deletion
    "NotFoundException": "not_found",
    "AccessDeniedException": "denied",
    "UnrecognizedClientException": "denied",
    "InvalidClientTokenId": "denied",
    "ExpiredTokenException": "denied",
    "InvalidSignatureException": "denied",
    "InvalidKeyUsageException": "unfit",
}
_BROKEN = frozenset({"InvalidCiphertextException", "IncorrectKeyException"})


@dataclass(frozen=True, slots=True, kw_only=True)
class KmsLimits:
    """How long one call may take: `attempts` times `seconds`, and pauses of at most a second or two between them."""

    seconds: float = 2.0
    attempts: int = 3


class AwsKms:
    """Key provider over KMS keys, by purpose; the first of each wraps, all unwrap. Safe for threads. Raises ConfigError.

    `endpoint_url`: another address than the region's own, such as a VPC endpoint.
    """

    def __init__(
        self, keys: Mapping[KeyPurpose, Sequence[str]], *, limits: KmsLimits | None = None, endpoint_url: str | None = None
    ) -> None:
        self._keys = {purpose: _checked(purpose, arns) for purpose, arns in keys.items()}
        regions = {_region(arn) for arns in self._keys.values() for arn in arns}
        config = _config(limits or KmsLimits())
        # At DEBUG botocore writes requests out as they are, and data keys are in them.
        logging.getLogger("botocore").setLevel(logging.INFO)
        session = boto3.session.Session()
        url = _checked_endpoint(endpoint_url)
        self._clients = {name: session.client("kms", region_name=name, endpoint_url=url, config=config) for name in regions}

    def wrap(self, purpose: KeyPurpose, tenant_id: str, key: bytes, *, key_id: str) -> str:
        """Encrypt one data key under the newest key; blocks. Raises KeyRefused, Unavailable."""
        arn = self._held(purpose)[0]
        answer = self._call(arn, "encrypt", Plaintext=key, EncryptionContext=_context(purpose, tenant_id, key_id))
        return f"{FORMAT_VERSION}|{arn}|{encode64(answer['CiphertextBlob'])}"

    def unwrap(self, purpose: KeyPurpose, tenant_id: str, wrapped: str, *, key_id: str) -> bytes:
        """Decrypt one data key; blocks. Raises SealBroken, KeyRefused, Unavailable."""
        held = self._held(purpose)
        try:
            version, arn, sealed = wrapped.split("|")
            blob = decode64(sealed)
        except ValueError:
            raise SealBroken(f"data key {key_id} is not a key wrapped by AWS KMS") from None
        if version != str(FORMAT_VERSION) or not blob:
            raise SealBroken(f"data key {key_id} is not wrapped in format {FORMAT_VERSION}")
        if arn not in held:  # whoever can write to the database must not choose the key
            raise KeyRefused(f"data key {key_id} was wrapped by a KMS key that is not configured", reason="not_configured")
        answer = self._call(arn, "decrypt", CiphertextBlob=blob, EncryptionContext=_context(purpose, tenant_id, key_id))
        plain: bytes = answer["Plaintext"]
        if len(plain) != DATA_KEY_BYTES:
            raise SealBroken(f"data key {key_id} is not {DATA_KEY_BYTES} bytes")
        return plain

    def is_newest(self, purpose: KeyPurpose, wrapped: str) -> bool:
        """Whether the newest key wrapped it."""
        return wrapped.split("|")[1:2] == [self._held(purpose)[0]]

    def _held(self, purpose: KeyPurpose) -> tuple[str, ...]:
        held = self._keys.get(purpose)
        if held is None:
            raise ConfigError(f"this process has no KMS key of purpose {purpose}; it may not open keys of it")
        return held

    def _call(self, arn: str, operation: str, **arguments: Any) -> dict[str, Any]:
        call = getattr(self._clients[_region(arn)], operation)
        try:
            answer: dict[str, Any] = call(KeyId=arn, **arguments)
        except ClientError as error:
            raise _translated(error, arn, operation) from error
        except NoCredentialsError as error:
            raise KeyRefused(f"AWS KMS: no credentials for {operation} with {arn}", reason="denied") from error
        except BotoCoreError as error:
            raise Unavailable(f"AWS KMS does not answer ({type(error).__name__})") from error
        return answer

    def __repr__(self) -> str:
        return f"AwsKms({', '.join(arn for arns in self._keys.values() for arn in arns)})"


def _translated(error: ClientError, arn: str, operation: str) -> ChannelsError:
    code = error.response.get("Error", {}).get("Code", "")
    if code in _BROKEN:
        return SealBroken("the data key was altered, or belongs to another tenant, purpose or KMS key")
    if code in _REFUSALS:
        return KeyRefused(f"AWS KMS refuses to {operation} with {arn}: {code}", reason=_REFUSALS[code])
    return Unavailable(f"AWS KMS cannot {operation} with {arn} now: {code or 'no reason given'}")


def _context(purpose: KeyPurpose, tenant_id: str, key_id: str) -> dict[str, str]:
    return {"application": "channels", "purpose": purpose.value, "tenant": tenant_id, "data_key": key_id}


def _config(limits: KmsLimits) -> Config:
    return Config(
        connect_timeout=limits.seconds,
        read_timeout=limits.seconds,
        retries={"mode": "standard", "total_max_attempts": limits.attempts},
        user_agent_extra="channels",
    )


def _checked(purpose: KeyPurpose, arns: Sequence[str]) -> tuple[str, ...]:
    if not arns:
        raise ConfigError(f"there is no KMS key of purpose {purpose}; set CHANNELS_AWS_KMS_{purpose.name}_KEYS")
    for arn in arns:
        if _ARN.fullmatch(arn) is None:
            raise ConfigError(
                f"CHANNELS_AWS_KMS_{purpose.name}_KEYS: {arn[:100]!r} is not the ARN of a KMS key "
                "(arn:aws:kms:<region>:<account>:key/<id>; no alias)"
            )
    return tuple(arns)


def _checked_endpoint(url: str | None) -> str | None:
    if not url:
        return None
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise ConfigError("CHANNELS_AWS_KMS_ENDPOINT_URL must be https: data keys travel to it in clear")
    return url


def _region(arn: str) -> str:
    return arn.split(":")[3]

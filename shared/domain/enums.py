"""Closed sets. The values of the first group are the owner's own words and stand in the database letter by letter."""

from __future__ import annotations

from enum import StrEnum


class ConnectorType(StrEnum):
    """`channel_connector.tipo`."""

    WHATSAPP_OFFICIAL = "whatsapp_official"
    WHATSAPP_UNOFFICIAL = "whatsapp_unofficial"
    TELEGRAM = "telegram"
    EMAIL = "email"
    WEBCHAT = "webchat"
    FUTURE = "future"


class ConnectorStatus(StrEnum):
    """`channel_connector.status`."""

    ACTIVE = "active"
    PENDING = "pending"
    ERROR = "error"
    ARCHIVED = "archived"


class AccountStatus(StrEnum):
    """`channel_account.status`."""

    ACTIVE = "active"
    INACTIVE = "inactive"
    PENDING = "pending"


class Feature(StrEnum):
    """`channel_capability.feature`."""

    MESSAGES = "messages"
    TEMPLATES = "templates"
    MEDIA_UPLOAD = "media_upload"
    TYPING = "typing"
    READ_RECEIPTS = "read_receipts"
    BUTTONS = "buttons"


class TokenKind(StrEnum):
    """`channel_token.kind`."""

    ACCESS_TOKEN = "access_token"
    REFRESH_TOKEN = "refresh_token"
    API_KEY = "api_key"
    SECRET = "secret"


class WebhookEvent(StrEnum):
    """`channel_webhook.evento`: the class of an inbound item, one webhook row each."""

    MESSAGE_IN = "message_in"
    MESSAGE_STATUS = "message_status"
    DELIVERY = "delivery"
    CONTACT_UPDATE = "contact_update"
    FALLBACK = "fallback"


class WebhookStatus(StrEnum):
    """`channel_webhook.status`."""

    ACTIVE = "active"
    DISABLED = "disabled"


class HealthStatus(StrEnum):
    """`channel_health_check.status`."""

    PASSED = "passed"
    FAILED = "failed"
    WARNING = "warning"


class UsageType(StrEnum):
    """`channel_usage_log.tipo`."""

    MESSAGE_IN = "message_in"
    MESSAGE_OUT = "message_out"
    TEMPLATE_SEND = "template_send"
    FILE_UPLOAD = "file_upload"
    RULE_TRIGGER = "rule_trigger"


class EntityType(StrEnum):
    """`channel_mapping.entidade_type`."""

    CONTACT = "contact"
    CONVERSATION = "conversation"
    MESSAGE = "message"


class FallbackType(StrEnum):
    """`channel_fallback.tipo`."""

    FALLBACK_NUMBER = "fallback_number"
    EMAIL_FORWARD = "email_forward"
    VOICEMAIL = "voicemail"


class RecordSource(StrEnum):
    """Where a raw record comes from."""

    WEBHOOK = "webhook"
    MAILBOX = "mailbox"
    RESULT = "result"  # what outbound learnt from a provider's answer


class Direction(StrEnum):
    """Seen from the company: `inbound` was written by the peer, `echo` by the company elsewhere (its phone app)."""

    INBOUND = "inbound"
    ECHO = "echo"


class MessageKind(StrEnum):
    """Kind of a normalised message."""

    TEXT = "text"
    IMAGE = "image"
    AUDIO = "audio"
    VIDEO = "video"
    DOCUMENT = "document"
    STICKER = "sticker"
    LOCATION = "location"
    CONTACTS = "contacts"
    INTERACTIVE = "interactive"
    BUTTON = "button"
    REACTION = "reaction"
    UNSUPPORTED = "unsupported"


class DeliveryStatus(StrEnum):
    """State of a message that the company sent; ranks in `shared.domain.delivery`."""

    ACCEPTED = "accepted"
    SENT = "sent"
    DELIVERED = "delivered"
    READ = "read"
    PLAYED = "played"
    FAILED = "failed"


class ErrorClass(StrEnum):
    """What a provider's error means for us (providers.md 0.6)."""

    AUTH = "auth"
    RATE_LIMITED = "rate_limited"
    RETRYABLE = "retryable"
    WINDOW_CLOSED = "window_closed"
    RECIPIENT_PERMANENT = "recipient_permanent"
    CONTENT_PERMANENT = "content_permanent"
    ACCOUNT_BLOCKED = "account_blocked"
    UNKNOWN_OUTCOME = "unknown_outcome"


class AliasKind(StrEnum):
    """Kind of a person's external key; the stored key is `<kind>:<value>`."""

    PHONE = "phone"
    BSUID = "bsuid"
    LID = "lid"
    USER = "user"
    MAIL = "mail"


class ItemOutcome(StrEnum):
    """How the story of one item ends in the books (design section 3, promise 9)."""

    EMITTED = "emitted"
    DUPLICATE = "duplicate"
    IGNORED = "ignored"
    SUPERSEDED = "superseded"
    SETTLED_BY_FLOW = "settled_by_flow"
    ORPHANED = "orphaned"
    REJECTED = "rejected"
    DEAD_LETTERED = "dead_lettered"
    HELD = "held"


class KeyPurpose(StrEnum):
    """What a data key may open: `ingest` receiving secrets and raw bodies, `credential` tokens."""

    INGEST = "ingest"
    CREDENTIAL = "credential"


class SecretUse(StrEnum):
    """What a receiving secret proves: `sign` webhook bodies, `handshake` the provider's set-up call."""

    SIGN = "sign"
    HANDSHAKE = "handshake"

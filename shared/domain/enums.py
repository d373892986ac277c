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
    EMAIL = "email"  # text is the reply without its quotation; subject, copies and the like are in `content.email`
    ORDER = "order"  # what the peer put into a shopping cart
    EDIT = "edit"  # new content of an earlier message
    REVOKE = "revoke"  # an earlier message was deleted for everybody
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
    """Kind of a person's external key; the stored key is `<kind>:<value>`.

    Aliases join people for good, so each kind is a name that never passes to another person. A username can: it is
    `Peer.username` and no alias.
    """

    PHONE = "phone"  # E.164 digits
    BSUID = "bsuid"  # WhatsApp's business-scoped user id
    PARENT_BSUID = "parent_bsuid"  # the same across the portfolios of one enterprise
    LID = "lid"  # WhatsApp's hidden id, digits without `@lid`; never a phone
    USER = "user"  # the provider's own stable id: a Telegram user, a webchat visitor
    MAIL = "mail"  # address in lower case
    GROUP = "group"  # stands for the people of a group where no single one is meant (an echo into the group)


class ConnectorEventName(StrEnum):
    """What a provider tells beside messages and receipts. The usual `values` of each are named here.

    `values` holds short codes and times only, never a message, a person's text, a credential or a QR code.
    """

    ACCOUNT_STATUS = "account_status"  # event, reason, restriction_type, violation_type, waba_ban_state, expires_at
    ACCOUNT_ALERT = "account_alert"  # alert_severity, alert_type, alert_status, entity_type, entity_id
    ACCOUNT_REVIEW = "account_review"  # decision
    ACCOUNT_LIMIT = "account_limit"  # event, current_limit, old_limit, max_daily_conversations_per_business
    ACCOUNT_NAME = "account_name"  # decision, requested_verified_name is left out (free text)
    ACCOUNT_SECURITY = "account_security"  # event
    QUALITY = "quality"  # event, previous_quality_score, new_quality_score
    TEMPLATE_STATUS = "template_status"  # event, message_template_id, message_template_name, reason
    TEMPLATE_QUALITY = "template_quality"  # message_template_id, previous_quality_score, new_quality_score
    TEMPLATE_CATEGORY = "template_category"  # message_template_id, previous_category, new_category
    TEMPLATE_COMPONENTS = "template_components"  # message_template_id, message_template_name
    CONNECTION_STATE = "connection_state"  # state: open, connecting, close, banned, …; reason
    CONNECTION_QR = "connection_qr"  # count, expires_at; the code itself stays in the sealed record
    NUMBER_CHANGED = "number_changed"  # the account's own number: old, new
    SUBSCRIPTION = "subscription"  # a webhook subscription asks for confirmation or ends: state, topic
    PERSON_CHANGED = "person_changed"  # the person has other aliases now: see `people`; event
    PERSON_PREFERENCE = "person_preference"  # category, value: stop, resume, signup
    PERSON_BLOCKED = "person_blocked"  # state: blocked, unblocked (of the account, by the person)
    GROUP_CHANGED = "group_changed"  # event, group_id
    CALL = "call"  # event, direction, status, call_id
    PRESENCE = "presence"  # state: typing, recording, paused, online, offline, session_started, session_ended
    MAIL_EVENT = "mail_event"  # event: complaint, deferred, open, click, unsubscribe, auto_reply; message_id
    FLOW_STATUS = "flow_status"  # event, flow_id, old_status, new_status
    HISTORY = "history"  # a copy of old talks, left out on purpose: phase, chunk
    APP_STATE = "app_state"  # the phone app's contacts, left out on purpose
    PROVIDER_ERROR = "provider_error"  # code: the provider could not hand something to us
    FOREIGN = "foreign"  # another product posts to this address: object
    NOTHING = "nothing"  # a well-formed request without any element
    UNKNOWN = "unknown"  # an event that this release does not know; `provider_event` has its name


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


class IntakeOutcome(StrEnum):
    """What a flow may answer to an intake request."""

    ROUTE = "route"  # the message goes to `org_unit_id`
    HANDLED = "handled"  # the flow has dealt with it: no conversation
    DROP = "drop"  # not wanted, for the short code in `reason`
    EXTEND = "extend"  # it needs `extend_seconds` more, from now on


class HoldReason(StrEnum):
    """Why an item waits (design section 6, Held). The first four keep the conversation's later items behind them."""

    INTAKE = "intake"  # its flow has been asked
    FLOW_UNUSABLE = "flow_unusable"  # its flow is not published any more, and there is no unit
    PAUSED = "paused"  # its account's route is paused, and there is no unit
    QUEUED = "queued"  # an earlier item of its conversation waits
    TARGET_UNKNOWN = "target_unknown"  # the message that it is about has not come yet
    BEHIND_TARGET = "behind_target"  # an earlier item about the same message waits


class HeldState(StrEnum):
    """`held_record.state`: waiting -> sent -> (waiting | done)."""

    WAITING = "waiting"
    SENT = "sent"  # a copy is on its way through the raw topic
    DONE = "done"


class RenewalTask(StrEnum):
    """`token_renewal.task`: what is to happen with a token."""

    RENEW = "renew"
    RETIRE = "retire"  # it was replaced; it is taken away once its overlap is over
    TEST = "test"  # it cannot renew itself, and does not end: it is tried on a schedule
    WATCH = "watch"  # it ends, and nothing of ours can renew it: people are told
    NONE = "none"


class RenewalState(StrEnum):
    """`token_renewal.state`."""

    PLANNED = "planned"
    CALLING = "calling"  # the intent of one call is committed
    STOPPED = "stopped"  # a person must act


class RenewalStanding(StrEnum):
    """What a person is told of a token's renewal."""

    PLANNED = "planned"
    FAILING = "failing"  # tries have failed since the last success; others follow
    STOPPED = "stopped"  # a person must act
    RETIRING = "retiring"  # it was replaced, and is taken away when it is due
    WATCHED = "watched"  # it ends, and nothing of ours can renew it: people are told
    NONE = "none"


class KeyPurpose(StrEnum):
    """What a data key may open: `ingest` receiving secrets and raw bodies, `credential` tokens."""

    INGEST = "ingest"
    CREDENTIAL = "credential"


class SecretUse(StrEnum):
    """What a receiving secret proves: `sign` webhook bodies, `handshake` the provider's set-up call."""

    SIGN = "sign"
    HANDSHAKE = "handshake"

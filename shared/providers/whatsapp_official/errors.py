"""Meta's error codes: what each means for us, and how an explanation reads.

Source: https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes
"""

from __future__ import annotations

from collections.abc import Sequence

from shared.domain.enums import ErrorClass
from shared.providers.cleaning import MAX_NAME_CHARACTERS, clean_text
from shared.providers.whatsapp_official.payloads import Error

_CODES: dict[ErrorClass, tuple[int, ...]] = {
    ErrorClass.AUTH: (0, 102, 104, 190),
    # a person must act: permission, registration, payment, a ban
    ErrorClass.ACCOUNT_BLOCKED: (
        *(3, 10, 33, 368, 130497, 131005, 131031, 131037, 131042, 131045, 131063, 133010),
        *range(200, 300),
    ),
    # the last two are restrictions for spam: slow down, too
    ErrorClass.RATE_LIMITED: (4, 80007, 130429, 131056, 133016, 131048, 131064),
    ErrorClass.RETRYABLE: (1, 2, 131000, 131016, 131057, 133004, 135000),
    ErrorClass.WINDOW_CLOSED: (131047,),
    # the last two mean "not to this person for a day or more": this message must not be sent again
    ErrorClass.RECIPIENT_PERMANENT: (130403, 131021, 131026, 131030, 131050, 131062, 137000, 130472, 131049),
    ErrorClass.CONTENT_PERMANENT: (
        *(100, 131008, 131009, 131051, 131053, 132000, 132001, 132005, 132007, 132008, 132012, 132015, 132016),
        *(132068, 132069),
    ),
}

_CLASS_OF = {code: error_class for error_class, codes in _CODES.items() for code in codes}


def class_of(code: int | str | None) -> ErrorClass | None:
    """The class of one code; None for a code that is not listed (the code itself always travels beside it)."""
    if isinstance(code, str):
        code = int(code) if code.isascii() and code.isdigit() and len(code) <= 12 else None
    return None if code is None else _CLASS_OF.get(code)


def explanation(errors: Sequence[Error] | None) -> tuple[str | None, str | None]:
    """Code and longest explanation of the first error, as text; (None, None) without one."""
    if not errors:
        return None, None
    first = errors[0]
    details = first.error_data.details if first.error_data is not None else None
    code = None if first.code is None else clean_text(str(first.code), 32)
    return code, clean_text(details or first.message or first.title, MAX_NAME_CHARACTERS) or None

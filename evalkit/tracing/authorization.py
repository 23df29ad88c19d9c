"""The token that senders show to a collector, as ``Authorization: Bearer ...``."""

from __future__ import annotations

import hmac
import re

from evalkit.errors import InputError

UNAUTHORIZED = "send the collector's token as `Authorization: Bearer ...`"

_CARRIED = re.compile(r"[!-~](?:[ -~]{0,4094}[!-~])?")


def check(token: str) -> None:
    """Raises InputError for a token that not every header carries as it is."""
    if _CARRIED.fullmatch(token) is None:
        raise InputError(
            "the token must be of 1 to 4,096 visible ASCII characters, with spaces at most "
            "between them: senders could not show another one in a header"
        )


def is_authorized(given: str, token: str) -> bool:
    """Whether an ``Authorization`` header bears the token; as slow for a near miss as for any.

    The scheme's name is in any case (RFC 9110, 11.1).
    """
    scheme, _, sent = given.partition(" ")
    known = hmac.compare_digest(sent.lstrip(" ").encode("utf-8", "replace"), token.encode())
    return known and scheme.lower() == "bearer"

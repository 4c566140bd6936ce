"""Whether somebody who has the secret sent it."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence

from batchcap.errors import UsageError
from batchcap.settings import Listening
from batchcap.webhooks.event import Webhook

_LONGEST = 2048
"""Characters of a header that holds signatures; a longer one is nobody's."""


def get_header(headers: Mapping[str, str], name: str) -> str:
    """A header's value by its name in small letters; "" where it is absent or far too long."""
    found = next((value for key, value in headers.items() if key.lower() == name), "")
    return found if len(found) <= _LONGEST else ""


def has_signature(secret: str, message: bytes, told: Iterable[str]) -> bool:
    """Whether one of the told signatures is the message's hex HMAC-SHA256.

    How long that takes says nothing about the secret.
    """
    key = secret.encode("utf-8", "surrogateescape")  # as the environment came
    mine = hmac.new(key, message, hashlib.sha256).hexdigest().encode()
    return any(hmac.compare_digest(mine, one.encode("utf-8", "replace")) for one in told)


def require_secrets(
    webhooks: Sequence[Webhook], secrets: Mapping[str, str], listening: Listening
) -> None:
    """Raise `UsageError` that names the variables where a signing secret is missing."""
    missing = [webhook for webhook in webhooks if webhook.secret_variable not in secrets]
    if missing and not listening.insecure:
        names = " and ".join(webhook.secret_variable for webhook in missing)
        places = "; ".join(f"{webhook.provider}: {webhook.setup_hint}" for webhook in missing)
        raise UsageError(
            f"webhooks are received with a signing secret only: set {names}",
            hint=f"Where it is found: {places}. To try it on loopback: --insecure-webhooks",
        )

"""Verifies the signatures of events, and requires the secrets for that."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence

from batchcap.domain.errors import UsageError
from batchcap.domain.settings import ListenAddress
from batchcap.webhooks.event import Webhook

_MAX_HEADER_LENGTH = 2048
"""Characters of a header with signatures. Providers send far fewer."""


def get_header(headers: Mapping[str, str], name: str) -> str:
    """Return the value of a header, or "" if it is absent or too long; `name` in lower case."""
    value = next((value for key, value in headers.items() if key.lower() == name), "")
    return value if len(value) <= _MAX_HEADER_LENGTH else ""


def has_signature(secret: str, message: bytes, signatures: Iterable[str]) -> bool:
    """Return whether one of the signatures is the message's HMAC-SHA256 in hexadecimal.

    The comparison takes constant time, so its duration reveals nothing about the secret.
    """
    key = secret.encode("utf-8", "surrogateescape")  # the bytes as they are in the environment
    expected = hmac.new(key, message, hashlib.sha256).hexdigest().encode()
    return any(
        hmac.compare_digest(expected, signature.encode("utf-8", "replace"))
        for signature in signatures
    )


def require_secrets(
    webhooks: Sequence[Webhook], secrets: Mapping[str, str], listening: ListenAddress
) -> None:
    """Check that the signing secrets of all webhooks are set.

    Raises:
        UsageError: a secret is missing, and `listening` does not allow unsigned events. It
            names the variables.
    """
    missing = [webhook for webhook in webhooks if webhook.secret_variable not in secrets]
    if missing and not listening.insecure:
        names = " and ".join(webhook.secret_variable for webhook in missing)
        places = "; ".join(f"{webhook.provider}: {webhook.setup_hint}" for webhook in missing)
        raise UsageError(
            f"receiving webhooks requires their signing secrets: set {names}",
            hint=f"Where to find them: {places}. To try it on loopback: --insecure-webhooks",
        )

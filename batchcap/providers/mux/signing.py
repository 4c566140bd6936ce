"""Tokens for signed playback ids.

A token is a JWT (RS256): `kid` is the signing key, `sub` the playback id, and `aud` is "v",
which Mux's own library uses for text tracks too. The private key has the form that Mux
issues: PEM, encoded once more as base64.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping

from batchcap.domain.errors import FatalError, RowError
from batchcap.providers.mux.schema import NAME

SIGNING_SECRETS = ("MUX_SIGNING_KEY", "MUX_PRIVATE_KEY")

_LIFETIME = 3600  # seconds


class PlaybackSigner:
    """Signs playback ids with MUX_SIGNING_KEY and MUX_PRIVATE_KEY."""

    def __init__(self, secrets: Mapping[str, str], now: Callable[[], float]) -> None:
        self._key_id, self._private_key = map(secrets.get, SIGNING_SECRETS)
        self._now = now

    def token(self, playback_id: str) -> str:
        """Return a token that is valid for one playback id and one hour.

        Raises:
            RowError: No key is set.
            FatalError: The key cannot be used, or the extra is not installed.
        """
        if not self._key_id or not self._private_key:
            raise RowError(
                "link_dead",
                f"playback id {playback_id} is signed: set MUX_SIGNING_KEY and MUX_PRIVATE_KEY",
                retryable=True,
            )
        claims = {"sub": playback_id, "aud": "v", "exp": int(self._now()) + _LIFETIME}
        return _signed(claims, self._key_id, self._private_key)


def _signed(claims: Mapping[str, object], key_id: str, private_key: str) -> str:
    try:
        import jwt  # an extra: only signed playback ids need it
    except ImportError:
        raise FatalError(
            "signed playback ids need the extra 'signed'",
            hint="pip install 'batchcap[signed]', then: batchcap resume",
            provider=NAME,
        ) from None
    try:
        return jwt.encode(dict(claims), _pem(private_key), "RS256", headers={"kid": key_id})
    except (jwt.PyJWTError, ValueError, TypeError):
        raise FatalError(
            "MUX_PRIVATE_KEY is not an RSA private key in PEM, plain or as base64",
            hint="Copy it again from the dashboard, then: batchcap resume",
            provider=NAME,
        ) from None


def _pem(private_key: str) -> bytes:
    if private_key.lstrip().startswith("-----BEGIN"):
        return private_key.encode()
    try:
        return base64.b64decode(private_key, validate=True)
    except binascii.Error:
        raise ValueError("neither PEM nor base64") from None

"""Signed links to caption files.

A signature covers path and query byte for byte, so a client that re-encodes a link breaks
it, as with the real stores. Links do not contain the port and are not stored, so they
stay valid after a restart of the sandbox.
"""

from __future__ import annotations

import itertools
from base64 import b64decode, b64encode
from calendar import timegm
from hashlib import blake2b
from time import gmtime, strftime, strptime
from typing import Literal
from urllib.parse import parse_qs, quote

from batchcap.sandbox.mux.jobs import Job

LinkStatus = Literal["valid", "expired", "forged", "malformed"]

_TIME_FORMAT = "%Y%m%dT%H%M%SZ"
_STORAGE_SIGNATURE = "&X-Goog-Signature="
_TO_CLOUDFRONT = str.maketrans("+/=", "-~_")
"""From base64 to CloudFront's own alphabet for URLs."""
_FROM_CLOUDFRONT = str.maketrans("-~_", "+/=")
_MAC_BYTES = 64


class Links:
    """Signs and verifies links with a key derived from the seed."""

    def __init__(self, seed: int) -> None:
        self._key = f"sandbox-{seed}".encode()
        self._nonces = itertools.count(1)

    def storage_link(self, job: Job, lifetime: float) -> str:
        """Return path and query of a job's temporary VTT link, the same at every call.

        The link expires `lifetime` seconds after the job completed (Mux docs: 7 days).
        """
        request = job.request
        stamp = strftime(_TIME_FORMAT, gmtime(job.ends))
        asset_id = quote(request.asset_id, safe="")
        signed = (
            f"/storage/robots/{job.id}/{asset_id}/{request.language}.vtt"
            "?X-Goog-Algorithm=GOOG4-RSA-SHA256"
            "&X-Goog-Credential=sandbox%40robots.iam.gserviceaccount.com"
            f"%2F{stamp[:8]}%2Fauto%2Fstorage%2Fgoog4_request"
            f"&X-Goog-Date={stamp}&X-Goog-Expires={int(lifetime)}&X-Goog-SignedHeaders=host"
        )
        return f"{signed}{_STORAGE_SIGNATURE}{self._mac(signed).hex()}"

    def cdn_link(self, video_id: str, expires: float, suffix: str = ".vtt") -> str:
        """Return path and query of a HeyGen caption link, with a new signature at every call."""
        name = quote(video_id, safe="")
        signed = f"/files2/video_translate/{name}/{name}{suffix}?Expires={int(expires)}"
        nonce = f"{next(self._nonces):x}".encode()
        signature = b64encode(self._mac(signed, nonce) + nonce).decode()
        return f"{signed}&Signature={signature.translate(_TO_CLOUDFRONT)}&Key-Pair-Id=KSANDBOX"

    def check_storage_link(self, raw_path: str, now: float) -> LinkStatus:
        """Return the status of a link made by `storage_link` at that time."""
        signed, _, signature = raw_path.rpartition(_STORAGE_SIGNATURE)
        if self._mac(signed).hex() != signature:
            return "forged"
        fields = parse_qs(signed.partition("?")[2])
        try:
            start = timegm(strptime(fields["X-Goog-Date"][0], _TIME_FORMAT))
        except (KeyError, ValueError):
            return "malformed"
        return "valid" if now < start + int(fields["X-Goog-Expires"][0]) else "expired"

    def check_cdn_link(self, raw_path: str, now: float) -> LinkStatus:
        """Return the status of a link made by `cdn_link` at that time."""
        signed, _, rest = raw_path.partition("&Signature=")
        signature = rest.partition("&")[0]
        expires = signed.rpartition("?Expires=")[2]
        if not expires.isdecimal() or not self._has_cdn_signature(signed, signature):
            return "forged"
        return "valid" if now < int(expires) else "expired"

    def _has_cdn_signature(self, signed: str, signature: str) -> bool:
        try:
            decoded = b64decode(signature.translate(_FROM_CLOUDFRONT), validate=True)
        except ValueError:
            return False
        mac, nonce = decoded[:_MAC_BYTES], decoded[_MAC_BYTES:]
        return self._mac(signed, nonce) == mac

    def _mac(self, signed: str, nonce: bytes = b"") -> bytes:
        return blake2b(signed.encode() + nonce, key=self._key).digest()

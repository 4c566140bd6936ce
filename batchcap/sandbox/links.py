"""Signed links: who may fetch a file, and until when.

A signature covers path and query as they were given, byte for byte, so that a
client that re-encodes a link breaks it, as it does with the real stores. Links
name no port and need no memory: they stay good over a restart of the sandbox.
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

Verdict = Literal["good", "expired", "forged", "malformed"]

_STAMP = "%Y%m%dT%H%M%SZ"
_STORAGE_MARK = "&X-Goog-Signature="
_CLOUDFRONT = str.maketrans("+/=", "-~_")
"""CloudFront's own alphabet for base64 in a URL."""
_BASE64 = str.maketrans("-~_", "+/=")
_MAC_BYTES = 64


class Links:
    """Signs and judges links with a key made from the seed."""

    def __init__(self, seed: int) -> None:
        self._key = f"sandbox-{seed}".encode()
        self._nonces = itertools.count(1)

    def storage(self, job: Job, lifetime: float) -> str:
        """Path and query of a job's temporary VTT link, the same at every call.

        It expires `lifetime` seconds after the job completed (Mux docs: 7 days).
        """
        order = job.request
        stamp = strftime(_STAMP, gmtime(job.ends))
        path = f"/storage/robots/{job.id}/{quote(order.asset_id, safe='')}/{order.language}.vtt"
        signed = (
            f"{path}?X-Goog-Algorithm=GOOG4-RSA-SHA256"
            "&X-Goog-Credential=sandbox%40robots.iam.gserviceaccount.com"
            f"%2F{stamp[:8]}%2Fauto%2Fstorage%2Fgoog4_request"
            f"&X-Goog-Date={stamp}&X-Goog-Expires={int(lifetime)}&X-Goog-SignedHeaders=host"
        )
        return f"{signed}{_STORAGE_MARK}{self._mac(signed).hex()}"

    def files2(self, video_id: str, expires: float) -> str:
        """Path and query of a HeyGen caption link, signed anew at every call."""
        name = quote(video_id, safe="")
        signed = f"/files2/video_translate/{name}/{name}.vtt?Expires={int(expires)}"
        nonce = f"{next(self._nonces):x}".encode()
        signature = b64encode(self._mac(signed, nonce) + nonce).decode().translate(_CLOUDFRONT)
        return f"{signed}&Signature={signature}&Key-Pair-Id=KSANDBOX"

    def judge_storage(self, raw_path: str, now: float) -> Verdict:
        """What a link of `storage` is worth at that time."""
        signed, _, signature = raw_path.rpartition(_STORAGE_MARK)
        if self._mac(signed).hex() != signature:
            return "forged"
        fields = parse_qs(signed.partition("?")[2])
        try:
            start = timegm(strptime(fields["X-Goog-Date"][0], _STAMP))
        except (KeyError, ValueError):
            return "malformed"
        return "good" if now < start + int(fields["X-Goog-Expires"][0]) else "expired"

    def judge_files2(self, raw_path: str, now: float) -> Verdict:
        """What a link of `files2` is worth at that time."""
        signed, _, rest = raw_path.partition("&Signature=")
        signature = rest.partition("&")[0]
        expires = signed.rpartition("?Expires=")[2]
        if not expires.isdecimal() or not self._signed(signed, signature):
            return "forged"
        return "good" if now < int(expires) else "expired"

    def _signed(self, signed: str, signature: str) -> bool:
        try:
            given = b64decode(signature.translate(_BASE64), validate=True)
        except ValueError:
            return False
        mac, nonce = given[:_MAC_BYTES], given[_MAC_BYTES:]
        return self._mac(signed, nonce) == mac

    def _mac(self, signed: str, nonce: bytes = b"") -> bytes:
        return blake2b(signed.encode() + nonce, key=self._key).digest()

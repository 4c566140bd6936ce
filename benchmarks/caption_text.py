"""The captions that the server serves: WebVTT of exact size, a pure function of the name.

So any file can be checked by its hash, without asking the server.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from itertools import count

MIN_SIZE = 256
"""Bytes of the smallest caption that can be made."""

_NAME_WIDTH = 72
"""Characters of every first cue, so that all that follows is the same for every name."""

_LINES = (
    "Welcome back, and thank you for joining us.",
    "Hoy veremos cómo se construyó el puerto.",
    "“It took nine winters,” she said quietly.",
    "The first stones came by barge, at high tide.",
    "¡Nadie lo había intentado jamás!",
    "And yet, by spring, the light was burning.",
    "Let us walk down to the water together.",
)


def caption(name: str, size: int) -> tuple[bytes, bytes]:
    """The caption of a name in two pieces, `size` bytes together; all names share the second.

    A name has at most 72 bytes; `size` is at least `MIN_SIZE`.
    """
    first_cue = f"WEBVTT\n\n1\n{_timing(0)}\n{name.ljust(_NAME_WIDTH)}\n\n".encode()
    return first_cue, _other_cues(size - len(first_cue))


def digest(name: str, size: int) -> str:
    """The SHA-256 of a name's caption, in hex."""
    return hashlib.sha256(b"".join(caption(name, size))).hexdigest()


@lru_cache
def _other_cues(size: int) -> bytes:
    """Cues of about 84 bytes each; the last one is padded to the exact size."""
    cues = bytearray()
    for number in count(1):
        cue = f"{number + 1}\n{_timing(number)}\n{_LINES[number % len(_LINES)]}".encode()
        if len(cues) + len(cue) + 3 > size:
            break
        cues += b"\n\n" * (number > 1) + cue
    return bytes(cues.ljust(size - 1, b".") + b"\n")


def _timing(number: int) -> str:
    return f"{_timestamp(number * 2500)} --> {_timestamp(number * 2500 + 2300)}"


def _timestamp(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}.{rest:03}"

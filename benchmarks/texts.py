"""What the server serves: WebVTT of exact size, a pure function of its name.

So any file can be checked by its hash, without asking the server.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from itertools import count

FILES = "/files"
"""Where the server has them: `/files/NAME.vtt`, whatever the query."""

SMALLEST = 256
"""Bytes of the smallest text that can be made."""

_NAME = 72
"""Every first cue is padded to this, so that what follows is the same for all names."""

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
    """The text of a name in two pieces, `size` bytes together; the second is shared by all.

    A name is at most 72 bytes; `size` at least `SMALLEST`.
    """
    opening = _opening(name)
    return opening, _rest(size - len(opening))


def digest(name: str, size: int) -> str:
    """The SHA-256 of a name's text, in hex."""
    return hashlib.sha256(b"".join(caption(name, size))).hexdigest()


def _opening(name: str) -> bytes:
    return f"WEBVTT\n\n1\n{_span(0)}\n{name.ljust(_NAME)}\n\n".encode()


@lru_cache
def _rest(size: int) -> bytes:
    """Cues about every 84 bytes; the last one is drawn out to the exact size."""
    cues = bytearray()
    for number in count(1):
        cue = f"{number + 1}\n{_span(number)}\n{_LINES[number % len(_LINES)]}".encode()
        if len(cues) + len(cue) + 3 > size:
            break
        cues += b"\n\n" * (number > 1) + cue
    return bytes(cues.ljust(size - 1, b".") + b"\n")


def _span(number: int) -> str:
    return f"{_stamp(number * 2500)} --> {_stamp(number * 2500 + 2300)}"


def _stamp(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}.{rest:03}"

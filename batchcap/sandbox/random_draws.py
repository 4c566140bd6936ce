"""Chance without a generator: every draw is a hash of what it is about.

A shared generator would make each decision depend on the order in which requests
happen to arrive; a hash of (seed, kind, id) gives every run the same world.
"""

from __future__ import annotations

from hashlib import blake2b
from math import exp
from statistics import NormalDist

_NORMAL = NormalDist()


def _digest(parts: tuple[object, ...], size: int) -> bytes:
    text = "\x1f".join(map(str, parts))
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size).digest()


def share(*parts: object) -> float:
    """A number in [0, 1) that is always the same for the same parts."""
    return int.from_bytes(_digest(parts, 7), "big") / 2**56


def pick(count: int, *parts: object) -> int:
    """A number in 0..count-1 that is always the same for the same parts."""
    return int.from_bytes(_digest(parts, 8), "big") % count


def name(length: int, *parts: object) -> str:
    """`length` (even) hexadecimal digits that are always the same for the same parts."""
    return _digest(parts, length // 2).hex()


def lognormal(median: float, sigma: float, cut: float, *parts: object) -> float:
    """A duration with that median and spread, never above `cut`, in the median's unit."""
    drawn = min(max(share(*parts), 1e-9), 1 - 1e-9)
    return min(median * exp(sigma * _NORMAL.inv_cdf(drawn)), cut)

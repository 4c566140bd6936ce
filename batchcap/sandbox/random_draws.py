"""Random draws without a generator: each one is a hash of the values that it is drawn for.

With a shared generator, every decision would depend on the order in which requests happen
to arrive. A hash of (seed, purpose, id) gives the same world in every run.
"""

from __future__ import annotations

from hashlib import blake2b
from math import exp
from statistics import NormalDist

_NORMAL = NormalDist()


def _digest(parts: tuple[object, ...], size: int) -> bytes:
    text = "\x1f".join(map(str, parts))
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size).digest()


def uniform(*parts: object) -> float:
    """Return a number in [0, 1), always the same for the same parts."""
    return int.from_bytes(_digest(parts, 7), "big") / 2**56


def integer(count: int, *parts: object) -> int:
    """Return an integer in 0..count-1, always the same for the same parts."""
    return int.from_bytes(_digest(parts, 8), "big") % count


def hex_digits(length: int, *parts: object) -> str:
    """Return `length` (even) hexadecimal digits, always the same for the same parts."""
    return _digest(parts, length // 2).hex()


def lognormal(median: float, sigma: float, maximum: float, *parts: object) -> float:
    """Return a lognormal number of that median and sigma, at most `maximum`."""
    drawn = min(max(uniform(*parts), 1e-9), 1 - 1e-9)
    return min(median * exp(sigma * _NORMAL.inv_cdf(drawn)), maximum)

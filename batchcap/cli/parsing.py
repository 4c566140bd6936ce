"""Values of options: rates, durations, sizes and numbers of jobs."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from datetime import datetime

from batchcap.domain.errors import UsageError
from batchcap.domain.selection import Filter
from batchcap.domain.workload import UnitCost

DASH = "<->"
"""Replaces the argument "-" before parsing, because cyclopts would take it for an option."""

_COSTS = "Like this: --unit-cost 2 (each caption), or --unit-cost 0.5/min (each minute of video)"
CAPTION_FORMATS = ("srt", "ttml", "txt", "json", "vtt")
_MAX_VALUE = 1e15  # above every sensible number of seconds, bytes or requests
_SECONDS = {"s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {
    "": 1,
    "b": 1,
    "kb": 1000,
    "mb": 1000**2,
    "gb": 1000**3,
    "kib": 1024,
    "mib": 1024**2,
    "gib": 1024**3,
}


def parse_rate(text: str, buckets: Collection[str]) -> tuple[str, float | None]:
    """Parse `BUCKET=N/s`, `N/min` or `none` into the bucket and its requests per second.

    Raises:
        UsageError: The bucket or the rate is not valid.
    """
    bucket, _, value = text.partition("=")
    if bucket not in buckets:
        raise UsageError(f"--rate: unknown bucket {bucket!r}", hint=f"Known: {', '.join(buckets)}")
    if value == "none":
        return bucket, None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)/(s|min|h)", value)
    if match is None or not 0 < float(match[1]) < _MAX_VALUE:
        raise UsageError(
            f"--rate: invalid rate {value!r}",
            hint=f"Like this: --rate {bucket}=5/s, 90/min or none",
        )
    return bucket, float(match[1]) / _SECONDS[match[2]]


def parse_duration(option: str, text: str) -> float:
    """Parse `90`, `90s`, `5m`, `2h`, `1h30m` or `1d` into seconds.

    Raises:
        UsageError: The text is not a duration; the message names `option`.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)(s|min|m|h|d|$)", text)
    seconds = sum(float(number) * _SECONDS[unit or "s"] for number, unit in parts)
    lacks_unit = len(parts) > 1 and not parts[-1][1]
    is_complete = "".join(number + unit for number, unit in parts) == text
    if not parts or lacks_unit or not is_complete or seconds >= _MAX_VALUE:
        raise UsageError(
            f"{option}: invalid duration {text!r}", hint="Like this: 90s, 5m, 2h, 1h30m"
        )
    return seconds


def parse_delimiter(text: str) -> str:
    """Parse what stands between two cells of CSV: one character, or `tab`.

    Raises:
        UsageError: It cannot separate cells.
    """
    delimiter = "\t" if text in {"tab", "\\t"} else text
    is_usable = len(delimiter) == 1 and not delimiter.isalnum() and delimiter not in '"\r\n\0'
    if not is_usable:
        raise UsageError(f"--delimiter: invalid {text[:40]!r}", hint="One character, like ; or tab")
    return delimiter


def parse_size(option: str, text: str) -> int:
    """Parse `64MB`, `512KiB` or `1000` into bytes.

    Raises:
        UsageError: The text is not a size; the message names `option`.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text.strip().lower())
    size = float(match[1]) * _BYTES.get(match[2], 0) if match else 0.0
    if not 1 <= size < _MAX_VALUE:
        raise UsageError(f"{option}: invalid size {text!r}", hint="Like this: 64MB, 512KiB")
    return int(size)


def parse_max_jobs(text: str, providers: Sequence[str]) -> tuple[str, int]:
    """Parse `PROVIDER=N` into the provider and the jobs that it may have open at once.

    Raises:
        UsageError: The provider is not one of `providers`, or N is not a number above 0.
    """
    provider, _, number = text.partition("=")
    if provider not in providers or not re.fullmatch(r"[1-9][0-9]{0,8}", number):
        raise UsageError(
            f"--max-jobs: invalid {text!r}", hint=f"Like this: --max-jobs {providers[0]}=500"
        )
    return provider, int(number)


def parse_units(option: str, text: str) -> float | None:
    """Parse a number of units; None for "".

    Raises:
        UsageError: It is not a number above 0.
    """
    if not text:
        return None
    if not re.fullmatch(r"\d+(?:\.\d+)?", text) or not 0 < float(text) < _MAX_VALUE:
        raise UsageError(f"{option}: invalid number {text[:40]!r}", hint=f"Like this: {option} 500")
    return float(text)


def parse_unit_cost(text: str) -> UnitCost | None:
    """Parse `2` (units of each caption) or `0.5/min` (of each minute of video); None for "".

    Raises:
        UsageError: It is neither.
    """
    number, slash, unit = text.partition("/")
    if slash and unit != "min":
        raise UsageError(f"--unit-cost: invalid cost {text[:40]!r}", hint=_COSTS)
    try:
        units = parse_units("--unit-cost", number)
    except UsageError as error:
        raise UsageError(error.message, hint=_COSTS) from None
    return None if units is None else UnitCost(units, per_minute=bool(slash))


def parse_filter(text: str) -> Filter:
    """Parse `COLUMN=GLOB`.

    Raises:
        UsageError: There is no "=" in it, or no column before it.
    """
    column, equals, glob = text.partition("=")
    if not equals or not column.strip():
        raise UsageError(
            f"--filter: invalid {text[:40]!r}", hint="Like this: --filter 'title=Season 2*'"
        )
    return Filter(column.strip(), glob)


def parse_moment(option: str, text: str) -> float | None:
    """Parse `2026-10-01`, `2026-10-01T18:00` or the like with an offset into unix seconds.

    Local time, if there is no offset. None for "".

    Raises:
        UsageError: The text is not a date.
    """
    if not text:
        return None
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        raise UsageError(
            f"{option}: invalid date {text[:40]!r}",
            hint="Like this: 2026-10-01, 2026-10-01T18:00, 2026-10-01T18:00Z",
        ) from None


def parse_formats(option: str, text: str) -> tuple[str, ...]:
    """Parse `srt,ttml` into names of caption formats, each once; an empty text has none.

    Raises:
        UsageError: One is unknown; the message names `option`.
    """
    formats = tuple(dict.fromkeys(part for part in re.split(r"[;,\s]+", text.lower()) if part))
    for name in formats:
        if name not in CAPTION_FORMATS:
            raise UsageError(
                f"{option}: unknown caption format {name[:20]!r}",
                hint=f"There are: {', '.join(CAPTION_FORMATS)}",
            )
    return formats


def parse_languages(option: str, text: str) -> tuple[str, ...]:
    """Parse `es,ja;pt-BR` into language tags, each once; an empty text has none.

    Raises:
        UsageError: One is not a language tag.
    """
    # Imported here, or `batchcap --help` would read manifests' modules too.
    from batchcap.manifest.languages import tags
    from batchcap.manifest.messages import InvalidValue

    texts = [part for part in re.split(r"[;,\s]+", text) if part]
    try:
        return tags(texts) if texts else ()
    except InvalidValue as error:
        raise UsageError(f"{option}: {error}") from None

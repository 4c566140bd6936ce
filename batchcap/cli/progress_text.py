"""Parts of a snapshot as text, for the progress display and `status`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from batchcap.reports.local_time import local_time
from batchcap.reports.results import duration
from batchcap.reports.snapshot import Snapshot

_MAX_CODES = 4


def ends(snapshot: Snapshot) -> Iterator[str]:
    """Yield when the run will end, if anything is left to do."""
    if not any(provider.left for provider in snapshot.providers):
        return
    if snapshot.ends_at is None:
        yield "the time left is not known yet"
    else:
        left = max(0.0, snapshot.ends_at - snapshot.at)
        yield f"about {rough(left)} left, until {_moment(snapshot.ends_at, left)}"


def rates(snapshot: Snapshot) -> list[str]:
    """Return the requests that each bucket sends a second, and what its limit is."""
    return [
        f"{bucket.name} {_per_second(bucket.sent)}"
        + (f" of {_per_second(bucket.rate)}" if bucket.rate else "")
        for bucket in snapshot.buckets
    ]


def pauses(snapshot: Snapshot) -> Iterator[str]:
    """Yield which buckets pause because a provider asked for it, and until when."""
    for bucket in snapshot.buckets:
        if bucket.paused_until is not None:
            left = bucket.paused_until - snapshot.at
            until = _moment(bucket.paused_until, left, seconds=True)
            yield f"{bucket.name} pauses for {duration(left)}, until {until}, as the provider asked"


def sources(snapshot: Snapshot) -> Iterator[str]:
    """Yield how many source captions were fetched, if any are to be."""
    if (state := snapshot.sources) is not None:
        text = f"source captions: {state.fetched:,} of {state.total:,}"
        yield f"{text}, {state.failed:,} could not be had" if state.failed else text


def waits(snapshot: Snapshot) -> Iterator[str]:
    """Yield what requests and rows wait for, the most frequent reason first."""
    for wait in snapshot.waits:
        left = duration(max(0.0, wait.until - snapshot.at))
        many = f"{wait.count:,} wait" if wait.count > 1 else "one waits"
        yield f"{wait.where}: {many} for {wait.reason} ({left})"


def failures(snapshot: Snapshot) -> Iterator[str]:
    """Yield how many rows failed in this run, by code."""
    codes = [f"{code} {count:,}" for code, count in list(snapshot.errors.items())[:_MAX_CODES]]
    codes += ["..."] if len(snapshot.errors) > _MAX_CODES else []
    if codes:
        yield f"failed: {', '.join(codes)}"


def since(snapshot: Snapshot) -> Iterator[str]:
    """Yield the last problem, and how long ago it was."""
    if snapshot.problem_at is not None:
        yield f"{duration(snapshot.at - snapshot.problem_at)} ago: {snapshot.problem}"


def rough(seconds: float) -> str:
    """Return a duration as exactly as an estimate is: `40 s`, `12 min`, `3h 20m`."""
    if seconds < 90:
        return f"{max(5, round(seconds / 5) * 5)} s"
    if seconds < 3570:
        return f"{round(seconds / 60)} min"
    minutes = round(seconds / 300) * 5
    return f"{minutes // 60}h {minutes % 60:02}m"


def compact(count: int) -> str:
    """Return a number in at most five characters: `9,999`, `12.3k`, `1.2M`."""
    for limit, divisor, unit in ((10_000, 1, ""), (999_950, 1000, "k"), (10**12, 10**6, "M")):
        if count < limit:
            value = count / divisor
            return f"{count:,}" if not unit else f"{value:.{1 if value < 100 else 0}f}{unit}"
    return f"{count:.0e}"


def _per_second(count: float) -> str:
    return f"{count:,.0f}" if count >= 10 else f"{count:.2g}"


def _moment(at: float, left: float, *, seconds: bool = False) -> str:
    """Return the time of day, with the date if it is not within half a day."""
    if left > 12 * 3600:
        return local_time(at)
    moment = datetime.fromtimestamp(at).astimezone()
    return f"{moment:%H:%M:%S}" if seconds else f"{moment:%H:%M}"

"""The state of a run, as lines for the screen and as one JSON object."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from batchcap.cli.progress_text import ends, pauses, rates, since, sources, waits
from batchcap.domain.language_names import named
from batchcap.domain.models import LanguageCount, OpenJob, Totals
from batchcap.reports.results import duration
from batchcap.reports.snapshot import ProviderState, Snapshot
from batchcap.storage.ledger import LockHolder

_MAX_JOBS = 3
_MAX_LANGUAGES = 12
_OLD_SNAPSHOT = 30.0  # seconds after which a snapshot is said to be old


class RunState(msgspec.Struct, frozen=True, kw_only=True):
    """What the ledger and the lock tell of a run.

    `snapshot` is the last one of the run at work, None if there is none. `resume` is the
    command that continues. `at` is now, in unix seconds.
    """

    totals: Totals
    holder: LockHolder | None
    is_rehearsal: bool
    snapshot: Snapshot | None
    open_job_count: int
    oldest_jobs: list[OpenJob]
    languages: list[LanguageCount]
    resume: str
    at: float


def as_json(state: RunState) -> dict[str, Any]:
    """Return the object that `status --json` prints."""
    return {
        "running": msgspec.to_builtins(state.holder),
        "sandbox": state.is_rehearsal,
        **msgspec.to_builtins(state.totals),
        "open_jobs": state.open_job_count,
        "languages": [
            {**msgspec.to_builtins(count), **named(count.language or "")._asdict()}
            for count in state.languages
        ],
        "oldest_jobs": msgspec.to_builtins(state.oldest_jobs),
        "snapshot": msgspec.to_builtins(state.snapshot),
    }


def as_lines(state: RunState) -> Iterator[str]:
    """Yield the state as lines for the screen."""
    totals, snapshot = state.totals, state.snapshot
    if state.is_rehearsal:
        yield "a rehearsal: its captions are the sandbox's"
    if state.holder:
        age = state.at - state.holder.since
        yield f"running: process {state.holder.pid} on {state.holder.host}, for {duration(age)}"
    else:
        yield "not running" + (f"; to continue: {state.resume}" if totals.pending else "")
    phases = {provider.name: provider for provider in snapshot.providers} if snapshot else {}
    for name, states in totals.by_provider.items():
        counts = [f"{count:,} {what}" for what, count in states.items()]
        yield f"{name}: {', '.join(counts)}{_where(phases.get(name), states.get('pending', 0))}"
    yield f"{totals.done:,} of {totals.total:,} captions done"
    yield from _languages(state.languages)
    if totals.units_consumed:
        yield f"units: {totals.units_consumed:,}"
    if snapshot is not None:
        yield from _of_run(snapshot, state.at)
    yield from _jobs(state)
    if totals.without_cues:
        yield f"done, without a cue: {totals.without_cues:,}"
    for code, count in sorted(totals.errors.items()):
        yield f"failed, {code}: {count:,}"


def _languages(counts: list[LanguageCount]) -> Iterator[str]:
    """Yield the languages with most rows that are not done, each with its names."""
    named_counts = [count for count in counts if count.language]
    named_counts.sort(key=lambda count: count.done - count.total)
    for count in named_counts[:_MAX_LANGUAGES]:
        yield f"  {named(count.language or '')}: {count.done:,} of {count.total:,}"
    if len(named_counts) > _MAX_LANGUAGES:
        yield f"  and {len(named_counts) - _MAX_LANGUAGES:,} more languages"


def _where(provider: ProviderState | None, pending: int) -> str:
    """Return where the pending rows of a provider are in the run.

    `pending` is how many there are now; the snapshot is some seconds older.
    """
    if provider is None or provider.at_provider + provider.downloading > pending:
        return ""
    waiting = pending - provider.at_provider - provider.downloading
    phases = (
        (min(provider.waiting, waiting), "waiting"),
        (provider.at_provider, "at the provider"),
        (provider.downloading, "downloading"),
    )
    shown = ", ".join(f"{count:,} {label}" for count, label in phases if count)
    return f" ({shown})" if shown else ""


def _of_run(snapshot: Snapshot, at: float) -> Iterator[str]:
    yield from ends(snapshot)
    if used := rates(snapshot):
        yield f"requests/s: {', '.join(used)}"
    yield from sources(snapshot)
    yield from pauses(snapshot)
    yield from waits(snapshot)
    for text in since(snapshot):
        yield f"last problem: {text}"
    if at - snapshot.at > _OLD_SNAPSHOT:
        yield f"that was {duration(at - snapshot.at)} ago; the run has not reported since"


def _jobs(state: RunState) -> Iterator[str]:
    """Yield how many jobs are open, and which of them hold the end open."""
    if not state.open_job_count:
        return
    yield f"jobs open at the provider: {state.open_job_count:,}, the oldest first:"
    for job in state.oldest_jobs[:_MAX_JOBS]:
        age = duration(max(0.0, state.at - job.since))
        yield f"  {job.key}: {job.provider} job {job.job_id}, for {age}"

"""What a run over some manifests would do, found without a request and without leaving a trace.

The manifests are imported into a copy of the ledger that is gone afterwards, so every rule of a
run's import holds here too.
"""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from batchcap.app.account_check import TO_CREATE, CheckResult
from batchcap.app.forecast import Expectation, expect
from batchcap.app.limits import passed_limits
from batchcap.app.providers import check_before_import, excluded_tracks
from batchcap.app.sources import offers_sources
from batchcap.domain.errors import UsageError
from batchcap.domain.ledger_protocols import Ledger
from batchcap.domain.models import ImportResult, InvalidRow, Row
from batchcap.domain.settings import Settings
from batchcap.domain.text import counted
from batchcap.domain.workload import TaskCount
from batchcap.providers import PROVIDERS
from batchcap.reports.local_time import utc_time
from batchcap.reports.plan import SHOWN, Plan, Problem, Range
from batchcap.reports.results import duration, size
from batchcap.simulation.forecast import JOBS, MACHINE, WINDOW

_FILE_SIZE = 30_000
"""Bytes of a caption file, as long as the ledger has none: some 30 minutes of speech."""

_PLACE = re.compile(r"item \d+: ")
"""What a row of a JSON document puts before its problems if its line is not its own."""

_COLUMNS = {"provider", "key", "name"}.union(*(s.columns.names() for s in PROVIDERS.values()))
_COLUMN = re.compile(rf"(?:^|; )({'|'.join(_COLUMNS)}): ")


class Planner:
    """Plans a run over a scratch ledger. `now` is the time of day in unix seconds.

    With `skip_invalid`, wrong rows of the manifests are notes; else they are problems. What is
    wrong with a whole file is always a problem.
    """

    def __init__(
        self,
        ledger: Ledger,
        settings: Settings,
        environment: Mapping[str, str],
        now: float,
        *,
        sandbox: bool,
        skip_invalid: bool,
    ) -> None:
        self._ledger, self._settings, self._environment = ledger, settings, environment
        self._now, self._sandbox, self._skip_invalid = now, sandbox, skip_invalid
        self._imported = ImportResult()
        self._refusals: list[Problem] = []
        self._names: list[str] = []

    def read(self, manifests: Sequence[tuple[str, Iterable[Row | InvalidRow]]]) -> None:
        """Import the manifests, given as (name, rows), and choose from their rows.

        Raises:
            UsageError: A manifest cannot be read.
        """
        ledger, settings = self._ledger, self._settings
        self._names = [name for name, _ in manifests]
        self._imported = ledger.import_rows(manifests, skip_invalid=True, is_trial=True)
        self._try(
            lambda: check_before_import(ledger, self._environment, settings, sandbox=self._sandbox)
        )
        if not settings.selection.is_everything:
            self._try(lambda: ledger.choose(settings.selection))

    def plan(self, notes: Iterable[str], account: CheckResult | None = None) -> Plan:
        """Return the plan; `notes` and what the account has become part of it."""
        ledger, settings = self._ledger, self._settings
        expected = expect(ledger, settings, sandbox=self._sandbox)
        for option, text in passed_limits(expected, settings.limits, self._now):
            self._refusals.append(Problem(option, None, text))
        return self._plan(expected, notes, account)

    def problems(self) -> Iterator[Problem]:
        """Yield everything for which a run would be refused."""
        yield from self._refusals
        if not self._can_skip():
            for where, text in self._ledger.problems():
                yield from split_problem(where, text)
        yield from self._excluded()

    def problem_lines(self) -> Iterator[str]:
        """Yield the first problems as lines for the screen, each once, and how many more."""
        rows = ImportResult() if self._can_skip() else self._imported
        others = [*self._refusals, *self._excluded()]
        yield from map(str, others[:SHOWN])
        yield from rows.problems
        if more := max(0, len(others) - SHOWN) + rows.more_problems:
            yield f"... and {more:,} more (all of them: --json)"

    def _excluded(self) -> Iterator[Problem]:
        for where, text, hint in excluded_tracks(self._ledger):
            yield Problem(where, None, f"{text}; {hint}")

    def _can_skip(self) -> bool:
        """Return whether a run would go on without the invalid rows."""
        return self._skip_invalid and not self._imported.has_bad_file

    def _try(self, check: Callable[[], object]) -> None:
        """Make a check of the run; what it refuses is a problem."""
        try:
            check()
        except UsageError as error:
            text = f"{error.message}. {error.hint}" if error.hint else error.message
            self._refusals.append(Problem(str(self._settings.out), None, text))

    def _plan(
        self, expected: Expectation, notes: Iterable[str], account: CheckResult | None
    ) -> Plan:
        counts = self._ledger.task_counts()
        forecast = expected.forecast
        earlier = {
            name: count
            for name, count in self._ledger.pending_by_manifest().items()
            if name not in self._names
        }
        file_bytes, is_measured = self._file_size()
        seconds, files = forecast.seconds, expected.rows + expected.sources
        return Plan(
            manifests=self._names,
            tasks=sum(count.count for count in counts),
            by_provider=_sums(counts, lambda count: count.provider),
            by_language=_sums(counts, lambda count: count.language or "unknown"),
            done_already=_sums(counts, lambda count: count.state).get("done", 0),
            to_do=expected.rows,
            jobs=expected.creates,
            published=expected.published,
            earlier_manifests=earlier,
            shared_sources=sum(work.shared for work in expected.workloads if work.creates),
            requests={**self._no_requests(), **forecast.requests, "downloads": files},
            sources=self._sources(expected),
            bottleneck=forecast.bottleneck,
            limit=self._limit(expected),
            seconds=Range(seconds.low, seconds.likely, seconds.high),
            now=self._now,
            ends_at=utc_time(self._now + seconds.likely),
            units=None
            if expected.units is None
            else {"low": expected.units.low, "high": expected.units.high},
            units_reason=expected.units_reason,
            files=files,
            bytes=round(files * file_bytes),
            account=account.counts if account else None,
            notes=[
                *notes,
                *self._notes(expected, counts, is_measured=is_measured),
                *_findings(account),
            ],
        )

    def _no_requests(self) -> dict[str, int]:
        return {bucket: 0 for spec in PROVIDERS.values() for bucket in spec.rates}

    def _sources(self, expected: Expectation) -> dict[str, int] | None:
        """Return the requests for source captions, by bucket; None if these are not wanted."""
        if not self._settings.fetch_sources:
            return None
        return {**expected.source_reads, "downloads": expected.sources}

    def _file_size(self) -> tuple[float, bool]:
        """Return the bytes of a caption file, and whether the ledger's files were measured."""
        totals = self._ledger.totals()
        if totals.done:
            return totals.bytes / totals.done, True
        return _FILE_SIZE, False

    def _limit(self, expected: Expectation) -> str:
        """Return what decides how long the run takes, in words."""
        match expected.forecast.limit:
            case None:
                return ""
            case limit if limit == JOBS:
                return "the length of single jobs"
            case limit if limit == MACHINE:
                return "this machine"
            case limit if limit == WINDOW:
                return "the number of jobs that may be open at once (--max-jobs)"
            case bucket:
                rates = {
                    name: self._settings.rate(name, rate)
                    for spec in PROVIDERS.values()
                    for name, rate in spec.rates.items()
                }
                return f"{bucket} at {rates[bucket]:.3g}/s"

    def _notes(
        self, expected: Expectation, counts: Sequence[TaskCount], *, is_measured: bool
    ) -> Iterator[str]:
        if repeats := self._imported.describe_repeats():
            yield repeats
        if self._imported.invalid and self._can_skip():
            yield f"{self._imported.invalid:,} invalid rows are skipped; the first ones are:"
            yield from self._imported.problems
        states = _sums(counts, lambda count: count.state)
        for state in ("failed", "skipped"):
            if count := states.get(state):
                retry = ", as long as you do not run: batchcap resume --retry-failed"
                yield f"{count:,} tasks {state} and stay so{retry if state == 'failed' else ''}"
        yield from self._notes_on_sources(expected)
        yield from self._notes_on_jobs(expected)
        if expected.forecast.is_scaled:
            yield (
                f"the time is scaled from a simulated run of {expected.forecast.simulated:,} rows"
            )
        if expected.rows and not is_measured:
            yield f"the size of a caption file is assumed: {size(_FILE_SIZE)}"
        yield from self._notes_on_disk(expected)

    def _notes_on_jobs(self, expected: Expectation) -> Iterator[str]:
        for work in expected.workloads:
            rule = PROVIDERS[work.provider].track_rule
            if work.published and rule is not None:
                jobs = counted(work.published, "new job")
                yield f"{jobs} would publish: each {rule.published}. To avoid that: {rule.hint}"
        if not any(work.creates or work.with_job for work in expected.workloads):
            return
        if expected.measured:
            yield f"the lengths of jobs are those of {expected.measured:,} jobs of this ledger"
        else:
            lengths = expected.lengths
            yield (
                f"the lengths of jobs are assumed: half of them end within "
                f"{duration(lengths.quantile(0.5))}, 95 % within {duration(lengths.quantile(0.95))}"
            )

    def _notes_on_sources(self, expected: Expectation) -> Iterator[str]:
        for work in expected.workloads:
            if self._settings.fetch_sources and not offers_sources(work.provider):
                rows = counted(work.rows, "row")
                yield f"{work.provider} offers no source captions; --fetch-sources skips {rows}"

    def _notes_on_disk(self, expected: Expectation) -> Iterator[str]:
        needed = round((expected.rows + expected.sources) * self._file_size()[0])
        free = _free_bytes(self._settings.out)
        if free is not None and needed > free:
            yield f"the captions need {size(needed)}, and the disk has {size(free)} left"


def split_problem(where: str, text: str) -> Iterator[Problem]:
    """Yield the problems of an invalid row, whose text is `column: what is wrong; ...`."""
    place = _PLACE.match(text)
    start = place.end() if place else 0
    before, *pairs = _COLUMN.split(text[start:])
    if before:
        yield Problem(where, None, text[:start] + before)
    for column, message in zip(pairs[::2], pairs[1::2], strict=True):
        yield Problem(where, column, text[:start] + message)


def _sums(counts: Iterable[TaskCount], name: Callable[[TaskCount], str]) -> dict[str, int]:
    sums: Counter[str] = Counter()
    for count in counts:
        sums[name(count)] += count.count
    return dict(sums)


def _findings(account: CheckResult | None) -> Iterator[str]:
    """Yield what the account says of rows that a run would not create a job for."""
    if account is None:
        return
    for kind, examples in account.examples.items():
        if kind != TO_CREATE:
            count = account.counts[kind]
            more = f" and {count - len(examples):,} more" if count > len(examples) else ""
            yield f"{kind}, {count:,} in the account: {'; '.join(examples)}{more}"


def _free_bytes(out: Path) -> int | None:
    """Return the free space of the disk on which an output folder is, or will be."""
    for folder in (out.absolute(), *out.absolute().parents):
        try:
            return shutil.disk_usage(folder).free
        except OSError:
            continue
    return None

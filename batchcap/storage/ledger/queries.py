"""What commands read from the ledger: totals, results, and what verify and audit check."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from batchcap.domain.forgetting import ForgetScope, Hold
from batchcap.domain.models import (
    CaptionRecord,
    CompletedRow,
    CreateRecord,
    FailureGroup,
    FindingCount,
    LanguageCount,
    MinuteCount,
    OpenJob,
    Row,
    RowPair,
    Totals,
)
from batchcap.domain.text import one_line
from batchcap.domain.workload import PaidVideo, RowRules, Workload
from batchcap.storage.ledger import forgetting, read_only, schema, unlisted, workload
from batchcap.storage.ledger.results import (
    COLUMNS,
    COLUMNS_WITHOUT_QUALITY,
    META,
    WIDTH,
    json_columns,
    result,
    result_of_json,
)
from batchcap.storage.ledger.selection import CHOSEN, ChosenRows

_PAGE = 512

Examine = Callable[[Row], Mapping[str, int] | None]
"""Returns the findings of a row's caption by kind, None if there is no file to look at."""

_ROW = ", ".join(Row.__struct_fields__)
_RESULTS = "SELECT {} FROM rows ORDER BY number"
# Each a single JSON text: for every row that a query returns, Python's module releases the GIL and
# takes it again, which costs more than the row in a thread beside a busy event loop.
_ROW_VERSIONS = """
SELECT json_group_array(json_array(number, version)) FROM (
    SELECT number, finished_at AS version FROM rows WHERE finished_at >= ?
    UNION ALL
    SELECT row, max(intent_at) FROM creates JOIN rows ON number = row
    WHERE creates.job_id IS NOT NULL AND ended IS NULL AND state IS NULL AND finished_at IS NULL
    GROUP BY row
)
"""
_RESULTS_OF = """
SELECT json_group_array(json_array(number, {}))
FROM rows WHERE number IN (SELECT value FROM json_each(?))
"""
_FINDINGS = """
SELECT finding.key, sum(finding.value), count(*) FROM rows, json_each(quality) AS finding
WHERE quality IS NOT NULL GROUP BY 1
"""
# Two halves, since the index of pending rows counts its own at once.
_TOTALS = """
SELECT * FROM (
    SELECT provider, 'pending' AS state, NULL AS code, count(*), 0, 0
    FROM rows WHERE state IS NULL GROUP BY provider
    UNION ALL
    SELECT provider, state, code, count(*), ifnull(sum(bytes), 0), ifnull(sum(cues = 0), 0)
    FROM rows WHERE state IS NOT NULL GROUP BY provider, state, code
) ORDER BY provider, state, code
"""
_UNITS = "SELECT ifnull(sum(units), 0) FROM creates"
# Steps through the index from provider to provider, and skips the pending rows of each.
_WITH_PENDING = """
WITH RECURSIVE waiting(name) AS (
    SELECT min(provider) FROM rows WHERE state IS NULL
    UNION ALL
    SELECT (SELECT min(provider) FROM rows WHERE state IS NULL AND provider > name)
    FROM waiting WHERE name IS NOT NULL
)
SELECT name FROM waiting WHERE name IS NOT NULL AND (NOT ? OR EXISTS (
    SELECT 1 FROM rows WHERE provider = name AND state IS NULL AND finished_at IS NOT NULL
))
"""
_CHOSEN_PROVIDERS = f"""
SELECT DISTINCT provider FROM rows WHERE state IS NULL AND {CHOSEN}(number) ORDER BY provider
"""  # noqa: S608  # a constant
_FAILED_CODES = "SELECT DISTINCT code FROM rows WHERE state = 'failed' ORDER BY code"
_PENDING_BY_PROVIDER = """
SELECT provider, count(*) FROM rows WHERE state IS NULL{} GROUP BY provider
"""
_LANGUAGES = """
SELECT language, count(*), sum(ifnull(state, '') = 'done')
FROM rows WHERE path IS NOT NULL GROUP BY language ORDER BY language
"""
# The bare columns are those of the row with the least number, as SQLite promises for min().
_FAILURES = """
SELECT code, count(*), sum(retryable), key, origin, message, min(number)
FROM rows WHERE state IN ('failed', 'invalid') GROUP BY code ORDER BY count(*) DESC, code
"""
_WITH_OPEN_JOB = """
FROM rows r JOIN creates c ON c.row = r.number
WHERE r.state IS NULL AND r.finished_at IS NULL AND c.job_id IS NOT NULL AND c.ended IS NULL
"""
_OPEN_JOBS = f"""
SELECT r.key, r.provider, c.job_id, c.intent_at {_WITH_OPEN_JOB}
ORDER BY c.intent_at, r.number LIMIT ?
"""
_OPEN_JOB_COUNT = f"SELECT count(*) {_WITH_OPEN_JOB}"
_COMPLETED = """
SELECT number, key, path, bytes, sha256, cues FROM rows
WHERE state = 'done' AND number > ? ORDER BY number LIMIT ?
"""
_ROWS = """
SELECT {} FROM rows WHERE provider = ? AND number > ? AND state IS {}{} ORDER BY number LIMIT ?
"""
_TASK = """
SELECT 1 FROM rows WHERE provider = ? AND source_id = ? AND target = ? AND path IS NOT NULL
"""
# "+path", or SQLite puts ?1 into lower(path) too, and looks through all rows.
_PATH = "SELECT 1 FROM rows WHERE lower(path) = lower(?1) AND +path = ?1 AND path IS NOT NULL"
_WITH_JOBS = """
SELECT DISTINCT provider FROM rows WHERE target <> '' AND path IS NOT NULL ORDER BY provider
"""
_SOURCES = """
SELECT DISTINCT source_id FROM rows
WHERE provider = ? AND source_id > ? AND target <> '' AND path IS NOT NULL
ORDER BY source_id LIMIT ?
"""
_CAPTIONS = """
SELECT number, key, target, params FROM rows
WHERE provider = ? AND source_id = ? AND target <> '' AND path IS NOT NULL
"""
# Two different tags of one primary language: at least one of them has a hyphen.
_SIBLINGS = """
SELECT a.origin, a.source_id, a.language, a.params, b.language, b.params
FROM rows a JOIN rows b ON b.source_id = a.source_id AND b.provider = a.provider
    AND b.target <> a.target AND b.target || '-' LIKE
        substr(a.target, 1, instr(a.target, '-')) || '%'
WHERE a.provider = ? AND instr(a.target, '-') AND a.path IS NOT NULL AND b.path IS NOT NULL
    AND (a.number < b.number OR NOT instr(b.target, '-'))
    AND ((a.state IS NULL AND a.finished_at IS NULL) OR (b.state IS NULL AND b.finished_at IS NULL))
    AND ifnull(a.state, 'done') = 'done' AND ifnull(b.state, 'done') = 'done'
ORDER BY a.number
"""
_EQUAL_PARAM = """
WITH named AS MATERIALIZED (
    SELECT number, origin, source_id, language, params,
        state IS NULL AND finished_at IS NULL AS new,
        lower(trim(json_extract(params, '$.' || :param))) AS name
    FROM rows NOT INDEXED
    WHERE provider = :provider AND instr(params, :param) AND path IS NOT NULL
        AND ifnull(state, 'done') = 'done'
)
SELECT a.origin, a.source_id, a.language, a.params, b.language, b.params
FROM named a JOIN named b ON b.source_id = a.source_id AND b.name = a.name AND a.number < b.number
WHERE a.new OR b.new
ORDER BY a.number
"""
_CREATES = "SELECT job_id, ended, units FROM creates WHERE row = ? ORDER BY nth"
_VALUES = "SELECT key, value FROM memory WHERE substr(key, 1, length(?1)) = ?1"
_HAS_MINUTES = "SELECT 1 FROM sqlite_master WHERE name = 'minutes'"
_MINUTES = """
SELECT minute, source, what, count FROM minutes WHERE minute >= ? ORDER BY minute, source, what
"""
_FINGERPRINT = "SELECT mark FROM seen WHERE file = ?"


class SqliteLedgerReader:
    """The `ledger_protocols.LedgerReader` of one SQLite file, on a connection that it closes.

    With `repairs`, a row is pending only if it was done once. With `examine`, `quality` of a row
    that is done is what it returns, and not what the ledger has.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        out: Path,
        *,
        repairs: bool = False,
        examine: Examine | None = None,
    ) -> None:
        self._connection = connection
        self._path, self._out, self._repairs = path, out, repairs
        self._chosen: ChosenRows | None = None
        self._examine = examine
        self._has_quality = schema.has_quality(connection)
        self._columns = COLUMNS if self._has_quality else COLUMNS_WITHOUT_QUALITY

    def close(self) -> None:
        """See `ledger_protocols.LedgerReader`."""
        self._connection.close()

    def totals(self) -> Totals:
        """See `ledger_protocols.LedgerReader`."""
        totals = Totals(errors={}, by_provider={})
        for provider, state, code, count, size, without_cues in self._select(_TOTALS):
            totals.total += count
            totals.bytes += size
            totals.without_cues += without_cues
            setattr(totals, state, getattr(totals, state) + count)
            if state == "failed":
                totals.errors[code] = totals.errors.get(code, 0) + count
            states = totals.by_provider.setdefault(provider or "unknown", {})
            states[state] = states.get(state, 0) + count
        ((totals.units_consumed,),) = self._select(_UNITS)
        return totals

    def providers_with_pending(self) -> list[str]:
        """See `ledger_protocols.LedgerReader`."""
        if self._chosen is not None:
            return [provider for (provider,) in self._select(_CHOSEN_PROVIDERS)]
        return [provider for (provider,) in self._select(_WITH_PENDING, (self._repairs,))]

    def pending_by_provider(self) -> dict[str, int]:
        """See `ledger_protocols.LedgerReader`."""
        repaired = " AND finished_at IS NOT NULL" if self._repairs else ""
        where = f"{self._only_chosen()}{repaired}"
        return dict(self._select(_PENDING_BY_PROVIDER.format(where)))

    def workloads(self, rules: RowRules) -> list[Workload]:
        """See `ledger_protocols.LedgerReader`."""
        with self._faults():
            return workload.workloads(self._connection, rules, self._only_chosen())

    def pending_by_manifest(self) -> dict[str, int]:
        """See `ledger_protocols.LedgerReader`."""
        with self._faults():
            return workload.pending_by_manifest(self._connection, self._only_chosen())

    def paid_videos(self) -> list[PaidVideo]:
        """See `ledger_protocols.LedgerReader`."""
        with self._faults():
            return workload.paid_videos(self._connection)

    def failed_codes(self) -> list[str]:
        """See `ledger_protocols.LedgerReader`."""
        return [code for (code,) in self._select(_FAILED_CODES)]

    def language_counts(self) -> list[LanguageCount]:
        """See `ledger_protocols.LedgerReader`."""
        return [LanguageCount(*values) for values in self._select(_LANGUAGES)]

    def failures(self) -> list[FailureGroup]:
        """See `ledger_protocols.LedgerReader`."""
        return [FailureGroup(*values[:-1]) for values in self._select(_FAILURES)]

    def open_jobs(self, limit: int) -> list[OpenJob]:
        """See `ledger_protocols.LedgerReader`."""
        return [OpenJob(*values) for values in self._select(_OPEN_JOBS, (limit,))]

    def open_job_count(self) -> int:
        """See `ledger_protocols.LedgerReader`."""
        return sum(count for (count,) in self._select(_OPEN_JOB_COUNT))

    def results(self) -> Iterator[dict[str, Any]]:
        """See `ledger_protocols.LedgerReader`."""
        more = "" if self._examine is None else f", {_ROW}"
        for values in self._select(_RESULTS.format(self._columns + more)):
            shown = result(values[:WIDTH], orjson.loads(values[META]))
            if self._examine is not None and shown["state"] == "done":
                shown["quality"] = self._examine(Row.of(values[WIDTH:]))
            yield shown

    def result_lines(self) -> Iterator[bytes]:
        """See `ledger_protocols.LedgerReader`."""
        for values in self._select(_RESULTS.format(self._columns)):
            shown = result(values, orjson.Fragment(values[META]))
            yield one_line(orjson.dumps(shown, option=orjson.OPT_APPEND_NEWLINE))

    def data_version(self) -> int:
        """See `ledger_protocols.LedgerReader`."""
        ((version,),) = self._select("PRAGMA data_version")
        return int(version)

    def row_versions(self, since: float) -> dict[int, float]:
        """See `ledger_protocols.LedgerReader`."""
        ((versions,),) = self._select(_ROW_VERSIONS, (since,))
        return dict(orjson.loads(versions))

    def results_of(self, numbers: Sequence[int]) -> dict[int, dict[str, Any]]:
        """See `ledger_protocols.LedgerReader`."""
        chosen = orjson.dumps(list(numbers)).decode()
        sql = _RESULTS_OF.format(json_columns(self._columns))
        ((results,),) = self._select(sql, (chosen,))
        return {number: result_of_json(values) for number, *values in orjson.loads(results)}

    def findings(self) -> dict[str, FindingCount]:
        """See `ledger_protocols.LedgerReader`."""
        if not self._has_quality:
            return {}
        return {kind: FindingCount(*counts) for kind, *counts in self._select(_FINDINGS)}

    def completed_rows(self) -> Iterator[list[CompletedRow]]:
        """See `ledger_protocols.LedgerReader`."""
        after = 0
        while page := [CompletedRow(*row) for row in self._select(_COMPLETED, (after, _PAGE))]:
            yield page
            after = page[-1].number

    def rows(self, provider: str, *, done: bool) -> Iterator[list[Row]]:
        """See `ledger_protocols.LedgerReader`."""
        state, chosen = ("'done'", "") if done else ("NULL", self._only_chosen())
        sql, after = _ROWS.format(", ".join(Row.__struct_fields__), state, chosen), 0
        while page := [Row.of(row) for row in self._select(sql, (provider, after, _PAGE))]:
            yield page
            after = page[-1].number

    def has_task(self, row: Row) -> bool:
        """See `ledger_protocols.LedgerReader`."""
        return any(self._select(_TASK, (row.provider, row.source_id, row.target)))

    def owns_path(self, path: str) -> bool:
        """See `ledger_protocols.LedgerReader`."""
        try:
            return any(self._select(_PATH, (path,)))
        except UnicodeEncodeError:
            return False  # no text of a manifest is such a name

    def has_caption(self, path: str) -> bool:
        """See `ledger_protocols.LedgerReader`."""
        try:
            return any(self._select(f"{_PATH} AND state = 'done'", (path,)))
        except UnicodeEncodeError:
            return False  # no text of a manifest is such a name

    def providers_with_jobs(self) -> list[str]:
        """See `ledger_protocols.LedgerReader`."""
        return [provider for (provider,) in self._select(_WITH_JOBS)]

    def source_ids(self, provider: str) -> Iterator[str]:
        """See `ledger_protocols.LedgerReader`."""
        after = ""
        while page := list(self._select(_SOURCES, (provider, after, _PAGE))):
            yield from (source_id for (source_id,) in page)
            (after,) = page[-1]

    def captions_of(self, provider: str, source_id: str) -> list[CaptionRecord]:
        """See `ledger_protocols.LedgerReader`."""
        return [
            CaptionRecord(
                key=key,
                source_id=source_id,
                target=target,
                track_id=orjson.loads(params).get("track_id"),
                creates=tuple(
                    CreateRecord(*values) for values in self._select(_CREATES, (number,))
                ),
            )
            for number, key, target, params in self._select(_CAPTIONS, (provider, source_id))
        ]

    def regional_siblings(self, provider: str) -> Iterator[RowPair]:
        """See `ledger_protocols.LedgerReader`."""
        yield from map(_row_pair, self._select(_SIBLINGS, (provider,)))

    def rows_with_equal(self, param: str, provider: str) -> Iterator[RowPair]:
        """See `ledger_protocols.LedgerReader`."""
        values = {"param": param, "provider": provider}
        yield from map(_row_pair, self._select(_EQUAL_PARAM, values))

    def manifests(self) -> list[str]:
        """See `ledger_protocols.LedgerReader`."""
        with self._faults():
            return forgetting.manifests(self._connection)

    def unlisted_keys(self) -> Iterator[str]:
        """See `ledger_protocols.LedgerReader`."""
        with self._faults():
            yield from unlisted.keys(self._connection)

    def count_holds(self, scope: ForgetScope) -> dict[Hold, int]:
        """See `ledger_protocols.LedgerReader`."""
        with self._faults():
            return forgetting.count_holds(self._connection, scope)

    def held_keys(self, scope: ForgetScope, hold: Hold) -> Iterator[tuple[str, str | None]]:
        """See `ledger_protocols.LedgerReader`."""
        with self._faults():
            yield from forgetting.held_keys(self._connection, scope, hold)

    def values(self, prefix: str = "") -> dict[str, str]:
        """See `ledger_protocols.LedgerReader`."""
        return dict(self._select(_VALUES, (prefix,)))

    def minutes(self, since: int = 0) -> Iterator[MinuteCount]:
        """See `ledger_protocols.LedgerReader`."""
        if any(self._select(_HAS_MINUTES)):  # a ledger of an earlier version has no such table
            for values in self._select(_MINUTES, (since,)):
                yield MinuteCount(*values)

    def fingerprint(self, file: str) -> str | None:
        """See `ledger_protocols.LedgerReader`."""
        return next((mark for (mark,) in self._select(_FINGERPRINT, (file,))), None)

    def _only_chosen(self) -> str:
        """Return the SQL that leaves out pending rows which were not chosen."""
        return "" if self._chosen is None else f" AND {CHOSEN}(number)"

    def _select(
        self, sql: str, values: Sequence[Any] | Mapping[str, Any] = ()
    ) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query. Raises `FatalError` if SQLite refuses the file."""
        with self._faults():
            yield from self._connection.execute(sql, values)

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Raise what SQLite raises as a `FatalError` that names the ledger."""
        try:
            yield
        except sqlite3.Error as error:
            raise schema.unusable(self._out, self._path, error) from None


def open_reader(out: Path, examine: Examine | None = None) -> SqliteLedgerReader:
    """Open an output folder's ledger to read from it, also while a run writes it.

    With `examine`, results have the findings that it returns for the rows that are done.

    Raises:
        UsageError: There is no ledger.
        FatalError: It is damaged, of another version, or may not be read.
    """
    return SqliteLedgerReader(read_only.connect(out), schema.file(out), out, examine=examine)


def _row_pair(record: tuple[Any, ...]) -> RowPair:
    origin, source_id, first, params, second, other = record
    return RowPair(
        unlisted.place(origin),
        source_id,
        (first, second),
        (orjson.loads(params), orjson.loads(other)),
    )

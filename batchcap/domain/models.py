"""Domain models: frozen values without I/O and without a clock.

row      one caption that the user wants: provider, source id, language
job      what a provider runs (Mux) or ran (HeyGen) to make it
history  what the ledger records of a row that has not ended
outcome  how a row ended
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any

import msgspec
import orjson

Json = dict[str, Any]


class RowState(enum.StrEnum):
    """The state of a row, as in results.jsonl."""

    PENDING = "pending"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    INVALID = "invalid"


class Phase(enum.StrEnum):
    """Where a row is that is being worked on."""

    WAITING = "waiting"
    """It waits for the quota, or for what must be looked up before."""
    AT_PROVIDER = "at_provider"
    """Its job is at the provider."""
    DOWNLOADING = "downloading"


class MinuteCount(msgspec.Struct, frozen=True):
    """How often something happened in one minute, `minute` * 60 in unix seconds.

    Of a provider ("mux"): "created" jobs, and captions "done", "failed" and "skipped". Of a
    bucket ("mux.read", "downloads"): "requests" that left, those that were "throttled", and
    the "quota", which is how many requests its rate allowed; without a limit there is none.
    """

    minute: int
    source: str
    what: str
    count: int


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One caption to get.

    `number` is its place in the ledger, from 1 in manifest order (0 before it
    is imported). `path` is relative to the output folder, with "/". `params`
    are the columns that the provider understands (`track_id`, `passthrough`,
    ...), `meta` the user's other columns, carried into results and report.
    `origin` is "file:line".

    `target` is the language that a job would translate to, in small letters (a tag's
    case means nothing), "" if no job is created.
    (provider, source_id, target) is the task: rows that agree in it ask for the
    same caption. A HeyGen row's `language` is only a label.
    """

    number: int = 0
    key: str
    provider: str
    source_id: str
    language: str | None
    target: str = ""
    path: str
    params: Json = {}
    meta: Json = {}
    origin: str = ""

    @classmethod
    def of(cls, values: Sequence[Any]) -> Row:
        """Return the row with these fields in their order, `params` and `meta` as JSON."""
        *texts, params, meta, origin = values
        fields = (*texts, orjson.loads(params), orjson.loads(meta), origin)
        return cls(**dict(zip(cls.__struct_fields__, fields, strict=True)))


class InvalidRow(msgspec.Struct, frozen=True, kw_only=True):
    """A manifest row that cannot be worked on, with what could be read of it.

    `meta` are the columns that are the user's, or were not reached.
    `is_whole_file`: the problem is the file's, such as its header or its encoding, or it is
    an option's, such as another --name than the ledger has. Then nothing is imported, even if
    invalid rows are to be skipped.
    """

    line: int
    message: str
    origin: str = ""
    key: str | None = None
    provider: str | None = None
    source_id: str | None = None
    language: str | None = None
    meta: Json = {}
    is_whole_file: bool = False


class RowHistory(msgspec.Struct, frozen=True):
    """What is known of a row that has not ended. Times are unix seconds.

    `intent_at` without `job_id`: a create may have left, and its response was lost, at
    `response_lost_at` at the latest.
    """

    intent_at: float | None = None
    job_id: str | None = None
    previous_job_ids: tuple[str, ...] = ()
    """Jobs of earlier creates of this row, which ended without a caption."""
    response_lost_at: float | None = None
    was_completed: bool = False
    """The row was done once and its file is damaged: no job is created for it."""


class PendingRow(msgspec.Struct, frozen=True):
    """A row that has not ended, with its history so far."""

    row: Row
    history: RowHistory


class JobState(enum.Enum):
    """What a job's state means to the engine, whatever word the provider uses."""

    RUNNING = "running"
    NOT_RUNNING = "not_running"
    """Not running any more; `get_job` returns how it ended."""
    COMPLETED = "completed"
    ERRORED = "errored"
    CANCELLED = "cancelled"
    MISSING = "missing"
    """The provider does not know the id (any more)."""


class Failure(msgspec.Struct, frozen=True):
    """Why a row failed; the `error` object of results.jsonl."""

    code: str
    message: str
    retryable: bool = False


class FailureGroup(msgspec.Struct, frozen=True):
    """The failed and invalid rows with one error code, with the first of them as a sample.

    `retryable` is the number of those whose error may pass. `key` is None for an invalid row
    without one; `origin` is "file:line".
    """

    code: str
    count: int
    retryable: int
    key: str | None
    origin: str
    message: str


class LanguageCount(msgspec.Struct, frozen=True):
    """The rows of one language, as it stands in results; None: rows without one."""

    language: str | None
    total: int
    done: int


class FindingCount(msgspec.Struct, frozen=True):
    """How many findings of one kind there are, and in how many captions."""

    findings: int
    captions: int


class OpenJob(msgspec.Struct, frozen=True):
    """A pending row with a job that has not ended, created at `since` (unix seconds)."""

    key: str
    provider: str
    job_id: str
    since: float


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job as the provider last described it.

    `link` is perishable and stays in memory, and so does `srt_link`, which leads to the same
    caption as SRT. `track` is the Mux text track
    that holds the result. `units` are the billed units, `duration` the seconds from
    its start to its end, if the provider reports them.
    """

    id: str | None
    state: JobState
    link: str | None = None
    srt_link: str | None = None
    track: str | None = None
    failure: Failure | None = None
    units: int = 0
    duration: float | None = None


class SourceLink(msgspec.Struct, frozen=True):
    """The track that a caption is translated from. `url` leads to its text; it is perishable."""

    track: str
    url: str


class ProviderJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job as the provider lists it, created by any program.

    `track_id` is the source track. `created_by_batchcap`: it carries the mark of its
    caption, which is the same in every ledger.
    """

    id: str
    state: JobState
    source_id: str
    target: str
    track_id: str | None = None
    created_by_batchcap: bool = False
    units: int = 0


class JobRequest(msgspec.Struct, frozen=True):
    """A job that has to be created for a row: the request body, ready to send."""

    row: Row
    body: Json


class Caption(msgspec.Struct, frozen=True):
    """A verified WebVTT file under its final name. `bytes` is its size.

    `quality` counts its findings by kind, None if it was not checked. `converted_from` is "srt"
    if the provider had no WebVTT file.
    """

    bytes: int
    sha256: str
    cues: int
    quality: dict[str, int] | None = None
    converted_from: str | None = None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a row ended, with the job as last seen. Times are unix seconds."""

    state: RowState
    started_at: float
    finished_at: float
    caption: Caption | None = None
    failure: Failure | None = None
    job: Job | None = None


class ImportResult(msgspec.Struct):
    """What an import did.

    `problems` are the first that rows of `invalid` have, as "file:line: text", each once with
    the lines that have it; there are `more_problems` than these.

    `corrected` rows were in the ledger, and are pending with their new parameters. `repeated`
    rows are like an earlier one of the same import but for the user's own columns, of which
    the earlier row's are kept; `repeats` are the "file:line" of the first two such.
    `has_bad_file`: a problem is that of a whole file, and cannot be skipped.
    """

    added: int = 0
    known: int = 0
    corrected: int = 0
    invalid: int = 0
    problems: list[str] = []
    more_problems: int = 0
    repeated: int = 0
    repeats: tuple[str, str] | None = None
    has_bad_file: bool = False

    def describe_repeats(self) -> str:
        """Return which rows repeat others with different columns of the user, "" if none do."""
        if not self.repeats:
            return ""
        first, second = self.repeats
        text = f"{second} is {first} again with other columns of your own, which are ignored"
        return f"{text} (and {self.repeated - 1:,} more)" if self.repeated > 1 else text


class Totals(msgspec.Struct):
    """Counts over the whole ledger; `errors` counts per code of failed rows.

    `without_cues` counts the captions that are done and have no cue, as silent videos have.
    """

    total: int = 0
    done: int = 0
    failed: int = 0
    skipped: int = 0
    invalid: int = 0
    pending: int = 0
    bytes: int = 0
    without_cues: int = 0
    units_consumed: int = 0
    errors: dict[str, int] = {}
    by_provider: dict[str, dict[str, int]] = {}


class CompletedRow(msgspec.Struct, frozen=True):
    """A row that is done, with what was downloaded."""

    number: int
    key: str
    path: str
    bytes: int
    sha256: str
    cues: int


class RowPair(msgspec.Struct, frozen=True):
    """Two rows of one source. `origin` is the first one's."""

    origin: str
    source_id: str
    languages: tuple[str, str]
    params: tuple[Json, Json]


class CreateRecord(msgspec.Struct, frozen=True):
    """One create that was sent. Without `job_id`, its response was lost."""

    job_id: str | None
    ended: str | None
    units: int


class CaptionRecord(msgspec.Struct, frozen=True):
    """A caption that a job is created for, with the creates that were sent for it."""

    key: str
    source_id: str
    target: str
    track_id: str | None
    creates: tuple[CreateRecord, ...]

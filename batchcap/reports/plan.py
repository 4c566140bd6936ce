"""A plan, for the screen and as one JSON object."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from batchcap.domain.text import counted
from batchcap.reports.local_time import local_time
from batchcap.reports.results import duration, size

SHOWN = 20
"""Problems and languages that the screen lists."""


class Problem(msgspec.Struct, frozen=True):
    """Why a run would be refused. `where` is "file:line", an option or the output folder."""

    where: str
    column: str | None
    message: str

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.where, self.column, self.message)))


class Range(msgspec.Struct, frozen=True):
    """Seconds at least, most likely and at most."""

    low: float
    likely: float
    high: float


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a run would do.

    `tasks`, `by_provider`, `by_language` and `done_already` are about the tasks that the
    manifests name. The rest is about the `to_do` captions that the run would get: those of
    the manifests, and pending ones of `earlier_manifests`. `account` counts what `--check` found
    for them, before they were counted; None without it. `jobs` of them need a new job.
    `sources` are those of the requests that are for source captions; None without
    `--fetch-sources`.
    `limit` says in words what decides how long it takes. `now` is in unix seconds.
    """

    manifests: list[str]
    tasks: int
    by_provider: Mapping[str, int]
    by_language: Mapping[str, int]
    done_already: int
    to_do: int
    jobs: int
    published: int
    earlier_manifests: Mapping[str, int]
    shared_sources: int
    requests: Mapping[str, int]
    sources: Mapping[str, int] | None = None
    bottleneck: str | None
    limit: str
    seconds: Range
    now: float
    ends_at: str | None
    units: Mapping[str, float] | None
    units_reason: str
    files: int
    bytes: int
    account: Mapping[str, int] | None
    notes: list[str]


_NOT_IN_JSON = {"limit", "now", "units_reason", "manifests"}


def as_json(plan: Plan, problems: Iterable[Problem]) -> Iterator[str]:
    """Yield the pieces of one JSON object, with `problems` read as they are needed."""
    shown = {
        name: value for name, value in msgspec.to_builtins(plan).items() if name not in _NOT_IN_JSON
    }
    shown["seconds"] = {name: round(value, 1) for name, value in shown["seconds"].items()}
    head = msgspec.json.encode(shown).decode()
    yield head.removesuffix("}") + ',"problems":['
    comma = ""
    for problem in problems:
        yield comma + msgspec.json.encode(problem).decode()
        comma = ","
    yield "]}\n"


def as_lines(plan: Plan) -> Iterator[str]:
    """Yield the plan as lines for the screen, without its problems."""
    yield f"{', '.join(plan.manifests)}: {counted(plan.tasks, 'caption')}"
    yield from _counts("providers", plan.by_provider)
    yield from _counts("languages", plan.by_language)
    if plan.done_already:
        yield f"  done already: {plan.done_already:,}"
    if plan.account is not None:
        yield from _counts("in the account", plan.account)
    yield f"to do: {counted(plan.to_do, 'caption')}, with {counted(plan.jobs, 'new job')}"
    if plan.earlier_manifests:
        yield from _counts("of earlier manifests", plan.earlier_manifests)
    if plan.shared_sources:
        yield f"  sources with several rows: {plan.shared_sources:,}"
    if not plan.to_do and not any((plan.sources or {}).values()):
        return
    yield f"  requests: {_listed(plan.requests)}"
    if plan.sources is not None:
        listed = _listed(plan.sources) or "none, all are there"
        yield f"  of these for source captions (--fetch-sources): {listed}"
    yield f"  files: {plan.files:,}, about {size(plan.bytes)}"
    yield f"  units: {_units(plan)}"
    low, likely, high = (duration(getattr(plan.seconds, end)) for end in ("low", "likely", "high"))
    yield (
        f"  time: about {likely} ({low} to {high}); started now, it ends about "
        f"{local_time(plan.now + plan.seconds.likely)}"
    )
    yield f"  bottleneck: {plan.limit}"


def _listed(requests: Mapping[str, int]) -> str:
    return ", ".join(f"{bucket} {count:,}" for bucket, count in requests.items() if count)


def _counts(label: str, counts: Mapping[str, int]) -> Iterator[str]:
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    shown = [f"{name} {count:,}" for name, count in ordered[:SHOWN]]
    if len(ordered) > SHOWN:
        shown.append(f"{len(ordered) - SHOWN:,} more")
    if shown:
        yield f"  {label}: {', '.join(shown)}"


def _units(plan: Plan) -> str:
    if plan.units is None:
        return f"unknown: {plan.units_reason}"
    low, high = plan.units["low"], plan.units["high"]
    amount = f"{low:,.6g}" if low == high else f"{low:,.6g} to {high:,.6g}"
    return f"{amount}, {plan.units_reason}"

"""The results in brief, as Markdown for a pull request: what happened, and what is missing.

It stays below the 65,536 characters that GitHub takes, however many rows there are.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from itertools import islice

from batchcap.domain.language_names import named
from batchcap.domain.ledger_protocols import LedgerReader
from batchcap.domain.models import Totals
from batchcap.domain.text import counted
from batchcap.reports.advice import advice_for
from batchcap.reports.coverage import GAPS, CaptionState, Coverage, Source
from batchcap.reports.findings import FindingCounts
from batchcap.reports.markdown import code, table
from batchcap.reports.results import size
from batchcap.storage.sources import source_failures

MAX_LANGUAGES = 40
MAX_SOURCES = 20
MAX_CODES = 30
MAX_SOURCE_FAILURES = 10
"""Languages, sources, error codes and sources without captions that are listed."""
_MAX_ID = 80  # characters of an id or a language

_STATES = ("done", "failed", "skipped", "invalid", "pending")


def as_markdown(
    ledger: LedgerReader, complete: Callable[[str], str], *, is_rehearsal: bool = False
) -> Generator[str]:
    """Yield the lines: a summary, and tables by state, error code and language.

    `complete` adds the folder of the run to a command. A rehearsal is one of the sandbox.
    """
    for line in _lines(ledger, complete, is_rehearsal=is_rehearsal):
        yield f"{line}\n"


def _lines(
    ledger: LedgerReader, complete: Callable[[str], str], *, is_rehearsal: bool
) -> Iterator[str]:
    totals = ledger.totals()
    yield f"## Captions: {totals.done:,} of {totals.total:,} done"
    yield ""
    yield _summary(totals)
    if is_rehearsal:
        yield from ("", "A rehearsal: these captions are the sandbox's.")
    yield from _states(totals)
    yield from _failures(ledger, complete)
    coverage, findings = Coverage(), FindingCounts()
    for result in ledger.results():
        coverage.add(result)
        findings.add(result)
    yield from _languages(coverage)
    yield from _gaps(coverage)
    yield from _findings(findings)
    yield from _source_failures(ledger)


def _summary(totals: Totals) -> str:
    counts = [f"{getattr(totals, state):,} {state}" for state in _STATES if getattr(totals, state)]
    text = f"{counted(totals.total, 'caption')}: {', '.join(counts)}" if counts else "No caption"
    text += f"; {size(totals.bytes)}"
    return f"{text}, {totals.units_consumed:,} units." if totals.units_consumed else f"{text}."


def _states(totals: Totals) -> Iterator[str]:
    providers = sorted(totals.by_provider.items())
    if not providers:
        return
    rows = [
        [code(name, _MAX_ID), *(f"{states.get(state, 0):,}" for state in _STATES)]
        for name, states in providers
    ]
    if len(rows) > 1:
        rows.append(["all", *(f"{getattr(totals, state):,}" for state in _STATES)])
    yield ""
    yield from table(["provider", *_STATES], rows, numbers=len(_STATES))


def _failures(ledger: LedgerReader, complete: Callable[[str], str]) -> Iterator[str]:
    groups = ledger.failures()
    if not groups:
        return
    rows = []
    for group in groups[:MAX_CODES]:
        advice = advice_for(group.code, retryable=group.retryable > 0)
        sample = code(group.key or group.origin, _MAX_ID)
        command = code(complete(advice.command)) if advice.command else ""
        what_to_do = f"{advice.text} {command}".rstrip()
        cells = (code(group.code), f"{group.count:,}", sample, code(group.message))
        rows.append([*cells, advice.retry, what_to_do])
    yield from _heading("Failures")
    columns = ["code", "captions", "for example", "its message", "can a retry help", "what to do"]
    yield from table(columns, rows)
    if len(groups) > MAX_CODES:
        yield from ("", f"And {len(groups) - MAX_CODES:,} more codes.")


def _language(label: str) -> str:
    """Return a language with its names in English and in itself."""
    if not label:
        return "no language"
    tag, english, own = named(label)
    names = ", ".join(dict.fromkeys(filter(None, (english, own))))
    return f"{code(tag, _MAX_ID)} {names}".rstrip()


def _languages(coverage: Coverage) -> Iterator[str]:
    """Yield the counts by language; if there are many languages, those with most gaps."""
    languages = list(coverage.by_language().items())
    if not languages:
        return
    if len(languages) > MAX_LANGUAGES:
        languages.sort(key=lambda item: -sum(item[1][state] for state in GAPS))
    rows = [
        [
            _language(language),
            *(f"{states[state]:,}" for state in CaptionState),
        ]
        for language, states in languages[:MAX_LANGUAGES]
    ]
    yield from _heading("Coverage by language")
    yield from table(["language", *CaptionState], rows, numbers=len(CaptionState))
    if len(languages) > MAX_LANGUAGES:
        yield from ("", f"And {len(languages) - MAX_LANGUAGES:,} more languages.")


def _gaps(coverage: Coverage) -> Iterator[str]:
    sources = (source for source in coverage.sources() if source.has_gaps)
    first = list(islice(sources, MAX_SOURCES))
    if not first:
        return
    more = sum(1 for _ in sources)
    yield from _heading("Sources with gaps")
    rows = [
        [code(source.provider, _MAX_ID), code(source.source_id, _MAX_ID), *_missing(source)]
        for source in first
    ]
    yield from table(["provider", "source", "running", "missing", "failed"], rows)
    if more:
        yield from ("", f"And {more:,} more.")


def _missing(source: Source) -> Iterator[str]:
    """Yield the languages of a source that are running, missing and failed."""
    for wanted in (CaptionState.RUNNING, CaptionState.MISSING, CaptionState.FAILED):
        names = [name or "no language" for name, state in source.states.items() if state == wanted]
        yield code(", ".join(names)) if names else ""


def _findings(counts: FindingCounts) -> Iterator[str]:
    """Yield what was found in captions, if they were checked."""
    if not counts.checked:
        return
    yield from _heading("Quality")
    yield f"{counted(counts.checked, 'caption')} checked."
    rows = [
        [code(kind), f"{count.captions:,}", f"{count.findings:,}"]
        for kind, count in counts.by_kind().items()
    ]
    if rows:
        yield ""
        yield from table(["finding", "captions", "findings"], rows, numbers=2)


def _source_failures(ledger: LedgerReader) -> Iterator[str]:
    """Yield the sources whose captions `--fetch-sources` could not have."""
    failures = source_failures(ledger)
    first = list(islice(failures, MAX_SOURCE_FAILURES))
    if not first:
        return
    more = sum(1 for _ in failures)
    yield from _heading("Source captions that could not be had")
    rows = [
        [code(failure.provider, _MAX_ID), code(failure.source_id, _MAX_ID), code(failure.reason)]
        for failure in first
    ]
    yield from table(["provider", "source", "reason"], rows)
    if more:
        yield from ("", f"And {more:,} more.")


def _heading(text: str) -> Iterator[str]:
    yield from ("", f"### {text}", "")

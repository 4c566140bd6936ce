"""`batchcap check FILES|DIR`: what is wrong with caption files that are there."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from batchcap.app.quality import (
    CaptionQuality,
    CheckedFile,
    caption_files,
    check_data,
    done_rows,
    language_of,
    source_cues,
    unreadable,
)
from batchcap.app.verify import open_file
from batchcap.captions.quality import Checks, Found
from batchcap.captions.webvtt import Cue
from batchcap.cli.parsing import parse_duration
from batchcap.cli.quality_options import (
    DEFAULT_RULES,
    NeverTranslate,
    Rules,
    parse_findings,
    read_terms,
)
from batchcap.domain.errors import UsageError
from batchcap.domain.quality import Finding, QualitySettings
from batchcap.domain.text import counted, printable
from batchcap.storage.ledger import file, open_reader


def check(  # the options of the command
    *files: Annotated[Path, Parameter(help="WebVTT files, and folders of them.")],
    language: Annotated[
        str, Parameter(help="Their language tag; without it, a name like film.es.vtt tells it.")
    ] = "",
    source: Annotated[
        Path | None, Parameter(help="The WebVTT file that they were translated from.")
    ] = None,
    duration: Annotated[str, Parameter(help="The length of their video, like 90s or 1h30m.")] = "",
    caption_rules: Rules = None,
    never_translate: NeverTranslate = None,
    only: Annotated[
        str, Parameter(help="Look for these findings alone, like overlap,errors; default all.")
    ] = "all",
    json: Annotated[bool, Parameter(negative="", help="Print one JSON object on stdout.")] = False,
) -> int:
    """Check the text and the times of caption files. Exit status 1 if anything was found."""
    if not files:
        raise UsageError("check needs files or a folder", hint="Like this: batchcap check captions")
    for path in files:
        if not (path.is_file() or path.is_dir()):
            reason = "not a regular file" if path.exists() else "No such file or directory"
            raise UsageError(f"cannot read {path}: {reason}")
    checks = Checks(
        rules=caption_rules or DEFAULT_RULES,
        language=language or None,
        duration=round(parse_duration("--duration", duration) * 1000) if duration else None,
        source=None if source is None else _read_source(source),
        terms=read_terms(never_translate),
    )
    kinds = parse_findings("--only", only)
    return _Check(kinds, as_json=json).run(_checked(files, checks))


def _read_source(path: Path) -> list[Cue]:
    source = source_cues(path)
    if source is None:
        raise UsageError(f"--source {path}: there is no WebVTT file")
    return source


def _checked(paths: Sequence[Path], checks: Checks) -> Iterator[CheckedFile]:
    """Yield what is in each file. A folder of a run is known from its ledger."""
    for path in paths:
        if not path.is_dir():
            yield _checked_file(path, checks)
        elif file(path).exists():
            yield from _checked_rows(path, checks)
        else:
            for inner in caption_files(path):
                yield _checked_file(inner, checks)


def _checked_file(path: Path, checks: Checks) -> CheckedFile:
    language = checks.language or language_of(path)
    checks = msgspec.structs.replace(checks, language=language)
    try:
        data = path.read_bytes()
    except OSError as error:
        return unreadable(str(path), checks, error)
    return check_data(data, str(path), checks)


def _checked_rows(out: Path, checks: Checks) -> Iterator[CheckedFile]:
    """Yield what is in the files of a run's rows, compared with what its ledger knows."""
    quality = CaptionQuality(QualitySettings(rules=checks.rules, terms=checks.terms), out)
    with closing(open_reader(out)) as ledger:
        for row in done_rows(ledger):
            known = quality.checks(row)
            merged = msgspec.structs.replace(
                known,
                language=checks.language or known.language,
                duration=checks.duration or known.duration,
                source=checks.source or known.source,
            )
            path = str(out / row.path)
            try:
                with open_file(out, row.path) as opened:
                    data = opened.read()
            except OSError as error:
                yield unreadable(path, merged, error)
            else:
                yield check_data(data, path, merged)


class _Check:
    """Prints what was found, file by file, and counts it."""

    def __init__(self, kinds: frozenset[Finding], *, as_json: bool) -> None:
        self._kinds, self._as_json = kinds, as_json
        self._files = self._cues = self._with_findings = 0
        self._counts: Counter[Finding] = Counter()

    def run(self, checked: Iterator[CheckedFile]) -> int:
        """Print everything; returns the exit status."""
        for number, result in enumerate(checked):
            found = [one for one in result.findings if one.kind in self._kinds]
            self._files, self._cues = self._files + 1, self._cues + result.cues
            self._with_findings += bool(found)
            self._counts.update(one.kind for one in found)
            if self._as_json:
                self._print_json(result, found, is_first=not number)
            else:
                for one in found:
                    print(_line(result.path, one))
        self._print_end()
        return 1 if self._with_findings else 0

    def _print_json(self, result: CheckedFile, found: list[Found], *, is_first: bool) -> None:
        """Print a file as the next one of the list, so that no list is held."""
        shown = msgspec.structs.replace(
            result,
            path=printable(result.path),
            quality={kind: count for kind, count in result.quality.items() if kind in self._kinds},
            findings=found,
        )
        sys.stdout.write('{"results":[' if is_first else ",\n")
        sys.stdout.write(msgspec.json.encode(shown).decode())

    def _print_end(self) -> None:
        quality = {kind.value: self._counts[kind] for kind in Finding if self._counts[kind]}
        if self._as_json:
            if not self._files:
                sys.stdout.write('{"results":[')
            totals = {
                "files": self._files,
                "cues": self._cues,
                "with_findings": self._with_findings,
                "quality": quality,
            }
            sys.stdout.write("]," + msgspec.json.encode(totals).decode()[1:] + "\n")
            return
        text = f"{counted(self._files, 'file')} with {counted(self._cues, 'cue')}: "
        if not quality:
            print(f"{text}nothing was found")
            return
        text += f"{counted(self._counts.total(), 'finding')} in {self._with_findings:,} of them"
        print(f"{text}: {', '.join(f'{count:,} {kind}' for kind, count in quality.items())}")


def _line(path: str, found: Found) -> str:
    place = "" if found.cue is None else f" cue {found.cue} ({_time(found.at or 0)}):"
    return printable(f"{path}:{place} {found.kind}: {found.detail}")


def _time(milliseconds: int) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}.{rest:03}"

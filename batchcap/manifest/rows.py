"""Turns a record into rows."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any, cast

import msgspec

from batchcap.domain.errors import UsageError
from batchcap.domain.languages import canonical
from batchcap.domain.models import InvalidRow, Json, Row
from batchcap.manifest import converters, languages, paths
from batchcap.manifest.columns import Columns, Converter, Schema, missing_languages
from batchcap.manifest.messages import FileProblem, InvalidValue, describe, quote
from batchcap.manifest.paths import Template

Notify = Callable[[str], None]
"""Takes a message about a row that is accepted: "file:line: text"."""

MAX_NOTES = 20
"""Most notes of one manifest."""
UNDERSCORES = "'_' in a language tag is read as '-'"
MAX_DEPTH = 100
"""Most levels of lists and objects in a kept column. The JSON writer fails at 254."""


class RecordInProgress(msgspec.Struct, gc=False):
    """A record while its rows are made. A column that is understood is removed from `cells`."""

    cells: Json
    problems: list[str] = []
    provider: str | None = None
    source_id: str | None = None
    id_column: str = ""
    languages: tuple[str | None, ...] = ()
    key: str | None = None
    template: Template | None = None
    notes: list[str] = []

    def take(self, column: str, convert: Converter) -> Any:
        """Remove a column and return its value, None if it is absent or wrong."""
        if column not in self.cells:
            return None
        try:
            return convert(self.cells.pop(column))
        except InvalidValue as error:
            self.problems.append(f"{column}: {error}")
            return None

    def invalid(self, line: int, origin: str, place: str) -> InvalidRow:
        """Return the record with all its problems, and what could be read of it."""
        return InvalidRow(
            line=line,
            message=place + "; ".join(self.problems),
            origin=origin,
            key=self.key,
            provider=self.provider,
            source_id=self.source_id,
            language=self.languages[0] if len(self.languages) == 1 else None,
            meta={
                name: value
                for name, value in self.cells.items()
                if isinstance(value, str | int | float)
            },
        )


class RowBuilder:
    """Makes rows from the records of one file.

    `to` and `source_language` stand in for rows that name no language; `name` is
    the template of the paths. `notify` gets each distinct note once, at its first row.

    Raises:
        UsageError: One of them is wrong.
    """

    def __init__(
        self,
        file: str,
        schema: Schema,
        to: tuple[str, ...],
        source_language: str | None,
        name: str,
        notify: Notify,
    ) -> None:
        self._notify, self._notes = notify, set[str]()
        self._file, self._schema = file, schema
        self._to = _option("--to", languages.tags, list(to)) if to else ()
        self._from = _option("--from", languages.tag, source_language) if source_language else None
        self._template: Template = _option("--name", paths.check, name)
        self._to_has_underscores = any("_" in text for text in to)

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of the template of --name."""
        return self._template.names

    def rows(self, line: int, place: str, cells: Json | str) -> list[Row] | list[InvalidRow]:
        """Return the rows of a record, or the record as one invalid row.

        `line`, `place` and `cells` are those of a record of `formats`.
        """
        origin = f"{self._file}:{line}"
        if isinstance(cells, str):
            whole = isinstance(cells, FileProblem)
            return [
                InvalidRow(line=line, message=place + cells, origin=origin, is_whole_file=whole)
            ]
        draft = RecordInProgress(cells)
        rows: list[Row] = []
        if columns := _columns(draft, self._schema):
            _source_id(draft, columns)
            self._languages(draft, columns)
            if "key" in cells:
                draft.key = draft.take("key", converters.key)
            if "name" in cells:
                draft.template = draft.take("name", _name)
            params = self._params(draft, columns)
            if not draft.problems:
                draft.problems.extend(columns.problems(params, draft.languages))
            if not draft.problems:
                rows = self._expand(draft, columns, params, origin)
        self._send_notes(draft, rows, origin)
        return [draft.invalid(line, origin, place)] if draft.problems else rows

    def notify_of_file(self, text: str) -> None:
        """Report what is accepted in the whole file although it may be a mistake."""
        self._notify(f"{self._file}: {text}")

    def _send_notes(self, draft: RecordInProgress, rows: list[Row], origin: str) -> None:
        """Report what is accepted although it may be a mistake."""
        columns = self._schema.providers[draft.provider] if draft.provider else None
        if rows and columns and columns.targets:
            tags = [(columns.targets, tag) for tag in draft.languages if tag]
            if columns.source_language and (source := rows[0].params.get(columns.source_language)):
                tags.append((columns.source_language, source))
            texts = [f"{column}: {text}" for column, tag in tags if (text := languages.note(tag))]
            draft.notes.extend(texts)
            draft.notes.extend(
                f"{column}: language tags are passed on with the capitals that they have"
                for column, tag in tags
                if languages.has_odd_capitals(tag)
            )
        for text in draft.notes:
            if text not in self._notes and len(self._notes) < MAX_NOTES:
                self._notes.add(text)
                self._notify(f"{origin}: {text}")

    def _languages(self, draft: RecordInProgress, columns: Columns) -> None:
        if not columns.targets:
            draft.languages = (
                draft.take(columns.label, converters.label) if columns.label else None,
            )
        elif columns.targets in draft.cells:
            _note_underscores(draft, columns.targets)
            draft.languages = draft.take(columns.targets, languages.tags) or ()
        elif self._to:
            draft.languages = self._to
            if self._to_has_underscores:
                draft.notes.append(f"--to: {UNDERSCORES}")
        else:
            draft.problems.append(missing_languages(columns.targets, draft.cells))

    def _params(self, draft: RecordInProgress, columns: Columns) -> Json:
        """Return the provider's own columns. What is left in `cells` is the user's."""
        params: Json = {}
        if columns.source_language in draft.cells:
            _note_underscores(draft, columns.source_language)
        for column, value in list(draft.cells.items()):
            if column in columns.params:
                if (taken := draft.take(column, columns.params[column])) is not None:
                    params[column] = taken
            elif type(value) in (dict, list) and _is_deeper(value, MAX_DEPTH):
                draft.problems.append(f"{quote(column)}: nested more than {MAX_DEPTH} deep")
        if len(params) > 1:  # in one order, whatever the file's
            params = {column: params[column] for column in columns.params if column in params}
        if self._from and columns.source_language and columns.source_track not in params:
            params.setdefault(columns.source_language, self._from)
        return params

    def _expand(
        self, draft: RecordInProgress, columns: Columns, params: Json, origin: str
    ) -> list[Row]:
        """Return one row for each language. An invalid path is added to the problems."""
        rows: list[Row] = []
        provider, source_id = cast(str, draft.provider), cast(str, draft.source_id)
        template = draft.template or self._template
        try:
            for language in draft.languages:
                key = _key(draft, language)
                fields = {
                    "provider": provider,
                    "source_id": source_id,
                    "language": language,
                    "key": key,
                }
                if not template.plain:
                    fields = _template_fields(fields, draft, columns, params)
                rows.append(
                    Row(
                        key=key,
                        provider=provider,
                        source_id=source_id,
                        language=language,
                        target=canonical(language or "") if columns.targets else "",
                        path=template.fill(fields),
                        params=params,
                        meta=draft.cells,
                        origin=origin,
                    )
                )
        except InvalidValue as error:
            column = "name" if draft.template else draft.id_column
            draft.problems.append(f"{column}: {error}")
        if len(rows) > 1 and len({row.path for row in rows}) < len(rows):
            draft.problems.append("name: several languages need {language} in the path")
        return rows


def _note_underscores(draft: RecordInProgress, column: str) -> None:
    if "_" in str(draft.cells[column]):
        draft.notes.append(f"{column}: {UNDERSCORES}")


def _option(flag: str, convert: Converter, value: Any) -> Any:
    try:
        return convert(value)
    except InvalidValue as error:
        raise UsageError(f"{flag}: {error}") from None


def _name(value: Any) -> Template:
    return paths.template(converters.text(value))


def _columns(draft: RecordInProgress, schema: Schema) -> Columns | None:
    """Return the columns of the record's provider. Its id column implies it if it is not named."""
    value = draft.cells.pop("provider", None)
    implied = {provider for column, provider in schema.ids.items() if column in draft.cells}
    if len(implied) > 1:
        draft.problems.append(_two_providers(draft, schema))
        return None
    if value is None:
        if not implied:
            draft.problems.append(_no_provider(draft, schema))
            return None
        value = implied.pop()
    name = value.strip().lower() if isinstance(value, str) else ""
    if name not in schema.providers:
        names = " or ".join(schema.providers)
        draft.problems.append(f"provider: {describe(value)} is unknown, it is {names}")
        return None
    draft.provider = name
    return schema.providers[name]


def _two_providers(draft: RecordInProgress, schema: Schema) -> str:
    columns = " and ".join(column for column in schema.ids if column in draft.cells)
    return f"{columns}: a row is of one provider; make two rows of it"


def _no_provider(draft: RecordInProgress, schema: Schema) -> str:
    ids = ", ".join(schema.ids)
    return f"provider: missing, and the row has none of {ids}{_hint(draft.cells)}"


def _hint(cells: Json) -> str:
    """Return a hint for a row that has nothing but numbers, as spreadsheets add below a table."""
    values = [value for value in cells.values() if isinstance(value, str)]
    is_total = bool(values) and all(re.fullmatch(r"[\d.,:% -]+", value) for value in values)
    return " (a row of totals?)" if is_total else ""


def _source_id(draft: RecordInProgress, columns: Columns) -> None:
    for column in columns.ids:
        if column not in draft.cells:
            continue
        cell, problems = draft.cells[column], len(draft.problems)
        source_id = draft.take(column, functools.partial(_id_in, columns))
        if draft.id_column and source_id != draft.source_id and problems == len(draft.problems):
            draft.problems.append(f"{draft.id_column}: differs from {column}")
        if source_id is not None and source_id != cell.strip():
            draft.notes.append(f"{column}: the ids are taken from URLs")
        draft.id_column, draft.source_id = column, source_id
    if not draft.id_column:
        draft.problems.append(f"{columns.ids[0]}: missing")


_URL = re.compile(r"[A-Za-z][\w+.-]*://|(?:[\w-]+\.)+(?:com|ai)/", re.ASCII)
"""The beginning of a URL, also of one without its scheme."""


def _id_in(columns: Columns, value: Any) -> str:
    """Accept an id, or a URL of the provider that holds one."""
    if not isinstance(value, str) or "/" not in value or not _URL.match(url := value.strip()):
        return converters.identifier(value)
    if columns.id_urls and (match := re.fullmatch(columns.id_urls, url)):
        return converters.identifier(match.group(1))
    for pattern, message in columns.other_urls.items():
        if match := re.fullmatch(pattern, url):
            raise InvalidValue(message.format(quote(match.group(1))))
    raise InvalidValue(f"{quote(value)} is a URL, and it is not clear which part of it is the id")


def _key(draft: RecordInProgress, language: str | None) -> str:
    if draft.key is None:
        task = f"{draft.provider}:{draft.source_id}"
        return f"{task}:{language}" if language else task
    return draft.key if len(draft.languages) == 1 else f"{draft.key}:{language}"


def _template_fields(fields: Json, draft: RecordInProgress, columns: Columns, params: Json) -> Json:
    """Return every field that a template may name, including the row's own columns."""
    own = {draft.id_column: draft.source_id, columns.targets or "language": fields["language"]}
    return {**draft.cells, **params, **own, **fields}


def _is_deeper(value: Any, levels: int) -> bool:
    """Return whether lists and objects are nested more than `levels` deep."""
    if not isinstance(value, dict | list):
        return False
    if levels == 0:
        return True
    inner = value.values() if isinstance(value, dict) else value
    return any(_is_deeper(item, levels - 1) for item in inner)

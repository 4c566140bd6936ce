"""The options that choose what to work on, and limit what a run may cost and take."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import msgspec
from cyclopts import Parameter

from batchcap.cli.options import ROWS, SPEED
from batchcap.cli.parsing import (
    parse_filter,
    parse_formats,
    parse_moment,
    parse_unit_cost,
    parse_units,
)
from batchcap.domain.errors import UsageError
from batchcap.domain.selection import Selection
from batchcap.domain.settings import Limits, Settings
from batchcap.providers import PROVIDERS


@Parameter(name="*")
@dataclass(frozen=True)
class ChoiceOptions:
    """Which rows to work on, and how much that may cost and take."""

    limit: Annotated[
        int | None, Parameter(group=ROWS, help="Work on the first N pending rows only.")
    ] = None
    filter_: Annotated[
        list[str],
        Parameter(
            name="--filter",
            group=ROWS,
            negative="",
            help="COLUMN=GLOB: work on pending rows that match only; repeatable, all must match.",
        ),
    ] = field(default_factory=list)
    max_units: Annotated[
        str,
        Parameter(group=SPEED, help="Most units that the jobs of this run may cost together."),
    ] = ""
    deadline: Annotated[
        str,
        Parameter(
            group=SPEED,
            help="2026-12-04T18:00, local time: stop creating jobs in time to end by then.",
        ),
    ] = ""
    unit_cost: Annotated[
        str, Parameter(group=SPEED, help="Units to expect: 2 a caption, or 0.5/min of video.")
    ] = ""

    fetch_sources: Annotated[
        bool,
        Parameter(
            group=ROWS,
            negative="",
            help="Also download the captions that are translated from, once for each source.",
        ),
    ] = False

    also: Annotated[
        str,
        Parameter(
            group=ROWS,
            help="Conversions beside each caption, made when the run ends: srt, ttml, txt, json.",
        ),
    ] = ""

    def applied(self, settings: Settings) -> Settings:
        """Return the settings with these choices.

        Raises:
            UsageError: A value is wrong; the message names its option.
        """
        if self.limit is not None and self.limit < 1:
            raise UsageError(f"--limit: {self.limit} must be at least 1")
        return msgspec.structs.replace(
            settings,
            selection=Selection(
                tuple(map(parse_filter, self.filter_)), self.limit, _column_aliases()
            ),
            fetch_sources=self.fetch_sources,
            also=_conversions(self.also),
            limits=Limits(
                parse_units("--max-units", self.max_units),
                parse_moment("--deadline", self.deadline),
                parse_unit_cost(self.unit_cost),
            ),
        )


def _conversions(text: str) -> tuple[str, ...]:
    formats = tuple(name for name in parse_formats("--also", text) if name != "vtt")
    if formats:
        from batchcap.captions.convert import check_formats

        check_formats(formats)
    return formats


def _column_aliases() -> dict[str, dict[str, str]]:
    """Return the columns of each provider that are fields of a row under another name."""
    return {
        name: {
            **dict.fromkeys(spec.columns.ids, "source_id"),
            **({spec.columns.targets: "language"} if spec.columns.targets else {}),
        }
        for name, spec in PROVIDERS.items()
    }

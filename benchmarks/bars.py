"""The limits that batchcap is held to, and whether a figure keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks import table


@dataclass(frozen=True)
class Bar:
    """A measured value and the most it may be.

    `at_best` is the value that noise alone would explain; the bar is missed only if that
    is above the limit as well.
    """

    what: str
    value: float
    limit: float
    goal: float | None = None
    at_best: float | None = None
    unit: str = ""

    @property
    def missed(self) -> bool:
        """Whether the value is above the limit, and noise does not explain it."""
        least = self.value if self.at_best is None else min(self.value, self.at_best)
        return least > self.limit

    @property
    def verdict(self) -> str:
        """One or two words for a table."""
        if self.missed:
            return "missed"
        if self.value > self.limit:
            return "within noise"
        return "goal" if self.goal is not None and self.value <= self.goal else "kept"

    def as_cells(self) -> list[str]:
        """The limit, the goal and the verdict."""
        goal = "" if self.goal is None else f"{self.goal:g}{self.unit}"
        return [f"{self.limit:g}{self.unit}", goal, self.verdict]


def markdown(bars: Sequence[Bar]) -> str:
    """A table of bars."""
    rows = [[bar.what, f"{bar.value:.2f}{bar.unit}", *bar.as_cells()] for bar in bars]
    return table.markdown(["", "measured", "at most", "goal", ""], rows)

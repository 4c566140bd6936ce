"""What is wrong with the rows of an import, in a message of bounded length."""

from __future__ import annotations

from batchcap.domain.errors import UsageError
from batchcap.domain.models import InvalidRow

_SHOWN = 20
_LINES = 6
"""Most rows of a problem whose lines are listed."""
_KEPT = 1000
"""Most problems that are kept, so that memory does not grow with the manifest."""


class _Problem:
    """A message, and the rows that it is about: the first ones, and how many there are."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._first: list[tuple[int, str]] = []  # number and "file:line"
        self._rows = 0

    def add(self, number: int, origin: str) -> None:
        self._rows += 1
        self._first.append((number, origin))
        if len(self._first) > 2 * _LINES:
            self._first = sorted(self._first)[:_LINES]

    def number(self) -> int:
        return min(self._first)[0]

    def __str__(self) -> str:
        origin, *others = [origin for _, origin in sorted(self._first)[:_LINES]]
        if not others:
            return f"{origin}: {self._text}"
        file = origin.rpartition(":")[0]
        also = ", ".join(other.removeprefix(f"{file}:") for other in others)
        rest = self._rows - _LINES
        more = f" and {rest:,} more" if rest > 0 else ""
        return f"{origin}: {self._text} (also in line {also}{more})"


class Problems:
    """Collects invalid rows; those with the same message are one problem.

    `are_of_a_file`: at least one is that of a whole file, not of a row.
    """

    def __init__(self) -> None:
        self._by_text: dict[str, _Problem] = {}
        self._dropped = 0
        self.are_of_a_file = False

    def add(self, number: int, row: InvalidRow) -> None:
        """Add an invalid row, which has this number in the ledger."""
        self.are_of_a_file |= row.is_whole_file
        if row.message not in self._by_text:
            self._by_text[row.message] = _Problem(row.message)
        self._by_text[row.message].add(number, row.origin)
        if len(self._by_text) > 2 * _KEPT:
            self._dropped += len(self._by_text) - _KEPT
            self._by_text = dict(self._sorted()[:_KEPT])

    def lines(self) -> list[str]:
        """Return the first problems in manifest order, as "file:line: text"."""
        return [str(problem) for _, problem in self._sorted()[:_SHOWN]]

    def _sorted(self) -> list[tuple[str, _Problem]]:
        return sorted(self._by_text.items(), key=lambda item: item[1].number())

    def __len__(self) -> int:
        """The number of problems."""
        return len(self._by_text) + self._dropped

    def refusal(self) -> UsageError:
        """Return the error to raise if these rows must not be skipped."""
        count, lines = len(self), self.lines()
        if count > len(lines):
            more = "all of them: batchcap plan MANIFEST --json"
            lines.append(f"... and {count - len(lines):,} more ({more})")
        hint = "Correct them, or continue without these rows: --skip-invalid"
        if self.are_of_a_file:
            hint = "Correct that first; --skip-invalid skips single rows only."
        noun = "problem" if count == 1 else "problems"
        text = f"{count:,} {noun} in the manifest; nothing was started\n"
        return UsageError(text + "\n".join(lines), hint=hint)

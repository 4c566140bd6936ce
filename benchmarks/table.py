"""Results as a table: CPU an item first, wall second, always with the spread."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from benchmarks.measuring import own_peak
from benchmarks.rounds import Result

Table = tuple[Sequence[str], list[Sequence[str]]]


def of(results: Sequence[Result]) -> Table:
    """Head and rows of what was done; the first result is what others are compared with.

    "× NAME" is the CPU an item against the first one's: above 1 means dearer.
    """
    done = [one for one in results if one.failure is None]
    first, floor = done[0], own_peak()
    cpu = ("CPU us/item", "least–most", f"× {first.contender.name}", "marginal us", "start-up ms")
    rest = ("items/s", "wall s", "least–most", "peak MB", "API req/item", "server busy")
    return ("", "items", *cpu, *rest), [_row(one, first, floor) for one in done]


def plain(table: Table) -> str:
    """For a terminal: aligned columns."""
    head, rows = table
    widths = [max(len(row[place]) for row in [head, *rows]) for place in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [head, *rows]
    )


def markdown(table: Table) -> str:
    """For a README."""
    head, rows = table
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def megabytes(peak: float, floor: int) -> str:
    """A peak of memory, both in bytes; not above `floor` it cannot be told."""
    return f"{peak / 1e6:,.0f}" if peak > floor else f"≤ {floor / 1e6:,.0f}"


def _row(result: Result, first: Result, floor: int) -> Sequence[str]:
    cpu, walls = result.cpu(), [one.wall for one in result.samples]
    marginal = result.marginal()
    starts = [one.cpu for one in result.starts]
    peak = median(one.peak for one in result.samples)
    return (
        result.contender.name,
        f"{result.items:,}",
        f"{median(cpu) * 1e6:,.0f}",
        f"{min(cpu) * 1e6:,.0f}–{max(cpu) * 1e6:,.0f}",
        f"{median(cpu) / median(first.cpu()):.2f}",
        f"{marginal * 1e6:,.0f}" if marginal is not None else "-",
        f"{median(starts) * 1e3:,.0f}" if starts else "-",
        f"{result.items / median(walls):,.0f}",
        f"{median(walls):,.2f}",
        f"{min(walls):,.2f}–{max(walls):,.2f}",
        megabytes(peak, floor),
        f"{result.requests():.3f}",
        f"{result.server_share():.0%}",
    )

"""Plots as SVG, written by hand: bars with their spread, and lines over a logarithmic scale."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import log10

_WIDTH = 860
_LEFT, _RIGHT = 150, 210
_BAR, _GAP, _TOP, _BOTTOM = 24, 12, 74, 34
_OURS, _THEIRS, _INK, _PALE = "#1f6feb", "#a8b3c2", "#1c2128", "#d8dee6"
_COLOURS = (_OURS, "#d9822b", "#2a9d5c", "#8e5bd0")
_CUT, _STEEP = 8.0, 20.0
_FONT = "font-family='system-ui, sans-serif'"

Box = tuple[float, float, float, float]
"""Left, top, width, height."""


@dataclass(frozen=True)
class Bar:
    """One bar: its median with the least and the most, in the chart's unit."""

    name: str
    value: float
    least: float
    most: float
    note: str = ""


@dataclass(frozen=True)
class Panel:
    """Lines over one logarithmic axis: for each name, points (x, y)."""

    title: str
    axis: str
    lines: Mapping[str, Sequence[tuple[float, float]]]


def bars(title: str, subtitle: str, unit: str, shown: Sequence[Bar]) -> str:
    """A bar chart from 0; the first bar is ours and stands out.

    A bar beyond 8 times the first one is cut, and marked as cut: it would leave the
    others too small to compare.
    """
    whole = [bar.most for bar in shown if bar.value <= _CUT * shown[0].value]
    longest = max(whole, default=0.0) or 1.0
    cut = len(whole) < len(shown)
    scale = (_WIDTH - _LEFT - _RIGHT) / (longest * (1.25 if cut else 1.0))
    height = _TOP + len(shown) * (_BAR + _GAP) + _BOTTOM
    pieces = list(_titled(title, subtitle))
    for place, bar in enumerate(shown):
        y, colour = _TOP + place * (_BAR + _GAP), _THEIRS if place else _OURS
        pieces += _bar(bar, y, scale, colour) if bar.most <= longest else _cut_bar(bar, y, colour)
    told = f"{unit}; the thin line reaches from least to most"
    pieces.append(_text(_LEFT, height - 12, told + ("; // is a bar cut short" if cut else ""), 11))
    return _document(height, pieces)


def lines(title: str, subtitle: str, unit: str, panels: Sequence[Panel]) -> str:
    """Panels side by side with one legend; y from 0, x logarithmic."""
    height, room = 400, (_WIDTH - 40) / len(panels)
    pieces = list(_titled(title, subtitle))
    names = list(dict.fromkeys(name for panel in panels for name in panel.lines))
    colours = {name: _COLOURS[place % len(_COLOURS)] for place, name in enumerate(names)}
    for place, name in enumerate(names):
        x = 40 + place * 130
        pieces.append(f"<rect x='{x}' y='70' width='12' height='12' fill='{colours[name]}'/>")
        pieces.append(_text(x + 18, 81, name, 12))
    for place, panel in enumerate(panels):
        pieces += _panel(panel, (40 + place * room, 135, room - 45, 190), colours)
    pieces.append(_text(40, height - 12, f"{unit}; medians", 11))
    return _document(height, pieces)


def _bar(bar: Bar, y: float, scale: float, colour: str) -> Iterator[str]:
    middle = y + _BAR / 2
    least, most = _LEFT + bar.least * scale, _LEFT + bar.most * scale
    yield _text(_LEFT - 10, middle + 5, bar.name, 13, "end")
    yield _rectangle(_LEFT, y, max(bar.value * scale, 1), colour)
    yield _stroke(least, middle, most, middle)
    for x in (least, most):
        yield _stroke(x, middle - 5, x, middle + 5)
    yield _text(most + 10, middle + 5, f"{bar.value:,.0f}  {bar.note}", 13)


def _cut_bar(bar: Bar, y: float, colour: str) -> Iterator[str]:
    """As wide as there is room, with two slanted gaps."""
    right, middle = _WIDTH - _RIGHT, y + _BAR / 2
    yield _text(_LEFT - 10, middle + 5, bar.name, 13, "end")
    yield _rectangle(_LEFT, y, right - _LEFT, colour)
    for x in (right - 40, right - 30):
        yield _stroke(x, y + _BAR, x + 8, y, "#ffffff", 3)
    yield _text(right + 10, middle + 5, f"{bar.value:,.0f}  {bar.note}", 13)


class _Scale:
    """From figures to the page: x logarithmic, y from 0, or logarithmic where it spans much."""

    def __init__(self, points: Sequence[tuple[float, float]], box: Box) -> None:
        self._left, self._top, self._width, self._height = box
        self._least, self._most = (log10(pick(x for x, _ in points)) for pick in (min, max))
        low, high = (pick(y for _, y in points) for pick in (min, max))
        self._steep = high > _STEEP * low > 0
        self._low = log10(low) if self._steep else 0.0
        self._high = log10(high) if self._steep else high or 1.0

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Where a point lies."""
        share = (log10(x) - self._least) / ((self._most - self._least) or 1.0)
        height = ((log10(y) if self._steep else y) - self._low) / (self._high - self._low)
        return self._left + share * self._width, self._top + self._height * (1 - height)

    def ticks(self) -> list[float]:
        """Three figures for the y axis."""
        middle = (self._low + self._high) / 2
        return [10**y if self._steep else y for y in (self._low, middle, self._high)]


def _panel(panel: Panel, box: Box, colours: Mapping[str, str]) -> Iterator[str]:
    left, top, width, height = box
    points = [point for line in panel.lines.values() for point in line]
    scale = _Scale(points, box)
    yield _text(left, top - 24, panel.title, 13, weight="600")
    for tick in scale.ticks():
        y = scale.place(points[0][0], tick)[1]
        yield _stroke(left, y, left + width, y, _PALE)
        yield _text(left, y - 4, f"{tick:,.0f}", 10)
    for x in sorted({x for x, _ in points}):
        yield _text(scale.place(x, points[0][1])[0], top + height + 16, _short(x), 10, "middle")
    yield _text(left + width / 2, top + height + 34, panel.axis, 11, "middle")
    for name, line in panel.lines.items():
        placed = [scale.place(x, y) for x, y in line]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
        yield f"<polyline points='{path}' fill='none' stroke='{colours[name]}' stroke-width='2'/>"
        for x, y in placed:
            yield f"<circle cx='{x:.1f}' cy='{y:.1f}' r='3' fill='{colours[name]}'/>"


def _titled(title: str, subtitle: str) -> Iterator[str]:
    yield _text(20, 28, title, 17, weight="600")
    yield _text(20, 50, subtitle, 11)


def _document(height: float, pieces: Sequence[str]) -> str:
    size = f"width='{_WIDTH}' height='{height:.0f}' viewBox='0 0 {_WIDTH} {height:.0f}'"
    background = "<rect width='100%' height='100%' fill='#ffffff'/>"
    return "\n".join(
        [
            f"<svg xmlns='http://www.w3.org/2000/svg' {size} {_FONT}>",
            background,
            *pieces,
            "</svg>\n",
        ]
    )


def _text(
    x: float, y: float, words: str, size: int, anchor: str = "start", weight: str = "400"
) -> str:
    place = f"x='{x:.1f}' y='{y:.1f}' font-size='{size}' text-anchor='{anchor}'"
    return f"<text {place} font-weight='{weight}' fill='{_INK}'>{escape(words)}</text>"


def _rectangle(x: float, y: float, width: float, colour: str) -> str:
    size = f"width='{width:.1f}' height='{_BAR}'"
    return f"<rect x='{x:.1f}' y='{y:.1f}' {size} rx='2' fill='{colour}'/>"


def _stroke(
    x: float, y: float, to_x: float, to_y: float, colour: str = _INK, width: float = 1.5
) -> str:
    ends = f"x1='{x:.1f}' y1='{y:.1f}' x2='{to_x:.1f}' y2='{to_y:.1f}'"
    return f"<line {ends} stroke='{colour}' stroke-width='{width}'/>"


def _short(number: float) -> str:
    if number >= 1e6:
        return f"{number / 1e6:g}M"
    return f"{number / 1e3:g}k" if number >= 1e4 else f"{number:,g}"

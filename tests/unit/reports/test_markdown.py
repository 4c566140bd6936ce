"""Text from outside in Markdown, read back with a renderer."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from batchcap.domain.text import printable
from batchcap.reports.markdown import MAX_SHOWN, code, table

RENDERER = MarkdownIt("commonmark", {"html": True}).enable("table")

HOSTILE = [
    "a|b",
    "a\\|b",
    "``` x",
    "`",
    "x`y``z",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "@octocat",
    "![x](http://evil)",
    "a\nb",
    "\u202eevil",
    "&amp;",
    "**bold**",
    "https://evil.example",
    "\\",
]
texts = st.text("ab |`\\<>@&*_[]()!#\n\t~\u202e", max_size=30) | st.sampled_from(HOSTILE)


def cells(lines: list[str]) -> list[str]:
    """Return the HTML of each cell below the header."""
    rendered = RENDERER.render("\n".join(lines))
    return re.findall(r"<td[^>]*>(.*?)</td>", rendered, re.DOTALL)


@given(st.lists(texts, min_size=1, max_size=3))
def test_code_shows_text_in_a_cell_and_does_nothing_else(given_texts: list[str]) -> None:
    lines = list(table(["x"] * len(given_texts), [[code(text) for text in given_texts]]))
    assert len(lines) == 3
    shown = cells(lines)
    assert len(shown) == len(given_texts)
    for cell, text in zip(shown, given_texts, strict=True):
        expected = printable(text).strip().replace("\\|", "\\ |")
        if not expected:
            assert cell == "–"
            continue
        match = re.fullmatch(r"<code>([^<]*)</code>", cell)
        assert match, cell
        assert html.unescape(match[1]) == expected


@pytest.mark.parametrize("text", HOSTILE)
def test_code_outside_of_a_table_is_one_line_without_markup(text: str) -> None:
    span = code(text)
    assert len(span.splitlines()) == 1
    assert re.fullmatch(r"<p><code>[^<]*</code></p>\n", RENDERER.render(span))


def test_code_shortens_long_text() -> None:
    assert code("x" * 1000) == f"`{'x' * (MAX_SHOWN - 1)}…`"
    assert code("abcdef", 4) == "`abc…`"


def test_table_aligns_its_numbers() -> None:
    lines = list(table(["a", "n"], [["x", "1"]], numbers=1))
    assert lines == ["| a | n |", "| --- | ---: |", "| x | 1 |"]

"""Puts the page together: assets, content security policy and data."""

from __future__ import annotations

import base64
import functools
import hashlib
import time
from collections.abc import Callable, Generator, Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from batchcap.domain.language_names import named
from batchcap.domain.ledger_protocols import LedgerReader
from batchcap.domain.models import MinuteCount, Totals
from batchcap.reports.advice import CODES, advice_for
from batchcap.reports.html.blocks import Result, row_block, row_blocks, script_json
from batchcap.reports.html.captions import caption_blocks
from batchcap.storage.sources import source_failures

_SCRIPTS = (
    *("dom", "model", "filter", "glance", "failures", "timeline", "lengths", "usage", "sources"),
    *("virtual", "coverage", "list", "captions", "details", "live", "main"),
)
"""Parts of the page's one script, in order."""
MAX_SOURCE_FAILURES = 100
"""Sources without captions that the page lists."""

_STYLES = ("base", "charts", "rows", "details")


def page(  # noqa: PLR0913  # keywords that say what they are
    ledger: LedgerReader,
    *,
    out: Path,
    files_link: str = "",
    live: bool = False,
    events: str = "events",
    embed: bool = False,
    snapshot: object = None,
    complete: Callable[[str], str] = str,
    is_rehearsal: bool = False,
    now: Callable[[], float] = time.time,
) -> Generator[str]:
    """Yield the page in pieces, which can be written as UTF-8.

    Args:
        ledger: What is shown. It is read until the last piece.
        out: The output folder: its name is shown, and captions to embed are read there.
        files_link: The relative link from the page to `out`, with "/" at its end. Without it,
            the page links no caption.
        live: The page connects to `events` beside it, and updates itself.
        events: The relative URL of these events, which may name the last one that it knows.
        embed: Caption files are in the page, with their sources if they are there.
        snapshot: Where the run stands, as a struct or None.
        complete: Completes the commands that the page shows with folder and options.
        is_rehearsal: The captions are the sandbox's; the page says so.
        now: Unix seconds.
    """
    about = {
        "made_at": round(now(), 3),
        "folder": str(out),
        "is_rehearsal": is_rehearsal,
        "files": files_link,
        "live": live,
        "events": events,
        "totals": msgspec.to_builtins(ledger.totals()),
        "minutes": _minutes(ledger.minutes()),
        "advice": {code: _advice(code, complete) for code in sorted(CODES)},
        "snapshot": msgspec.to_builtins(snapshot),
        "source_failures": _source_failures(ledger),
        "languages": {
            count.language: named(count.language)
            for count in ledger.language_counts()
            if count.language
        },
    }
    head, tail = _skeleton(live)
    yield head
    yield _data(about, 'id="about"')
    for block in row_blocks(ledger.results()):
        yield _data(block, 'class="rows"')
    if embed:
        for number, captions in caption_blocks(ledger.results(), out):
            yield _data(captions, f'class="captions" id="captions-{number}"')
    yield tail


def message(
    *,
    rows: Iterable[Result] = (),
    totals: Totals | None = None,
    minutes: Iterable[MinuteCount] = (),
    snapshot: object = None,
) -> str:
    """Return what a live page is sent, as one line of JSON: what has changed.

    `rows` have the shape of results.jsonl, and may have a `phase`.
    """
    changed = list(rows)
    return script_json(
        {
            "rows": row_block(changed) if changed else None,
            "totals": msgspec.to_builtins(totals),
            "minutes": _minutes(minutes),
            "snapshot": msgspec.to_builtins(snapshot),
        }
    )


@functools.cache
def content_security_policy(*, live: bool) -> str:
    """Return the policy of the page: its own style and script, and no network.

    A live page may connect to the server that it comes from.
    """
    rules = {
        "default-src": "'none'",
        "style-src": f"'sha256-{_digest(_style())}'",
        "script-src": f"'sha256-{_digest(_script())}'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        **({"connect-src": "'self'"} if live else {}),
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


def _minutes(counts: Iterable[MinuteCount]) -> list[tuple[int, str, str, int]]:
    return [(count.minute, count.source, count.what, count.count) for count in counts]


def _source_failures(ledger: LedgerReader) -> dict[str, object]:
    """Return how many source captions could not be had, and the first of them with the reason."""
    failures = list(source_failures(ledger))
    return {"count": len(failures), "first": msgspec.to_builtins(failures[:MAX_SOURCE_FAILURES])}


def _advice(code: str, complete: Callable[[str], str]) -> list[dict[str, Any]]:
    """Return the advice for errors that are not retryable, and for those that are."""
    both = [advice_for(code, retryable=retryable) for retryable in (False, True)]
    return [
        {"text": complete(each.text), "retry": each.retry, "command": complete(each.command)}
        for each in both
    ]


def _data(value: object, attributes: str) -> str:
    return f'<script type="application/json" {attributes}>{script_json(value)}</script>\n'


def _skeleton(live: bool) -> tuple[str, str]:
    """Return what comes before the data and after them."""
    text = _asset("page.html")
    for name, value in (
        ("policy", content_security_policy(live=live)),
        ("style", _style()),
        ("script", _script()),
    ):
        text = text.replace(f"{{{{{name}}}}}", value, 1)
    head, _, tail = text.partition("{{data}}\n")
    return head, tail


@functools.cache
def _style() -> str:
    return "\n".join(_asset(f"{name}.css") for name in _STYLES)


@functools.cache
def _script() -> str:
    parts = "\n".join(_asset(f"{name}.js") for name in _SCRIPTS)
    return f'"use strict";\n(() => {{\n{parts}}})();\n'


def _asset(name: str) -> str:
    return (files("batchcap.reports.html") / "assets" / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

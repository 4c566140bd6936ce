"""The live page of an output folder, as `run --web` and `batchcap web` serve it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from batchcap.app.providers import is_rehearsal
from batchcap.cli.command_lines import complete_commands
from batchcap.domain.ledger_protocols import LedgerReader
from batchcap.reports.html import page
from batchcap.reports.snapshot import Snapshot
from batchcap.storage.ledger import open_reader
from batchcap.web.address import Listener
from batchcap.web.changes import stored_snapshot
from batchcap.web.server import FILES, LivePage


def live_page(
    listener: Listener,
    out: Path,
    *,
    is_running: Callable[[], bool] | None = None,
    snapshot: Callable[[], Snapshot | None] = lambda: None,
) -> LivePage:
    """Return the page of a folder, to be entered; see `LivePage`."""
    return LivePage(
        listener,
        out,
        partial(open_reader, out),
        partial(_render, out),
        is_running=is_running,
        snapshot=snapshot,
    )


def _render(out: Path, ledger: LedgerReader, events: str) -> Iterator[str]:
    rehearsal = is_rehearsal(ledger)
    return page(
        ledger,
        out=out,
        files_link=FILES.removeprefix("/"),
        live=True,
        events=events,
        snapshot=stored_snapshot(ledger),
        complete=partial(complete_commands, out=out, sandbox=rehearsal),
        is_rehearsal=rehearsal,
    )

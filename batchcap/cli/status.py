"""`batchcap status`: the state of a run, also from a second terminal."""

from __future__ import annotations

import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter
from rich.console import Console
from rich.live import Live
from rich.text import Text

from batchcap.app.providers import is_rehearsal
from batchcap.cli.command_lines import command_line
from batchcap.cli.options import Out
from batchcap.cli.status_view import RunState, as_json, as_lines
from batchcap.cli.unlisted import unlisted_note
from batchcap.domain.errors import UsageError
from batchcap.domain.ledger_protocols import LedgerReader
from batchcap.domain.text import printable
from batchcap.reports import snapshot
from batchcap.storage.ledger import Lock, open_reader

WATCH_INTERVAL = 2.0  # seconds between two updates
LINES_INTERVAL = 10.0  # likewise if there is no terminal


def status(
    *,
    out: Out = Path("captions"),
    json: Annotated[bool, Parameter(negative="", help="Print one JSON object.")] = False,
    watch: Annotated[
        bool, Parameter(negative="", help="Go on showing it until the run ends, or Ctrl-C.")
    ] = False,
) -> int:
    """Show the state of a run, even while it works in another terminal."""
    if json and watch:
        raise UsageError("--watch and --json exclude each other")
    with closing(open_reader(out)) as ledger:
        if watch:
            _watch(ledger, out)
        state = _read(ledger, out)
        note = unlisted_note(ledger, out, sandbox=state.is_rehearsal)
    if json:
        sys.stdout.write(msgspec.json.encode(as_json(state)).decode() + "\n")
        return 0
    print("\n".join(map(printable, as_lines(state))))
    if note:
        print(note)
    return 0


def _watch(ledger: LedgerReader, out: Path) -> None:
    """Show the state until no run is at work any more, or until Ctrl-C."""
    console = Console()
    try:
        with Live(console=console, auto_refresh=False, transient=True) as live:
            while Lock.holder(out):
                text = "\n".join(map(printable, as_lines(_read(ledger, out))))
                if console.is_terminal:
                    live.update(Text(text, no_wrap=True, overflow="ellipsis"), refresh=True)
                else:
                    print(text, end="\n\n", flush=True)
                time.sleep(WATCH_INTERVAL if console.is_terminal else LINES_INTERVAL)
    except KeyboardInterrupt:
        pass


def _read(ledger: LedgerReader, out: Path) -> RunState:
    holder = Lock.holder(out)
    sandbox = is_rehearsal(ledger)
    stored = snapshot.decode(ledger.values(snapshot.KEY).get(snapshot.KEY)) if holder else None
    if stored is not None and holder is not None and stored.at < holder.since:
        stored = None  # of an earlier run
    return RunState(
        totals=ledger.totals(),
        holder=holder,
        is_rehearsal=sandbox,
        snapshot=stored,
        open_job_count=ledger.open_job_count(),
        oldest_jobs=ledger.open_jobs(20),
        languages=ledger.language_counts(),
        resume=command_line("resume", out, sandbox=sandbox),
        at=time.time(),
    )

"""`batchcap status`: the state of a run, also from a second terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from batchcap.app.providers import is_rehearsal
from batchcap.cli.command_lines import command_line
from batchcap.cli.options import Out
from batchcap.cli.unlisted import unlisted_note
from batchcap.domain.models import Totals
from batchcap.domain.text import printable
from batchcap.storage.ledger import Lock, LockHolder, open_reader


def status(
    *,
    out: Out = Path("captions"),
    json: Annotated[bool, Parameter(negative="", help="Print one JSON object.")] = False,
) -> int:
    """Show the state of a run, even while it works in another terminal."""
    with closing(open_reader(out)) as ledger:
        counts, sandbox = ledger.totals(), is_rehearsal(ledger)
        note = unlisted_note(ledger, out, sandbox=sandbox)
    holder = Lock.holder(out)
    resume = command_line("resume", out, sandbox=sandbox)
    if json:
        shown = {"running": holder, "sandbox": sandbox, **msgspec.to_builtins(counts)}
        sys.stdout.write(msgspec.json.encode(shown).decode() + "\n")
    else:
        if sandbox:
            print("a rehearsal: its captions are the sandbox's")
        print("\n".join(map(printable, _lines(counts, holder, resume))))
        if note:
            print(note)
    return 0


def _lines(counts: Totals, holder: LockHolder | None, resume: str) -> Iterator[str]:
    if holder:
        age = time.time() - holder.since
        yield f"running: process {holder.pid} on {holder.host}, for {age:.0f} s"
    else:
        yield "not running" + (f"; to continue: {resume}" if counts.pending else "")
    for provider, states in counts.by_provider.items():
        yield f"{provider}: " + ", ".join(f"{count:,} {state}" for state, count in states.items())
    yield f"{counts.done:,} of {counts.total:,} captions done"
    if counts.without_cues:
        yield f"done, without a cue: {counts.without_cues:,}"
    for code, count in sorted(counts.errors.items()):
        yield f"failed, {code}: {count:,}"

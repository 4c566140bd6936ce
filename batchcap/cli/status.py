"""`batchcap status`: where a run stands, also from a second terminal."""

from __future__ import annotations

import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from batchcap.cli.options import Out


def status(
    *,
    out: Out = Path("captions"),
    json: Annotated[bool, Parameter(negative="", help="As one JSON object.")] = False,
) -> int:
    """Show where the run stands, also while it works in another terminal."""
    import msgspec

    from batchcap.ledger import Lock, read_only, totals
    from batchcap.log import printable

    with closing(read_only(out)) as connection:
        found = totals(connection)
    holder = Lock.holder(out)
    if json:
        shown = {"running": holder, **msgspec.to_builtins(found)}
        sys.stdout.write(msgspec.json.encode(shown).decode() + "\n")
        return 0
    if holder:
        since = time.time() - holder.since
        print(printable(f"running: process {holder.pid} on {holder.host}, for {since:.0f} s"))
    else:
        print("not running" + ("; batchcap resume goes on" if found.pending else ""))
    for provider, states in found.by_provider.items():
        counts = ", ".join(f"{count:,} {state}" for state, count in states.items())
        print(printable(f"{provider}: {counts}"))
    print(f"{found.done:,} of {found.total:,} captions done")
    for code, count in sorted(found.errors.items()):
        print(printable(f"failed, {code}: {count:,}"))
    return 0

"""`batchcap resume`: work on, from the ledger alone."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from batchcap.cli.options import Out, SandboxFlag, ScreenOptions, WorkOptions
from batchcap.errors import UsageError


def resume(
    *,
    out: Out = Path("captions"),
    sandbox: SandboxFlag = False,
    retry_failed: Annotated[
        bool, Parameter(negative="", help="Put failed rows back first.")
    ] = False,
    only: Annotated[
        str, Parameter(help="With --retry-failed: only rows with this error code.")
    ] = "",
    work: WorkOptions = WorkOptions(),  # noqa: B008  # frozen
    screen: ScreenOptions = ScreenOptions(),  # noqa: B008  # frozen
) -> int:
    """Work on until every row has ended, from the ledger alone."""
    from batchcap import log
    from batchcap.cli.session import Session
    from batchcap.ledger import Lock, connect, failed_codes, put_back, require

    if only and not retry_failed:
        raise UsageError("--only goes with --retry-failed")
    settings = work.settings(out, sandbox=sandbox)
    log.set_up(screen.verbose, screen.log_file)
    require(out)
    with Lock(out), closing(connect(out, create=False)) as connection:
        if retry_failed:
            codes = failed_codes(connection)
            if only and codes and only not in codes:
                raise UsageError(
                    f"--only: no row failed with {only!r}", hint=f"There are: {', '.join(codes)}"
                )
            put_back(connection, only or None)
        return Session(connection, settings, screen, sandbox=sandbox).run()

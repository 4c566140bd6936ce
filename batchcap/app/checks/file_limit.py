"""How many files the process may open."""

from __future__ import annotations

from batchcap.app.checks.diagnosis import Diagnosis
from batchcap.app.fd_limits import RESERVED_FDS, raise_soft_limit
from batchcap.domain.settings import Settings

SUBJECT = "open files"


def check_file_limit(settings: Settings) -> list[Diagnosis]:
    """Compare the limit with what a run needs for its connections and downloads."""
    limit = raise_soft_limit()
    wanted = settings.connections + settings.downloads + RESERVED_FDS
    if limit >= wanted:
        return [Diagnosis(SUBJECT, "ok", f"{limit:,} may be open, a run needs {wanted}")]
    text = f"only {limit} may be open, a run at full speed needs {wanted}"
    hint = f"ulimit -n {wanted} raises the limit, as far as the system allows."
    return [Diagnosis(SUBJECT, "warning" if limit > RESERVED_FDS else "problem", text, hint)]

"""batchcap gets the translated captions of thousands of videos from Mux and HeyGen as files.

The folders, from top to bottom; each imports only what stands below it:

==============  ====================================================================
`cli`           arguments in, exit status out; one file a command
`app`           one file a use case, and the wiring of a run's objects
`simulation`    a run of hours in seconds: the engine, with providers in memory
`reports`       results.jsonl, the summary, exports
`providers`     one folder a provider, and the registry of them
`webhooks`      events of providers, received, and kept for all runs of a machine
`captions`      from a download link to a checked file
`storage`       the ledger in SQLite, and files that are complete or absent
`manifest`      CSV, JSON and JSONL into rows
`engine`        the life of a row, and the poller that follows all jobs
`transport`     requests to an API: rate limits, retries, outages, HTTP sessions
`domain`        models, errors, events, protocols and settings
`sandbox`       both providers as an HTTP server on loopback; imports nothing of the rest
`testing`       the event loop on virtual time
==============  ====================================================================

The public names below are imported when they are first used, so that `batchcap --help`
stays fast. docs/architecture.md has a drawing of the layers.
"""

from __future__ import annotations

TYPE_CHECKING = False
"""As `typing` has it. Importing that takes 15 ms, in which Ctrl-C would print a traceback."""

if TYPE_CHECKING:
    from typing import Any

    from batchcap.app.run import run
    from batchcap.domain.errors import BatchcapError, FatalError, UsageError
    from batchcap.domain.models import Caption, Outcome, Row, RowState
    from batchcap.domain.settings import Settings
    from batchcap.domain.version import __version__
    from batchcap.storage.ledger import open_ledger

_PUBLIC = {
    "BatchcapError": "domain.errors",
    "Caption": "domain.models",
    "FatalError": "domain.errors",
    "Outcome": "domain.models",
    "Row": "domain.models",
    "RowState": "domain.models",
    "Settings": "domain.settings",
    "UsageError": "domain.errors",
    "__version__": "domain.version",
    "open_ledger": "storage.ledger",
    "run": "app.run",
}

__all__ = [
    "BatchcapError",
    "Caption",
    "FatalError",
    "Outcome",
    "Row",
    "RowState",
    "Settings",
    "UsageError",
    "__version__",
    "open_ledger",
    "run",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"batchcap.{_PUBLIC[name]}"), name)

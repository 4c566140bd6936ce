"""Whether the ledger of the output folder can be read."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from batchcap.app.checks.diagnosis import Diagnosis
from batchcap.domain.errors import FatalError, UsageError
from batchcap.domain.text import counted
from batchcap.storage.ledger import Lock, file, read_only
from batchcap.storage.ledger.schema import VERSION

SUBJECT = "ledger"


def check_ledger(out: Path) -> list[Diagnosis]:
    """Open the ledger to read from it, and change nothing."""
    try:
        with closing(read_only.connect(out)) as connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            rows = connection.execute("SELECT count(*) FROM rows").fetchone()[0]
    except UsageError as error:
        return [Diagnosis(SUBJECT, "skipped", error.message)]
    except FatalError as error:
        return [Diagnosis(SUBJECT, "problem", error.message, error.hint)]
    except sqlite3.Error as error:
        hint = "batchcap rebuild MANIFEST makes a new one."
        return [Diagnosis(SUBJECT, "problem", f"{file(out)} cannot be read: {error}", hint)]
    text = f"version {version}, {counted(rows, 'row')}"
    text += f"; the next run brings it to version {VERSION}" if version < VERSION else ""
    holder = Lock.holder(out)
    text += f"; process {holder.pid} works on it" if holder else ""
    return [Diagnosis(SUBJECT, "ok", text)]

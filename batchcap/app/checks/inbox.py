"""Whether the webhook inbox of this machine can be read."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from batchcap.app.checks.diagnosis import Diagnosis
from batchcap.domain.errors import FatalError
from batchcap.domain.text import counted
from batchcap.webhooks.inbox import inbox_path, is_ready

SUBJECT = "webhook inbox"
_NO_INBOX = Diagnosis(SUBJECT, "skipped", "not used here; runs poll, unless they have --listen")
_NEWEST = "SELECT count(*), max(received_at) FROM events"


def check_inbox(folder: Path | None, now: float) -> list[Diagnosis]:
    """Read the inbox in `folder`, if there is one. `now` is unix seconds."""
    if folder is None:
        return [_NO_INBOX]
    path = inbox_path(folder)
    try:
        if not path.exists():
            return [_NO_INBOX]
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            if not is_ready(connection):
                return [Diagnosis(SUBJECT, "skipped", "it is just being created")]
            count, newest = connection.execute(_NEWEST).fetchone()
    except FatalError as error:
        return [Diagnosis(SUBJECT, "problem", error.message, error.hint)]
    except (OSError, sqlite3.Error) as error:
        hint = "Fix its permissions, or delete it if it is damaged: runs then poll the provider."
        return [Diagnosis(SUBJECT, "warning", f"{path} cannot be read: {error}", hint)]
    ago = f", the last {max(0.0, now - newest) / 60:,.0f} minutes ago" if newest else ""
    return [Diagnosis(SUBJECT, "ok", f"{counted(count, 'event')}{ago}")]

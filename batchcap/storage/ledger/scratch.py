"""A copy of a ledger that may be changed at will, and is gone afterwards."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from batchcap.domain.errors import FatalError, UsageError
from batchcap.storage.ledger import read_only, schema
from batchcap.storage.ledger.writer import SqliteLedger


@contextmanager
def scratch_ledger(out: Path) -> Iterator[SqliteLedger]:
    """Yield a copy of an output folder's ledger, or a new one if there is none.

    The copy is in a temporary folder and removed in the end. Nothing is written in `out`,
    and the ledger is copied as it is at this moment even while a run works on it.

    Raises:
        FatalError: The ledger is damaged, of another version, or may not be read, or the disk
            of temporary files is full.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="batchcap-plan-") as folder:
            place = Path(folder)
            schema.folder(place).mkdir()
            with contextlib.suppress(UsageError):  # there is no ledger yet
                _copy(out, schema.file(place))
            connection = schema.open_file(place, schema.file(place), durable=False)
            path = schema.file(place)
            with closing(SqliteLedger(connection, path, out, now=time.time)) as ledger:
                yield ledger
    except OSError as error:
        raise FatalError(
            f"cannot make a temporary ledger in {tempfile.gettempdir()}: {error.strerror or error}",
            hint="Free disk space, or name another folder with TMPDIR.",
        ) from None


def _copy(out: Path, target: Path) -> None:
    with closing(read_only.connect(out)) as source, closing(sqlite3.connect(target)) as copy:
        try:
            source.backup(copy)
        except sqlite3.Error as error:
            raise schema.unusable(out, schema.file(out), error) from None

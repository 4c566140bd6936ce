"""The checkpoint of a run: one SQLite file in `DIR/.batchcap/`.

schema   the tables, the version, how the file is opened
lock     one run at a time, whoever was killed
intake   manifest rows into the ledger, all or none
writer   what the engine writes while it works: facts and outcomes
reading  what report and status read, from this process or another

It holds rows, facts and outcomes; no link, no key.
"""

from batchcap.ledger.intake import Intake, put_back, take_in
from batchcap.ledger.lock import Holder, Lock
from batchcap.ledger.reading import Totals, failed_codes, results, totals, waiting
from batchcap.ledger.schema import connect, discard_empty, folder, read_only
from batchcap.ledger.writer import SqliteLedger

__all__ = [
    "Holder",
    "Intake",
    "Lock",
    "SqliteLedger",
    "Totals",
    "connect",
    "discard_empty",
    "failed_codes",
    "folder",
    "put_back",
    "read_only",
    "results",
    "take_in",
    "totals",
    "waiting",
]

"""The checkpoint of a run: one SQLite file in `DIR/.batchcap/`.

schema    the tables, the version, how the file is opened
disk      where a ledger must not lie
lock      one run at a time, whoever was killed
intake    manifest rows into the ledger, all or none
writer    what the engine writes while it works: facts and outcomes
reading   what report and status read, from this process or another
checking  what verify and audit read, and what a repair writes
replacing a new ledger, also in the place of one that is lost or damaged
seen      which files are as they were when they were last dealt with

It holds rows, facts and outcomes; no link, no key.
"""

from batchcap.ledger import seen
from batchcap.ledger.checking import (
    Delivered,
    Paid,
    Recollection,
    Wanted,
    delivered,
    known,
    owned,
    paying,
    put_wrong_back,
    sources,
    wanted,
)
from batchcap.ledger.intake import Intake, put_back, take_in
from batchcap.ledger.lock import Holder, Lock
from batchcap.ledger.reading import Totals, failed_codes, lines, results, totals, waiting
from batchcap.ledger.replacing import adopt, begun, doubt, kept_as, open_files, replaced
from batchcap.ledger.schema import (
    connect,
    damaged,
    discard_new,
    file,
    folder,
    read_only,
    require,
)
from batchcap.ledger.writer import SqliteLedger

__all__ = [
    "Delivered",
    "Holder",
    "Intake",
    "Lock",
    "Paid",
    "Recollection",
    "SqliteLedger",
    "Totals",
    "Wanted",
    "adopt",
    "begun",
    "connect",
    "damaged",
    "delivered",
    "discard_new",
    "doubt",
    "failed_codes",
    "file",
    "folder",
    "kept_as",
    "known",
    "lines",
    "open_files",
    "owned",
    "paying",
    "put_back",
    "put_wrong_back",
    "read_only",
    "replaced",
    "require",
    "results",
    "seen",
    "sources",
    "take_in",
    "totals",
    "waiting",
    "wanted",
]

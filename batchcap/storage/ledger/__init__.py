"""The checkpoint of a run: one SQLite file in `DIR/.batchcap/`.

schema        the tables, the version, how the file is opened
filesystem    file systems on which a ledger must not lie
lock          one run at a time; the lock dies with its process
transactions  many statements to a commit
read_only     opening to read, also in a read-only folder
queries       `SqliteLedgerReader`: what status, report, verify and audit read
results       how a row looks in results.jsonl
history       what the ledger records of a row that has not ended
forgetting    rows that are taken back
writer        `SqliteLedger`: what a run records
importer      manifest rows into the ledger, all or none
corrections   new parameters for a row that failed or never started
selection     the rows that a run chose from those that are pending
workload      counts of what there is to do
scratch       a copy of a ledger that is gone afterwards
unlisted      rows that their manifest does not list any more
replace       a new ledger, also in the place of one that is lost or damaged
file_marks    names of the files whose fingerprints are kept

It holds rows, facts and outcomes; no link, no key.
"""

from batchcap.storage.ledger import file_marks
from batchcap.storage.ledger.lock import Lock, LockHolder
from batchcap.storage.ledger.queries import Examine, SqliteLedgerReader, open_reader
from batchcap.storage.ledger.replace import NewSqliteLedger, backup_path, new_ledger, replacement
from batchcap.storage.ledger.schema import discard_new, file, folder, require
from batchcap.storage.ledger.scratch import scratch_ledger
from batchcap.storage.ledger.writer import SqliteLedger, open_ledger

__all__ = [
    "Examine",
    "Lock",
    "LockHolder",
    "NewSqliteLedger",
    "SqliteLedger",
    "SqliteLedgerReader",
    "backup_path",
    "discard_new",
    "file",
    "file_marks",
    "folder",
    "new_ledger",
    "open_ledger",
    "open_reader",
    "replacement",
    "require",
    "scratch_ledger",
]

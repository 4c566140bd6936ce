"""What the ledger records of a row that has not ended, as columns of a query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from batchcap.domain.models import PendingRow, Row, RowHistory

# Errored and cancelled jobs are detached from their row. A completed job stays attached,
# because it was billed. A job unknown to the provider counts as an unanswered create: it is
# looked up before anything is sent again. Jobs of a forgotten row of the same task belong to
# no row.
COLUMNS = """
r.number, r.key, r.provider, r.source_id, r.language, r.target, r.path,
r.params, r.meta, r.origin,
c.intent_at, CASE WHEN c.ended IS NOT 'missing' THEN c.job_id END,
(SELECT group_concat(job_id, x'0a') FROM (
    SELECT job_id FROM creates WHERE row = r.number AND ended IN ('errored', 'cancelled')
    UNION ALL
    SELECT job_id FROM forgotten
    WHERE source_id = r.source_id AND target = r.target AND provider = r.provider
)),
r.finished_at IS NOT NULL
"""
"""What `pending_row` needs of a row, in this order."""

TABLES = """
rows r LEFT JOIN creates c ON c.row = r.number
    AND ifnull(c.ended, 'completed') IN ('completed', 'missing')
    AND c.nth = (SELECT max(nth) FROM creates WHERE row = r.number)
"""
"""Where `COLUMNS` come from: a row with its last create, unless that one cost nothing."""


def pending_row(values: Sequence[Any]) -> PendingRow:
    """Return a row with its history."""
    *row, intent, job, previous, completed = values
    jobs = tuple(previous.split("\n")) if previous else ()
    return PendingRow(Row.of(row), RowHistory(intent, job, jobs, was_completed=bool(completed)))

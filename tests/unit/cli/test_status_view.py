"""The lines of `batchcap status` beside a run at work."""

from __future__ import annotations

from batchcap.cli.status_view import RunState, as_lines
from batchcap.domain.models import LanguageCount, Totals
from batchcap.reports.snapshot import ProviderState, Snapshot, SourcesState
from tests.harness.clock import EPOCH

PROVIDER = ProviderState(
    name="mux", total=100, waiting=80, at_provider=8, downloading=1, done=11, failed=0,
    skipped=0, invalid=0, is_stopped=False, ends_at=None,
)  # fmt: skip


def shown(pending: int) -> list[str]:
    """Return the lines if the ledger has fewer pending rows than the snapshot."""
    done = 100 - pending
    by_provider = {"mux": {"done": done, "pending": pending}}
    totals = Totals(total=100, done=done, pending=pending, by_provider=by_provider)
    snapshot = Snapshot(
        at=EPOCH, began=EPOCH, providers=[PROVIDER], buckets=[], sources=SourcesState(40, 12, 1)
    )
    state = RunState(
        totals=totals, holder=None, is_rehearsal=False, snapshot=snapshot, open_job_count=0,
        languages=[LanguageCount("es", 3, 1), LanguageCount(None, 1, 0)],
        oldest_jobs=[], resume="batchcap resume", at=EPOCH + 4,
    )  # fmt: skip
    return list(as_lines(state))


def test_status_counts_no_more_rows_as_waiting_than_are_pending() -> None:
    assert "mux: 11 done, 89 pending (80 waiting, 8 at the provider, 1 downloading)" in shown(89)
    assert "mux: 26 done, 74 pending (65 waiting, 8 at the provider, 1 downloading)" in shown(74)
    assert "mux: 95 done, 5 pending" in shown(5)


def test_status_shows_source_captions_if_any_are_fetched() -> None:
    assert "source captions: 12 of 40, 1 could not be had" in shown(74)

"""`plan --check`: what the account has of the rows, in few requests and without a create."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from batchcap.app.account_check import CheckResult, check_account
from batchcap.domain.models import Row
from batchcap.domain.workload import RowRules, Workload
from batchcap.providers import PROVIDERS
from batchcap.sandbox import Sandbox, SandboxOptions
from batchcap.sandbox.mux.assets import account_ids, find_asset
from batchcap.storage.ledger import scratch_ledger
from tests.harness.provider import running_provider
from tests.harness.rows import heygen_row, mux_row
from tests.harness.runs import run_rows

pytestmark = pytest.mark.anyio

ASSET = find_asset("film-has-es")
assert ASSET is not None
ENGLISH = ASSET.tracks[0].id
RULES = RowRules(lambda *_: True, lambda *_: True)


async def check(
    sandbox: Sandbox, out: Path, rows: Iterable[Row], **options: str
) -> tuple[CheckResult, dict[str, Workload]]:
    """Return what is found for some rows, and what is left to do by provider."""
    async with AsyncExitStack() as stack:
        ledger = stack.enter_context(scratch_ledger(out))
        ledger.import_rows([("m.csv", rows)], skip_invalid=False)
        changes = {"options": options} if options else {}
        providers = {
            name: (
                await stack.enter_async_context(running_provider(sandbox, name, **changes))
            ).provider
            for name in PROVIDERS
        }
        result = await check_account(ledger, providers, lambda _: None)
        return result, {work.provider: work for work in ledger.workloads(RULES)}


async def test_check_says_what_exists_and_what_would_fail(tmp_path: Path) -> None:
    rows = [
        mux_row("film-1"),
        mux_row("film-has-es"),
        mux_row("film-missing"),
        mux_row("film-notrack", "fr"),
        mux_row("film-preparing"),
        mux_row("film-2", track_id="missing-track"),
        mux_row("film-drm", track_id="some-track"),
        heygen_row("v1"),
        heygen_row("v-missing"),
        heygen_row("v-failed"),
        heygen_row("v-stuck"),
    ]
    async with Sandbox(SandboxOptions(heygen_running=0.0)) as sandbox:
        result, left = await check(sandbox, tmp_path, rows)
        assert sandbox.request_log.count("mux.create") == 0
    assert result.counts == {
        "to_create": 1,
        "exists": 2,
        "asset_not_found": 1,
        "track_not_found": 2,
        "track_not_ready": 1,
        "rejected": 1,
        "not_found": 1,
        "job_failed": 1,
        "not_ready": 1,
    }
    assert result.examples["asset_not_found"] == [
        "mux:film-missing:es: asset film-missing does not exist in this environment"
    ]
    assert (left["mux"].rows, left["mux"].creates, left["mux"].with_job) == (2, 1, 1)
    assert left["heygen"].rows == 2


@pytest.mark.parametrize(("on_existing", "kind"), [("skip", "exists"), ("fail", "language_exists")])
async def test_check_of_an_unwanted_caption_leaves_nothing_to_do(
    tmp_path: Path, on_existing: str, kind: str
) -> None:
    async with Sandbox(SandboxOptions()) as sandbox:
        rows = [mux_row("film-has-es")]
        result, left = await check(sandbox, tmp_path, rows, on_existing=on_existing)
    assert result.counts == {kind: 1}
    assert "mux" not in left


@pytest.mark.parametrize(
    ("target", "params"),
    [
        ("es", {"replace_existing_tracks": "replace_all"}),
        ("es", {"replace_existing_tracks": "replace_generated"}),
        ("es", {"upload_to_mux": False, "track_id": ENGLISH}),
        ("es", {"track_id": ENGLISH}),
        ("es-MX", {"upload_to_mux": False}),
        ("es-MX", {}),
        ("fr", {}),
    ],
    ids=str,
)
async def test_check_says_what_the_run_then_does(
    tmp_path: Path, target: str, params: dict[str, Any]
) -> None:
    rows = [mux_row("film-has-es", target, **params)]
    async with Sandbox(SandboxOptions(job_seconds=0.1)) as sandbox:
        result, _ = await check(sandbox, tmp_path / "plan", rows)
        ran = await run_rows(sandbox, tmp_path / "run", rows)
        creates = len(sandbox.request_log.creates)
    ((kind, _),) = result.counts.items()
    state = ran.states()[rows[0].key]
    expected = {"to_create": ("done", 1), "exists": ("done", 0)}.get(kind, (kind, 0))
    assert (state, creates) == expected


async def test_check_with_v2_requests_each_translation(tmp_path: Path) -> None:
    rows = [heygen_row(name) for name in ("v1", "v-missing", "v-failed", "v-stuck")]
    async with Sandbox(SandboxOptions(heygen_running=0.0)) as sandbox:
        result, _ = await check(sandbox, tmp_path, rows, heygen_api="v2")
    assert result.counts == {"exists": 1, "not_found": 1, "job_failed": 1, "not_ready": 1}


async def test_check_of_listed_translations_without_caption_says_so(tmp_path: Path) -> None:
    names = [f"v{number}-nocaption" for number in range(120)]
    options = SandboxOptions(heygen_running=0.0, heygen_account=0, heygen_ids=tuple(names))
    async with Sandbox(options) as sandbox:
        result, _ = await check(sandbox, tmp_path, map(heygen_row, names))
    assert result.counts == {"captions_not_enabled": 120}


async def test_check_of_a_whole_account_reads_pages_not_assets(tmp_path: Path) -> None:
    async with Sandbox(SandboxOptions(mux_account=1000)) as sandbox:
        ids = account_ids(1000, ())
        rows = [mux_row(asset_id, tag) for asset_id in ids for tag in ("es", "ja")]
        result, left = await check(sandbox, tmp_path, rows)
        assert sandbox.request_log.count("mux.asset") == 0
        assert sandbox.request_log.count("mux.assets") == 10
    assert result.counts == {"to_create": 2000}
    assert left["mux"].creates == 2000


async def test_check_of_few_assets_of_a_large_account_soon_reads_them_one_by_one(
    tmp_path: Path,
) -> None:
    async with Sandbox(SandboxOptions(mux_account=5000)) as sandbox:
        result, _ = await check(sandbox, tmp_path, [mux_row(f"other-{n}") for n in range(150)])
        assert sandbox.request_log.count("mux.assets") == 3
        assert sandbox.request_log.count("mux.asset") == 150
    assert result.counts == {"to_create": 150}

"""Manifests made of an account in the sandbox: complete, resumable, and accepted by a run."""

from __future__ import annotations

import tracemalloc
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest

from batchcap.app.providers import open_providers
from batchcap.domain.account import AccountItem, AccountPage, AccountQuery
from batchcap.domain.errors import FatalError, RowError, RowSkipped, Unavailable, UsageError
from batchcap.domain.models import JobRequest
from batchcap.domain.protocols import AccountList
from batchcap.providers import PROVIDERS
from batchcap.reports.manifest_file import Encoder, ManifestFile
from batchcap.sandbox import Sandbox, SandboxOptions
from batchcap.storage.ledger import open_reader
from tests.harness.accounts import (
    InterruptedAccount,
    account_manifest,
    account_of,
    manifest_of,
    opened_manifest,
    write_manifest,
)
from tests.harness.clock import clock, now
from tests.harness.provider import running_provider
from tests.harness.rows import mux_row, read_rows
from tests.harness.runs import run_rows, unlimited_settings

pytestmark = pytest.mark.anyio

SPECIAL = (
    *("film-has-es", "film-has-es-419", "film-has-fr", "film-twotracks", "film-live"),
    *("film-notrack", "film-preparing", "film-autotrack", "film-noplayback", "film-drm"),
    *("film-signed", "film-1"),
)
ES_JA = AccountQuery(targets=("es", "ja"), source_language="en")


async def test_manifest_of_10000_assets_is_accepted_by_a_run(tmp_path: Path) -> None:
    path = tmp_path / "videos.csv"
    async with Sandbox(SandboxOptions(mux_account=10_000)) as sandbox:
        walk = await manifest_of(sandbox, path, "es", "ja")
        assert (walk.listed, walk.rows, walk.captions) == (10_000, 10_000, 20_000)
        assert sandbox.request_log.count("mux.assets") == 100
        assert sandbox.request_log.count("mux.asset") == 0
        rows = read_rows(path)
        assert len({row.source_id for row in rows}) == 10_000
        assert len(rows) == 20_000
        result = await run_rows(sandbox, tmp_path / "out", rows[:200])
        assert set(result.states().values()) == {"done"}
        assert sandbox.request_log.count("mux.asset") == 0, "the manifest names the tracks"
    meta = result.results[0]["meta"]
    assert meta.keys() == {"title", "duration", "created"}
    assert meta["title"] == f"Video {rows[0].source_id}"


@pytest.mark.parametrize("source", ["en", "es", None])
async def test_manifest_has_what_a_run_would_create(tmp_path: Path, source: str | None) -> None:
    options = SandboxOptions(mux_account=0, mux_ids=SPECIAL)
    expected: dict[tuple[str, str], str] = {}
    async with Sandbox(options) as sandbox, running_provider(sandbox, "mux") as mux:
        for asset_id in SPECIAL:
            for tag in ("es", "ja"):
                row = mux_row(asset_id, tag, **({"from_language": source} if source else {}))
                try:
                    prepared = await mux.provider.prepare(row)
                    if isinstance(prepared, JobRequest):
                        async with mux.provider.send_slot() as slot:
                            job = await slot.create(prepared)
                        if job.id is not None:
                            track = prepared.body["parameters"]["track_id"]
                            expected[asset_id, tag] = track
                except (RowError, RowSkipped):
                    continue
    async with Sandbox(options) as sandbox:
        path = tmp_path / "videos.jsonl"
        await manifest_of(sandbox, path, "es", "ja", source_language=source)
    written = {(row.source_id, row.target): row.params["track_id"] for row in read_rows(path)}
    assert written == expected
    assert expected


async def test_manifest_counts_what_is_left_out(tmp_path: Path) -> None:
    ids = ("film-has-es", "film-has-es-419", "film-notrack", "film-noplayback", "film-1")
    async with Sandbox(SandboxOptions(mux_account=0, mux_ids=ids)) as sandbox:
        walk = await manifest_of(sandbox, tmp_path / "v.csv", "es", "ja", source_language="en")
    assert {reason: count for reason, count in walk.left_out.items() if count} == {
        "captions that exist": 1,
        "captions for which a track is in the way": 1,
        "assets without a ready text track in en": 1,
        "assets without a public or signed playback id": 1,
    }
    assert (walk.listed, walk.rows, walk.captions) == (5, 3, 4)


@pytest.mark.parametrize("format_", ["csv", "jsonl", "json"])
async def test_manifest_interrupted_continues_to_the_same_file(
    tmp_path: Path, format_: str
) -> None:
    whole, path = tmp_path / f"whole.{format_}", tmp_path / f"videos.{format_}"
    async with Sandbox(SandboxOptions(mux_account=1050)) as sandbox:
        await manifest_of(sandbox, whole, "es", "ja", source_language="en")
        before = sandbox.request_log.count("mux.assets")
        async with running_provider(sandbox, "mux") as mux:
            broken = InterruptedAccount(account_of(mux), 4, Unavailable("503"))
            with pytest.raises(FatalError, match="listing the assets failed: 503") as failed:
                await write_manifest(broken, path, ES_JA)
            assert failed.value.hint == "The same command continues where this one stopped."
            assert not path.exists()
            broken = InterruptedAccount(account_of(mux), 3, KeyboardInterrupt())
            with pytest.raises(KeyboardInterrupt):
                await write_manifest(broken, path, ES_JA)
            walk = await write_manifest(account_of(mux), path, ES_JA)
        assert sandbox.request_log.count("mux.assets") - before == 11
    assert (walk.listed, walk.rows, walk.captions) == (1050, 1050, 2100)
    assert path.read_bytes() == whole.read_bytes()
    assert sorted(tmp_path.iterdir()) == sorted([whole, path])


async def test_manifest_killed_after_an_unsaved_page_continues_at_the_saved_one(
    tmp_path: Path,
) -> None:
    path = tmp_path / "videos.csv"
    async with (
        Sandbox(SandboxOptions(mux_account=450)) as sandbox,
        running_provider(sandbox, "mux") as mux,
    ):
        broken = InterruptedAccount(account_of(mux), 2, Unavailable("503"))
        with pytest.raises(FatalError):
            await write_manifest(broken, path, ES_JA)
        with (tmp_path / "videos.csv.part").open("ab") as part:
            part.write(b"half of a li")
        await write_manifest(account_of(mux), path, ES_JA)
    assert len(read_rows(path)) == 900


async def test_manifest_whose_cursor_is_refused_starts_again(tmp_path: Path) -> None:
    path, warnings = tmp_path / "videos.csv", list[str]()
    async with (
        Sandbox(SandboxOptions(mux_account=250)) as sandbox,
        running_provider(sandbox, "mux") as mux,
    ):
        broken = InterruptedAccount(account_of(mux), 2, Unavailable("503"))
        with pytest.raises(FatalError):
            await write_manifest(broken, path, ES_JA)
        state = tmp_path / "videos.csv.part.json"
        state.write_text(state.read_text().replace("after-", "before-"))
        await write_manifest(account_of(mux), path, ES_JA, warnings=warnings)
    assert len(read_rows(path)) == 500
    assert len(warnings) == 1
    assert "400" in warnings[0]


async def test_manifest_with_other_options_starts_again(tmp_path: Path) -> None:
    path = tmp_path / "videos.csv"
    async with Sandbox(SandboxOptions(mux_account=250)) as sandbox:
        async with running_provider(sandbox, "mux") as mux:
            broken = InterruptedAccount(account_of(mux), 2, Unavailable("503"))
            with pytest.raises(FatalError):
                await write_manifest(broken, path, ES_JA)
        await manifest_of(sandbox, path, "fr")
    assert {row.target for row in read_rows(path)} == {"fr"}
    assert len(read_rows(path)) == 250


@pytest.mark.parametrize("provider", ["mux", "heygen"])
async def test_manifest_under_faults_is_complete(tmp_path: Path, provider: str) -> None:
    faults = {"throttle": 0.2, "server_error": 0.1, "reset": 0.1, "cut_body": 0.1}
    options = SandboxOptions(
        mux_account=1000, heygen_account=1000, faults=faults, retry_after="absent"
    )
    targets = ("es",) if provider == "mux" else ()
    async with Sandbox(options) as sandbox:
        walk = await manifest_of(sandbox, tmp_path / "v.csv", *targets, provider=provider)
    assert walk.listed == walk.rows == 1000
    assert len({row.source_id for row in read_rows(tmp_path / "v.csv")}) == 1000


async def test_manifest_continued_keeps_to_the_pause_that_the_provider_asked_for(
    tmp_path: Path,
) -> None:
    options = SandboxOptions(
        mux_account=200, faults={"throttle": 1.0}, fault_streak=1, retry_after_seconds=100
    )
    path, began = tmp_path / "videos.csv", clock()
    async with Sandbox(options) as sandbox:
        with anyio.move_on_after(150):  # the first page came after 100 s, the second after 200 s
            await manifest_within_limits(sandbox, path)
        assert not path.exists()
        assert sandbox.request_log.count("mux.assets") == 3
        await manifest_within_limits(sandbox, path)
        assert 200 <= clock() - began < 210
    assert len(read_rows(path)) == 400


async def manifest_within_limits(sandbox: Sandbox, path: Path) -> None:
    """Write or continue a manifest, with what the walk keeps for the provider's quota."""
    settings, environment = unlimited_settings(path.parent), sandbox.environment()
    with opened_manifest(path, ES_JA) as (output, walk):
        async with open_providers(
            settings, walk, ["mux"], environment, lambda _: None, sandbox=True, now=now
        ) as providers:
            account = providers["mux"]
            assert isinstance(account, AccountList)
            await account_manifest(path, ES_JA).write(account, output, walk)


async def test_manifest_filters_by_title_passthrough_and_date(tmp_path: Path) -> None:
    async with Sandbox(SandboxOptions(mux_account=100)) as sandbox:
        await manifest_of(sandbox, tmp_path / "all.csv", "es")
        everything = {row.source_id: row for row in read_rows(tmp_path / "all.csv")}
        some = next(iter(everything.values()))

        async def listed(**query: Any) -> set[str]:
            await manifest_of(sandbox, tmp_path / "some.csv", "es", **query)
            return {row.source_id for row in read_rows(tmp_path / "some.csv")}

        assert await listed(title="Video asset-0009*") == {
            asset_id for asset_id in everything if asset_id.startswith("asset-0009")
        }
        show = some.params["passthrough"]
        assert await listed(passthrough=show) == {
            asset_id for asset_id, row in everything.items() if row.params["passthrough"] == show
        }
        start = 1_760_000_000 + 3600 * 10
        assert await listed(created_after=start, created_before=start + 7200) == {
            asset_id for asset_id in everything if asset_id[:11] in {"asset-00010", "asset-00011"}
        }


async def test_manifest_missing_in_leaves_out_the_tasks_of_the_ledger(tmp_path: Path) -> None:
    async with Sandbox(SandboxOptions(mux_account=5)) as sandbox:
        await manifest_of(sandbox, tmp_path / "v.csv", "es", "iw")
        rows = read_rows(tmp_path / "v.csv")
        await run_rows(sandbox, tmp_path / "out", rows[:3])
    async with Sandbox(SandboxOptions(mux_account=5)) as sandbox:
        with closing(open_reader(tmp_path / "out")) as ledger:
            walk = await manifest_of(sandbox, tmp_path / "w.csv", "es", "he", exclude=ledger)
    left = {(row.source_id, row.target) for row in read_rows(tmp_path / "w.csv")}
    assert left == {(row.source_id, row.target) for row in rows[3:]}
    assert walk.left_out["captions that the ledger has"] == 3


async def test_manifest_of_heygen_says_state_and_caption_and_runs(tmp_path: Path) -> None:
    ids = ("clip-failed", "clip-nocaption", "clip-es")
    path = tmp_path / "v.csv"
    async with Sandbox(
        SandboxOptions(heygen_account=3, heygen_ids=ids, heygen_running=0)
    ) as sandbox:
        await manifest_of(sandbox, path, provider="heygen")
        rows = read_rows(path)
        result = await run_rows(sandbox, tmp_path / "out", rows)
    metadata = {row.source_id: (row.meta["state"], row.meta["has_caption"]) for row in rows}
    assert len(metadata) == 6
    assert metadata["clip-failed"] == ("failed", "no")
    assert metadata["clip-nocaption"] == ("completed", "no")
    assert metadata["clip-es"] == ("completed", "yes")
    assert next(row.language for row in rows if row.source_id == "clip-es") == "es"
    assert result.by_key["heygen:clip-es:es"]["state"] == "done"
    assert result.by_key["heygen:clip-es:es"]["meta"]["title"] == "Translation clip-es"


async def test_manifest_list_that_leads_to_itself_fails(tmp_path: Path) -> None:
    class Endless:
        async def list_account(self, cursor: str, query: AccountQuery) -> AccountPage:
            return AccountPage(count=0, items=[], cursor="same")

    with pytest.raises(FatalError, match="a page leads to itself"):
        await write_manifest(Endless(), tmp_path / "v.csv", ES_JA)


async def test_manifest_memory_does_not_grow_with_the_account(tmp_path: Path) -> None:
    class Account:
        def __init__(self, pages: int) -> None:
            self._pages = pages

        async def list_account(self, cursor: str, query: AccountQuery) -> AccountPage:
            page = int(cursor or "0")
            items = [
                AccountItem(source_id=f"asset-{page}-{n}", title="x" * 100, targets=("es", "ja"))
                for n in range(100)
            ]
            more = page + 1 < self._pages
            return AccountPage(count=100, items=items, cursor=str(page + 1) if more else "")

    async def peak(pages: int) -> int:
        tracemalloc.start()
        try:
            await write_manifest(Account(pages), tmp_path / "v.csv", ES_JA)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    await peak(3)  # what is only loaded once
    assert await peak(200) < 1.2 * await peak(10)
    assert len((tmp_path / "v.csv").read_text().splitlines()) == 1001


async def test_manifest_heygen_without_v3_fails(tmp_path: Path) -> None:
    async with (
        Sandbox(SandboxOptions(heygen_v3="gone404")) as sandbox,
        running_provider(sandbox, "heygen") as heygen,
    ):
        with pytest.raises(FatalError, match="HeyGen v3, which lists translations"):
            await write_manifest(
                account_of(heygen), tmp_path / "v.csv", AccountQuery(), provider="heygen"
            )
    assert list(tmp_path.iterdir()) == []


def test_every_provider_with_account_columns_lists_its_account() -> None:
    for spec in PROVIDERS.values():
        assert issubclass(spec.build, AccountList) == (spec.account is not None)  # type: ignore[arg-type]


def test_manifest_file_that_another_process_writes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "v.csv"
    with (
        ManifestFile(path, "x").opened(),
        pytest.raises(UsageError, match="another process"),
        ManifestFile(path, "x").opened(),
    ):
        pass


def test_manifest_file_in_a_missing_folder_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "no" / "v.csv"
    with pytest.raises(UsageError, match="No such file"), ManifestFile(path, "x").opened():
        pass


def test_encoder_text_is_no_formula_and_an_own_column_is_unchanged() -> None:
    encoder = Encoder("csv", ("asset_id", "title", "passthrough"), frozenset({"title"}))
    record = {"asset_id": "a", "title": '=HYPERLINK("x")', "passthrough": "-1"}
    assert encoder.encode([record], are_first=True) == b'a,"\'=HYPERLINK(""x"")",-1\n'


def test_encoder_json_without_records_is_a_list() -> None:
    encoder = Encoder("json", ("asset_id",), frozenset())
    data = encoder.begin() + encoder.encode([], are_first=True) + encoder.end()
    assert data == b"[\n]\n"

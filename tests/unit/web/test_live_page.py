"""The live page: the page, its events, and the caption files, over real connections."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import msgspec
import pytest

from batchcap.domain.ledger_protocols import LedgerReader
from batchcap.domain.models import Failure, RowState
from batchcap.reports.snapshot import KEY, Snapshot
from batchcap.web import changes, events, server
from tests.harness.live_page import Events, make_row, running_page

pytestmark = pytest.mark.anyio


async def read_to_end(stream: Events) -> list[str]:
    kinds = []
    while (event := await stream.next()) is not None:
        kinds.append(event[0])
    return kinds


class TestEvents:
    async def test_events_begin_with_all_rows_and_totals(self, tmp_path: Path) -> None:
        async with running_page(tmp_path, 1200) as harness, harness.events() as stream:
            await stream.until(lambda seen: bool(seen.totals))
            assert stream.states == {f"source{number}": "pending" for number in range(1, 1201)}
            assert stream.totals["total"] == 1200
            assert stream.raw[0] == "retry: 2000\n"

    async def test_events_show_each_row_that_ends(self, tmp_path: Path) -> None:
        async with running_page(tmp_path, 3) as harness, harness.events() as stream:
            await stream.until(lambda seen: bool(seen.totals))
            await harness.finish(2)
            await stream.until(lambda seen: seen.states["source2"] == "done")
            await harness.finish(
                3,
                state=RowState.FAILED,
                caption=None,
                failure=Failure("job_failed", "no", retryable=False),
            )
            await stream.until(lambda seen: seen.states["source3"] == "failed")
            await stream.until(lambda seen: seen.totals["failed"] == 1)
            assert stream.totals["errors"] == {"job_failed": 1}
            assert stream.states["source1"] == "pending"

    async def test_events_show_the_job_of_a_row(self, tmp_path: Path) -> None:
        async with running_page(tmp_path, 2) as harness, harness.events() as stream:
            await stream.until(lambda seen: bool(seen.totals))
            row = make_row(2)
            await harness.ledger.record_intent(row)
            await harness.ledger.record_job(row, "job-2")
            while True:
                event = await stream.next()
                assert event is not None
                if block := event[1]["rows"]:
                    break
            assert block["job_id"] == ["job-2"]

    async def test_events_of_a_page_continue_where_it_was_made(self, tmp_path: Path) -> None:
        async with running_page(tmp_path, 3) as harness:
            page = await harness.get()
            path = page.text.partition('"events?after=')[2].partition('"')[0]
            await harness.finish(1)
            async with harness.events(f"events?after={path}") as stream:
                await stream.until(lambda seen: bool(seen.states))
                assert stream.states == {"source1": "done"}

    async def test_reader_that_comes_back_gets_what_it_missed(self, tmp_path: Path) -> None:
        async with running_page(tmp_path, 3) as harness:
            async with harness.events() as stream:
                await stream.until(lambda seen: bool(seen.totals and seen.last_id))
                last_id = stream.last_id
            await harness.finish(1)
            headers = {"Last-Event-ID": last_id}
            async with harness.events(headers=headers) as stream:
                await stream.until(lambda seen: bool(seen.states))
                assert stream.states == {"source1": "done"}

    @pytest.mark.parametrize("last_id", ["x", "abcd-1", "-", "é-1", "0-" + "9" * 5000])
    async def test_unknown_id_gets_all_rows(self, tmp_path: Path, last_id: str) -> None:
        async with (
            running_page(tmp_path, 2) as harness,
            harness.events(params={"after": last_id}) as stream,
        ):
            await stream.until(lambda seen: bool(seen.totals))
            assert len(stream.states) == 2

    async def test_id_of_an_idle_time_gets_all_rows(self, tmp_path: Path) -> None:
        async with running_page(tmp_path, 2) as harness:
            async with harness.events() as stream:
                await stream.until(lambda seen: bool(seen.totals and seen.last_id))
            await asyncio.sleep(events.IDLE_TIME + 20)
            await harness.finish(1)
            async with harness.events(headers={"Last-Event-ID": stream.last_id}) as again:
                await again.until(lambda seen: bool(seen.totals))
                assert again.states == {"source1": "done", "source2": "pending"}

    async def test_quiet_stream_has_heartbeats(self, tmp_path: Path) -> None:
        async with running_page(tmp_path, 1) as harness, harness.events() as stream:
            await stream.until(lambda seen: bool(seen.totals))
            while ":\n" not in stream.raw:
                stream.raw.append((await stream.response.content.readline()).decode())

    async def test_events_show_the_snapshot_of_the_run(self, tmp_path: Path) -> None:
        snapshots = [Snapshot(at=at, began=0.0, providers=[], buckets=[]) for at in (1.0, 2.0)]
        shown = iter([snapshots[0]] * 3 + [snapshots[1]] * 50)
        async with (
            running_page(tmp_path, 1, snapshot=lambda: next(shown)) as harness,
            harness.events() as stream,
        ):
            seen: list[float] = []
            while seen[-1:] != [2.0]:
                event = await stream.next()
                assert event is not None
                seen += [event[1]["snapshot"]["at"]] if event[1]["snapshot"] else []
            assert 1.0 in seen

    async def test_stored_snapshot_is_shown_without_a_run(self, tmp_path: Path) -> None:
        async with running_page(tmp_path, 1) as harness:
            stored = Snapshot(at=5.0, began=0.0, providers=[], buckets=[])
            harness.ledger.set(KEY, msgspec.json.encode(stored).decode())
            await harness.ledger.drain()
            async with harness.events() as stream:
                event = await stream.next()
                while event is not None and not event[1]["totals"]:
                    event = await stream.next()
                assert event is not None
                assert event[1]["snapshot"]["at"] == 5.0

    async def test_rows_that_are_put_back_are_shown_anew(self, tmp_path: Path) -> None:
        async with running_page(tmp_path, 2) as harness:
            await harness.finish(
                1,
                state=RowState.FAILED,
                caption=None,
                failure=Failure("job_failed", "no", retryable=True),
            )
            async with harness.events() as stream:
                await stream.until(lambda seen: bool(seen.totals))
                assert stream.states["source1"] == "failed"
                harness.ledger.requeue_failed(None)
                await stream.until(lambda seen: seen.states["source1"] == "pending")

    async def test_rows_of_a_later_import_are_shown(self, tmp_path: Path) -> None:
        async with running_page(tmp_path, 1) as harness, harness.events() as stream:
            await stream.until(lambda seen: bool(seen.totals))
            harness.ledger.import_rows([("n.csv", [make_row(2)])], skip_invalid=False)
            await stream.until(lambda seen: "source2" in seen.states)


class TestEnd:
    async def test_end_of_the_run_sends_the_last_rows_and_ended(self, tmp_path: Path) -> None:
        async with (
            running_page(tmp_path, 2) as harness,
            aiohttp.ClientSession() as client,
            client.get(harness.base + "events") as response,
        ):
            stream = Events(response)
            await stream.until(lambda seen: bool(seen.totals))
            await harness.finish(1)
            await harness.finish(2)
            harness.is_running = False
            leaving = asyncio.create_task(harness.page.__aexit__(None, None, None))
            kinds = await read_to_end(stream)
            await leaving
        assert kinds[-1] == "ended"
        assert stream.states == {"source1": "done", "source2": "done"}
        assert stream.totals["done"] == 2

    async def test_end_does_not_wait_for_a_reader_that_takes_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        large = [b'"%s"' % (b"x" * 1_000_000)] * 20  # more than the system's buffers take
        monkeypatch.setattr(server, "whole_state", lambda *given: large)
        async with running_page(tmp_path) as harness, harness.events():
            await asyncio.sleep(2)
            began = asyncio.get_running_loop().time()
            harness.is_running = False
            await harness.page.__aexit__(None, None, None)
            assert asyncio.get_running_loop().time() - began < 2

    async def test_reader_of_a_run_that_has_ended_learns_so_at_once(self, tmp_path: Path) -> None:
        async with running_page(tmp_path, 1) as harness:
            harness.is_running = False
            async with harness.events() as stream:
                kind, _ = await stream.next() or ("", {})
                while kind != "ended":
                    kind, _ = await stream.next() or ("", {})


class TestReaders:
    async def test_reader_above_the_limit_is_refused(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(events, "MAX_READERS", 2)
        async with running_page(tmp_path) as harness:
            async with harness.events(), harness.events() as second:
                await second.until(lambda seen: bool(seen.totals))
                refused = await harness.get("events")
                assert (refused.status, refused.headers["Retry-After"]) == (503, "10")
            await asyncio.sleep(0.1)
            async with harness.events() as third:
                await third.until(lambda seen: bool(seen.totals))

    async def test_reader_that_takes_nothing_is_disconnected(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        large = [b'"%s"' % (b"x" * 1_000_000)] * 20  # more than the system's buffers take
        monkeypatch.setattr(server, "whole_state", lambda *given: large)
        async with running_page(tmp_path) as harness:
            with socket.socket() as slow:
                slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                slow.connect(("127.0.0.1", int(harness.base.rpartition(":")[2].strip("/"))))
                slow.send(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
                await asyncio.sleep(5)
                served = asyncio.create_task(harness.page._events.all_served())
                await asyncio.sleep(10)
                assert not served.done()
                await asyncio.wait_for(served, 60)

    async def test_state_is_made_once_for_readers_that_come_together(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = []
        original = changes.whole_state

        def counted(ledger: LedgerReader) -> Iterator[bytes]:
            made.append(ledger)
            return original(ledger)

        monkeypatch.setattr(server, "whole_state", counted)
        async with running_page(tmp_path, 3) as harness:

            async def read() -> None:
                async with harness.events() as stream:
                    await stream.until(lambda seen: bool(seen.totals))

            await asyncio.gather(*(read() for _ in range(10)))
        assert len(made) == 1

    async def test_reader_that_leaves_while_the_state_is_made_leaves_it_to_others(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begun, go_on = threading.Event(), threading.Event()
        original = changes.whole_state

        def slow(ledger: LedgerReader) -> Iterator[bytes]:
            begun.set()
            assert go_on.wait(20)
            return original(ledger)

        monkeypatch.setattr(server, "whole_state", slow)
        async with running_page(tmp_path, 3) as harness:
            leaving = asyncio.create_task(harness.get("events"))
            await asyncio.to_thread(begun.wait, 20)
            staying = asyncio.create_task(harness.events().__aenter__())
            leaving.cancel()
            await asyncio.wait({leaving})
            go_on.set()
            stream = await staying
            await stream.until(lambda seen: bool(seen.totals))
            assert len(stream.states) == 3
            stream.response.close()


class TestPage:
    async def test_page_holds_the_rows(self, tmp_path: Path) -> None:
        async with running_page(tmp_path, [make_row(1, key="a key of mine")]) as harness:
            page = await harness.get()
        assert page.status == 200
        assert page.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "a key of mine" in page.text

    async def test_ledger_that_is_gone_is_an_answer(self, tmp_path: Path) -> None:
        async with running_page(tmp_path) as harness:
            (tmp_path / ".batchcap" / "ledger.sqlite").rename(tmp_path / "away")
            for path in ("", "events"):
                answer = await harness.get(path)
                assert (answer.status, "there is no ledger" in answer.text) == (503, True)

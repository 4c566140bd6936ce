"""The inbox: durable, each event once, read by others while it is written."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from pathlib import Path

import anyio
import pytest

from batchcap.errors import FatalError
from batchcap.events import Warned
from batchcap.model import Job, JobState
from batchcap.webhooks.event import WebhookEvent
from batchcap.webhooks.inbox import Inbox, inbox_path
from batchcap.webhooks.inbox_reader import InboxReader
from tests.fakes import Recorder, no_room, now
from tests.senders import LINK

pytestmark = pytest.mark.anyio

DAY = 86400.0


def notice(
    number: int = 1, state: JobState = JobState.COMPLETED, provider: str = "mux", **about: str
) -> WebhookEvent:
    job = Job(id=f"job-{number}", state=state, link=LINK, track=f"track-{number}", units=1)
    given = {"provider": provider, "event_id": f"event-{number}", **about}
    return WebhookEvent(**given, job=job)


def opened(folder: Path, clock: Callable[[], float] = now) -> Inbox:
    return Inbox(folder, executor=None, now=clock)


def ids(notices: list[WebhookEvent]) -> list[str | None]:
    return [one.job.id for one in notices]


class Following:
    """A run that reads the inbox."""

    def __init__(self) -> None:
        self.notices: list[WebhookEvent] = []
        self.recorder = Recorder()


@asynccontextmanager
async def following(folder: Path, *providers: str) -> AsyncIterator[Following]:
    here = Following()
    reader = InboxReader(folder, here.recorder, now)
    async with anyio.create_task_group() as group:
        group.start_soon(reader.follow, providers or ("mux", "heygen"), here.notices.append)
        await anyio.sleep(0.1)
        yield here
        group.cancel_scope.cancel()


async def test_a_run_is_told_what_came_before_it_and_what_comes(tmp_path: Path) -> None:
    with opened(tmp_path) as inbox:
        await inbox.store(notice(1))
        async with following(tmp_path) as here:
            assert ids(here.notices) == ["job-1"]
            await inbox.store(notice(2))
            await anyio.sleep(1.1)
            assert ids(here.notices) == ["job-1", "job-2"]
        async with following(tmp_path) as late:
            assert ids(late.notices) == ["job-1", "job-2"]


async def test_what_ended_is_told_as_ended_with_what_is_known_and_no_link(tmp_path: Path) -> None:
    with opened(tmp_path) as inbox:
        for n, state in enumerate([JobState.COMPLETED, JobState.ERRORED, JobState.CANCELLED]):
            await inbox.store(notice(n, state))
    async with following(tmp_path) as here:
        pass
    assert {one.job.state for one in here.notices} == {JobState.ENDED}
    assert here.notices[0].job == Job(id="job-0", state=JobState.ENDED, track="track-0", units=1)


async def test_there_is_no_link_in_any_of_its_files(tmp_path: Path) -> None:
    with opened(tmp_path) as inbox:
        for n in range(50):
            await inbox.store(notice(n))
        for path in tmp_path.iterdir():
            assert b"https:" not in path.read_bytes(), path
        with closing(sqlite3.connect(inbox_path(tmp_path))) as connection:
            kept = connection.execute("SELECT * FROM events WHERE number = 1").fetchone()
    assert kept == (
        1,
        "mux",
        "event-0",
        "job-0",
        "completed",
        "track-0",
        1,
        pytest.approx(now(), 1),
    )


async def test_it_and_its_folder_are_for_their_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "batchcap"
    with opened(folder) as inbox:
        await inbox.store(notice())
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        found = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert set(found.values()) == {0o600}
    assert {"inbox.sqlite", "inbox.sqlite-wal", "inbox.lock"} <= found.keys()


async def test_an_event_is_kept_once_by_provider_and_id(tmp_path: Path) -> None:
    with opened(tmp_path) as inbox:
        for _ in range(2):
            await inbox.store(notice(1))
        await inbox.store(notice(1, provider="heygen"))
        await asyncio.gather(*(inbox.store(notice(2)) for _ in range(20)))
    with opened(tmp_path) as inbox:
        await inbox.store(notice(1))
    async with following(tmp_path) as here:
        pass
    assert [(one.provider, one.job.id) for one in here.notices] == [
        ("mux", "job-1"),
        ("heygen", "job-1"),
        ("mux", "job-2"),
    ]


async def test_a_run_is_told_of_its_own_providers_only(tmp_path: Path) -> None:
    with opened(tmp_path) as inbox:
        await inbox.store(notice(1))
        await inbox.store(notice(2, provider="heygen"))
    async with following(tmp_path, "heygen") as here:
        assert ids(here.notices) == ["job-2"]


async def test_that_a_job_runs_is_told_while_it_is_news(tmp_path: Path) -> None:
    with opened(tmp_path) as inbox:
        await inbox.store(notice(1, JobState.RUNNING))
        await anyio.sleep(60)
        async with following(tmp_path) as here:
            await inbox.store(notice(2, JobState.RUNNING))
            await anyio.sleep(1.1)
    assert [(one.job.id, one.job.state) for one in here.notices] == [("job-2", JobState.RUNNING)]


async def test_many_notices_are_told_in_order_and_others_get_their_turn(tmp_path: Path) -> None:
    turns = 0
    found: list[WebhookEvent] = []

    async def other() -> None:
        nonlocal turns
        while len(found) < 1700:
            await asyncio.sleep(0)
            turns += 1

    with opened(tmp_path) as inbox:
        await asyncio.gather(*(inbox.store(notice(n)) for n in range(1700)))
        reader = InboxReader(tmp_path, Recorder(), now)
        async with anyio.create_task_group() as group:
            group.start_soon(other)
            with anyio.move_on_after(0.5):
                await reader.follow(["mux"], found.append)
            group.cancel_scope.cancel()
    assert ids(found) == [f"job-{n}" for n in range(1700)]
    assert turns >= 3


async def test_a_run_waits_for_an_inbox_that_is_not_there_yet(tmp_path: Path) -> None:
    folder = tmp_path / "later"
    async with following(folder) as here:
        await anyio.sleep(10)
        assert not folder.exists()
        with opened(folder) as inbox:
            await inbox.store(notice())
            await anyio.sleep(1.1)
            assert ids(here.notices) == ["job-1"]
    assert not here.recorder.events


async def test_a_run_reads_on_when_the_inbox_was_taken_away_and_made_anew(tmp_path: Path) -> None:
    with opened(tmp_path) as inbox:
        await inbox.store(notice(1))
        async with following(tmp_path) as here:
            for path in tmp_path.glob("inbox.sqlite*"):
                path.unlink()
            await anyio.sleep(2)
            with opened(tmp_path / "other") as other:
                await other.store(notice(2))
            for path in (tmp_path / "other").glob("inbox.sqlite*"):
                path.rename(tmp_path / path.name)
            await anyio.sleep(1.1)
            assert ids(here.notices) == ["job-1", "job-2"]
    assert not here.recorder.events


@pytest.mark.parametrize("content", [b"this is no database" * 100, b"", b"SQLite format 3\x00" * 9])
async def test_a_damaged_inbox_is_told_once_and_fails_no_run(
    tmp_path: Path, content: bytes
) -> None:
    inbox_path(tmp_path).write_bytes(content)
    async with following(tmp_path) as here:
        await anyio.sleep(60)
    warned = here.recorder.of(Warned)
    assert len(warned) == (1 if content else 0)
    assert not here.notices


async def test_an_inbox_of_another_version_is_told_and_left_alone(tmp_path: Path) -> None:
    with opened(tmp_path) as inbox:
        await inbox.store(notice())
    with closing(sqlite3.connect(inbox_path(tmp_path))) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(FatalError, match="version 99"), opened(tmp_path):
        pass
    async with following(tmp_path) as here:
        await anyio.sleep(10)
    assert len(here.recorder.of(Warned)) == 1


async def test_a_lock_in_the_way_of_a_reader_delays_it_and_nothing_else(tmp_path: Path) -> None:
    with opened(tmp_path) as inbox:
        await inbox.store(notice())
    with closing(sqlite3.connect(inbox_path(tmp_path), isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("PRAGMA journal_mode = DELETE")
        other.execute("BEGIN EXCLUSIVE")
        async with following(tmp_path) as here:
            await anyio.sleep(2)
            assert not here.notices
            other.close()
            await anyio.sleep(1.1)
            assert ids(here.notices) == ["job-1"]
    assert not here.recorder.events


async def test_what_is_older_than_31_days_is_dropped_and_numbers_go_on(tmp_path: Path) -> None:
    at = now()
    with opened(tmp_path, lambda: at) as inbox:
        await inbox.store(notice(1))
        async with following(tmp_path) as here:
            at += 31 * DAY + 1
            await inbox.store(notice(2))
            await anyio.sleep(1.1)
            assert ids(here.notices) == ["job-1", "job-2"]
        async with following(tmp_path) as late:
            assert ids(late.notices) == ["job-2"]
        await inbox.store(notice(1))  # so old an event is as good as new


async def test_a_second_inbox_is_refused_and_names_the_first(tmp_path: Path) -> None:
    refused = pytest.raises(FatalError, match=r"another batchcap listen .*process \d+")
    with opened(tmp_path), refused, opened(tmp_path):
        pass
    with opened(tmp_path):
        pass


async def test_a_folder_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "a-file").write_text("x")
    with pytest.raises(FatalError, match="cannot be used"), opened(tmp_path / "a-file" / "below"):
        pass
    (tmp_path / "inbox.sqlite").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FatalError, match="cannot be used"), opened(tmp_path):
        pass
    assert not (tmp_path / "elsewhere").exists()


async def test_an_event_for_which_there_is_no_room_is_not_kept(tmp_path: Path) -> None:
    with opened(tmp_path) as inbox:
        await inbox.store(notice(1))
        with no_room(20_000), pytest.raises(FatalError, match="cannot be used"):
            for n in range(2, 2000):
                await inbox.store(notice(n))
        await inbox.store(notice(5000))
    async with following(tmp_path) as here:
        pass
    assert ids(here.notices)[-1] == "job-5000"


async def test_commits_in_a_thread_are_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as writer, Inbox(tmp_path, executor=writer, now=now) as inbox:
        await asyncio.gather(*(inbox.store(notice(n)) for n in range(300)))
        await inbox.drain()
        async with following(tmp_path) as here:
            assert len(here.notices) == 300


async def test_ids_may_hold_anything(tmp_path: Path) -> None:
    odd = "'; DROP TABLE events; --\n\u2028\U0001f600"
    with opened(tmp_path) as inbox:
        await inbox.store(
            WebhookEvent("mux", odd, Job(id=odd, state=JobState.ENDED, track="t" * 9999))
        )
    async with following(tmp_path) as here:
        (kept,) = here.notices
    assert kept.job.id == odd
    assert kept.job.track is None

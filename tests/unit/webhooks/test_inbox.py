"""The inbox and its reader: durable, each event once, read while it is written."""

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

from batchcap.domain.errors import FatalError
from batchcap.domain.events import Warned
from batchcap.domain.models import Job, JobState
from batchcap.webhooks.event import WebhookEvent
from batchcap.webhooks.inbox import Inbox, inbox_path
from batchcap.webhooks.inbox_reader import InboxReader
from tests.harness.clock import now
from tests.harness.files import file_size_limit
from tests.harness.observers import Recorder
from tests.harness.webhooks import LINK

pytestmark = pytest.mark.anyio

DAY = 86400.0


def make_event(
    number: int = 1, state: JobState = JobState.COMPLETED, provider: str = "mux", **ids: str
) -> WebhookEvent:
    job = Job(id=f"job-{number}", state=state, link=LINK, track=f"track-{number}", units=1)
    fields = {"provider": provider, "event_id": f"event-{number}", **ids}
    return WebhookEvent(**fields, job=job)


def open_inbox(folder: Path, clock: Callable[[], float] = now) -> Inbox:
    return Inbox(folder, executor=None, now=clock)


def job_ids(events: list[WebhookEvent]) -> list[str | None]:
    return [event.job.id for event in events]


class FollowedInbox:
    """What a reader passed on, and its warnings."""

    def __init__(self) -> None:
        self.events: list[WebhookEvent] = []
        self.recorder = Recorder()


@asynccontextmanager
async def followed_inbox(folder: Path, *providers: str) -> AsyncIterator[FollowedInbox]:
    followed = FollowedInbox()
    reader = InboxReader(folder, followed.recorder, now)
    async with anyio.create_task_group() as group:
        group.start_soon(reader.follow, providers or ("mux", "heygen"), followed.events.append)
        await anyio.sleep(0.1)
        yield followed
        group.cancel_scope.cancel()


async def test_reader_passes_on_stored_events_and_new_ones(tmp_path: Path) -> None:
    with open_inbox(tmp_path) as inbox:
        await inbox.store(make_event(1))
        async with followed_inbox(tmp_path) as followed:
            assert job_ids(followed.events) == ["job-1"]
            await inbox.store(make_event(2))
            await anyio.sleep(1.1)
            assert job_ids(followed.events) == ["job-1", "job-2"]
        async with followed_inbox(tmp_path) as late:
            assert job_ids(late.events) == ["job-1", "job-2"]


async def test_reader_reports_ended_jobs_without_their_link(tmp_path: Path) -> None:
    with open_inbox(tmp_path) as inbox:
        for n, state in enumerate([JobState.COMPLETED, JobState.ERRORED, JobState.CANCELLED]):
            await inbox.store(make_event(n, state))
    async with followed_inbox(tmp_path) as followed:
        pass
    assert {event.job.state for event in followed.events} == {JobState.NOT_RUNNING}
    assert followed.events[0].job == Job(
        id="job-0", state=JobState.NOT_RUNNING, track="track-0", units=1
    )


async def test_inbox_files_contain_no_link(tmp_path: Path) -> None:
    with open_inbox(tmp_path) as inbox:
        for n in range(50):
            await inbox.store(make_event(n))
        for path in tmp_path.iterdir():
            assert b"https:" not in path.read_bytes(), path
        with closing(sqlite3.connect(inbox_path(tmp_path))) as connection:
            row = connection.execute("SELECT * FROM events WHERE number = 1").fetchone()
    assert row == (
        1,
        "mux",
        "event-0",
        "job-0",
        "completed",
        "track-0",
        1,
        pytest.approx(now(), 1),
    )


async def test_inbox_and_its_folder_are_accessible_to_the_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "batchcap"
    with open_inbox(folder) as inbox:
        await inbox.store(make_event())
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert set(modes.values()) == {0o600}
    assert {"inbox.sqlite", "inbox.sqlite-wal", "inbox.lock"} <= modes.keys()


async def test_inbox_stores_an_event_once_by_provider_and_id(tmp_path: Path) -> None:
    with open_inbox(tmp_path) as inbox:
        for _ in range(2):
            await inbox.store(make_event(1))
        await inbox.store(make_event(1, provider="heygen"))
        await asyncio.gather(*(inbox.store(make_event(2)) for _ in range(20)))
    with open_inbox(tmp_path) as inbox:
        await inbox.store(make_event(1))
    async with followed_inbox(tmp_path) as followed:
        pass
    assert [(event.provider, event.job.id) for event in followed.events] == [
        ("mux", "job-1"),
        ("heygen", "job-1"),
        ("mux", "job-2"),
    ]


async def test_reader_passes_on_events_of_its_providers_only(tmp_path: Path) -> None:
    with open_inbox(tmp_path) as inbox:
        await inbox.store(make_event(1))
        await inbox.store(make_event(2, provider="heygen"))
    async with followed_inbox(tmp_path, "heygen") as followed:
        assert job_ids(followed.events) == ["job-2"]


async def test_reader_skips_old_events_of_running_jobs(tmp_path: Path) -> None:
    with open_inbox(tmp_path) as inbox:
        await inbox.store(make_event(1, JobState.RUNNING))
        await anyio.sleep(60)
        async with followed_inbox(tmp_path) as followed:
            await inbox.store(make_event(2, JobState.RUNNING))
            await anyio.sleep(1.1)
    assert [(event.job.id, event.job.state) for event in followed.events] == [
        ("job-2", JobState.RUNNING)
    ]


async def test_reader_of_many_events_keeps_order_and_yields_to_other_tasks(tmp_path: Path) -> None:
    turns = 0
    events: list[WebhookEvent] = []

    async def count_turns() -> None:
        nonlocal turns
        while len(events) < 1700:
            await asyncio.sleep(0)
            turns += 1

    with open_inbox(tmp_path) as inbox:
        await asyncio.gather(*(inbox.store(make_event(n)) for n in range(1700)))
        reader = InboxReader(tmp_path, Recorder(), now)
        async with anyio.create_task_group() as group:
            group.start_soon(count_turns)
            with anyio.move_on_after(0.5):
                await reader.follow(["mux"], events.append)
            group.cancel_scope.cancel()
    assert job_ids(events) == [f"job-{n}" for n in range(1700)]
    assert turns >= 3


async def test_reader_waits_for_an_inbox_that_does_not_exist_yet(tmp_path: Path) -> None:
    folder = tmp_path / "later"
    async with followed_inbox(folder) as followed:
        await anyio.sleep(10)
        assert not folder.exists()
        with open_inbox(folder) as inbox:
            await inbox.store(make_event())
            await anyio.sleep(1.1)
            assert job_ids(followed.events) == ["job-1"]
    assert not followed.recorder.events


async def test_reader_continues_when_the_inbox_was_replaced(tmp_path: Path) -> None:
    with open_inbox(tmp_path) as inbox:
        await inbox.store(make_event(1))
        async with followed_inbox(tmp_path) as followed:
            for path in tmp_path.glob("inbox.sqlite*"):
                path.unlink()
            await anyio.sleep(2)
            with open_inbox(tmp_path / "other") as other:
                await other.store(make_event(2))
            for path in (tmp_path / "other").glob("inbox.sqlite*"):
                path.rename(tmp_path / path.name)
            await anyio.sleep(1.1)
            assert job_ids(followed.events) == ["job-1", "job-2"]
    assert not followed.recorder.events


@pytest.mark.parametrize("content", [b"this is no database" * 100, b"", b"SQLite format 3\x00" * 9])
async def test_reader_of_damaged_inbox_warns_once_and_does_not_raise(
    tmp_path: Path, content: bytes
) -> None:
    inbox_path(tmp_path).write_bytes(content)
    async with followed_inbox(tmp_path) as followed:
        await anyio.sleep(60)
    warnings = followed.recorder.of(Warned)
    assert len(warnings) == (1 if content else 0)
    assert not followed.events


async def test_inbox_of_another_version_is_refused_and_reader_warns(tmp_path: Path) -> None:
    with open_inbox(tmp_path) as inbox:
        await inbox.store(make_event())
    with closing(sqlite3.connect(inbox_path(tmp_path))) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(FatalError, match="version 99"), open_inbox(tmp_path):
        pass
    async with followed_inbox(tmp_path) as followed:
        await anyio.sleep(10)
    assert len(followed.recorder.of(Warned)) == 1


async def test_reader_of_locked_inbox_is_delayed_only(tmp_path: Path) -> None:
    with open_inbox(tmp_path) as inbox:
        await inbox.store(make_event())
    with closing(sqlite3.connect(inbox_path(tmp_path), isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("PRAGMA journal_mode = DELETE")
        other.execute("BEGIN EXCLUSIVE")
        async with followed_inbox(tmp_path) as followed:
            await anyio.sleep(2)
            assert not followed.events
            other.close()
            await anyio.sleep(1.1)
            assert job_ids(followed.events) == ["job-1"]
    assert not followed.recorder.events


async def test_inbox_drops_events_older_than_31_days_and_continues_numbers(tmp_path: Path) -> None:
    time = now()
    with open_inbox(tmp_path, lambda: time) as inbox:
        await inbox.store(make_event(1))
        async with followed_inbox(tmp_path) as followed:
            time += 31 * DAY + 1
            await inbox.store(make_event(2))
            await anyio.sleep(1.1)
            assert job_ids(followed.events) == ["job-1", "job-2"]
        async with followed_inbox(tmp_path) as late:
            assert job_ids(late.events) == ["job-2"]
        await inbox.store(make_event(1))  # stored again: the first one was dropped


async def test_second_inbox_is_refused_and_names_the_first_process(tmp_path: Path) -> None:
    raises = pytest.raises(FatalError, match=r"another batchcap listen .*process \d+")
    with open_inbox(tmp_path), raises, open_inbox(tmp_path):
        pass
    with open_inbox(tmp_path):
        pass


async def test_inbox_in_unusable_folder_raises(tmp_path: Path) -> None:
    (tmp_path / "a-file").write_text("x")
    with (
        pytest.raises(FatalError, match="cannot be used"),
        open_inbox(tmp_path / "a-file" / "below"),
    ):
        pass
    (tmp_path / "inbox.sqlite").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FatalError, match="cannot be used"), open_inbox(tmp_path):
        pass
    assert not (tmp_path / "elsewhere").exists()


async def test_inbox_on_full_disk_raises_and_recovers(tmp_path: Path) -> None:
    with open_inbox(tmp_path) as inbox:
        await inbox.store(make_event(1))
        with file_size_limit(20_000), pytest.raises(FatalError, match="cannot be used"):
            for n in range(2, 2000):
                await inbox.store(make_event(n))
        await inbox.store(make_event(5000))
    async with followed_inbox(tmp_path) as followed:
        pass
    assert job_ids(followed.events)[-1] == "job-5000"


async def test_inbox_with_executor_stores_every_event(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as writer, Inbox(tmp_path, executor=writer, now=now) as inbox:
        await asyncio.gather(*(inbox.store(make_event(n)) for n in range(300)))
        await inbox.drain()
        async with followed_inbox(tmp_path) as followed:
            assert len(followed.events) == 300


async def test_inbox_stores_ids_with_any_characters(tmp_path: Path) -> None:
    unusual = "'; DROP TABLE events; --\n\u2028\U0001f600"
    with open_inbox(tmp_path) as inbox:
        await inbox.store(
            WebhookEvent(
                "mux", unusual, Job(id=unusual, state=JobState.NOT_RUNNING, track="t" * 9999)
            )
        )
    async with followed_inbox(tmp_path) as followed:
        (event,) = followed.events
    assert event.job.id == unusual
    assert event.job.track is None

"""One suite for every provider of the table that sends events, over real HTTP.

A third provider adds an event and a signer to `tests/senders.py`, and runs.
"""

from __future__ import annotations

import json
import random

import anyio
import pytest

from batchcap.model import JobState, Row
from batchcap.providers import PROVIDERS
from batchcap.sandbox import Sandbox, SandboxOptions
from batchcap.webhooks.event import Webhook
from tests.fakes import now, started
from tests.senders import EVENTS, SECRETS, SIGNERS, receiving
from tests.world import Desk, desk, heygen_row, mux_row

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("name", [name for name, one in PROVIDERS.items() if one.webhook]),
]


def webhook(name: str) -> Webhook:
    found = PROVIDERS[name].webhook
    assert found is not None
    return found


async def test_the_table_is_consistent(name: str) -> None:
    assert webhook(name).provider == PROVIDERS[name].name == name
    assert webhook(name).secret_variable.endswith("_WEBHOOK_SECRET")
    assert webhook(name).setup_hint


async def test_a_signed_event_tells_of_its_job_once(name: str) -> None:
    async with receiving() as post:
        for _ in range(3):
            assert await post.send(name, EVENTS[name]("job-1")) == 200
        assert await post.send(name, EVENTS[name]("job-2")) == 200
    assert [(one.provider, one.job.id) for one in post.notices] == [
        (name, "job-1"),
        (name, "job-2"),
    ]
    assert all(one.job.state is not JobState.RUNNING for one in post.notices)
    assert len({one.event_id for one in post.notices}) == 2


async def test_without_a_signature_or_with_another_s_it_is_401(name: str) -> None:
    body = json.dumps(EVENTS[name]("job-1")).encode()
    async with receiving() as post:
        for headers in ({}, SIGNERS[name](body, "another secret"), SIGNERS[name](body + b" ")):
            assert await post.send(name, body, headers) == 401
    assert not post.notices
    assert post.receiver.counts.bad_signature == 3


async def test_a_signature_for_one_provider_is_none_for_another(name: str) -> None:
    body = json.dumps(EVENTS[name]("job-1")).encode()
    async with receiving() as post:
        for other in SIGNERS.keys() - {name}:
            assert await post.send(other, body, SIGNERS[name](body)) == 401


async def test_a_changed_byte_is_noticed(name: str) -> None:
    body = json.dumps(EVENTS[name]("job-1")).encode()
    dice = random.Random(1)
    for _ in range(200):
        changed = bytearray(body)
        changed[dice.randrange(len(body))] ^= 1 << dice.randrange(8)
        headers = SIGNERS[name](body, at=now()) if name == "mux" else SIGNERS[name](body)
        secret = SECRETS[webhook(name).secret_variable]
        assert webhook(name).verify(secret, headers, body, now())
        assert not webhook(name).verify(secret, headers, bytes(changed), now())


async def test_an_unsigned_event_on_loopback_asks_for_a_look_and_no_more(name: str) -> None:
    async with receiving(secrets={}, insecure=True) as post:
        assert await post.send(name, EVENTS[name]("job-1"), {}) == 200
    (notice,) = post.notices
    assert notice.job.id == "job-1"
    assert notice.job.state is JobState.ENDED
    assert notice.job.link is None


async def test_many_at_once_are_all_taken(name: str) -> None:
    async with receiving() as post, anyio.create_task_group() as group:
        for n in range(60):
            group.start_soon(post.send, name, EVENTS[name](f"job-{n}"))
    assert {one.job.id for one in post.notices} == {f"job-{n}" for n in range(60)}


async def test_nothing_secret_is_in_what_it_says(name: str) -> None:
    async with receiving() as post:
        assert await post.send(name, EVENTS[name]("job-1")) == 200
        assert await post.send(name, EVENTS[name]("job-1"), {}) == 401
        _, shown = await post.get("/health")
    said = shown + repr(post.recorder.events).encode()
    assert not any(secret.encode() in said for secret in SECRETS.values())
    assert b"https:" not in said


async def test_the_sandbox_s_events_are_taken_and_tell_how_its_jobs_ended(name: str) -> None:
    options = SandboxOptions(
        job_seconds=5,
        webhook_nested="mixed",
        webhook_secret_mux=SECRETS["MUX_WEBHOOK_SECRET"],
        webhook_secret_heygen=SECRETS["HEYGEN_WEBHOOK_SECRET"],
        faults={"webhook_duplicate": 0.3, "webhook_reordered": 0.3, "webhook_foreign": 0.3},
    )
    rows = {"mux": mux_row, "heygen": heygen_row}[name]
    async with Sandbox(options) as sandbox, receiving(clock=sandbox.now) as post:
        sandbox.change(**{f"{name}_webhook_url": post.receiver.endpoints()[name]})
        async with desk(sandbox, name) as here:
            ids = [await running(here, rows(f"slow-{n}")) for n in range(20)]
            await anyio.sleep(120)
    ended = {one.job.id for one in post.notices if one.job.state is not JobState.RUNNING}
    assert set(ids) <= ended
    assert post.receiver.counts.bad_signature == post.receiver.counts.rejected == 0


async def running(here: Desk, row: Row) -> str | None:
    job = await here.provider.get_job(row, (await started(here.provider, row)).id or "")
    assert job.state is JobState.RUNNING
    return job.id

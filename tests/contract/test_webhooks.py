"""The contract of `Webhook`, for every provider that sends events, over real HTTP.

A new provider adds an event and a signer to `tests/harness/webhooks.py`.
"""

from __future__ import annotations

import json
import random

import anyio
import pytest

from batchcap.domain.models import JobState, Row
from batchcap.providers import PROVIDERS
from batchcap.sandbox import Sandbox, SandboxOptions
from batchcap.webhooks.event import Webhook
from tests.harness.clock import now
from tests.harness.provider import ProviderHarness, running_provider, start_job
from tests.harness.rows import heygen_row, mux_row
from tests.harness.webhooks import EVENTS, SECRETS, SIGNERS, running_receiver

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.parametrize("name", [name for name, spec in PROVIDERS.items() if spec.webhook]),
]


def webhook_of(name: str) -> Webhook:
    webhook = PROVIDERS[name].webhook
    assert webhook is not None
    return webhook


async def test_webhook_names_its_provider_secret_and_setup(name: str) -> None:
    assert webhook_of(name).provider == PROVIDERS[name].name == name
    assert webhook_of(name).secret_variable.endswith("_WEBHOOK_SECRET")
    assert webhook_of(name).setup_hint


async def test_signed_event_is_passed_on_once(name: str) -> None:
    async with running_receiver() as harness:
        for _ in range(3):
            assert await harness.send(name, EVENTS[name]("job-1")) == 200
        assert await harness.send(name, EVENTS[name]("job-2")) == 200
    assert [(event.provider, event.job.id) for event in harness.events] == [
        (name, "job-1"),
        (name, "job-2"),
    ]
    assert all(event.job.state is not JobState.RUNNING for event in harness.events)
    assert len({event.event_id for event in harness.events}) == 2


async def test_event_with_missing_or_wrong_signature_gets_401(name: str) -> None:
    body = json.dumps(EVENTS[name]("job-1")).encode()
    async with running_receiver() as harness:
        for headers in ({}, SIGNERS[name](body, "another secret"), SIGNERS[name](body + b" ")):
            assert await harness.send(name, body, headers) == 401
    assert not harness.events
    assert harness.receiver.counts.bad_signature == 3


async def test_signature_of_another_provider_gets_401(name: str) -> None:
    body = json.dumps(EVENTS[name]("job-1")).encode()
    async with running_receiver() as harness:
        for other in SIGNERS.keys() - {name}:
            assert await harness.send(other, body, SIGNERS[name](body)) == 401


async def test_body_with_a_changed_byte_fails_verification(name: str) -> None:
    body = json.dumps(EVENTS[name]("job-1")).encode()
    rng = random.Random(1)
    for _ in range(200):
        changed = bytearray(body)
        changed[rng.randrange(len(body))] ^= 1 << rng.randrange(8)
        headers = SIGNERS[name](body, at=now()) if name == "mux" else SIGNERS[name](body)
        secret = SECRETS[webhook_of(name).secret_variable]
        assert webhook_of(name).verify(secret, headers, body, now())
        assert not webhook_of(name).verify(secret, headers, bytes(changed), now())


async def test_unsigned_event_on_loopback_reports_ended_only(name: str) -> None:
    async with running_receiver(secrets={}, insecure=True) as harness:
        assert await harness.send(name, EVENTS[name]("job-1"), {}) == 200
    (event,) = harness.events
    assert event.job.id == "job-1"
    assert event.job.state is JobState.NOT_RUNNING
    assert event.job.link is None


async def test_60_concurrent_events_are_all_passed_on(name: str) -> None:
    async with running_receiver() as harness, anyio.create_task_group() as group:
        for n in range(60):
            group.start_soon(harness.send, name, EVENTS[name](f"job-{n}"))
    assert {event.job.id for event in harness.events} == {f"job-{n}" for n in range(60)}


async def test_responses_and_events_contain_no_secret(name: str) -> None:
    async with running_receiver() as harness:
        assert await harness.send(name, EVENTS[name]("job-1")) == 200
        assert await harness.send(name, EVENTS[name]("job-1"), {}) == 401
        _, health = await harness.request("/health")
    output = health + repr(harness.recorder.events).encode()
    assert not any(secret.encode() in output for secret in SECRETS.values())
    assert b"https:" not in output


async def test_sandbox_events_are_accepted_and_report_every_end(name: str) -> None:
    options = SandboxOptions(
        job_seconds=5,
        webhook_nested="mixed",
        webhook_secret_mux=SECRETS["MUX_WEBHOOK_SECRET"],
        webhook_secret_heygen=SECRETS["HEYGEN_WEBHOOK_SECRET"],
        faults={"webhook_duplicate": 0.3, "webhook_reordered": 0.3, "webhook_foreign": 0.3},
    )
    rows = {"mux": mux_row, "heygen": heygen_row}[name]
    async with Sandbox(options) as sandbox, running_receiver(clock=sandbox.now) as harness:
        sandbox.change(**{f"{name}_webhook_url": harness.receiver.endpoints()[name]})
        async with running_provider(sandbox, name) as here:
            ids = [await running(here, rows(f"slow-{n}")) for n in range(20)]
            await anyio.sleep(120)
    ended = {event.job.id for event in harness.events if event.job.state is not JobState.RUNNING}
    assert set(ids) <= ended
    assert harness.receiver.counts.bad_signature == harness.receiver.counts.rejected == 0


async def running(here: ProviderHarness, row: Row) -> str | None:
    job = await here.provider.get_job(row, (await start_job(here.provider, row)).id or "")
    assert job.state is JobState.RUNNING
    return job.id

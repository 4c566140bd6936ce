"""What an event says, and whether the provider said it. Nothing that comes may raise."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batchcap.model import Job, JobState
from batchcap.providers.heygen import webhooks as heygen_webhooks
from batchcap.providers.mux import webhooks as mux_webhooks
from batchcap.webhooks.event import WebhookEvent
from tests.senders import (
    LINK,
    SECRETS,
    hexed,
    heygen_event,
    heygen_headers,
    mux_event,
    mux_headers,
    mux_job,
    webhooks,
)

AT = 1_790_000_000
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=20,
)


def mux(event: Any) -> WebhookEvent | None:
    return mux_webhooks.read(orjson.dumps(event))


def told(event: Any) -> Job:
    notice = mux(event)
    assert notice is not None
    return notice.job


def test_a_completed_mux_event_carries_everything() -> None:
    notice = mux(mux_event())
    assert notice is not None
    assert (notice.provider, notice.event_id) == ("mux", "event-1")
    assert notice.job == Job(
        id="rjob_1", state=JobState.COMPLETED, link=LINK, track="track_1", units=2
    )


@pytest.mark.parametrize("version", ["", "v1."])
@pytest.mark.parametrize("nested", [False, True])
def test_mux_data_may_be_nested_and_of_either_version(version: str, nested: bool) -> None:
    kind = f"robots.{version}job.translate_captions.completed"
    data = {kind: mux_job()} if nested else mux_job()
    assert told(mux_event(type=kind, data=data)).link == LINK


@pytest.mark.parametrize("word", ["pending", "processing"])
def test_a_mux_job_that_runs_is_told_as_running(word: str) -> None:
    assert told(mux_event(word)) == Job(id="rjob_1", state=JobState.RUNNING)


def test_a_mux_job_that_errored_says_why() -> None:
    errors = [{"type": "timeout", "message": "too long", "retryable": True}]
    job = told(mux_event("errored", mux_job(word="errored", errors=errors)))
    assert job.state is JobState.ERRORED
    assert job.failure is not None
    assert (job.failure.message, job.failure.retryable) == ("timeout: too long", True)


@pytest.mark.parametrize(
    "data",
    [
        mux_job(outputs={}),
        mux_job(outputs=None),
        mux_job(outputs={"track_id": "source"}),
        {"id": "rjob_1"},
        mux_job(word="processing"),
        mux_job(word="errored"),
        mux_job(word="cancelled"),
        mux_job(outputs={"temporary_vtt_url": ["x"]}),
    ],
    ids=repr,
)
def test_a_completed_mux_event_that_lacks_its_outputs_asks_for_a_look(data: Any) -> None:
    assert told(mux_event(data=data)) == Job(id="rjob_1", state=JobState.ENDED)


def test_a_late_mux_event_tells_what_its_job_is_by_now() -> None:
    assert told(mux_event("pending", mux_job())).link == LINK
    assert told(mux_event("errored", mux_job(word="completed"))).state is JobState.ENDED


def test_a_mux_event_with_its_id_in_the_envelope_alone_is_understood() -> None:
    assert told(mux_event(data={"status": "processing"})).id == "rjob_1"


def test_a_mux_event_without_an_id_of_its_own_is_known_by_what_it_says() -> None:
    notice = mux(mux_event(id=None))
    assert notice is not None
    assert notice.event_id == "robots.job.translate_captions.completed:rjob_1"


@pytest.mark.parametrize(
    "event",
    [
        mux_event(type="video.asset.ready"),
        mux_event(type="robots.job.translate_audio.completed"),
        mux_event(type="robots.v2.job.translate_captions.completed"),
        mux_event(type="robots.job.translate_captions.paused"),
        mux_event(type="xrobots.job.translate_captions.completed"),
        mux_event(type=None),
        mux_event(data=mux_job(workflow="summarize")),
        mux_event(data=mux_job("x" * 256)),
        mux_event(data=mux_job(""), object=None),
        mux_event(data=[], object=[]),
        [],
        "x",
        None,
    ],
    ids=lambda event: repr(event)[:60],
)
def test_what_is_no_mux_event_of_ours_is_left_alone(event: Any) -> None:
    assert mux(event) is None


@pytest.mark.parametrize("kind", ["success", "fail"])
def test_a_heygen_event_is_a_hint_whatever_it_says(kind: str) -> None:
    notice = heygen_webhooks.read(orjson.dumps(heygen_event("ab-ur_ur-PK", kind)))
    assert notice == WebhookEvent(
        "heygen",
        f"video_translate.{kind}:ab-ur_ur-PK",
        Job(id="ab-ur_ur-PK", state=JobState.ENDED),
    )


@pytest.mark.parametrize(
    "event",
    [
        {"event_type": "avatar_video.success", "event_data": {"video_id": "v"}},
        {"event_type": "video_translate.preflight.download_failed", "event_data": {"video_id": 1}},
        {"event_type": "video_translate.success", "event_data": None},
        {"event_type": "video_translate.success", "event_data": {}},
        heygen_event("x" * 256),
        heygen_event(["x"]),
        [],
        1,
    ],
    ids=lambda event: repr(event)[:60],
)
def test_what_is_no_heygen_event_of_ours_is_left_alone(event: Any) -> None:
    assert heygen_webhooks.read(orjson.dumps(event)) is None


def test_hearsay_keeps_neither_link_nor_track_nor_reason() -> None:
    notice = mux(mux_event())
    running = mux(mux_event("processing"))
    assert notice
    assert running
    assert notice.as_untrusted().job == Job(id="rjob_1", state=JobState.ENDED)
    assert running.as_untrusted() == running


BODY = b'{"x": 1}'
GOOD = hexed("whsec_mux", b"%d." % AT + BODY)
SIGNED = {"mux-signature": f"t={AT},v1={GOOD}"}


def mux_verified(headers: dict[str, str], now: float = AT, body: bytes = BODY) -> bool:
    return mux_webhooks.verify("whsec_mux", headers, body, now)


def test_a_mux_signature_by_the_sdk_s_rule() -> None:
    assert mux_verified(SIGNED)
    assert mux_verified({"MUX-Signature": SIGNED["mux-signature"]})
    assert mux_verified(mux_headers(BODY, at=AT))
    assert mux_verified({"mux-signature": f"t={AT}, v1={'0' * 64}, v0=x, v1={GOOD}"})


def test_a_mux_signature_is_good_for_300_seconds_and_in_the_future() -> None:
    assert mux_verified(SIGNED, AT + 300.0)
    assert not mux_verified(SIGNED, AT + 300.5)
    assert mux_verified(SIGNED, AT - 86400.0)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "t=,v1=",
        GOOD,
        f"v1={GOOD}",
        f"t={AT}",
        f"t={AT},v1={'0' * 64}",
        f"t={AT},v1={GOOD[:-1]}",
        f"t={AT},v2={GOOD}",
        f"t={AT + 1},v1={GOOD}",
        f"t={AT},t={AT},v1={GOOD}",
        f"t=+{AT},v1={GOOD}",
        f"t={AT}.0,v1={GOOD}",
        "t=\u0661\u0662,v1=x",
        f"t={AT},v1=\u00e9\ud800",
        f"t={'9' * 400},v1={GOOD}",
        f"t={AT}," + "v1=0," * 10_000 + f"v1={GOOD}",
        "," * 2000,
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_bad_mux_signature_is_none_and_does_not_raise(value: str) -> None:
    assert not mux_verified({"mux-signature": value})


def test_a_mux_signature_is_of_this_body_and_this_secret() -> None:
    assert not mux_verified(SIGNED, body=BODY + b" ")
    assert not mux_webhooks.verify("another", SIGNED, BODY, AT)
    assert not mux_verified({})


@pytest.mark.parametrize(
    "name", ["signature", "Signature", "Heygen-Signature", "x-heygen-signature"]
)
def test_a_heygen_signature_in_any_of_its_headers(name: str) -> None:
    good = hexed("whsec_heygen", BODY)
    assert heygen_webhooks.verify("whsec_heygen", {name: good}, BODY, 0.0)


def test_one_good_heygen_signature_of_several_is_enough() -> None:
    both = {"signature": "of something else", **heygen_headers(BODY)}
    assert heygen_webhooks.verify("whsec_heygen", both, BODY, 0.0)


def test_a_bad_heygen_signature_is_none() -> None:
    good = heygen_headers(BODY)
    assert not heygen_webhooks.verify("whsec_heygen", good, BODY + b" ", 0.0)
    assert not heygen_webhooks.verify("another", good, BODY, 0.0)
    for headers in ({}, {"signature": ""}, {"x-signature": hexed("whsec_heygen", BODY)}):
        assert not heygen_webhooks.verify("whsec_heygen", headers, BODY, 0.0)


def test_a_secret_may_hold_any_bytes() -> None:
    secret = b"caf\xe9".decode("utf-8", "surrogateescape")
    for webhook in webhooks():
        assert not webhook.verify(secret, SIGNED | heygen_headers(BODY), BODY, AT)


HEADERS = st.dictionaries(
    st.sampled_from(["mux-signature", "signature", "Heygen-Signature"]),
    st.text(max_size=80) | st.text(alphabet="t=v10,a \x00", max_size=80),
)


@given(st.sampled_from(webhooks()), HEADERS, st.binary(max_size=50))
def test_no_header_makes_a_verification_raise_or_succeed(
    webhook: Any, headers: dict[str, str], body: bytes
) -> None:
    assert not webhook.verify(SECRETS[webhook.secret_variable], headers, body, AT)


@given(st.sampled_from(webhooks()), st.binary(max_size=200) | JSON.map(repr))
def test_no_bytes_make_a_parser_raise(webhook: Any, body: bytes | str) -> None:
    webhook.read(body if isinstance(body, bytes) else body.encode("utf-8", "replace"))


@given(st.sampled_from(["pending", "completed", "errored"]), JSON, JSON, JSON)
@example("completed", {"id": "\ud800"}, "x", None)
def test_no_json_makes_the_mux_parser_raise(
    word: str, data: Any, job_id: Any, event_id: Any
) -> None:
    kind = f"robots.job.translate_captions.{word}"
    for shape in (data, {kind: data}, {"id": job_id, "outputs": data, "errors": [data]}):
        event = {"type": kind, "data": shape, "id": event_id, "object": {"id": job_id}}
        notice = mux_webhooks.read(dumped(event))
        assert notice is None or 0 < len(notice.job.id or "") <= 255


@given(JSON, JSON)
def test_no_json_makes_the_heygen_parser_raise(job_id: Any, data: Any) -> None:
    for shape in (data, {"video_translate_id": job_id}):
        event = {"event_type": "video_translate.success", "event_data": shape}
        notice = heygen_webhooks.read(dumped(event))
        assert notice is None or 0 < len(notice.job.id or "") <= 255


def dumped(event: Any) -> bytes:
    """JSON as a sloppy sender writes it: lone surrogates, numbers of any size."""
    return json.dumps(event).encode()

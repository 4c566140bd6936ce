"""Reading and verifying events. No input may raise."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batchcap.domain.models import Job, JobState
from batchcap.providers.heygen import webhooks as heygen_webhooks
from batchcap.providers.mux import webhooks as mux_webhooks
from batchcap.webhooks.event import WebhookEvent
from tests.harness.webhooks import (
    LINK,
    SECRETS,
    all_webhooks,
    heygen_event,
    heygen_headers,
    hmac_hex,
    mux_event,
    mux_headers,
    mux_job,
)

AT = 1_790_000_000
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=20,
)


def read_mux(document: Any) -> WebhookEvent | None:
    return mux_webhooks.read({}, orjson.dumps(document))


def read_mux_job(document: Any) -> Job:
    event = read_mux(document)
    assert event is not None
    return event.job


def test_completed_mux_event_has_all_details_of_the_job() -> None:
    event = read_mux(mux_event())
    assert event is not None
    assert (event.provider, event.event_id) == ("mux", "event-1")
    assert event.job == Job(
        id="rjob_1", state=JobState.COMPLETED, link=LINK, track="track_1", units=2
    )


@pytest.mark.parametrize("version", ["", "v1."])
@pytest.mark.parametrize("nested", [False, True])
def test_mux_event_nested_or_of_either_version_is_read(version: str, nested: bool) -> None:
    event_type = f"robots.{version}job.translate_captions.completed"
    data = {event_type: mux_job()} if nested else mux_job()
    assert read_mux_job(mux_event(type=event_type, data=data)).link == LINK


@pytest.mark.parametrize("status", ["pending", "processing"])
def test_mux_event_of_running_job_reports_running(status: str) -> None:
    assert read_mux_job(mux_event(status)) == Job(id="rjob_1", state=JobState.RUNNING)


def test_errored_mux_event_has_the_failure() -> None:
    errors = [{"type": "timeout", "message": "too long", "retryable": True}]
    job = read_mux_job(mux_event("errored", mux_job(status="errored", errors=errors)))
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
        mux_job(status="processing"),
        mux_job(status="errored"),
        mux_job(status="cancelled"),
        mux_job(outputs={"temporary_vtt_url": ["x"]}),
    ],
    ids=repr,
)
def test_completed_mux_event_without_outputs_reports_ended(data: Any) -> None:
    assert read_mux_job(mux_event(data=data)) == Job(id="rjob_1", state=JobState.NOT_RUNNING)


def test_late_mux_event_reports_the_current_status_of_the_job() -> None:
    assert read_mux_job(mux_event("pending", mux_job())).link == LINK
    assert (
        read_mux_job(mux_event("errored", mux_job(status="completed"))).state
        is JobState.NOT_RUNNING
    )


def test_mux_event_with_job_id_only_in_envelope_is_read() -> None:
    assert read_mux_job(mux_event(data={"status": "processing"})).id == "rjob_1"


def test_mux_event_without_id_is_identified_by_type_and_job() -> None:
    event = read_mux(mux_event(id=None))
    assert event is not None
    assert event.event_id == "robots.job.translate_captions.completed:rjob_1"


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
def test_unrelated_mux_event_is_ignored(event: Any) -> None:
    assert read_mux(event) is None


@pytest.mark.parametrize(
    "result", ["success", "fail", "preflight.download_failed", "preflight.validation_failed"]
)
def test_heygen_event_reports_ended_only(result: str) -> None:
    event = heygen_webhooks.read({}, orjson.dumps(heygen_event("ab-ur_ur-PK", result)))
    assert event == WebhookEvent(
        "heygen",
        f"video_translate.{result}:ab-ur_ur-PK",
        Job(id="ab-ur_ur-PK", state=JobState.NOT_RUNNING),
    )


@pytest.mark.parametrize(
    "fields",
    [
        {"event_data": {"video_translation_id": "tr"}},
        {"event_data": {"id": "tr", "message": "too short"}},
        {"event_data": {"video_translation": {"id": "tr", "status": "failed"}}},
        {"event_data": None, "video_translate_id": "tr"},
    ],
    ids=repr,
)
@pytest.mark.parametrize("check", ["validation_failed", "quota_failed"])
def test_heygen_preflight_event_is_read_wherever_its_id_is(fields: Any, check: str) -> None:
    event = {"event_type": f"video_translate.preflight.{check}", **fields}
    read = heygen_webhooks.read({}, orjson.dumps(event))
    assert read is not None
    assert read.job == Job(id="tr", state=JobState.NOT_RUNNING)


@pytest.mark.parametrize("name", ["Heygen-Event-Id", "heygen-event-id", "HEYGEN-EVENT-ID"])
def test_heygen_event_id_header_in_any_case_identifies_the_event(name: str) -> None:
    event = heygen_webhooks.read({name: "evt_1"}, orjson.dumps(heygen_event("tr")))
    assert event is not None
    assert event.event_id == "evt_1"


def test_heygen_event_id_of_the_signed_body_precedes_that_of_the_header() -> None:
    body = orjson.dumps({**heygen_event("tr"), "event_id": "evt_1", "created_at": "2026-11-28"})
    event = heygen_webhooks.read({"Heygen-Event-Id": "replayed"}, body)
    assert event is not None
    assert event.event_id == "evt_1"


@pytest.mark.parametrize("event_id", ["", "x" * 256, "a\nb", "\udcff", None, {}, ["evt"]])
def test_heygen_event_without_a_usable_id_is_identified_by_type_and_job(event_id: Any) -> None:
    body = json.dumps({**heygen_event("tr"), "event_id": event_id}).encode()
    headers = {"Heygen-Event-Id": event_id} if isinstance(event_id, str) else {}
    event = heygen_webhooks.read(headers, body.replace(b"\\udcff", b""))
    assert event is not None
    assert event.event_id == "video_translate.success:tr"


@pytest.mark.parametrize("timestamp", ["0", "99999999999", "never", "", None])
def test_heygen_timestamp_is_not_signed_and_proves_nothing(timestamp: str | None) -> None:
    stamped = {} if timestamp is None else {"Heygen-Timestamp": timestamp}
    assert heygen_webhooks.verify("whsec_heygen", {**heygen_headers(BODY), **stamped}, BODY, 1e9)
    assert not heygen_webhooks.verify("whsec_heygen", stamped, BODY, 1e9)


@pytest.mark.parametrize(
    "event",
    [
        {"event_type": "avatar_video.success", "event_data": {"video_id": "v"}},
        {"event_type": "video_translate.preflight.download_failed", "event_data": {"url": "u"}},
        {"event_type": "video_translate.success", "event_data": None},
        {"event_type": "video_translate.success", "event_data": {}},
        heygen_event("x" * 256),
        heygen_event(["x"]),
        [],
        1,
    ],
    ids=lambda event: repr(event)[:60],
)
def test_unrelated_heygen_event_is_ignored(event: Any) -> None:
    assert heygen_webhooks.read({}, orjson.dumps(event)) is None


def test_untrusted_event_has_neither_link_nor_track_nor_failure() -> None:
    event = read_mux(mux_event())
    running = read_mux(mux_event("processing"))
    assert event
    assert running
    assert event.as_untrusted().job == Job(id="rjob_1", state=JobState.NOT_RUNNING)
    assert running.as_untrusted() == running


BODY = b'{"x": 1}'
SIGNATURE = hmac_hex("whsec_mux", b"%d." % AT + BODY)
SIGNED_HEADERS = {"mux-signature": f"t={AT},v1={SIGNATURE}"}


def verify_mux(headers: dict[str, str], now: float = AT, body: bytes = BODY) -> bool:
    return mux_webhooks.verify("whsec_mux", headers, body, now)


def test_mux_signature_by_the_rule_of_the_sdk_is_valid() -> None:
    assert verify_mux(SIGNED_HEADERS)
    assert verify_mux({"MUX-Signature": SIGNED_HEADERS["mux-signature"]})
    assert verify_mux(mux_headers(BODY, at=AT))
    assert verify_mux({"mux-signature": f"t={AT}, v1={'0' * 64}, v0=x, v1={SIGNATURE}"})


def test_mux_signature_is_valid_for_300_seconds_and_in_the_future() -> None:
    assert verify_mux(SIGNED_HEADERS, AT + 300.0)
    assert not verify_mux(SIGNED_HEADERS, AT + 300.5)
    assert verify_mux(SIGNED_HEADERS, AT - 86400.0)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "t=,v1=",
        SIGNATURE,
        f"v1={SIGNATURE}",
        f"t={AT}",
        f"t={AT},v1={'0' * 64}",
        f"t={AT},v1={SIGNATURE[:-1]}",
        f"t={AT},v2={SIGNATURE}",
        f"t={AT + 1},v1={SIGNATURE}",
        f"t={AT},t={AT},v1={SIGNATURE}",
        f"t=+{AT},v1={SIGNATURE}",
        f"t={AT}.0,v1={SIGNATURE}",
        "t=\u0661\u0662,v1=x",
        f"t={AT},v1=\u00e9\ud800",
        f"t={'9' * 400},v1={SIGNATURE}",
        f"t={AT}," + "v1=0," * 10_000 + f"v1={SIGNATURE}",
        "," * 2000,
    ],
    ids=lambda value: repr(value)[:40],
)
def test_malformed_mux_signature_is_invalid_and_does_not_raise(value: str) -> None:
    assert not verify_mux({"mux-signature": value})


def test_mux_signature_of_other_body_or_secret_is_invalid() -> None:
    assert not verify_mux(SIGNED_HEADERS, body=BODY + b" ")
    assert not mux_webhooks.verify("another", SIGNED_HEADERS, BODY, AT)
    assert not verify_mux({})


@pytest.mark.parametrize(
    "name", ["signature", "Signature", "Heygen-Signature", "x-heygen-signature"]
)
def test_heygen_signature_in_any_of_its_headers_is_valid(name: str) -> None:
    signature = hmac_hex("whsec_heygen", BODY)
    assert heygen_webhooks.verify("whsec_heygen", {name: signature}, BODY, 0.0)


def test_heygen_signature_beside_an_invalid_one_is_valid() -> None:
    both = {"signature": "of another body", **heygen_headers(BODY)}
    assert heygen_webhooks.verify("whsec_heygen", both, BODY, 0.0)


def test_heygen_signature_of_other_body_or_secret_is_invalid() -> None:
    headers = heygen_headers(BODY)
    assert not heygen_webhooks.verify("whsec_heygen", headers, BODY + b" ", 0.0)
    assert not heygen_webhooks.verify("another", headers, BODY, 0.0)
    for headers in ({}, {"signature": ""}, {"x-signature": hmac_hex("whsec_heygen", BODY)}):
        assert not heygen_webhooks.verify("whsec_heygen", headers, BODY, 0.0)


def test_verify_with_non_utf8_secret_does_not_raise() -> None:
    secret = b"caf\xe9".decode("utf-8", "surrogateescape")
    for webhook in all_webhooks():
        assert not webhook.verify(secret, SIGNED_HEADERS | heygen_headers(BODY), BODY, AT)


HEADERS = st.dictionaries(
    st.sampled_from(["mux-signature", "signature", "Heygen-Signature"]),
    st.text(max_size=80) | st.text(alphabet="t=v10,a \x00", max_size=80),
)


@given(st.sampled_from(all_webhooks()), HEADERS, st.binary(max_size=50))
def test_verify_with_any_header_neither_raises_nor_succeeds(
    webhook: Any, headers: dict[str, str], body: bytes
) -> None:
    assert not webhook.verify(SECRETS[webhook.secret_variable], headers, body, AT)


@given(st.sampled_from(all_webhooks()), st.binary(max_size=200) | JSON.map(repr))
def test_read_with_any_bytes_does_not_raise(webhook: Any, body: bytes | str) -> None:
    webhook.read({}, body if isinstance(body, bytes) else body.encode("utf-8", "replace"))


@given(st.sampled_from(["pending", "completed", "errored"]), JSON, JSON, JSON)
@example("completed", {"id": "\ud800"}, "x", None)
def test_mux_read_with_any_json_does_not_raise(
    status: str, data: Any, job_id: Any, event_id: Any
) -> None:
    event_type = f"robots.job.translate_captions.{status}"
    for shape in (data, {event_type: data}, {"id": job_id, "outputs": data, "errors": [data]}):
        document = {"type": event_type, "data": shape, "id": event_id, "object": {"id": job_id}}
        event = mux_webhooks.read({}, to_sloppy_json(document))
        assert event is None or 0 < len(event.job.id or "") <= 255


@given(JSON, JSON)
def test_heygen_read_with_any_json_does_not_raise(job_id: Any, data: Any) -> None:
    for shape in (data, {"video_translate_id": job_id}):
        document = {"event_type": "video_translate.success", "event_data": shape}
        event = heygen_webhooks.read({}, to_sloppy_json(document))
        assert event is None or 0 < len(event.job.id or "") <= 255


def to_sloppy_json(document: Any) -> bytes:
    """Return JSON as a sloppy sender writes it: lone surrogates, numbers of any size."""
    return json.dumps(document).encode()

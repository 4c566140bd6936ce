"""--trace: every request as HAR, valid at any moment, without a secret."""

from __future__ import annotations

import json
import resource
import signal
from pathlib import Path
from typing import Any

import pytest

from batchcap.domain.errors import UsageError
from batchcap.domain.events import RequestEnded
from batchcap.sandbox import Sandbox, SandboxOptions
from batchcap.transport.trace import MAX_BODY, HarFile
from tests.harness.observers import Recorder
from tests.harness.rows import heygen_row, mux_row
from tests.harness.runs import run_rows

pytestmark = pytest.mark.anyio

ENTRY = {"startedDateTime", "time", "request", "response", "cache", "timings"}
REQUEST = {"method", "url", "httpVersion", "cookies", "headers", "queryString"}
REQUEST |= {"headersSize", "bodySize"}
RESPONSE = {"status", "statusText", "httpVersion", "cookies", "headers", "content"}
RESPONSE |= {"redirectURL", "headersSize", "bodySize"}
"""What HAR 1.2 requires of each."""


def entries(path: Path) -> list[dict[str, Any]]:
    document = json.loads(path.read_bytes())
    assert document["log"]["version"] == "1.2"
    assert document["log"]["creator"]["name"] == "batchcap"
    found: list[dict[str, Any]] = document["log"]["entries"]
    for entry in found:
        assert entry.keys() >= ENTRY
        assert entry["request"].keys() >= REQUEST
        assert entry["response"].keys() >= RESPONSE
        assert entry["time"] == pytest.approx(sum(entry["timings"].values()), abs=0.01)
    return found


async def test_trace_has_every_request_of_a_run(tmp_path: Path) -> None:
    recorder, file = Recorder(), tmp_path / "run.har"
    async with Sandbox(SandboxOptions()) as sandbox:
        rows = [mux_row("film-1"), mux_row("film-missing-1"), heygen_row("tr-1")]
        await run_rows(sandbox, tmp_path / "out", rows, observer=recorder, trace_file=file)
    traced = [(entry["request"]["method"], entry["response"]["status"]) for entry in entries(file)]
    sent = [(event.method, event.status) for event in recorder.of(RequestEnded)]
    assert sorted(traced) == sorted(sent)
    (create,) = [e for e in entries(file) if e["request"]["method"] == "POST"]
    assert json.loads(create["request"]["postData"]["text"])["parameters"]["asset_id"] == "film-1"
    assert json.loads(create["response"]["content"]["text"])["data"]["status"] == "pending"
    downloads = [e for e in entries(file) if e["request"]["url"].endswith(".vtt?***")]
    assert len(downloads) == 2
    assert all(e["response"]["content"].keys() == {"size", "mimeType"} for e in downloads)
    assert all(e["response"]["bodySize"] > 1000 for e in downloads)


async def test_trace_hides_credentials_and_signatures(tmp_path: Path) -> None:
    file = tmp_path / "run.har"
    async with Sandbox(SandboxOptions()) as sandbox:
        rows = [mux_row("film-signed-1"), heygen_row("tr-1"), heygen_row("tr-redirect-1")]
        await run_rows(sandbox, tmp_path / "out", rows, trace_file=file)
    text = file.read_text()
    for part in ("Basic ", "Signature", "Key-Pair-Id", "token=", "eyJ", "sandbox-"):
        assert part not in text, part
    hidden = {
        header["name"].lower()
        for entry in entries(file)
        for header in entry["request"]["headers"]
        if header["value"] == "***"
    }
    assert hidden == {"authorization", "x-api-key"}


def test_trace_is_valid_json_after_every_entry(tmp_path: Path) -> None:
    file = tmp_path / "a.har"
    har = HarFile(file, pytest.fail)
    assert json.loads(file.read_bytes())["log"]["entries"] == []
    for number in range(3):
        har.add({"number": number})
        shown = json.loads(file.read_bytes())["log"]["entries"]
        assert [entry["number"] for entry in shown] == list(range(number + 1))
    har.close()


def test_trace_that_cannot_be_opened_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--trace .*: No such file"):
        HarFile(tmp_path / "nowhere" / "a.har", pytest.fail)
    with pytest.raises(UsageError, match=r"--trace .*: Is a directory"):
        HarFile(tmp_path, pytest.fail)


def test_trace_that_cannot_be_written_later_is_reported_once(tmp_path: Path) -> None:
    reasons: list[str] = []
    har = HarFile(tmp_path / "a.har", reasons.append)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200, limit[1]))
        for number in range(3):
            har.add({"number": number, "text": "x" * 200})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, before)
        har.close()
    assert reasons == ["the trace cannot be written: File too large"]
    assert json.loads((tmp_path / "a.har").read_bytes())["log"]["entries"] == []


async def test_trace_keeps_large_bodies_in_part(tmp_path: Path) -> None:
    file = tmp_path / "run.har"
    async with Sandbox(SandboxOptions()) as sandbox:
        rows = [mux_row("film-1", passthrough="x" * 3 * MAX_BODY)]
        await run_rows(sandbox, tmp_path / "out", rows, trace_file=file)
    texts = [
        entry["request"].get("postData", entry["response"]["content"]).get("text", "")
        for entry in entries(file)
    ]
    assert max(map(len, texts)) <= MAX_BODY

"""`batchcap audit`: which captions were paid for, and which twice."""

from __future__ import annotations

import base64
import json
import urllib.request
from collections.abc import Mapping

from tests.system.conftest import UNLIMITED, Shell, request_log, set_options

MANIFEST = "asset_id,to_language_code,track_id,video_translate_id\nfilm,es;ja,film-en,\n,,,clip\n"


def create_by_hand(environment: Mapping[str, str], language: str) -> None:
    """Create a second job for a caption, as another program would."""
    set_options(environment, duplicates="allow")
    pair = f"{environment['MUX_TOKEN_ID']}:{environment['MUX_TOKEN_SECRET']}"
    parameters = {"asset_id": "film", "track_id": "film-en", "to_language_code": language}
    request = urllib.request.Request(
        f"{environment['MUX_BASE_URL']}/robots/v0/jobs/translate-captions",
        json.dumps(
            {"parameters": {**parameters, "replace_existing_tracks": "replace_all"}}
        ).encode(),
        {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()},
    )
    urllib.request.urlopen(request).close()


def test_audit_caption_paid_twice_is_reported_without_a_post(
    shell: Shell, sandbox: Mapping[str, str]
) -> None:
    assert shell.run("run", shell.manifest(MANIFEST), "-q", *UNLIMITED).returncode == 0
    once = shell.run("audit")
    assert once.returncode == 0, once.stderr
    assert once.stdout.splitlines()[0] == "2 paid jobs: 2 completed"
    assert once.stdout.splitlines()[-1] == "2 captions, none of them paid for twice."
    create_by_hand(sandbox, "fr")
    assert shell.run("audit").returncode == 0, (
        "the new job is for a caption that this ledger does not have"
    )
    create_by_hand(sandbox, "ja")
    before = request_log(sandbox)
    twice = shell.run("audit", "--json")
    assert twice.returncode == 1
    after = request_log(sandbox)
    assert after["requests"]["mux.write"] == before["requests"]["mux.write"]
    assert after["routes"]["mux.jobs"]["200"] == before["routes"]["mux.jobs"]["200"] + 1
    result = json.loads(twice.stdout)
    (caption,) = result["paid_twice"]
    assert caption["key"] == "mux:film:ja"
    assert sorted(job["owner"] for job in caption["jobs"]) == ["ledger", "others"]
    assert {job["job_id"] for job in result["jobs"]} < {job["job_id"] for job in after["creates"]}
    lines = shell.run("audit").stdout.splitlines()
    assert lines[0].startswith("paid twice: mux:film:ja: rjob_")
    assert lines[-1] == "2 captions, 1 of them paid for twice."


def test_audit_wrong_key_exits_3(shell: Shell, sandbox: Mapping[str, str]) -> None:
    assert shell.run("run", shell.manifest(MANIFEST), "-q", *UNLIMITED).returncode == 0
    shell.environment["MUX_TOKEN_SECRET"] = "another"
    refused = shell.run("audit")
    assert refused.returncode == 3
    assert refused.stderr.startswith("error: ")
    assert "Traceback" not in refused.stderr


def test_audit_without_paid_jobs_exits_0(shell: Shell) -> None:
    assert shell.run("run", shell.manifest("video_translate_id\none\n"), "-q", "--sandbox")
    audited = shell.run("audit", "--sandbox")
    assert audited.returncode == 0, audited.stderr
    assert audited.stdout.splitlines()[0] == "0 paid jobs"

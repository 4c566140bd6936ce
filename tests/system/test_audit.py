"""audit by the installed command: what was paid, what twice, and by whom."""

from __future__ import annotations

import base64
import json
import urllib.request
from collections.abc import Mapping
from typing import Any

from tests.system.conftest import Shell
from tests.system.test_command import request_log

MANIFEST = "asset_id,to_language_code,track_id,video_translate_id\nfilm,es;ja,film-en,\n,,,clip\n"


def post(url: str, body: dict[str, Any], headers: Mapping[str, str]) -> None:
    data = json.dumps(body).encode()
    urllib.request.urlopen(urllib.request.Request(url, data, dict(headers))).close()


def create_by_hand(environment: Mapping[str, str], language: str) -> None:
    """A second job beside the one there is, as another program would make it."""
    root = environment["MUX_BASE_URL"].removesuffix("/mux")
    post(f"{root}/sandbox/options", {"duplicates": "allow"}, {})
    pair = f"{environment['MUX_TOKEN_ID']}:{environment['MUX_TOKEN_SECRET']}"
    parameters = {"asset_id": "film", "track_id": "film-en", "to_language_code": language}
    post(
        f"{environment['MUX_BASE_URL']}/robots/v0/jobs/translate-captions",
        {"parameters": {**parameters, "replace_existing_tracks": "replace_all"}},
        {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()},
    )


def test_a_caption_paid_twice_is_found_and_only_by_asking(
    shell: Shell, sandbox: Mapping[str, str]
) -> None:
    assert shell.run("run", shell.manifest(MANIFEST), "-q").returncode == 0
    once = shell.run("audit")
    assert once.returncode == 0, once.stderr
    assert once.stdout.splitlines()[0] == "2 paid jobs: 2 completed"
    assert once.stdout.splitlines()[-1] == "2 captions, none of them paid for twice."
    create_by_hand(sandbox, "fr")
    assert shell.run("audit").returncode == 0, "no caption of this ledger"
    create_by_hand(sandbox, "ja")
    before = request_log(sandbox)
    twice = shell.run("audit", "--json")
    assert twice.returncode == 1
    after = request_log(sandbox)
    assert after["requests"]["mux.write"] == before["requests"]["mux.write"]
    assert after["routes"]["mux.jobs"]["200"] == before["routes"]["mux.jobs"]["200"] + 1
    found = json.loads(twice.stdout)
    (one,) = found["paid_twice"]
    assert one["key"] == "mux:film:ja"
    assert sorted(job["whose"] for job in one["jobs"]) == ["ledger", "others"]
    assert {job["job_id"] for job in found["jobs"]} < {job["job_id"] for job in after["creates"]}
    told = shell.run("audit").stdout.splitlines()
    assert told[0].startswith("paid twice: mux:film:ja: rjob_")
    assert told[-1] == "2 captions, 1 of them paid for twice."


def test_without_a_key_nobody_can_be_asked(shell: Shell, sandbox: Mapping[str, str]) -> None:
    assert shell.run("run", shell.manifest(MANIFEST), "-q").returncode == 0
    shell.environment["MUX_TOKEN_SECRET"] = "another"
    refused = shell.run("audit")
    assert refused.returncode == 3
    assert refused.stderr.startswith("error: ")
    assert "Traceback" not in refused.stderr


def test_where_nothing_is_paid_nobody_is_asked(shell: Shell) -> None:
    assert shell.run("run", shell.manifest("video_translate_id\none\n"), "-q", "--sandbox")
    audited = shell.run("audit", "--sandbox")
    assert audited.returncode == 0, audited.stderr
    assert audited.stdout.splitlines()[0] == "0 paid jobs"

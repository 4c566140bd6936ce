"""requests with 64 threads, a session each; each job asked for by itself, twice.

python -m benchmarks.contenders.requests_threads MANIFEST OUT [--check]
"""

from __future__ import annotations

import argparse
import csv
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import local
from typing import Any

import requests

POLLS = 2
MUX, HEYGEN = os.environ.get("MUX_BASE_URL", ""), os.environ.get("HEYGEN_API_BASE", "")
JOBS = f"{MUX}/robots/v0/jobs/translate-captions"
AUTH = (os.environ.get("MUX_TOKEN_ID", ""), os.environ.get("MUX_TOKEN_SECRET", ""))
KEY = {"X-Api-Key": os.environ.get("HEYGEN_API_KEY", "")}

here = local()


def session() -> requests.Session:
    """The thread's own."""
    if not hasattr(here, "session"):
        here.session = requests.Session()
    found: requests.Session = here.session
    return found


def asked(method: str, url: str, **more: Any) -> Any:
    """`data` of the answer."""
    answer = session().request(method, url, timeout=60, **more)
    answer.raise_for_status()
    return answer.json()["data"]


def mux(row: dict[str, str]) -> tuple[str, str]:
    """Create, ask twice; link and path."""
    names = ("asset_id", "track_id", "to_language_code")
    body = {"parameters": {name: row[name] for name in names}}
    job = asked("POST", JOBS, json=body, auth=AUTH)
    for _ in range(POLLS):
        job = asked("GET", f"{JOBS}/{job['id']}", auth=AUTH)
    return job["outputs"]["temporary_vtt_url"], f"mux/{row['asset_id']}.{row['to_language_code']}"


def heygen(row: dict[str, str]) -> tuple[str, str]:
    """Ask once; link and path."""
    name = row["video_translate_id"]
    detail = asked("GET", f"{HEYGEN}/v3/video-translations/{name}", headers=KEY)
    return detail["vtt_caption_url"], f"heygen/{name}"


def run(manifest: Path, out: Path, check: bool) -> None:
    """All rows, 64 at a time."""
    for folder in ("mux", "heygen"):
        (out / folder).mkdir(parents=True)

    def one(row: dict[str, str]) -> None:
        link, path = (mux if row["asset_id"] else heygen)(row)
        answer = session().get(link, timeout=60)
        answer.raise_for_status()
        if check:
            captions.check(answer.content)
        (out / f"{path}.vtt").write_bytes(answer.content)

    with manifest.open(newline="") as rows, ThreadPoolExecutor(64) as threads:
        for _ in threads.map(one, csv.DictReader(rows)):
            pass


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("manifest", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    if given.check:
        from batchcap import captions
    run(given.manifest, given.out, given.check)

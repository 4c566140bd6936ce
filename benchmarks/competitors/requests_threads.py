"""requests in 64 threads with a session each; each job is polled by itself, twice.

python -m benchmarks.competitors.requests_threads MANIFEST OUT
"""

from __future__ import annotations

import csv
import os
import sys
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

thread = local()


def session() -> requests.Session:
    """This thread's session."""
    if not hasattr(thread, "session"):
        thread.session = requests.Session()
    own: requests.Session = thread.session
    return own


def get_data(method: str, url: str, **options: Any) -> Any:
    """`data` of the response."""
    response = session().request(method, url, timeout=60, **options)
    response.raise_for_status()
    return response.json()["data"]


def mux(row: dict[str, str]) -> tuple[str, str]:
    """Create a job and poll it; return link and path."""
    names = ("asset_id", "track_id", "to_language_code")
    body = {"parameters": {name: row[name] for name in names}}
    job = get_data("POST", JOBS, json=body, auth=AUTH)
    for _ in range(POLLS):
        job = get_data("GET", f"{JOBS}/{job['id']}", auth=AUTH)
    return job["outputs"]["temporary_vtt_url"], f"mux/{row['asset_id']}.{row['to_language_code']}"


def heygen(row: dict[str, str]) -> tuple[str, str]:
    """Get the translation; return link and path."""
    name = row["video_translate_id"]
    detail = get_data("GET", f"{HEYGEN}/v3/video-translations/{name}", headers=KEY)
    return detail["vtt_caption_url"], f"heygen/{name}"


def run(manifest: Path, out: Path) -> None:
    """Fetch the captions of all rows, 64 at a time."""
    for folder in ("mux", "heygen"):
        (out / folder).mkdir(parents=True)

    def process(row: dict[str, str]) -> None:
        link, path = (mux if row["asset_id"] else heygen)(row)
        response = session().get(link, timeout=60)
        response.raise_for_status()
        (out / f"{path}.vtt").write_bytes(response.content)

    with manifest.open(newline="") as rows, ThreadPoolExecutor(64) as threads:
        for _ in threads.map(process, csv.DictReader(rows)):
            pass


if __name__ == "__main__":
    run(Path(sys.argv[1]), Path(sys.argv[2]))
